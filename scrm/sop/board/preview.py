"""What a step would say to one customer, as it stands in the draft: nothing is sent, and no coupon is issued."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from scrm.content import render
from scrm.content.attachments import CouponCard, coupon_values
from scrm.sop import timing
from scrm.sop.content import load_values
from scrm.sop.facts import Due
from scrm.sop.schema import Channel, Content, Playbook, Step, Trigger, When
from scrm.sop.values import Shop
from scrm.tracking import said_links

# Somebody to speak to before a customer has been chosen.
SAMPLE = {
    "nickname": "小满",
    "salutation": "小满",
    "remark": "小满",
    "staff": "李娜",
    "last_product": "舒缓面霜 50g",
    "last_order_tail": "2046",
    "carrier": "顺丰",
    "parcel_tail": "8817",
    "eta": "6 月 21 日",
    "coupon.name": "新人券",
    "coupon.amount": "20 元",
    "coupon.threshold": "满 129 元可用",
    "coupon.expires": "6 月 21 日",
    "coupon.url": "https://…",
}


@dataclass(frozen=True, slots=True)
class Whom:
    """A customer, and the member who would speak to him."""

    person_id: int
    userid: str = ""
    external_userid: str = ""
    name: str = ""
    member: str = ""


@dataclass(frozen=True, slots=True)
class Bubble:
    """A message as the customer would see it; or the `problem` for which the step would stop."""

    text: str = ""
    cards: tuple[tuple[str, str, str], ...] = ()
    problem: str = ""


def preview(
    conn: Connection, data: Mapping[str, Any], said: Any, whom: Whom | None, shop: Shop, now: datetime
) -> Bubble:
    """`said` is text and attachments as the draft has them; without `whom` it is said to a sample."""
    text = str(said.get("text") or "") if isinstance(said, Mapping) else ""
    attachments = said.get("attachments") if isinstance(said, Mapping) else None
    files = [each for each in attachments or () if isinstance(each, Mapping)] if isinstance(attachments, list) else []
    if problems := render.check(text):
        return Bubble(text, problem=problems[0])
    values = _values(conn, text, files, whom, shop, now)
    coupon = next((str(each["coupon"]) for each in files if "coupon" in each), "")
    links = {key: "https://…" for key in render.variables_of(text) if said_links.knows(key)}
    values = {**_coupon(data, coupon, shop.zone, now), **links, **values}
    cards = tuple(_card(each, data) for each in files)
    try:
        return Bubble(render.render(text, values), cards)
    except render.MissingVariable as error:
        return Bubble("", cards, f"{error}。这一步会停下，不会发出去：给它写上没有时用的词")


def _values(
    conn: Connection, text: str, files: list[Mapping[str, Any]], whom: Whom | None, shop: Shop, now: datetime
) -> dict[str, Any]:
    if whom is None:
        return {**dict.fromkeys(render.variables_of(text), "（按客户填写）"), **SAMPLE, "shop": shop.name}
    content = Content(text, tuple(dict(each) for each in files))
    step = Step("preview", When(), Channel.TASK, content=content)
    playbook = Playbook("preview", "", Trigger(""), "person", "never", (step,))
    row = SimpleNamespace(
        id=0,
        person_id=whom.person_id,
        userid=whom.userid,
        external_userid=whom.external_userid,
        playbook_key="preview",
        run_key=f"person:{whom.person_id}",
        event_id=None,
    )
    return load_values(conn, [Due(cast(Row[Any], row), playbook, step)], shop, now)[0]


def _coupon(data: Mapping[str, Any], key: str, zone: ZoneInfo, now: datetime) -> dict[str, str]:
    """Of a coupon that the text itself brings along; the first of them when none is named."""
    specs = data.get("coupons")
    if not isinstance(specs, Mapping) or not specs:
        return {}
    spec = specs.get(key) or next(iter(specs.values()))
    if not isinstance(spec, Mapping):
        return {}
    try:
        expires = now + timing.parse_duration(str(spec["valid"])) if "valid" in spec else None
        fen = [round(float(spec.get(name) or 0) * 100) for name in ("amount", "threshold")]
    except ValueError:
        return {}
    benefit = "percent" if "percent_off" in spec else str(spec.get("benefit", "amount"))
    percent = spec.get("percent_off") or 0
    card = CouponCard(str(spec.get("title", "")), "https://…", benefit, fen[0], int(percent), fen[1], expires)
    return coupon_values(card, zone=zone)


_FILES = {"image": "图片", "video": "视频", "file": "文件"}


def _card(each: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[str, str, str]:
    """(kind, title, line below it)."""
    if "coupon" in each:
        spec = (data.get("coupons") or {}).get(each["coupon"]) if isinstance(data.get("coupons"), Mapping) else None
        title = str(spec.get("title")) if isinstance(spec, Mapping) else str(each["coupon"])
        return "coupon", title, "优惠券 · 每人一张"
    link = each.get("link")
    if isinstance(link, Mapping):
        return "link", str(link.get("title", "")), str(link.get("desc") or link.get("url", ""))
    program = each.get("miniprogram")
    if isinstance(program, Mapping):
        return "link", str(program.get("title", "")), f"小程序 · {program.get('page', '')}"
    kind, name = next(iter(each.items()), ("file", ""))
    return str(kind), str(name).rsplit("/", 1)[-1], _FILES.get(str(kind), str(kind))
