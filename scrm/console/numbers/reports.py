"""经营报表: the boards with their figures, the people behind a number, and all of it as a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection

from scrm.commerce.words import CHANNELS as SHOPS
from scrm.console import store
from scrm.console.door import before_of, for_managers, page, scope_of
from scrm.errors import Invalid, NotFound
from scrm.reports import boards, sheets
from scrm.reports.every_board import SORTS
from scrm.reports.lines import Chart, draw
from scrm.reports.measures import OF_CHANNEL, Unit
from scrm.reports.measures.kinds import Figure, Value
from scrm.reports.period import COMPARISONS, SPANS, Asked, read_asked
from scrm.reports.sheets import Cell, Sheet
from scrm.reports.trade import Day, Shop
from scrm.reports.whose import Whose, list_choices, read_whose
from scrm.services import SERVICES
from web.render import money

routes = web.RouteTableDef()

PAGE = 50
BOARDS = {
    "overview": ("总览", "/console/reports"),
    "channels": ("渠道效果", "/console/reports/channels"),
    **{each.key: (each.title, f"/console/reports/board/{each.key}") for each in SORTS},
    "rfm": ("RFM", "/console/rfm"),
    "mine": ("我的看板", "/console/reports/mine"),
}
# A number that was nearly nothing before has grown by more than anybody reads.
MOST_CHANGE = 999
_WHOLE_YUAN_FROM = 1_000_000  # fen; smaller sums are shown to the fen


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the address asks for; `problem` when it was not understood and the usual is shown."""

    asked: Asked
    whose: Whose
    who: str
    problem: str = ""

    def query(self, **more: str | int) -> str:
        """The address that keeps the choice."""
        period = self.asked.period
        days = {"days": self.asked.span} if self.asked.span else {"from": period.first, "to": period.last}
        named = {"who": self.who, **more}
        kept = {"compare": self.asked.compare} if self.asked.compare != "before" else {}
        return urlencode({**days, **kept, **{name: value for name, value in named.items() if value != ""}})


def read_chosen(request: web.Request) -> Chosen:
    services, who = request.app[SERVICES], request.query.get("who", "")
    now, zone = services.clock.now(), services.settings.shop.zone
    return Chosen(read_asked(request.query, now, zone), read_whose(who, scope_of(request)), who)


def read_or_usual(request: web.Request) -> Chosen:
    try:
        return read_chosen(request)
    except Invalid as error:
        services = request.app[SERVICES]
        usual = read_asked({}, services.clock.now(), services.settings.shop.zone)
        return Chosen(usual, Whose(scope_of(request)), "", error.text)


@routes.get("/console/reports")
@for_managers
async def overview(request: web.Request) -> web.StreamResponse:
    services, chosen = request.app[SERVICES], read_or_usual(request)
    now, zone = services.clock.now(), services.settings.shop.zone

    def look(conn: Connection) -> dict[str, Any]:
        board = boards.load_overview(conn, chosen.asked, chosen.whose, now, zone)
        return {"board": board, "choices": list_choices(conn, scope_of(request))}

    values = await services.db.read(look)
    return await board_page(
        request, "overview", chosen, chart=draw_days(values["board"].days), shop_names=SHOPS, **values
    )


@routes.get("/console/reports/channels")
@for_managers
async def channels(request: web.Request) -> web.StreamResponse:
    services, chosen = request.app[SERVICES], read_or_usual(request)
    now, zone = services.clock.now(), services.settings.shop.zone
    sort, is_up, start = _read_order(request)

    def look(conn: Connection) -> dict[str, Any]:
        board = boards.load_channels(conn, chosen.asked, chosen.whose, now, zone)
        return {"board": board, "choices": list_choices(conn, scope_of(request))}

    values = await services.db.read(look)
    board = values["board"]
    rows = boards.order_channels(board.channels, sort, is_up=is_up)
    return await board_page(
        request,
        "channels",
        chosen,
        chart=draw_days(board.days),
        columns=OF_CHANNEL,
        rows=rows[start : start + PAGE],
        count=len(rows),
        start=start,
        step=PAGE,
        sort=sort,
        is_up=is_up,
        **values,
    )


