"""HTML of the sandbox: templates, their filters, and the headers every page carries."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from aiohttp import web
from jinja2 import ChainableUndefined, Environment, FileSystemLoader, select_autoescape
from markupsafe import Markup, escape

from .sandbox import Sandbox

FOLDER = Path(__file__).parent
ZONE = ZoneInfo("Asia/Shanghai")
WEEKDAYS = "一二三四五六日"
POLICY = (
    "default-src 'self'; img-src 'self' data: http: https:; frame-src http: https:; "
    "base-uri 'none'; frame-ancestors 'self'"
)


class Pages:
    """Renders the templates in templates/."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=select_autoescape(default=True),
            undefined=ChainableUndefined,  # messages come as the app sent them, with optional fields left out
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "when": self.when,
            "rich": rich_text,
            "day": day,
            "clock": clock,
            "initial": initial,
        }

    def respond(self, template: str, values: Mapping[str, object], *, status: int = 200) -> web.Response:
        """A page that may only run what this server serves."""
        html = self.render(template, values)
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(status=status, text=html, content_type="text/html", headers=headers)

    def fragment(self, request: web.Request, template: str, values: Mapping[str, object]) -> web.Response:
        """A part of a page for the poll: 204 while nothing has changed since `seen`, with the time in any case."""
        revision = str(self.sandbox.world.revision)
        now = str(int(self.sandbox.clock.now().timestamp() * 1000))
        headers = {"X-Revision": revision, "X-Now": now, "Cache-Control": "no-store"}
        if request.query.get("seen") == revision:
            return web.Response(status=204, headers=headers)
        return web.Response(text=self.render(template, values), content_type="text/html", headers=headers)

    def render(self, template: str, values: Mapping[str, object]) -> str:
        """The HTML of a template; config, clock and base path are always there."""
        config = self.sandbox.config
        now = self.sandbox.clock.now()
        always = {
            "base": config.base_path,
            "config": config,
            "world": self.sandbox.world,
            "now_ms": int(now.timestamp() * 1000),
            "can_advance": hasattr(self.sandbox.clock, "advance"),
        }
        return self._templates.get_template(template).render({**always, **values})

    def when(self, at: datetime) -> str:
        """A time as chat windows write it."""
        local, today = at.astimezone(ZONE), self.sandbox.clock.now().astimezone(ZONE).date()
        hour = f"{local:%H:%M}"
        days = (today - local.date()).days
        if days == 0:
            return hour
        if days == 1:
            return f"昨天 {hour}"
        if 1 < days < 7:
            return f"周{WEEKDAYS[local.weekday()]} {hour}"
        return f"{local.month}月{local.day}日 {hour}"


def day(at: datetime) -> str:
    """A date, for logs."""
    return f"{at.astimezone(ZONE):%m-%d}"


def clock(at: datetime) -> str:
    """A time to the second, for logs."""
    return f"{at.astimezone(ZONE):%H:%M:%S}"


def initial(name: str) -> str:
    """What stands in an avatar: the last character of a Chinese name, the first letter of another."""
    return name[-1:] if name and "\u4e00" <= name[-1] <= "\u9fff" else name[:1].upper()


def rich_text(text: str) -> Markup:
    """Escaped text in which only <br>, <div class="gray|highlight|normal"> and <a href="http…"> work (doc 90236)."""
    html = str(escape(text))
    for shade in ("gray", "highlight", "normal"):
        html = html.replace(f"&lt;div class=&#34;{shade}&#34;&gt;", f'<div class="{shade}">')
    html = html.replace("&lt;/div&gt;", "</div>").replace("&lt;br&gt;", "<br>").replace("&lt;br/&gt;", "<br>")
    return Markup(_with_links(html).replace("\n", "<br>"))  # noqa: S704 - everything else is escaped


def _with_links(html: str) -> str:
    opening, parts = "&lt;a href=&#34;", []
    while (start := html.find(opening)) >= 0:
        end = html.find("&#34;&gt;", start)
        url = html[start + len(opening) : end]
        if end < 0 or not url.startswith(("http://", "https://")):
            break
        parts.append(f'{html[:start]}<a href="{url}" data-open-url="{url}">')
        html = html[end + len("&#34;&gt;") :].replace("&lt;/a&gt;", "</a>", 1)
    return "".join(parts) + html
