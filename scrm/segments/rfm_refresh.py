"""RFM, AIPL and life cycle computed anew each night: read in slices, decided by pure rules, only differences written.

The first computation, and the first by changed rules, is no news: nobody has moved, the yardstick has.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm import events
from scrm.clock import monotonic
from scrm.db import Priority
from scrm.events import Event
from scrm.segments import rfm_store as store
from scrm.segments.rfm import TITLES, Cuts, Rules, cuts_of, rules_of, score
from scrm.segments.stages import aipl_of, life_of
from scrm.services import Services
from scrm.work import queue

KIND = "rfm.refresh"
MOVED = "rfm.moved"
TICK_SECONDS = 60.0
# From this hour of the shop on; a new yardstick is used at once.
HOUR = 4
# Persons read at once, and rows written in one transaction.
SLICE = 50_000
PIECE = 4_000
_DAY_MILLIS = 86_400_000

log = structlog.get_logger()


async def tick(services: Services) -> None:
    """Give the work of the night once a day, and at once when the rules were changed."""
    now = services.clock.now()
    if await services.db.read(_is_due, services, now):
        await services.db.write(ask, now)


def ask(conn: Connection, now: datetime) -> None:
    """Compute it now; asked twice it is done once."""
    queue.add(conn, queue.Item("bulk", KIND, {}, order_key=KIND, dedupe_key=KIND), now=now)


def _is_due(conn: Connection, services: Services, now: datetime) -> bool:
    last, kept = store.find_run(conn), store.find_rules(conn)
    if last is None or (kept is not None and kept.changed_at > last.computed_at):
        return True
    zone = services.settings.shop.zone
    local = now.astimezone(zone)
    return local.hour >= HOUR and last.computed_at.astimezone(zone).date() < local.date()


async def run_refresh(services: Services, item: queue.Claimed) -> None:
    """Work of kind "rfm.refresh"; begun again it goes on with what is still different."""
    await refresh(services)


async def refresh(services: Services) -> int:
    """Compute everybody now; returns how many changed their class."""
    began, now = monotonic(), services.clock.now()
    last, kept = await services.db.read(store.find_run), await services.db.read(store.find_rules)
    rules = rules_of(None if kept is None else kept.rules, services.settings.rfm)
    await _count_bought(services, rules, _left_since(last, rules, now), now)
    spread = await services.db.read(
        store.find_spread, fifths=rules.scoring == "quantile", middle=rules.split == "median"
    )
    cuts = cuts_of(rules, spread, now)
    tells = last is not None and _yardstick(last.rules) == _yardstick(rules.plain())
    moves = await _place_all(services, rules, cuts, tells=tells, now=now)
    await services.db.write(store.save_run, rules, asdict(cuts), moves if tells else {}, now)
    log.info("rfm.computed", moved=moves.total(), seconds=round(monotonic() - began, 1))
    return moves.total() if tells else 0


def _yardstick(rules: Mapping[str, Any]) -> dict[str, Any]:
    """What of the rules decides; the shop's own names do not."""
    return {name: value for name, value in rules.items() if name != "names"}


# What was bought ------------------------------------------------------------------------------------------------------


async def _count_bought(services: Services, rules: Rules, left_since: datetime | None, now: datetime) -> None:
    since = store.since_of(rules, now)

    async def count(after: int, until: int) -> None:
        rows = await services.db.read(_find_facts, after, until, since, left_since)
        await _write(services, store.save_facts, rows, now)

    await _slice_by_slice(services, count)


def _left_since(last: Row[Any] | None, rules: Rules, now: datetime) -> datetime | None:
    """From when on orders may have left the period unseen; on the first of a month everybody is looked at."""
    if last is None or last.rules["period_days"] != rules.period_days or now.day == 1:
        return None
    return store.since_of(rules, last.computed_at)


def _find_facts(
    conn: Connection, after: int, until: int, since: datetime, left_since: datetime | None
) -> list[tuple[Any, ...]]:
    """(person_id, *store.FACTS) of those that may have changed."""
    found = store.find_bought(conn, after, until, since, left_since)
    grown = [one.person_id for one in found if one.kept_orders != one.counted]
    cycles: dict[int, int] = {}
    for start in range(0, len(grown), 5_000):
        cycles |= store.find_cycles(conn, grown[start : start + 5_000])
    return [
        (
            one.person_id,
            one.orders,
            one.fen,
            one.last_at,
            cycles.get(one.person_id) if one.kept_orders != one.counted else one.cycle_days,
            one.kept_orders,
            one.kept_fen,
        )
        for one in found
    ]


