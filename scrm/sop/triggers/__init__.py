"""The events that may start a playbook: one table for each family of events, and one line here for each table."""

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from scrm.events import Event
from scrm.profiles.conditions.tree import OWN_EVENT
from scrm.sop.schema import Channel, Playbook
from scrm.sop.schema import Trigger as Wanted
from scrm.sop.triggers import contacts, groups, loyalty, orders, staff, times, visits
from scrm.sop.triggers.facts import find_fact, wanted_values
from scrm.sop.triggers.trigger import Trigger

TRIGGERS: tuple[Trigger, ...] = (
    *contacts.TRIGGERS,
    *groups.TRIGGERS,
    *orders.TRIGGERS,
    *visits.TRIGGERS,
    *loyalty.TRIGGERS,
    *staff.TRIGGERS,
    *times.TRIGGERS,
)

# Names that authors know from elsewhere.
ALIASES: Mapping[str, str] = {"review.received": "product.reviewed", "identity.merged": "person.merged"}

# The shop's own events: any name of their own, any facts.
OWN = Trigger(
    "custom.*",
    "自有事件",
    run_keys=("order", "coupon", "person+year", "parcel", "product", "sku_family", "live", "case", "batch"),
    is_open=True,
)

# Somebody starts one playbook for one person: the event names it.
BY_HAND = "manual.started"

_BY_NAME = {trigger.name: trigger for trigger in TRIGGERS}

_Ranked = Sequence[tuple[int, Playbook]]


class Index(NamedTuple):
    """Playbooks in the order in which they are entered, by event and by the first fact that each asks for.

    Of `by_fact` (event, path and value) only those are looked at that want what the event says.
    """

    playbooks: Mapping[str, Sequence[Playbook]] = MappingProxyType({})
    always: Mapping[str, _Ranked] = MappingProxyType({})
    paths: Mapping[str, Collection[str]] = MappingProxyType({})
    by_fact: Mapping[tuple[str, str, Any], _Ranked] = MappingProxyType({})


def find_trigger(name: str) -> Trigger | None:
    """By the event's name; every `custom.` name has the same one."""
    return _BY_NAME.get(name) or (OWN if OWN_EVENT.fullmatch(name) else None)


def starts(wanted: Wanted, event: Event) -> bool:
    """Whether this event starts a playbook with that trigger; an unknown trigger is started by nothing."""
    if wanted.event != event.name:
        return False
    trigger = find_trigger(wanted.event)
    return trigger is not None and trigger.matches(wanted, event)


def anchor_of(event: Event, zone: ZoneInfo) -> datetime:
    """T0: when it happened; of a date that is to come the beginning of that day, of a live or an own event its start."""
    day, start, due = (event.facts.get(name) for name in ("date", "starts_at", "due_at"))
    if event.name == "date.reached" and isinstance(day, str):
        return datetime.combine(date.fromisoformat(day), time(), tzinfo=zone)
    if event.name.startswith(("live.", "custom.")) and isinstance(start, str):
        return _moment(start, zone) or event.occurred_at
    if event.name == "staff.promised" and isinstance(due, str):
        return _moment(due, zone) or event.occurred_at
    return event.occurred_at


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    """What somebody else wrote; without a zone it is the shop's."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)


def index(playbooks: Iterable[Playbook]) -> Index:
    """Playbooks by the event that starts them, in the order in which they are entered: made once for a publication."""
    by_event: dict[str, list[Playbook]] = defaultdict(list)
    always: dict[str, list[tuple[int, Playbook]]] = defaultdict(list)
    paths: dict[str, set[str]] = defaultdict(set)
    by_fact: dict[tuple[str, str, Any], list[tuple[int, Playbook]]] = defaultdict(list)
    for ranked in enumerate(sorted(playbooks, key=_rank)):
        trigger = ranked[1].trigger
        by_event[trigger.event].append(ranked[1])
        path = next((path for path in trigger.where if path != "userid"), None)
        if path is None:
            always[trigger.event].append(ranked)
            continue
        paths[trigger.event].add(path)
        for value in set(wanted_values(trigger.where[path])):
            by_fact[trigger.event, path, value].append(ranked)
    return Index(by_event, always, paths, by_fact)


def _rank(playbook: Playbook) -> tuple[bool, int, str, str]:
    """Who enters first keeps the others waiting: whoever may greet comes in the order in which the greeting is chosen.

    Else the one that greeted, with its coupon, would wait behind one that said nothing (scrm.sop.welcome).
    """
    greets = any(step.channel is Channel.WELCOME for step in playbook.steps)
    return (not greets, -len(playbook.trigger.where) if greets else 0, playbook.priority, playbook.key)


def started_by(index: Index, event: Event) -> list[Playbook]:
    """The playbooks that this event starts; costs nothing for those that wait for other events, or other facts."""
    if event.name == BY_HAND:
        found = index.playbooks.get(BY_HAND, ())
        return [playbook for playbook in found if playbook.key == event.facts.get("playbook")]
    ranked = list(index.always.get(event.name, ()))
    for path in index.paths.get(event.name, ()):
        fact = find_fact(event.facts, path)
        if isinstance(fact, Hashable):
            ranked += index.by_fact.get((event.name, path, fact), ())
    return [playbook for _, playbook in sorted(ranked, key=itemgetter(0)) if starts(playbook.trigger, event)]
