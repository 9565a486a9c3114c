"""经营报表: reports that people make themselves, saved, shared, and put on a board of their own.

Whoever opens a report sees their own reach of it; sharing hands over the question, never the answer.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from multidict import MultiDict
from sqlalchemy import Connection

from scrm.console.conditions.forms import OF_SEGMENTS, shown
from scrm.console.conditions.texts import read_tree
from scrm.console.door import MANAGER, before_of, for_managers, page, scope_of
from scrm.console.numbers.report_boards import grid_sheet
from scrm.console.numbers.reports import BOARDS, PAGE, Chosen, file_response, people_page, show
from scrm.errors import Invalid
from scrm.reports import saved
from scrm.reports.boards import list_these
from scrm.reports.builder import (
    CHARTS,
    DIMENSIONS,
    FACTS,
    MEASURES,
    Answer,
    Question,
    ask,
    name_of,
    people_behind,
    plotted,
    question_of,
    read_question,
)
from scrm.reports.grids import Look
from scrm.reports.lines import Chart, draw
from scrm.reports.period import read_asked
from scrm.reports.whose import Whose, list_choices, read_whose
from scrm.segments.store import find_problems, list_segments
from scrm.services import SERVICES
from scrm.sop.shelf import playbooks_of

routes = web.RouteTableDef()

ID = r"{id:\d{1,18}}"
SPANS = (7, 30, 90, 180, 365)


def _look(request: web.Request, asked_for: Question) -> Look:
    """The last so many days, today included; what the reader reaches of whom the report is about."""
    services = request.app[SERVICES]
    now, zone = services.clock.now(), services.settings.shop.zone
    asked = read_asked({**_since(asked_for.days, now.astimezone(zone).date()), "compare": "none"}, now, zone)
    whose = read_whose(asked_for.who, scope_of(request))
    return Look(asked, whose, now, zone, playbooks_of(services))


def _since(days: int, today: Any) -> dict[str, str]:
    return {"from": str(type(today).fromordinal(today.toordinal() - days + 1)), "to": str(today)}


def _chart(answer: Answer) -> Chart | None:
    if answer.question.chart != "line" or not answer.days:
        return None
    return draw(list(answer.days), plotted(answer))


def address_of(asked: Question) -> str:
    """The question as an address's words."""
    return urlencode([(name, value) for name, value in _pairs(asked) if value])


def _pairs(asked: Question) -> list[tuple[str, str]]:
    """The question as the fields of its form."""
    named = [("measure", key) for key in asked.measures]
    tree = "" if asked.condition is None else json.dumps(asked.condition, ensure_ascii=False, separators=(",", ":"))
    rest = {"by": asked.by, "segment": asked.segment, "chart": asked.chart, "days": str(asked.days), "who": asked.who}
    return [*named, *rest.items(), ("tree", tree)]


def _read(form: Any) -> Question:
    return read_question(form, read_tree(str(form.get("tree", ""))))


# Making one -----------------------------------------------------------------------------------------------------------


@routes.get("/console/reports/build")
@for_managers
async def build(request: web.Request) -> web.StreamResponse:
    return await _form(request, request.query)


async def _form(
    request: web.Request, form: Any, *, report: Any = None, title: str = "", is_shared: bool = False, problem: str = ""
) -> web.StreamResponse:
    try:
        asked = _read(form) if "measure" in form or "by" in form else Question()
        answer = await request.app[SERVICES].db.read(_ask, asked, _look(request, asked))
    except Invalid as error:
        asked, problem = _as_far_as_read(form), problem or error.text
        return await _show_form(request, asked, None, report, title, is_shared, problem)
    return await _show_form(request, asked, answer, report, title, is_shared, problem)


def _ask(conn: Connection, asked: Question, look: Look) -> Answer:
    """A condition that is wrong is told, while it is being made, instead of counting nobody."""
    if asked.condition is not None and (problems := find_problems(conn, "", asked.condition)):
        raise Invalid(f"条件还没有写好：{problems[0].text}")
    return ask(conn, asked, look)


