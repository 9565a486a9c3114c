"""剧本预演: what a playbook, or the draft of it, would do to customers and members, as a calendar before it is on."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from aiohttp import web
from multidict import MultiMapping
from sqlalchemy import Connection, Row

from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES
from scrm.sop.life import published as publishing
from scrm.sop.life import store as lifecycle_store
from scrm.sop.rehearsal import history, jobs
from scrm.sop.rehearsal.terms import MOST_CROWD, MOST_DAYS, USUAL, Behaviour, Crowd, Member, Terms
from scrm.sop.schema import Playbook
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from web.render import render

routes = web.RouteTableDef()

_OF = "/console/playbooks/{key:[a-z0-9][a-z0-9_-]{0,63}}/rehearsal"
_STATES = {
    "waiting": ("等待开始", "busy"),
    "running": ("正在预演", "busy"),
    "done": ("已完成", "good"),
    "failed": ("没有成功", "bad"),
    "cancelled": ("已取消", ""),
}
_DAY = timedelta(days=1)
_SHOWN_MEMBERS = 30


@routes.get(_OF)
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    """The newest rehearsal, or the one that `id` names; while it is played, its progress."""
    services, key = request.app[SERVICES], request.match_info["key"]
    wanted = _number(request.query, "id", 0, 10**18, 0)

    def look(conn: Connection) -> dict[str, Any]:
        rows = jobs.list_of(conn, key)
        chosen = jobs.find(conn, wanted or rows[0].id) if rows else None
        if chosen is not None and chosen.playbook_key != key:
            raise NotFound("没有这次预演")
        text, problem, playbook = _text_of(conn, key)
        until = services.clock.now()
        since = until - 30 * _DAY
        return {
            "rows": rows,
            "row": chosen,
            "playbook": playbook,
            "problem": problem,
            "is_draft": text.is_draft,
            "is_of_text": chosen is not None and playbook is not None and chosen.digest == playbook.digest,
            "happened": history.count_entrants(conn, playbook, since, until) if playbook is not None else 0,
        }

    values = await services.db.read(look)
    row = values["row"]
    if request.headers.get("HX-Request"):
        if row is not None and row.state in jobs.BUSY:
            return render(request, "console/rehearsal_progress.html", row=row, states=_STATES)
        return web.Response(headers={"HX-Refresh": "true"})
    summary = row.summary if row is not None and row.state == "done" else None
    return await page(
        request,
        "rehearsal.html",
        active="playbooks",
        key=key,
        states=_STATES,
        summary=summary,
        weeks=list(weeks_of(summary)) if summary else [],
        steps=list(steps_of(summary)) if summary else [],
        span=_span(summary) if summary else "",
        shown_members=_SHOWN_MEMBERS,
        usual=USUAL,
        most_days=MOST_DAYS,
        most_crowd=MOST_CROWD,
        **values,
    )


@routes.post(_OF)
@for_managers
async def begin(request: web.Request) -> web.StreamResponse:
    """Play the draft, or what is published when there is none."""
    services, key, form = request.app[SERVICES], request.match_info["key"], await request.post()
    terms = _terms(form)

    def write(conn: Connection) -> int:
        _, problem, playbook = _text_of(conn, key)
        if playbook is None:
            raise Invalid(f"剧本还有错误，改好才能预演：{problem}")
        return jobs.ask(conn, playbook, terms, request[MANAGER].userid, now=services.clock.now())

    rehearsal_id = await services.db.write(write)
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/rehearsal?id={rehearsal_id}")


@routes.post(_OF + r"/{id:\d{1,18}}/cancel")
@for_managers
async def cancel(request: web.Request) -> web.StreamResponse:
    services, key = request.app[SERVICES], request.match_info["key"]
    await services.db.write(jobs.cancel, int(request.match_info["id"]), now=services.clock.now())
    raise web.HTTPSeeOther(f"/console/playbooks/{key}/rehearsal?id={request.match_info['id']}")


class _Text:
    """A text that may be rehearsed, and whether it is a draft."""

    def __init__(self, source: str, is_draft: bool) -> None:
        self.source, self.is_draft = source, is_draft


def _text_of(conn: Connection, key: str) -> tuple[_Text, str, Playbook | None]:
    """The draft, or what is published; with the first problem when it is not sound. Raises NotFound."""
    draft, current = lifecycle_store.find_draft(conn, key), publishing.find_current(conn, key)
    if draft is None and current is None:
        raise NotFound(f"没有编号为 {key} 的剧本或草稿")
    row: Row[Any] = draft if draft is not None else current  # type: ignore[assignment]
    text = _Text(row.source, draft is not None)
    try:
        known = publishing.known_from(conn, quiet=None)
        return text, "", parse_playbook(text.source, file_name=key, known=known)
    except PlaybookErrors as error:
        return text, f"第 {error.problems[0].line} 行 {error.problems[0].text}", None


def _terms(form: MultiMapping[Any]) -> Terms:
    days = _number(form, "days", 1, MOST_DAYS, 30)
    crowd = None
    if form.get("whose") == "crowd":
        crowd = Crowd(
            _number(form, "crowd", 1, MOST_CROWD, 1000),
            _number(form, "members", 1, 5000, 10),
            _number(form, "buys", 0, 100, 10) / 100,
            _number(form, "leaves", 0, 100, 2) / 100,
        )
    behaviour = None
    if form.get("staff") == "said":
        behaviour = Behaviour(
            Member(_number(form, "confirms", 0, 100, 80) / 100, _number(form, "minutes", 1, 2880, 30))
        )
    return Terms(days, crowd, behaviour)


_TITLES = {
    "days": "天数",
    "crowd": "人数",
    "members": "员工数",
    "buys": "下单比例",
    "leaves": "删除好友比例",
    "confirms": "发送比例",
    "minutes": "分钟数",
}


def _number(form: Mapping[str, Any] | MultiMapping[Any], name: str, least: int, most: int, usual: int) -> int:
    text = str(form.get(name, "")).strip().replace(",", "")
    if not text:
        return usual
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise Invalid(f"{_TITLES.get(name, name)}要填 {least:,} 到 {most:,} 之间的整数，填的是“{text[:20]}”")
    return int(text)


def _span(summary: Mapping[str, Any]) -> str:
    first, last = date.fromisoformat(summary["begins"]), date.fromisoformat(summary["ends"])
    return f"{first.month} 月 {first.day} 日到 {last.month} 月 {last.day} 日"


def steps_of(summary: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each step, in the order of the text."""
    for step, title in summary["titles"].items():
        counts = defaultdict(int, summary["steps"].get(step, {}))
        out = counts["sent"] + counts["done"]
        yield {
            "title": title,
            "channel": summary["channels"][step],
            "due": (counts["asked"] or out) + counts["skipped"] + counts["dropped"],
            "out": out,
            "expired": counts["expired"],
            "deferred": counts["deferred"],
            "unsent": counts["skipped"] + counts["dropped"] + counts["withdrawn"],
            "reasons": list(summary["reasons"].get(step, {}).items())[:3],
        }