def _read_order(request: web.Request) -> tuple[str, bool, int]:
    sort, start = request.query.get("sort", ""), request.query.get("start", "")
    known = {measure.key for measure in OF_CHANNEL}
    number = int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 0
    return sort if sort in known else OF_CHANNEL[0].key, request.query.get("up") == "1", number


async def board_page(request: web.Request, name: str, chosen: Chosen, **values: Any) -> web.Response:
    return await page(
        request,
        f"report_{name}.html",
        active="reports",
        boards=BOARDS,
        chosen=chosen,
        asked=chosen.asked,
        spans=SPANS,
        comparisons=COMPARISONS,
        show=show,
        show_change=show_change,
        **{"board_name": name, **values},
    )


def draw_days(days: list[Day]) -> Chart:
    series = (("新增", "info", [each.adds for each in days]), ("流失", "bad", [each.lost for each in days]))
    return draw([each.day for each in days], series)


def show(value: Value, unit: Unit | str) -> str:
    """1,204, 39.5%, ¥86,214; a dash for what cannot be reckoned."""
    if value is None:
        return "—"
    if unit == Unit.SHARE:
        return f"{value * 100:.1f}%".replace(".0%", "%")
    if unit == Unit.TIMES:
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if unit == Unit.MINUTES:
        return show_minutes(value)
    if unit == Unit.MONEY:
        fen = round(value)
        return money(fen) if abs(fen) < _WHOLE_YUAN_FROM else money(round(fen, -2)).removesuffix(".00")
    return f"{value:,.0f}"


def show_minutes(value: float) -> str:
    """8 分钟, 3.5 小时, 2.1 天."""
    if value < 60:
        return f"{value:.0f} 分钟"
    return f"{value / 60:.1f} 小时" if value < 2880 else f"{value / 1440:.1f} 天"


def show_change(change: float, unit: Unit) -> str:
    """12% of the value before, or 2.1 pt between two shares."""
    size = abs(change) * 100
    if unit == Unit.SHARE:
        return f"{size:.1f}pt"
    if size >= MOST_CHANGE:
        return f">{MOST_CHANGE}%"
    return f"{size:.0f}%" if size >= 1 else f"{size:.1f}%"


@routes.get("/console/reports/people")
@for_managers
async def people(request: web.Request) -> web.StreamResponse:
    """Those behind a number: `of`, and `channel` for one channel's."""
    services, chosen = request.app[SERVICES], read_chosen(request)
    what, state = request.query.get("of", ""), request.query.get("channel", request.query.get("key"))
    if what not in boards.PEOPLE or (state is not None and len(state) > 64):
        raise NotFound("没有这个数字的名单，请从报表页面重新点进来")

    def look(conn: Connection) -> dict[str, Any]:
        ids = boards.list_people(
            conn,
            what,
            chosen.asked.period,
            chosen.whose,
            state=state,
            before=before_of(request),
            limit=PAGE + 1,
        )
        return people_page(conn, ids)

    more: dict[str, str | int] = {"of": what}
    name = "key" if "key" in request.query else "channel"
    query = chosen.query(**more) + (f"&{urlencode({name: state})}" if state is not None else "")
    return await page(
        request,
        "report_people.html",
        active="reports",
        asked=chosen.asked,
        back=("经营报表", f"/console/reports?{chosen.query()}"),
        title=boards.PEOPLE[what],
        query=query,
        **await services.db.read(look),
    )


def people_page(conn: Connection, ids: Sequence[int]) -> dict[str, Any]:
    """A page of people and the number to go on from; `ids` holds one more than a page when there are more."""
    found = store.list_these(conn, ids[:PAGE])
    return {"found": found, "before": ids[PAGE - 1] if len(ids) > PAGE else None}


@routes.get("/console/reports/{name}.csv")
@for_managers
async def export_csv(request: web.Request) -> web.StreamResponse:
    return await _export(request, "csv")