def _as_far_as_read(form: Any) -> Question:
    """What was chosen stays chosen although it does not fit together."""
    days = str(form.get("days", ""))
    return Question(
        tuple(form.getall("measure", [])),
        str(form.get("by", "day")),
        str(form.get("segment", "")),
        str(form.get("chart", "line")),
        int(days) if days in {str(each) for each in SPANS} else 30,
        str(form.get("who", "")),
        _condition_of(form),
    )


def _condition_of(form: Any) -> Any:
    try:
        return read_tree(str(form.get("tree", "")))
    except Invalid:
        return None


async def _show_form(
    request: web.Request,
    asked: Question,
    answer: Answer | None,
    report: Any,
    title: str,
    is_shared: bool,
    problem: str,
) -> web.StreamResponse:
    may_pick = scope_of(request).is_whole or request[MANAGER].may("segments")

    def look(conn: Connection) -> dict[str, Any]:
        segments = [(row.key, row.title) for row in list_segments(conn)] if may_pick else []
        return {"segments": segments, "choices": list_choices(conn, scope_of(request))}

    return await page(
        request,
        "report_build.html",
        active="reports",
        status=422 if problem and request.method == "POST" else 200,
        asked=asked,
        answer=answer,
        chart=_chart(answer) if answer is not None else None,
        report=report,
        report_title=title,
        is_shared=is_shared,
        # What was sent is answered where its reader is, the top of the page; what is chosen, beside its preview.
        refused=problem if request.method == "POST" else "",
        problem=problem if request.method != "POST" else "",
        facts=FACTS,
        dimensions=DIMENSIONS,
        charts=CHARTS,
        spans=SPANS,
        show=show,
        query=address_of(asked),
        people=people_address(answer) if answer is not None else None,
        shown=shown(asked.condition),
        conditions=OF_SEGMENTS if request[MANAGER].may("segments") else "",
        may_save=request[MANAGER].may("reports", "edit"),
        **await request.app[SERVICES].db.read(look),
    )


