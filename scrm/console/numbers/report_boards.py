"""经营报表: the boards that are made of tables, each with its figures, a chart, and as a file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.door import for_managers, scope_of
from scrm.console.numbers.reports import (
    PAGE,
    Chosen,
    board_page,
    figures_sheet,
    file_response,
    heading,
    plain,
    read_chosen,
    read_or_usual,
)
from scrm.errors import NotFound
from scrm.reports.every_board import BY_KEY
from scrm.reports.grids import Board, Grid, Look, Sort
from scrm.reports.sheets import Cell, Sheet
from scrm.reports.whose import list_choices
from scrm.services import SERVICES
from scrm.sop.shelf import playbooks_of

routes = web.RouteTableDef()


def _find(request: web.Request) -> Sort:
    sort = BY_KEY.get(request.match_info["name"])
    if sort is None:
        raise NotFound("没有这份报表，请从报表页面重新打开")
    return sort


def _look(request: web.Request, chosen: Chosen) -> Look:
    services = request.app[SERVICES]
    return Look(
        chosen.asked,
        chosen.whose,
        services.clock.now(),
        services.settings.shop.zone,
        playbooks_of(services),
        {name: value[:64] for name, value in request.query.items()},
    )


@routes.get("/console/reports/board/{name:[a-z]+}")
@for_managers
async def board(request: web.Request) -> web.StreamResponse:
    sort, chosen = _find(request), read_or_usual(request)
    asked = _look(request, chosen)

    def look(conn: Connection) -> dict[str, Any]:
        return {"board": sort.load(conn, asked), "choices": list_choices(conn, scope_of(request))}

    values = await request.app[SERVICES].db.read(look)
    picked = {pick.name: pick.value for pick in values["board"].picks}
    return await board_page(
        request,
        "board",
        chosen,
        board_name=sort.key,
        title=sort.title,
        picked=picked,
        sort=request.query.get("sort", ""),
        grid_key=request.query.get("grid", ""),
        is_up=request.query.get("up") == "1",
        step=PAGE,
        start=_start(request),
        **values,
    )


def _start(request: web.Request) -> int:
    start = request.query.get("start", "")
    return int(start) if start.isascii() and start.isdigit() and len(start) < 7 else 0


@routes.get("/console/reports/board/{name:[a-z]+}.csv")
@for_managers
async def board_csv(request: web.Request) -> web.StreamResponse:
    return await _export(request, "csv")


@routes.get("/console/reports/board/{name:[a-z]+}.xlsx")
@for_managers
async def board_xlsx(request: web.Request) -> web.StreamResponse:
    return await _export(request, "xlsx")


async def _export(request: web.Request, suffix: str) -> web.Response:
    sort, chosen = _find(request), read_chosen(request)
    found: Board = await request.app[SERVICES].db.read(sort.load, _look(request, chosen))
    pages = [grid_sheet(_as_shown(grid, request.query)) for grid in found.grids] + [figures_sheet(list(found.figures))]
    return file_response(sort.key, chosen, pages, suffix)


def _as_shown(grid: Grid, query: Mapping[str, str]) -> Grid:
    """In the order that the page has it in."""
    if not grid.is_sortable:
        return grid
    sort, is_up = (query.get("sort", ""), query.get("up") == "1") if grid.key == query.get("grid") else ("", False)
    return replace(grid, lines=grid.in_order(sort, is_up=is_up))


def grid_sheet(grid: Grid) -> Sheet:
    """As the page shows it; the sheet's name without what Excel forbids."""
    rows: list[list[Cell]] = [[grid.heading, *(heading(each.title, each.unit) for each in grid.columns)]]
    for line in grid.lines:
        cells = zip(line.values, grid.columns, strict=True)
        rows.append([line.title, *(plain(value, each.unit) for value, each in cells)])
    return Sheet("".join(letter for letter in grid.title if letter not in r"[]:*?/\'")[:31], rows)
