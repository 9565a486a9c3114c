"""Whole pages, or one block of a page for htmx, from the templates in this folder."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import FileSystemLoader, StrictUndefined

from web.assets import asset, routes, texts_script
from web.engines import night
from web.spoken import Spoken
from web.texts import CHINESE, LANGUAGE, LANGUAGES, NAMES, _
from web.texts.asked import asked
from web.texts.kept import retold

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' https: data:; style-src 'self'; script-src 'self'; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class House:
    """What every page needs: the shop's name, and the zone in which it shows times."""

    shop_name: str
    zone: ZoneInfo


HOUSE = web.AppKey("web_house", House)

templates = Spoken(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    # A page is made of fifty files: to look for changes of each costs as much as to fill a quarter of it.
    auto_reload=False,
)
_translated = {language: templates.speaking(language) for language in LANGUAGES if language != CHINESE}


def setup(app: web.Application, *, zone: ZoneInfo, shop_name: str) -> None:
    """Give an application what `render` needs, and the routes of the built assets."""
    app[HOUSE] = House(shop_name, zone)
    app.add_routes(routes())


def render(
    request: web.Request, name: str, *, block: str | None = None, status: int = 200, **values: Any
) -> web.Response:
    """The page, or only its `block`; values are escaped, an unknown one is an error."""
    house = request.config_dict[HOUSE]
    template = _translated.get(LANGUAGE.get(), templates).get_template(name)
    night_query = night(request.headers.get("User-Agent", ""))
    values = {"shop_name": house.shop_name, "zone": house.zone, "path": request.path, "night": night_query, **values}
    html = template.render(values) if block is None else "".join(template.blocks[block](template.new_context(values)))
    return web.Response(text=html, status=status, content_type="text/html", headers=HEADERS)


def money(fen: int) -> str:
    """123456 -> ¥1,234.56"""
    sign = "-" if fen < 0 else ""
    return f"{sign}¥{abs(fen) // 100:,}.{abs(fen) % 100:02d}"


def when(moment: datetime | None, zone: ZoneInfo, now: datetime | None = None) -> str:
    """今天 20:00, 昨天 09:10, 06-18 21:04, 2025-12-01; with `now` for what is near."""
    if moment is None:
        return "—"
    local = moment.astimezone(zone)
    if now is not None:
        days = (local.date() - now.astimezone(zone).date()).days
        if near := {0: _("今天"), 1: _("明天"), -1: _("昨天")}.get(days):
            return f"{near} {local:%H:%M}"
        if local.year != now.astimezone(zone).year:
            return f"{local:%Y-%m-%d}"
    return f"{local:%m-%d %H:%M}"


def day(moment: datetime | None, zone: ZoneInfo, now: datetime) -> str:
    """今天, 昨天, 06-18, 2025-12-01."""
    if moment is None:
        return "—"
    date, today = moment.astimezone(zone).date(), now.astimezone(zone).date()
    if near := {0: _("今天"), -1: _("昨天"), 1: _("明天")}.get((date - today).days):
        return near
    return f"{date:%m-%d}" if date.year == today.year else f"{date:%Y-%m-%d}"


def clock(moment: datetime, zone: ZoneInfo) -> str:
    """09:10"""
    return f"{moment.astimezone(zone):%H:%M}"


def left(moment: datetime, now: datetime) -> str:
    """25 分钟后, 3 小时后, 2 天后."""
    rest = max(moment - now, timedelta())
    if rest < timedelta(hours=1):
        return _("{n} 分钟后", n=max(1, rest // timedelta(minutes=1)))
    if rest < timedelta(days=1):
        return _("{n} 小时后", n=rest // timedelta(hours=1))
    return _("{n} 天后", n=rest.days)


def ago(moment: datetime | None, now: datetime) -> str:
    """刚刚, 5 分钟前, 3 小时前, 12 天前."""
    if moment is None:
        return "—"
    passed = now - moment
    if passed < timedelta(minutes=1):
        return _("刚刚")
    if passed < timedelta(hours=1):
        return _("{n} 分钟前", n=passed // timedelta(minutes=1))
    if passed < timedelta(days=1):
        return _("{n} 小时前", n=passed // timedelta(hours=1))
    return _("{n} 天前", n=passed.days)


def until(moment: datetime, zone: ZoneInfo, now: datetime) -> str:
    """A deadline in words: 还剩 25 分钟, 今天 20:00 前, 03-04 11:30 前."""
    left = moment - now
    if left <= timedelta():
        return _("已到期")
    if left < timedelta(hours=1):
        return _("还剩 {n} 分钟", n=max(1, left // timedelta(minutes=1)))
    return _("{when} 前", when=when(moment, zone, now))


def urgency(moment: datetime, now: datetime) -> str:
    """soon (under two hours), near (under a day) or far."""
    left = moment - now
    return "soon" if left < timedelta(hours=2) else "near" if left < timedelta(days=1) else "far"


def picture(address: str, own: str) -> str:
    """Where a platform's picture is found under our Content-Security-Policy: by https, or at our `own` address."""
    if address.startswith("http://") and not address.startswith(f"{own}/"):
        return f"https{address[4:]}"
    return address


def sum_of_letters(text: str) -> int:
    """The same number for the same name, to colour it by."""
    return sum(map(ord, text))


templates.filters.update(day=day, clock=clock, left=left, retold=retold, asked=asked, picture=picture)
templates.filters.update(money=money, when=when, ago=ago, until=until, urgency=urgency, sum_of_letters=sum_of_letters)
templates.globals.update(asset=asset, texts_script=texts_script, language=LANGUAGE.get, language_names=NAMES, _=_)