@routes.post("/console/reports/build")
@for_managers
async def save(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    is_shared, now = form.get("shared") == "1", services.clock.now()
    try:
        asked, title = _read(form), saved.read_title(form)
        await services.db.write(
            saved.save, request[MANAGER].userid, title, asked.as_json(), is_shared=is_shared, now=now
        )
    except Invalid as error:
        return await _form(request, form, title=str(form.get("title") or ""), is_shared=is_shared, problem=error.text)
    raise web.HTTPSeeOther("/console/reports/mine?done=saved")


# What was saved -------------------------------------------------------------------------------------------------------


@routes.get(f"/console/reports/saved/{ID}")
@for_managers
async def report(request: web.Request) -> web.StreamResponse:
    """Its form with what it says today; somebody else's can be saved as one's own."""
    row = await _find(request)
    query = request.query if "by" in request.query else MultiDict(_pairs(question_of(row.question)))
    return await _form(request, query, report=row, title=row.title, is_shared=row.is_shared)


async def _find(request: web.Request) -> Any:
    return await request.app[SERVICES].db.read(saved.find, int(request.match_info["id"]), request[MANAGER].userid)


@routes.post(f"/console/reports/saved/{ID}")
@for_managers
async def change(request: web.Request) -> web.StreamResponse:
    services, form, row = request.app[SERVICES], await request.post(), await _find(request)
    is_shared, now = form.get("shared") == "1", services.clock.now()
    try:
        asked, title = _read(form), saved.read_title(form)
    except Invalid as error:
        named = str(form.get("title") or "")
        return await _form(request, form, report=row, title=named, is_shared=is_shared, problem=error.text)
    owner = request[MANAGER].userid
    await services.db.write(saved.change, row.id, owner, title, asked.as_json(), is_shared=is_shared, now=now)
    raise web.HTTPSeeOther("/console/reports/mine?done=saved")


@routes.post(f"/console/reports/saved/{ID}/delete")
@for_managers
async def remove(request: web.Request) -> web.StreamResponse:
    services, report_id = request.app[SERVICES], int(request.match_info["id"])
    gone = await services.db.write(saved.remove, report_id, request[MANAGER].userid)
    return await _mine(request, gone=gone)


@routes.post(f"/console/reports/saved/{ID}/{{act:pin|unpin|up|down}}")
@for_managers
async def arrange(request: web.Request) -> web.StreamResponse:
    """The reader's own board."""
    services, report_id, act = request.app[SERVICES], int(request.match_info["id"]), request.match_info["act"]
    owner = request[MANAGER].userid

    def write(conn: Connection) -> None:
        match act:
            case "pin":
                saved.pin(conn, report_id, owner)
            case "unpin":
                saved.unpin(conn, report_id, owner)
            case _:
                saved.move(conn, report_id, owner, -1 if act == "up" else 1)

    await services.db.write(write)
    # Back to where the hand was: the tile, or the list when it has none any more.
    raise web.HTTPSeeOther("/console/reports/mine" + ("" if act == "unpin" else f"#report-{report_id}"))


@routes.get("/console/reports/mine")
@for_managers
async def mine(request: web.Request) -> web.StreamResponse:
    return await _mine(request)


async def _mine(request: web.Request, gone: Any = None) -> web.StreamResponse:
    services, owner = request.app[SERVICES], request[MANAGER].userid

    def look(conn: Connection) -> dict[str, Any]:
        tiles = []
        for row in saved.list_board(conn, owner):
            asked = question_of(row.question)
            answer = ask(conn, asked, _look(request, asked), row.title, f"report-{row.id}")
            tiles.append((row, answer, _chart(answer), people_address(answer)))
        return {"tiles": tiles, "reports": saved.list_seen(conn, owner)}

    return await page(
        request,
        "report_mine.html",
        active="reports",
        board_name="mine",
        boards=BOARDS,
        owner=owner,
        gone=gone,
        gone_fields=_pairs(question_of(gone.question)) if gone is not None else [],
        done=request.query.get("done", ""),
        show=show,
        may_save=request[MANAGER].may("reports", "edit"),
        **await services.db.read(look),
    )


# The people behind a number -------------------------------------------------------------------------------------------


def people_address(answer: Answer) -> Callable[[str, str], str] | None:
    """Where the number of a line and a measure leads; None for what is not about customers."""
    asked = answer.question
    if FACTS[asked.fact].people is None:
        return None
    start = f"/console/reports/built/people?{address_of(asked)}"
    return lambda line, measure: f"{start}&{urlencode({'line': line, 'of': f'{asked.fact}.{measure}'})}"


@routes.get("/console/reports/built/people")
@for_managers
async def built_people(request: web.Request) -> web.StreamResponse:
    """Those behind a number of one's own report: `line` and `of`, beside the question."""
    asked = _read(request.query)
    look = _look(request, asked)
    key, measure = request.query.get("line", ""), request.query.get("of", "")

    def read(conn: Connection) -> dict[str, Any]:
        people = people_behind(asked, key, measure, conn, look)
        ids = list_these(conn, people, look.whose, before=before_of(request), limit=PAGE + 1)
        return {**people_page(conn, ids), "line": name_of(conn, asked.by, key)}

    values = await request.app[SERVICES].db.read(read)
    told = urlencode({"line": key, "of": measure})
    return await page(
        request,
        "report_people.html",
        active="reports",
        asked=look.asked,
        back=("自定义报表", f"/console/reports/build?{address_of(asked)}"),
        title=f"{values.pop('line')} · {MEASURES[measure][1].title}",
        query=f"{address_of(asked)}&{told}",
        **values,
    )


# As a file ------------------------------------------------------------------------------------------------------------


@routes.get("/console/reports/built.csv")
@for_managers
async def built_csv(request: web.Request) -> web.StreamResponse:
    return await _export(request, "csv")


@routes.get("/console/reports/built.xlsx")
@for_managers
async def built_xlsx(request: web.Request) -> web.StreamResponse:
    return await _export(request, "xlsx")


async def _export(request: web.Request, suffix: str) -> web.Response:
    asked = _read(request.query)
    look = _look(request, asked)
    answer = await request.app[SERVICES].db.read(ask, asked, look, "自定义报表")
    chosen = Chosen(look.asked, Whose(scope_of(request)), asked.who)
    return file_response("report", chosen, [grid_sheet(replace(answer.grid, is_sortable=False))], suffix)
