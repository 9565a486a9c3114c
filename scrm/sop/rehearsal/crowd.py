"""Customers made up: who comes when, who buys and who leaves; the same for the same terms."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from scrm.events import Event
from scrm.sop import chance
from scrm.sop.rehearsal.terms import Crowd
from scrm.sop.schema import Playbook

_BUYS_WITHIN = timedelta(days=7)
_LEAVES_WITHIN = timedelta(days=7)


def make_up(
    playbook: Playbook, crowd: Crowd, begins_at: datetime, days: int, part: tuple[int, int] = (0, 1)
) -> Iterator[Event]:
    """The playbook's own event for each customer, evenly over the days from 8:00 on, 14 hours a day; oldest first.

    `part` (0, 2) is every second one of them: those that another process does not play.
    """
    which, parts = part
    later: list[tuple[datetime, int, Event]] = []
    number = 0
    for person in range(1 + which, crowd.size + 1, parts):
        at = _moment(begins_at, days, (person - 0.5) / crowd.size)
        while later and later[0][0] <= at:
            number += 1
            yield _numbered(heappop(later)[2], number)
        userid = f"员工{(person - 1) % crowd.members + 1:02}"
        number += 1
        came = _begin(playbook, person, userid, at, number)
        yield came
        for order, event in enumerate(_follow(crowd, came)):
            heappush(later, (event.occurred_at, person * 10 + order, event))
    while later:
        number += 1
        yield _numbered(heappop(later)[2], number)


def _moment(begins_at: datetime, days: int, part: float) -> datetime:
    """Nobody comes at night: 10 of 24 hours are left out."""
    day, rest = divmod(part * days, 1.0)
    return begins_at + timedelta(days=int(day), hours=8, seconds=int(rest * 14 * 3600))


def _begin(playbook: Playbook, person: int, userid: str, at: datetime, number: int) -> Event:
    trigger = playbook.trigger
    facts: dict[str, Any] = {name: values[0] for name, values in trigger.where.items() if values}
    userid = str(facts.pop("userid", userid))
    if trigger.event == "date.reached":
        day = (at + timedelta(days=trigger.lead)).date()
        facts |= {"field": trigger.date, "lead": trigger.lead, "lunar": trigger.lunar, "yearly": trigger.yearly}
        facts |= {"date": day.isoformat(), "year": day.year}
    elif trigger.event == "schedule.due":
        facts |= {"cron": trigger.cron, "segment": trigger.segment, "batch": at.date().isoformat()}
    elif trigger.event == "manual.started":
        facts |= {"playbook": playbook.key, "batch": at.date().isoformat()}
    elif playbook.run_key not in ("person", "person+year"):
        facts.setdefault(playbook.run_key, f"K{person}")
    return Event(trigger.event, at, person, f"made-up-{person}", userid, f"K{person}", facts, id=number)


def _follow(crowd: Crowd, came: Event) -> Iterator[Event]:
    person = came.person_id
    if chance.part_of_one(f"buys/{person}") < crowd.buys:
        later = _BUYS_WITHIN * chance.part_of_one(f"buys when/{person}")
        yield _later(came, "order.paid", later, key=came.key or f"K{person}")
    if chance.part_of_one(f"leaves/{person}") < crowd.leaves:
        yield _later(came, "contact.lost_by_customer", _LEAVES_WITHIN * chance.part_of_one(f"leaves when/{person}"))


def _later(came: Event, name: str, after: timedelta, key: str = "") -> Event:
    after = timedelta(seconds=int(after.total_seconds()))
    return Event(name, came.occurred_at + after, came.person_id, came.external_userid, came.userid, key)


def _numbered(event: Event, number: int) -> Event:
    return Event(
        event.name,
        event.occurred_at,
        event.person_id,
        event.external_userid,
        event.userid,
        event.key,
        event.facts,
        id=number,
    )
