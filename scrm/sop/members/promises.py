"""约定: what a member promised a customer by a date: a task of its own kind, that nobody else has to think of."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row

from scrm import events
from scrm.errors import Invalid
from scrm.events import Event
from scrm.sop.members import task_store
from web.texts import _

KIND = "promise"
MOST_CHARACTERS = 120
# A whole day's promise is to be kept by its evening, and comes up in its morning.
EVENING, MORNING = time(18), time(10)
# With a time of its own: so long before (docs/playbooks, PB-07).
AHEAD = timedelta(minutes=30)
# The member's manager hears of one that is so long overdue.
ESCALATES = timedelta(hours=2)
LONGEST = timedelta(days=366)

_FRIDAY = 4


@dataclass(frozen=True, slots=True)
class Due:
    """By when, and from when on it is shown and told."""

    at: datetime
    opens_at: datetime


@dataclass(frozen=True, slots=True)
class Author:
    """Who promises, beside which chat."""

    userid: str
    external_userid: str
    person_id: int


def day_choices(now: datetime, zone: ZoneInfo) -> list[tuple[str, date]]:
    """(word, day) that most promises are for: from today to the coming Monday. Pure."""
    today = now.astimezone(zone).date()
    days = [(_("今天"), today)] if now.astimezone(zone).time() < EVENING else []
    days += [(_("明天"), today + timedelta(days=1)), (_("后天"), today + timedelta(days=2))]
    friday, monday = (
        today + timedelta(days=(_FRIDAY - today.weekday()) % 7),
        today + timedelta(days=7 - today.weekday()),
    )
    taken = {day for _, day in days}
    later = [(_("周五"), friday), (_("下周一"), monday)]
    return days + [(word, day) for word, day in later if day > today and day not in taken]


def read_due(day: str, clock: str, now: datetime, zone: ZoneInfo) -> Due:
    """ISO day and, when it matters, hh:mm of the shop's zone; raises Invalid in words. Pure."""
    try:
        on, at = date.fromisoformat(day), time.fromisoformat(clock) if clock else None
        due = datetime.combine(on, at or EVENING, zone).astimezone(now.tzinfo)
    except (ValueError, OverflowError):
        raise Invalid(_("没有看懂约在什么时候，请重新选日期和时间")) from None
    if due <= now:
        raise Invalid(_("约定的时间已经过去，请选一个将来的时间"))
    if due - now > LONGEST:
        raise Invalid(_("最多记一年以内的约定"))
    opens = due - AHEAD if at else datetime.combine(on, MORNING, zone).astimezone(now.tzinfo)
    return Due(due, max(opens, now))


def read_words(text: str) -> str:
    """Raises Invalid when there are none, or too many. Pure."""
    words = " ".join(text.split())
    if not words:
        raise Invalid(_("还没有写答应了什么"))
    if len(words) > MOST_CHARACTERS:
        raise Invalid(_("写了 {n} 个字，最多 {most} 个，请删短一些", n=len(words), most=MOST_CHARACTERS))
    return words


def make(conn: Connection, author: Author, words: str, due: Due, *, now: datetime) -> int:
    """The task, told in the timeline and to playbooks; returns its id."""
    values = {
        "kind": KIND,
        "userid": author.userid,
        "external_userid": author.external_userid,
        "person_id": author.person_id,
        "title": words,
        "text": "",
        "open_at": due.opens_at,
        "due_at": due.at,
        "escalate_at": due.at + ESCALATES,
        "created_at": now,
    }
    task_id = task_store.add_task(conn, values)
    task = task_store.find_task(conn, task_id)
    assert task is not None  # noqa: S101 - just written
    _tell(conn, task, "staff.promised", _once(task_id), now)
    return task_id


def move(conn: Connection, task: Row[Any], due: Due) -> None:
    """Another date, agreed with the customer: the timeline has the new one."""
    changes = {"due_at": due.at, "open_at": due.opens_at, "escalate_at": due.at + ESCALATES, "reminder": "waiting"}
    task_store.change_task(conn, task.id, **changes)
    events.retell(conn, _once(task.id), "staff.promised", _facts(task.title, due.at))


def put_off(conn: Connection, task: Row[Any], until: datetime) -> None:
    """Shown again then; a date that has passed by then moves along."""
    due = max(task.due_at, until)
    changes = {"open_at": until, "due_at": due, "escalate_at": due + ESCALATES, "reminder": "waiting"}
    task_store.change_task(conn, task.id, **changes)


def keep(conn: Connection, task: Row[Any], *, now: datetime) -> None:
    task_store.end_task(conn, task, "sent", "", now=now)
    _tell(conn, task, "staff.kept", _once(task.id, "kept"), now)


def cancel(conn: Connection, task: Row[Any], reason: str, *, now: datetime) -> None:
    task_store.end_task(conn, task, "skipped", reason, now=now)
    _tell(conn, task, "staff.cancelled", _once(task.id, "cancelled"), now)


def forget_end(conn: Connection, task: Row[Any]) -> None:
    """It is open again: the timeline forgets that it was kept or cancelled."""
    for end in ("kept", "cancelled"):
        events.forget(conn, _once(task.id, end))


def _tell(conn: Connection, task: Row[Any], name: str, once: str, now: datetime) -> None:
    facts = _facts(task.title, task.due_at)
    told = Event(
        name, now, task.person_id, task.external_userid, task.userid, key=_once(task.id), facts=facts, once=once
    )
    events.publish(conn, [told], now=now)


def _facts(words: str, due_at: datetime) -> dict[str, Any]:
    return {"kind": "约定", "title": words, "due_at": due_at.isoformat()}


def _once(task_id: int, end: str = "") -> str:
    return f"promise:{task_id}" + (f":{end}" if end else "")