# Who is where ---------------------------------------------------------------------------------------------------------


async def _place_all(
    services: Services, rules: Rules, cuts: Cuts, *, tells: bool, now: datetime
) -> "Counter[tuple[str, str]]":
    moves: Counter[tuple[str, str]] = Counter()

    async def place(after: int, until: int) -> None:
        changes = await services.db.read(_find_changes, cuts, rules, after, until, now)
        moves.update((old[3], new[3]) for _, old, new in changes if old[3] != new[3])
        await _write(services, _save_changes(tells=tells), changes, now)

    await _slice_by_slice(services, place)
    return moves


Place = tuple[int, int, int, str, str, str]
_NOWHERE: Place = (0, 0, 0, "", "", "")


def _find_changes(
    conn: Connection, cuts: Cuts, rules: Rules, after: int, until: int, now: datetime
) -> list[tuple[int, Place, Place]]:
    interested = store.find_interested(conn, after, until, now)
    loyal = store.find_loyal(conn, after, until, store.since_of(rules, now))
    millis = int(now.timestamp() * 1000)
    changes: list[tuple[int, Place, Place]] = []
    for one in store.list_standings(conn, cuts, after, until, interested | loyal, now):
        is_interested, is_loyal = one.person_id in interested, one.person_id in loyal
        interested.discard(one.person_id)
        loyal.discard(one.person_id)
        place = _place(one, cuts, millis, is_interested=is_interested, is_loyal=is_loyal)
        if place != one.place:
            changes.append((one.person_id, one.place, place))
    new = {person_id: aipl_of(0, is_interested=True, is_loyal=person_id in loyal) for person_id in interested | loyal}
    return changes + [(person_id, _NOWHERE, (0, 0, 0, "", "", stage)) for person_id, stage in sorted(new.items())]


def _place(one: store.Standing, cuts: Cuts, millis: int, *, is_interested: bool, is_loyal: bool) -> Place:
    scored = score(cuts, one.last_at or 0, one.orders, one.fen) if one.orders else (0, 0, 0, "")
    first, last = one.first_at or 0, one.last_at or 0
    life = life_of(one.kept_orders, (millis - first) / _DAY_MILLIS, (millis - last) / _DAY_MILLIS, one.cycle_days)
    return (*scored, life, aipl_of(one.orders, is_interested=is_interested, is_loyal=is_loyal))


def _save_changes(*, tells: bool) -> Callable[[Connection, Sequence[Any], datetime], None]:
    def save(conn: Connection, changes: Sequence[tuple[int, Place, Place]], now: datetime) -> None:
        store.save_places(conn, [(person_id, *new) for person_id, _, new in changes], now)
        if tells:
            events.publish(conn, _told(changes, now), now=now)

    return save


def _told(changes: Iterable[tuple[int, Place, Place]], now: datetime) -> list[Event]:
    return [
        Event(
            MOVED,
            now,
            person_id,
            key=new[3],
            facts={
                "from": TITLES.get(old[3], ""),
                "to": TITLES.get(new[3], ""),
                "letters": f"R{new[0]} F{new[1]} M{new[2]}" if new[3] else "",
            },
            once=f"{MOVED}:{person_id}:{int(now.timestamp() * 1000)}",
        )
        for person_id, old, new in changes
        if old[3] != new[3]
    ]


# Slices and pieces ----------------------------------------------------------------------------------------------------


async def _slice_by_slice(services: Services, act: Callable[[int, int], Awaitable[None]]) -> None:
    last = await services.db.read(store.last_person)
    for after in range(0, last, SLICE):
        await act(after, after + SLICE)


async def _write(
    services: Services,
    save: Callable[[Connection, Sequence[Any], datetime], None],
    rows: Sequence[Any],
    now: datetime,
) -> None:
    for start in range(0, len(rows), PIECE):
        await services.db.write_as(Priority.IMPORT, save, rows[start : start + PIECE], now)