def weeks_of(summary: Mapping[str, Any]) -> Iterator[list[dict[str, Any] | None]]:
    """The calendar: weeks from Monday on, with None where the rehearsal has no day; `load` is 0 (none) to 4 (over)."""
    told = [day for day in summary["days"] if day.get("sent") or day.get("asked") or day.get("entered")]
    days = {date.fromisoformat(day["day"]): day for day in told}
    if not days:
        return
    first, last = min(days), max(days)
    monday = first - first.weekday() * _DAY
    while monday <= last:
        week = [monday + number * _DAY for number in range(7)]
        yield [
            _cell(each, days.get(each), summary["task_limit"], is_first=each == first)
            if first <= each <= last
            else None
            for each in week
        ]
        monday += 7 * _DAY


def _cell(day: date, counts: Mapping[str, Any] | None, limit: int | None, *, is_first: bool) -> dict[str, Any]:
    counts = counts or {}
    mean, most = counts.get("mean", 0), counts.get("most", 0)
    load = 0
    if mean:
        part = mean / limit if limit else 0.5
        load = 4 if counts.get("over") else 1 + (part > 0.4) + (part > 0.75)
    return {
        "day": day,
        "label": f"{day.month}/{day.day}" if is_first or day.day == 1 else str(day.day),
        "sent": counts.get("sent", 0),
        "asked": counts.get("asked", 0),
        "mean": mean,
        "most": most,
        "over": counts.get("over", 0),
        "load": load,
    }
