"""What the calendar sets going: dates of customers that come near, and schedules that fire. It only tells; playbooks listen."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, Row

from scrm.events import Event, publish
from scrm.services import Services
from scrm.sop.calendar import dates, schedules, store
from scrm.sop.life.published import Published
from scrm.sop.shelf import playbooks_of

log = structlog.get_logger()

DATES_SECONDS = 300.0
SCHEDULES_SECONDS = 20.0
# Values that were changed after their day was told are looked for this often.
_LOOK = timedelta(hours=1)
# A change that was under way while we looked is seen the next time.
_OVERLAP = timedelta(minutes=10)
# Members of a segment told by one tick; the next goes on.
_MOST_PAGES = 200
_KEPT = timedelta(days=90)

_ToldOf = tuple[str, bool, bool, int]


# Dates ----------------------------------------------------------------------------------------------------------------


async def tick_dates(services: Services) -> int:
    """Tell of every date that comes as near as its playbooks want; returns how many persons were told of.

    Cheap when nothing is to do: one small read. A day is told in pages and marked as told after its last one: what is
    interrupted is told again, and nobody twice.
    """
    zone, now = services.settings.shop.zone, services.clock.now()
    wanted = wanted_dates(playbooks_of(services))
    watches = await services.db.read(store.list_watches)
    if idle := [told_of for told_of in watches if told_of not in wanted]:
        await services.db.write(store.forget_watches, idle)
    today = now.astimezone(zone).date()
    told = 0
    for told_of in sorted(wanted):
        told += await _tell_near(services, told_of, watches.get(told_of), today, now)
    return told


def wanted_dates(published: Published) -> set[_ToldOf]:
    """What the published playbooks wait for: (date, lunar, yearly, lead)."""
    triggers = (playbook.trigger for playbook in published.current.values())
    return {dates.told_of(trigger) for trigger in triggers if trigger.event == dates.EVENT and trigger.date}


async def _tell_near(services: Services, told_of: _ToldOf, watch: Row[Any] | None, today: date, now: datetime) -> int:
    """Days up to `lead` days ahead that were not told; a playbook that is new begins with today."""
    last = today + timedelta(days=told_of[3])
    until = today - timedelta(days=1) if watch is None else date.fromisoformat(watch.told_until)
    told, first = 0, max(until + timedelta(days=1), today - dates.CATCH_UP)
    day = first
    while day <= last:
        told += await _tell_day(services, told_of, day, None, now)
        await services.db.write(store.save_watch, told_of, day, now if watch is None else watch.looked_at)
        day += timedelta(days=1)
    if watch is not None and now - watch.looked_at >= _LOOK:
        # Somebody's date was put in or mended after its day had been told.
        since = watch.looked_at - _OVERLAP
        await services.db.write(_end_moved, told_of, _keys_of(playbooks_of(services), told_of), since, services)
        for ahead in _days(today, min(last, first - timedelta(days=1))):
            told += await _tell_day(services, told_of, ahead, since, now)
        await services.db.write(store.save_watch, told_of, max(last, until), now)
    return told


def _keys_of(published: Published, told_of: _ToldOf) -> list[str]:
    current = published.current.values()
    return [one.key for one in current if one.trigger.event == dates.EVENT and dates.told_of(one.trigger) == told_of]


def _end_moved(conn: Connection, told_of: _ToldOf, keys: Sequence[str], since: datetime, services: Services) -> int:
    """End the runs of a day that turned out to be the wrong one; as long as nothing was said, the right one may come."""
    name, lunar, yearly, _ = told_of
    kind = dates.find_kind(name)
    if kind is None or not kind.fields:
        return 0
    zone, now = services.settings.shop.zone, services.clock.now()
    moved = []
    for run in store.list_runs_of_changed(conn, kind, keys, since):
        day = run.anchor_at.astimezone(zone).date()
        texts = {text for meant in dates.meanings(day, lunar=lunar, yearly=yearly) for text in meant.texts}
        if run.text_value not in texts:
            moved.append(run)
    store.end_moved_runs(conn, [run for run in moved if run.text_value], f"{kind.title}改了日期", now)
    store.end_moved_runs(conn, [run for run in moved if not run.text_value], f"{kind.title}被清空", now)
    return len(moved)


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += timedelta(days=1)


async def _tell_day(services: Services, told_of: _ToldOf, day: date, since: datetime | None, now: datetime) -> int:
    told = 0
    for found in _finders(told_of, day, services.settings.shop.zone, since):
        after = 0
        while persons := await services.db.read(found.page, after):
            after = persons[-1]
            events = [_reached(told_of, day, found.year, person_id, now) for person_id in persons]
            told += await services.db.write(_publish, events, now)
    if told:
        log.info("sop.dates_told", date=told_of[0], day=day.isoformat(), persons=told)
    return told


def _publish(conn: Connection, events: Sequence[Event], now: datetime) -> int:
    return len(publish(conn, events, now=now))


@dataclass(frozen=True, slots=True)
class _Found:
    """Pages of persons whose date falls on a day, and the year that it counts for."""

    year: int
    page: Callable[[Connection, int], list[int]]


def _finders(told_of: _ToldOf, day: date, zone: ZoneInfo, since: datetime | None) -> Iterator[_Found]:
    name, lunar, yearly, _ = told_of
    kind = dates.find_kind(name)
    if kind is not None and kind.fields:
        for meant in dates.meanings(day, lunar=lunar, yearly=yearly):
            yield _Found(meant.year, _field_page(kind, meant.texts, since))
    elif since is None:
        yield _Found(day.year, _moment_page(name, day, yearly, zone))


def _field_page(
    kind: dates.Kind, texts: Sequence[str], since: datetime | None
) -> Callable[[Connection, int], list[int]]:
    return lambda conn, after: store.list_field_persons(conn, kind, texts, after=after, since=since)


def _moment_page(name: str, day: date, yearly: bool, zone: ZoneInfo) -> Callable[[Connection, int], list[int]]:
    """Dates that are moments of our own tables."""
    find, first_year = {
        "contact.added": (store.list_added_persons, dates.FIRST_FRIENDSHIP),
        "order.first_paid": (store.list_first_paid_persons, dates.FIRST_ORDER),
        "level.ends": (store.list_level_ends, day.year),
    }[name]
    days = dates.past_days(day, first_year) if yearly else [day]
    return lambda conn, after: find(conn, days, zone, after=after) if days else []


def _reached(told_of: _ToldOf, day: date, year: int, person_id: int, now: datetime) -> Event:
    """One person's date; told of now, it lies `lead` days ahead."""
    name, lunar, yearly, lead = told_of
    facts = {"date": day.isoformat(), "field": name, "year": year, "lunar": lunar, "yearly": yearly, "lead": lead}
    once = f"date:{name}:{lunar:d}{yearly:d}:{lead}:{day.isoformat()}:{person_id}"
    return Event(
        dates.EVENT, now, person_id, key=f"{name}@{year if yearly else day.isoformat()}", facts=facts, once=once
    )


