"""今日待办: all of a member's customers in one queue, the most pressing first; acted on where it stands."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.errors import NotFound, ScrmError
from scrm.http import signed_in
from scrm.profiles.store import access_contact
from scrm.services import SERVICES
from scrm.sidebar import today_store as store
from scrm.sidebar.acts import fields_of, moment_of
from scrm.sidebar.door import for_members, page
from scrm.sidebar.ranking import Bundle, Errand, behind, bundle, is_due_today, is_overdue
from scrm.sop.members import tasks
from scrm.sop.members.tasks import TaskView
from web.texts import _

routes = web.RouteTableDef()

# A phone shows three; the rest comes as one scrolls.
FIRST, PAGE = 8, 20
MOST_SHOWN = 300
ENDED_SHOWN = 20
WELCOMES_SINCE = timedelta(days=7)
LOST_SINCE = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Desk:
    """Whose queue it is, when, and by which measures."""

    userid: str
    now: datetime
    zone: ZoneInfo
    high_fen: int

    @property
    def midnight(self) -> datetime:
        return self.now.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class View:
    """One way to narrow the queue."""

    key: str
    title: Callable[[], str]
    fits: Callable[[Errand, Desk], bool]


def _is_here(errand: Errand, desk: Desk) -> bool:
    return errand.open_at <= desk.now


VIEWS = (
    View("all", lambda: _("全部"), _is_here),
    View(
        "due", lambda: _("今天到期"), lambda one, desk: is_due_today(one, desk.now, desk.zone) and _is_here(one, desk)
    ),
    View("overdue", lambda: _("逾期"), lambda one, desk: is_overdue(one, desk.now)),
    View("high", lambda: _("高价值"), lambda one, desk: one.worth_fen >= desk.high_fen and _is_here(one, desk)),
    View("unsure", lambda: _("待确认"), lambda one, desk: one.is_unconfirmed and _is_here(one, desk)),
    View("promises", lambda: _("我的约定"), lambda one, desk: one.is_promise),
    View("later", lambda: _("推迟的"), lambda one, desk: one.open_at > desk.now and not one.is_promise),
)
# Not tasks, but customers that need a look.
WELCOMES, LOST = "welcomes", "lost"
_KEYS = frozenset({view.key for view in VIEWS} | {WELCOMES, LOST})


@dataclass(frozen=True, slots=True)
class Card:
    """One customer in the queue, with all that waits for him; `told` is what was just done."""

    bundle: Bundle
    tasks: list[TaskView]
    told: TaskView | None = None

    @property
    def customer(self) -> TaskView:
        return self.tasks[0] if self.tasks else self.told  # type: ignore[return-value]

    @property
    def worth_fen(self) -> int:
        return self.bundle.errands[0].worth_fen if self.bundle.errands else 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the day has come: what is done of what there was, and what came of it."""

    done: int
    open: int
    sent: int
    skipped: int
    expired: int
    # Customers who bought after the member had written to them, and what they paid.
    buyers: int
    bought_fen: int

    @property
    def total(self) -> int:
        return self.done + self.open

    @property
    def percent(self) -> int:
        return round(100 * self.done / self.total) if self.total else 0


# Reading --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Queue:
    """Everything open of one member, and what has come of the day."""

    errands: list[Errand]
    ended: list[Any]
    sales: Any
    welcomes: list[Any]
    lost: list[Any]
    has_pool: bool = False

    def counts(self, desk: Desk) -> dict[str, int]:
        """Customers under each view."""
        found = {view.key: len({one.external_userid for one in self.errands if view.fits(one, desk)}) for view in VIEWS}
        return found | {WELCOMES: len(self.welcomes), LOST: len(self.lost)}

    def progress(self, desk: Desk) -> Progress:
        """Counted in tasks: one customer may be two of them."""
        states = [row.state for row in self.ended]
        return Progress(
            done=sum(state in ("sent", "skipped") for state in states),
            open=sum(_is_here(one, desk) and not one.is_spared for one in self.errands),
            sent=states.count("sent"),
            skipped=states.count("skipped"),
            expired=states.count("expired"),
            buyers=self.sales.customers,
            bought_fen=int(self.sales.paid_fen),
        )


def read_queue(conn: Connection, desk: Desk) -> Queue:
    since = {"today": desk.midnight, "welcomes": desk.now - WELCOMES_SINCE, "lost": desk.now - LOST_SINCE}
    day = store.read_day(conn, desk.userid, store.EVERYTHING, **since)
    return Queue(_errands(day, desk), day.ended, day.sales[0], store.missed_welcomes(day), day.lost, bool(day.pool))


def read_tasks(conn: Connection, desk: Desk) -> Queue:
    """The queue without the customers that need a look."""
    day = store.read_day(conn, desk.userid, store.TASKS, today=desk.midnight)
    return Queue(_errands(day, desk), day.ended, day.sales[0], [], [])


def _errands(day: Row[Any], desk: Desk) -> list[Errand]:
    return [_errand(row) for row in day.open if row.expires_at is None or row.expires_at > desk.now]