@routes.get("/console/reports/{name}.xlsx")
@for_managers
async def export_xlsx(request: web.Request) -> web.StreamResponse:
    return await _export(request, "xlsx")


async def _export(request: web.Request, suffix: str) -> web.Response:
    services, chosen, name = request.app[SERVICES], read_chosen(request), request.match_info["name"]
    now, zone = services.clock.now(), services.settings.shop.zone
    if name not in ("overview", "channels"):
        raise NotFound("没有这份报表，请从报表页面重新导出")

    def look(conn: Connection) -> list[Sheet]:
        if name == "overview":
            board = boards.load_overview(conn, chosen.asked, chosen.whose, now, zone)
            return [figures_sheet(board.figures), _shops_sheet(board.shops), _days_sheet(board.days)]
        found = boards.load_channels(conn, chosen.asked, chosen.whose, now, zone)
        sort, is_up, _ = _read_order(request)
        rows = boards.order_channels(found.channels, sort, is_up=is_up)
        pages = [_channels_sheet(rows), figures_sheet(found.figures), _stages_sheet(found.stages)]
        return [*pages, _days_sheet(found.days)]

    return file_response(name, chosen, await services.db.read(look), suffix)


def file_response(name: str, chosen: Chosen, pages: list[Sheet], suffix: str) -> web.Response:
    """A file for the browser to keep, named by its report and days."""
    body, period = sheets.write(pages, suffix), chosen.asked.period
    headers = {
        "Content-Type": sheets.TYPES[suffix],
        "Content-Disposition": f'attachment; filename="{name}-{period.first}-{period.last}.{suffix}"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=body, headers=headers)


def plain(value: Value, unit: Unit) -> float | None:
    """As a spreadsheet counts on: yuan, shares of one with four places."""
    if value is None:
        return None
    return round(value / 100, 2) if unit == Unit.MONEY else round(value, 4)


_UNITS = {Unit.MONEY: "元", Unit.MINUTES: "分钟"}


def heading(title: str, unit: Unit) -> str:
    return f"{title}（{_UNITS[unit]}）" if unit in _UNITS else title


def figures_sheet(figures: list[Figure]) -> Sheet:
    rows: list[list[Cell]] = [["指标", "本期", "对比期", "口径"]]
    for each in figures:
        measure, unit = each.measure, each.measure.unit
        rows.append([heading(measure.title, unit), plain(each.value, unit), plain(each.before, unit), measure.formula])
    return Sheet("指标", rows)


def _days_sheet(days: list[Day]) -> Sheet:
    rows: list[list[Cell]] = [["日期", "新增", "流失", "净增", "付款订单", "实付（元）"]]
    rows += [
        [each.day.isoformat(), each.adds, each.lost, each.adds - each.lost, each.orders, each.paid_fen / 100]
        for each in days
    ]
    return Sheet("每日", rows)


def _shops_sheet(shops: list[Shop]) -> Sheet:
    rows: list[list[Cell]] = [["平台", "付款订单", "实付（元）"]]
    rows += [[SHOPS.get(each.channel, each.channel or "其他"), each.orders, each.paid_fen / 100] for each in shops]
    return Sheet("各平台", rows)


def _stages_sheet(stages: list[boards.Stage]) -> Sheet:
    rows: list[list[Cell]] = [["从扫码到复购", "人数", "占前一步"]]
    rows += [[each.title, each.count, plain(each.part, Unit.SHARE)] for each in stages]
    return Sheet("从扫码到复购", rows)


def _channels_sheet(rows: list[boards.Channel]) -> Sheet:
    titles = ["渠道", "state", "类型", *(heading(each.title, each.unit) for each in OF_CHANNEL)]
    lines = [
        [row.title, row.state, row.kind]
        + [plain(value, each.unit) for value, each in zip(row.values, OF_CHANNEL, strict=True)]
        for row in rows
    ]
    return Sheet("渠道", [titles, *lines])
