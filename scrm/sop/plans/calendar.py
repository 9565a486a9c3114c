"""Which items of a plan fall due between two moments, and why one is left out. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from scrm.sop import timing
from scrm.sop.calendar import workdays
from scrm.sop.plans.schema import Item, Plan

# A group that shares so much of its customers with groups that get an item already need not get it too.
SAME_PEOPLE = 0.8
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Target:
    """A group with its owner, or the one target of a plan for moments (with an empty id)."""

    chat_id: str = ""
    owner: str = ""
    name: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Falling:
    """One item for one target. `occurrence` is the day of what comes every week, else empty: once and never again.

    `skipped` says in words why it does not go out.
    """

    item: Item
    target: Target
    due_at: datetime
    occurrence: str = ""
    skipped: str = ""


def fall_due(
    plan: Plan,
    targets: Sequence[Target],
    since: datetime,
    until: datetime,
    zone: ZoneInfo,
    days_off: Mapping[date, str] | None = None,
    *,
    seen_at: datetime | None = None,
) -> list[Falling]:
    """What falls due after `since` and no later than `until`, in the order of time.

    What came so late that nobody could confirm it any more is skipped, not sent in a burst; lateness is counted at
    `seen_at`, without it at `until`.
    """
    found = [
        Falling(item, target, due_at, occurrence, _skipped(plan, item, due_at, seen_at or until, zone, days_off or {}))
        for item in plan.items
        for target in targets
        for due_at, occurrence in _moments(plan, item, target, since, until, zone)
    ]
    return sorted(found, key=lambda one: (one.due_at, one.item.id, one.target.chat_id))


def _moments(
    plan: Plan, item: Item, target: Target, since: datetime, until: datetime, zone: ZoneInfo
) -> Iterator[tuple[datetime, str]]:
    if item.is_weekly:
        day = since.astimezone(zone).date()
        while day <= until.astimezone(zone).date():
            due_at = _at(day, item, zone)
            if day.weekday() in item.weekdays and since < due_at <= until and _has_begun(plan, target, due_at, zone):
                yield due_at, day.isoformat()
            day += _DAY
        return
    first = item.on_date or _first_day(plan, item, target, zone)
    if first is not None and since < (due_at := _at(first, item, zone)) <= until:
        yield due_at, ""


def _first_day(plan: Plan, item: Item, target: Target, zone: ZoneInfo) -> date | None:
    if item.day is None:
        return None
    start = plan.start or (target.created_at.astimezone(zone).date() if target.created_at is not None else None)
    return None if start is None else start + item.day * _DAY


def _has_begun(plan: Plan, target: Target, due_at: datetime, zone: ZoneInfo) -> bool:
    """The weekly rhythm begins after the days that are counted from the start."""
    start = plan.start or (target.created_at.astimezone(zone).date() if target.created_at is not None else None)
    if start is None:
        return True
    counted = max((item.day for item in plan.items if item.day is not None), default=-1)
    return due_at.astimezone(zone).date() > start + counted * _DAY


def _at(day: date, item: Item, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, item.at, tzinfo=zone).astimezone(UTC)


def _skipped(
    plan: Plan, item: Item, due_at: datetime, now: datetime, zone: ZoneInfo, days_off: Mapping[date, str]
) -> str:
    day = due_at.astimezone(zone).date()
    if day in days_off:
        return f"停发日：{days_off[day] or day.isoformat()}"
    if day in plan.skips:
        return "计划里写明这天不发"
    if plan.skips_restdays and not workdays.is_workday(day):
        return "休息日不发"
    if now - due_at > item.ttl:
        return f"晚了 {timing.write_duration(now - due_at)}，超过有效期，不再发送"
    return ""


def without_doubles(people: Mapping[str, Collection[str]], served: Collection[str] = ()) -> set[str]:
    """Groups that need not get an item, because nearly all of their customers get it in other groups.

    `people` are the customers of each group, `served` groups that have it already. The largest groups come first.
    """
    reached: set[str] = set()
    for chat_id in served:
        reached |= set(people.get(chat_id, ()))
    doubles = set()
    for chat_id in sorted(people.keys() - set(served), key=lambda each: (-len(people[each]), each)):
        mine = set(people[chat_id])
        if mine and len(mine & reached) >= SAME_PEOPLE * len(mine):
            doubles.add(chat_id)
        else:
            reached |= mine
    return doubles