def _errand(row: Any) -> Errand:
    return Errand(
        id=row.id,
        external_userid=row.external_userid,
        open_at=row.open_at,
        due_at=row.due_at if row.kind == "promise" else row.expires_at,
        priority=row.priority or "",
        is_promise=row.kind == "promise",
        is_unconfirmed=row.released_at is not None,
        is_spared=row.reminder == "spared",
        worth_fen=row.worth_fen or 0,
    )


def choose(errands: Sequence[Errand], key: str, desk: Desk) -> list[Bundle]:
    """The bundles of a view, in their order."""
    view = next((view for view in VIEWS if view.key == key), None)
    if view is None:
        return []
    wanted = [one for one in errands if view.fits(one, desk)]
    if key == "later":
        wanted.sort(key=lambda one: one.open_at)
    return bundle(wanted, desk.now, desk.zone, desk.high_fen)


def cards_of(bundles: Sequence[Bundle], views: Mapping[int, TaskView]) -> list[Card]:
    cards = [Card(each, [views[one.id] for one in each.errands if one.id in views]) for each in bundles]
    return [card for card in cards if card.tasks]


def _ids(bundles: Sequence[Bundle]) -> list[int]:
    return [errand.id for each in bundles for errand in each.errands]


# Pages ----------------------------------------------------------------------------------------------------------------


def desk_of(request: web.Request) -> Desk:
    services = request.app[SERVICES]
    settings = services.settings.shop
    return Desk(signed_in(request).userid, services.clock.now(), settings.zone, settings.high_value_yuan * 100)


def _key(request: web.Request) -> str:
    key = request.query.get("show", "all")
    return key if key in _KEYS else "all"


@routes.get("/sidebar/today")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """`?show=` one of the views; `?task=` (of an app message) is shown at once, beside its customer."""
    if (task := request.query.get("task", "")).isascii() and task.isdigit() and len(task) < 19:
        raise web.HTTPFound(f"/sidebar/tasks/{task}")
    values = await _values(request, FIRST)
    return page(request, "today.html", skip_reasons=tasks.SKIP_REASONS, **values)


@routes.get("/sidebar/today/list")
@for_members
async def show_anew(request: web.Request) -> web.StreamResponse:
    """The queue as it is now, as long as it was; `?seen=` what the page shows: 204 when that still holds."""
    values = await _values(request, _count(request), request.query.get("seen", ""))
    if not values:
        return web.Response(status=204, headers={"Cache-Control": "no-store"})
    return page(request, "today_list.html", **values)


@routes.get("/sidebar/today/more")
@for_members
async def show_more(request: web.Request) -> web.StreamResponse:
    """The next customers of a view, `?after=` the last one's place."""
    desk, key = desk_of(request), _key(request)

    def look(conn: Connection) -> dict[str, Any]:
        errands = _errands(store.read_day(conn, desk.userid, ("open",)), desk)
        shown = _screen(behind(choose(errands, key, desk), request.query.get("after", "")), PAGE)
        views = tasks.list_these(conn, _ids(shown.bundles), desk.now)
        return {"cards": cards_of(shown.bundles, views), "after": shown.after, "left": shown.left}

    return page(request, "today_rows.html", key=key, **await request.app[SERVICES].db.read(look))


