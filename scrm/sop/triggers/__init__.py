"""The events that may start a playbook: one table for each family of events, and one line here for each table."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from scrm.events import Event
from scrm.profiles.conditions import OWN_EVENT
from scrm.sop.schema import Channel, Playbook
from scrm.sop.schema import Trigger as Wanted
from scrm.sop.triggers import contacts, groups, loyalty, orders, staff, times, visits
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

Index = Mapping[str, tuple[Playbook, ...]]


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
    found: dict[str, tuple[Playbook, ...]] = {}
    for playbook in sorted(playbooks, key=_rank):
        found[playbook.trigger.event] = (*found.get(playbook.trigger.event, ()), playbook)
    return found


def _rank(playbook: Playbook) -> tuple[bool, int, str, str]:
    """Who enters first keeps the others waiting: whoever may greet comes in the order in which the greeting is chosen.

    Else the one that greeted, with its coupon, would wait behind one that said nothing (scrm.sop.welcome).
    """
    greets = any(step.channel is Channel.WELCOME for step in playbook.steps)
    return (not greets, -len(playbook.trigger.where) if greets else 0, playbook.priority, playbook.key)


def started_by(index: Index, event: Event) -> list[Playbook]:
    """The playbooks that this event starts; costs nothing for those that wait for other events."""
    found = index.get(event.name, ())
    if event.name == BY_HAND:
        return [playbook for playbook in found if playbook.key == event.facts.get("playbook")]
    return [playbook for playbook in found if starts(playbook.trigger, event)]
