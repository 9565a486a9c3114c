"""What happened between the shop and this person, the newest first, under the days; narrowed to what is looked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.profiles.conditions.leaves_events import EVENTS
from scrm.profiles.timeline import Line, find_event_types
from scrm.sidebar import store, words
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.places import write_place
from web.texts import N_, _

# The first page stays small; who wants more asks for it.
FIRST = 6
PAGE = 20
# As long as it helps to write to somebody who has just read something.
JUST_NOW = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Filter:
    """What a member may narrow the timeline to, by how the names of events begin."""

    key: str
    title: str
    beginnings: tuple[str, ...] = ()
    with_welcomes: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name in EVENTS if self.beginnings and name.startswith(self.beginnings))


FILTERS = (
    Filter("", N_("全部"), with_welcomes=True),
    Filter(
        "sent",
        N_("聊天与发送"),
        ("task.sent", "mass_message.", "script.", "card.", "coupon.sent", "kf.", "oa.", "message."),
        True,
    ),
    Filter("order", N_("订单"), ("order.", "refund.", "shipment.", "coupon.")),
    Filter("task", N_("任务"), ("task.", "manual.", "staff.", "promise.", "form.", "schedule.", "date.")),
    Filter(
        "profile",
        N_("标签与资料"),
        (
            "tag",
            "field",
            "stage",
            "remark",
            "contact.",
            "group.",
            "identity.",
            "person.",
            "transfer.",
            "optout.",
            "segment.",
            "level.",
            "points.",
            "phone",
        ),
    ),
    Filter("follow", N_("跟进"), ("note.", "talk.", "case.", "promise.", "staff.promised")),
)
_WEEKDAYS = (N_("周一"), N_("周二"), N_("周三"), N_("周四"), N_("周五"), N_("周六"), N_("周日"))
_NEAR = {0: N_("今天"), 1: N_("昨天")}
_BY_KEY = {each.key: each for each in FILTERS}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line with its moment; `day` in words where a new day begins."""

    at: datetime
    line: Line
    day: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """`before` is where the next page goes on, as text for an address; None at the end."""

    rows: list[Happening]
    before: str | None
    filter: Filter
    filters: tuple[Filter, ...] = FILTERS


def filter_of(key: str) -> Filter:
    """All for a key that nobody knows."""
    return _BY_KEY.get(key, FILTERS[0])


def load(conn: Connection, visit: Visit) -> Timeline:
    """The newest, of the page's picture."""
    assert visit.picture is not None  # noqa: S101 - cards are loaded behind the door
    return _page(conn, visit, store.newest_first(visit.picture.happenings, FIRST + 1), FIRST, FILTERS[0], None)


def load_page(conn: Connection, visit: Visit, chosen: Filter, before: tuple[datetime, int] | None = None) -> Timeline:
    """A page of what is looked for."""
    rows = store.list_happenings(
        conn,
        visit.person_id,
        visit.external_userid,
        names=chosen.names,
        with_welcomes=chosen.with_welcomes,
        before=before,
        limit=PAGE + 1,
    )
    return _page(conn, visit, rows, PAGE, chosen, before[0] if before else None)


def _page(
    conn: Connection, visit: Visit, rows: list[Any], most: int, chosen: Filter, after: datetime | None
) -> Timeline:
    shown = rows[:most]
    last = write_place(shown[-1].at, shown[-1].rank) if len(rows) > most else None
    own = find_event_types(conn, {row.name for row in shown})
    lines = [_line(row, own.get(row.name), visit.now) for row in shown]
    days = _days([row.at for row in shown], after, visit)
    return Timeline(
        [Happening(row.at, line, day) for row, line, day in zip(shown, lines, days, strict=True)], last, chosen
    )


def _days(moments: list[datetime], after: datetime | None, visit: Visit) -> Iterator[str]:
    """Each day once, at its first line; the one that the page before ended with is there already."""
    last = after.astimezone(visit.zone).date() if after else None
    for moment in moments:
        day = moment.astimezone(visit.zone).date()
        yield "" if day == last else _day_words(day, visit.now.astimezone(visit.zone).date())
        last = day


def _day_words(day: date, today: date) -> str:
    if (today - day).days in _NEAR:
        return _(_NEAR[(today - day).days])
    weekday = _(_WEEKDAYS[day.weekday()])
    return f"{day:%m-%d} {weekday}" if day.year == today.year else f"{day:%Y-%m-%d}"


def _line(row: Any, own: Any, now: datetime) -> Line:
    if row.name == "welcome":
        text = row.facts.get("text") if isinstance(row.facts, dict) else ""
        return words.tell_welcome(row.outcome, str(text or ""), row.reason)
    line = words.tell(row.name, row.facts or {}, row.member_name or row.userid, own)
    if row.name == "message.radar_opened" and now - row.at < JUST_NOW:
        return line._replace(title=_("刚刚{what}", what=line.title))
    return line