def _count(request: web.Request) -> int:
    text = request.query.get("count", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else FIRST
    return min(max(count, FIRST), MOST_SHOWN)


async def _values(request: web.Request, count: int, seen: str = "") -> dict[str, Any]:
    """What the list shows; nothing when the page that was `seen` still holds."""
    desk, key = desk_of(request), _key(request)

    def look(conn: Connection) -> dict[str, Any]:
        queue = read_queue(conn, desk)
        shown = _screen(choose(queue.errands, key, desk), count)
        found = {
            "key": key,
            "chips": _chips(queue.counts(desk), key),
            "progress": queue.progress(desk),
            "missed": queue.welcomes if key == WELCOMES else [],
            "lost": queue.lost if key == LOST else [],
            "after": shown.after,
            "left": shown.left,
            "has_pool": queue.has_pool,
        }
        ended = queue.ended[:ENDED_SHOWN] if key == "all" else []
        digest = _digest(found, shown.bundles, ended)
        if digest == seen:
            return {}
        ids = [row.id for row in ended]
        views = tasks.list_these(conn, [*_ids(shown.bundles), *ids], desk.now)
        found["ended"] = [views[each] for each in ids if each in views]
        return {**found, "cards": cards_of(shown.bundles, views), "digest": digest}

    return await request.app[SERVICES].db.read(look)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is drawn of a view: `after` is where the rest begins, `left` how many customers stand there."""

    bundles: Sequence[Bundle]
    after: str
    left: int


def _screen(bundles: Sequence[Bundle], count: int) -> Screen:
    shown = bundles[:count]
    return Screen(shown, shown[-1].place if len(bundles) > count else "", len(bundles) - len(shown))


def _chips(counts: dict[str, int], key: str) -> list[tuple[str, str, int]]:
    """(key, title, customers): what is empty is not offered, but for the whole and what one looks at."""
    titles = [(view.key, view.title()) for view in VIEWS]
    titles += [(WELCOMES, _("没收到欢迎语")), (LOST, _("流失客户"))]
    return [(each, title, counts[each]) for each, title in titles if counts[each] or each in ("all", key)]


def _digest(found: Mapping[str, Any], bundles: Sequence[Bundle], ended: Sequence[Any]) -> str:
    """Of what the page says, not of the minutes that pass."""
    cards = [(each.external_userid, each.rank.reasons, _ids([each])) for each in bundles]
    rows = [row.external_userid for row in (*found["missed"], *found["lost"])]
    said = (cards, rows, found["chips"], found["progress"], [(row.id, row.state) for row in ended])
    return hashlib.blake2b(repr(said).encode(), digest_size=8).hexdigest()


@routes.get(r"/sidebar/today/tasks/{task_id:\d{1,18}}/later")
@for_members
async def show_moments(request: web.Request) -> web.StreamResponse:
    """To when a task can be put off."""
    desk, task_id = desk_of(request), int(request.match_info["task_id"])
    task = (await request.app[SERVICES].db.read(tasks.list_these, [task_id], desk.now)).get(task_id)
    if task is None or task.userid.casefold() != desk.userid.casefold():
        raise NotFound(_("没有这条待办，或者它不是你的。"))
    choices = tasks.postpone_choices(desk.now, desk.zone, task.expires_at)
    return page(request, "today_later.html", task=task, choices=choices)


# Acts -----------------------------------------------------------------------------------------------------------------


@routes.post(r"/sidebar/today/tasks/{task_id:\d{1,18}}/{act:done|skip|postpone|sent|unsent|undo}")
@for_members
async def act(request: web.Request) -> web.StreamResponse:
    """{reason?} of a skip, {until?} of a delay; answers with the customer's card anew and how far the day is."""
    services, userid = request.app[SERVICES], signed_in(request).userid
    task_id, wanted = int(request.match_info["task_id"]), request.match_info["act"]
    fields = await fields_of(request)
    problem, told = "", None
    try:
        if wanted == "done":
            told = await tasks.finish(services, userid, task_id)
        elif wanted == "skip":
            told = await tasks.skip(services, userid, task_id, str(fields.get("reason") or ""))
        elif wanted == "postpone":
            told = await tasks.postpone(services, userid, task_id, moment_of(str(fields.get("until") or "")))
        elif wanted == "undo":
            told = await tasks.take_back(services, userid, task_id)
        else:
            told = await tasks.confirm_sent(services, userid, task_id, wanted == "sent", _("员工看过聊天，没有发出"))
    except ScrmError as error:
        if error.status != 409:
            raise
        problem = error.text
    return await _card(request, task_id, told, problem)


async def _card(request: web.Request, task_id: int, told: TaskView | None, problem: str) -> web.Response:
    desk = desk_of(request)

    def look(conn: Connection) -> dict[str, Any]:
        view = told or tasks.list_these(conn, [task_id], desk.now)[task_id]
        queue = read_tasks(conn, desk)
        # What was put off is shown as what was done, not as one more thing to do.
        mine = [
            one
            for one in queue.errands
            if one.external_userid == view.external_userid and (_is_here(one, desk) or one.is_promise)
        ]
        mine = [one for one in mine if one.id != view.id or view.is_open]
        found = bundle(mine, desk.now, desk.zone, desk.high_fen)
        cards = cards_of(found, tasks.list_these(conn, _ids(found), desk.now))
        settled = None if view.is_open else view
        empty = Bundle(view.external_userid, (), found[0].rank if found else None)  # type: ignore[arg-type]
        card = Card(found[0], cards[0].tasks, settled) if cards else Card(empty, [], settled)
        return {"card": card, "progress": queue.progress(desk)}

    return page(request, "today_card.html", problem=problem, **await request.app[SERVICES].db.read(look))


@routes.post("/sidebar/today/{about:welcomes|lost}/{external_userid}/{act:done|undo}")
@for_members
async def see_to(request: web.Request) -> web.StreamResponse:
    """A missed welcome was made up for, a lost customer was taken note of; or back again."""
    services, desk = request.app[SERVICES], desk_of(request)
    contact, undo = request.match_info["external_userid"], request.match_info["act"] == "undo"
    about = "welcome" if request.match_info["about"] == WELCOMES else "lost"

    def write(conn: Connection) -> Any:
        relation = access_contact(conn, desk.userid, contact)
        if undo:
            store.unmark(conn, desk.userid, about, contact)
        else:
            store.mark(conn, desk.userid, about, contact, desk.now)
        return relation

    def look(conn: Connection) -> dict[str, Any]:
        queue = read_queue(conn, desk)
        rows = queue.welcomes if about == "welcome" else queue.lost
        row = next((row for row in rows if row.external_userid == contact), None)
        return {"row": row, "progress": queue.progress(desk)}

    relation = await services.db.write(write)
    values = await services.db.read(look)
    if undo and values["row"] is None:
        raise NotFound(_("这位客户已经不在名单里了，请刷新页面。"))
    return page(request, "today_seen.html", about=about, relation=relation, **values)