# Schedules ------------------------------------------------------------------------------------------------------------


async def tick_schedules(services: Services) -> int:
    """Claim the fires that have come and tell the members of their segments; returns how many were told.

    Of several missed fires only the last counts, and none that is a day old.
    """
    now = services.clock.now()
    published = playbooks_of(services)
    for cron, segment in sorted(_wanted_schedules(published)):
        fire_at = await services.db.read(_find_fire, published, cron, segment, services.settings.shop.zone, now)
        if fire_at is not None:
            await services.db.write(store.claim_fire, cron, segment, fire_at)
    told = 0
    for fire in await services.db.read(store.list_open_fires):
        told += await _tell_fire(services, fire, now)
    return told


def _wanted_schedules(published: Published) -> set[tuple[str, str]]:
    triggers = (playbook.trigger for playbook in published.current.values())
    return {(trigger.cron, trigger.segment) for trigger in triggers if trigger.event == schedules.EVENT}


def _find_fire(
    conn: Connection, published: Published, cron: str, segment: str, zone: ZoneInfo, now: datetime
) -> datetime | None:
    """The last fire that was not dealt with, while a playbook that waits for it was open."""
    known = store.find_last_fire(conn, cron, segment)
    after = now - schedules.MISSED if known is None else max(known, now - schedules.MISSED)
    fire_at = schedules.last_fire(cron, zone, after, now)
    if fire_at is None:
        return None
    waiting = [
        playbook.key
        for playbook in published.current.values()
        if playbook.trigger.cron == cron and playbook.trigger.segment == segment
    ]
    opened = store.open_since(conn, waiting)
    is_open = any(published.begins(key, fire_at) and opened.get(key, fire_at) <= fire_at for key in waiting)
    return fire_at if is_open else None


async def _tell_fire(services: Services, fire: Row[Any], now: datetime) -> int:
    told = 0
    for _ in range(_MOST_PAGES):
        count = await services.db.write(_tell_page, fire, services.settings.shop.zone, now)
        if count is None:
            break
        told += count
    if told:
        log.info("sop.schedule_fired", cron=fire.cron, segment=fire.segment, persons=told)
    return told


def _tell_page(conn: Connection, fire: Row[Any], zone: ZoneInfo, now: datetime) -> int | None:
    """The next members and how far we came, in one transaction; None when all have been told, or another tells them."""
    here = store.lock_fire(conn, fire)
    if here is None:
        return None
    is_stale = here.fire_at < now - schedules.MISSED
    persons = [] if is_stale else store.list_members(conn, here.segment, now, after=here.after_id)
    if not persons:
        store.save_fire(conn, here, ended_at=now)
        store.clear_fires(conn, now - _KEPT)
        return None
    told = publish(conn, [_due(here, zone, person_id) for person_id in persons], now=now)
    store.save_fire(conn, here, after_id=persons[-1], told=here.told + len(told))
    return len(told)


def _due(fire: Row[Any], zone: ZoneInfo, person_id: int) -> Event:
    local = fire.fire_at.astimezone(zone).isoformat(timespec="minutes")
    which = blake2b(f"{fire.cron}|{fire.segment}".encode(), digest_size=8).hexdigest()
    facts = {"cron": fire.cron, "segment": fire.segment, "fire": local}
    once = f"schedule:{which}:{int(fire.fire_at.timestamp())}:{person_id}"
    return Event(schedules.EVENT, fire.fire_at, person_id, key=local[:16], facts=facts, once=once)
