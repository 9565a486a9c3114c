"""What the event that began a run says: its facts, the campaign and the live show it speaks of."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm import events
from scrm.sop.values.ready import Asked, Found, Source

_TRIGGER = "trigger."
# key -> the facts it may be under, the first that is there counts.
_NAMED = {
    "campaign.name": ("campaign", "title"),
    "campaign.starts": ("starts_at",),
    "campaign.ends": ("ends_at",),
    "live.url": ("url",),
    "inviter.name": ("inviter",),
}


def _told(conn: Connection, asked: Asked) -> Found:
    """Every fact under its own name as people write it, and those that have a name of their own."""
    facts = events.list_facts(conn, {one.row.event_id for one in asked.due if one.row.event_id})
    for one in asked.due:
        yield one.row.id, read(facts.get(one.row.event_id or 0, {}), asked.shop.zone)


def read(told: Mapping[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The values by key that an event's facts give."""
    written = {name: _as_people_write(name, value, zone) for name, value in told.items()}
    # Conditions call what is kept in fen by its name without that end, so texts may too.
    written = {name.removesuffix("_fen"): text for name, text in written.items()} | written
    return {_TRIGGER + name: text for name, text in written.items()} | _by_own_names(written)


def _by_own_names(written: Mapping[str, str]) -> dict[str, str]:
    return {key: next((written[name] for name in names if written.get(name)), "") for key, names in _NAMED.items()}


def _as_people_write(name: str, value: Any, zone: ZoneInfo) -> str:
    """Money in yuan, moments in the shop's zone (3月5日 20:00), days as 3月5日; what has no one word for it is left out."""
    if isinstance(value, bool | list | dict) or value is None:
        return ""
    if name.endswith("_fen") and isinstance(value, int):
        return f"{value / 100:.2f}".removesuffix(".00")
    if not isinstance(value, str) or not (name.endswith("_at") or name == "date"):
        return str(value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    moment = moment.astimezone(zone) if moment.tzinfo is not None else moment
    day = f"{moment.month}月{moment.day}日"
    return day if name == "date" else f"{day} {moment:%H:%M}"


SOURCES = (Source(lambda key: key.startswith(_TRIGGER) or key in _NAMED, _told),)
