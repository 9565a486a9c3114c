"""What is known of the variables that texts name, for a whole batch: each table is asked once, and only if it is named.

One file per kind of value, each with its SOURCES, and the list of them here.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from scrm.content.render import variables_of
from scrm.sop.facts import Due
from scrm.sop.schema import Content
from scrm.sop.values import invitations, loyalty, orders, parcels, people, radar, told
from scrm.sop.values.ready import Asked, Shop, Source

__all__ = ["SOURCES", "Shop", "load_values", "named_in", "texts_of"]

SOURCES: tuple[Source, ...] = (
    *people.SOURCES,
    *orders.SOURCES,
    *parcels.SOURCES,
    *loyalty.SOURCES,
    *told.SOURCES,
    *radar.SOURCES,
    *invitations.SOURCES,
)


def load_values(conn: Connection, due: Sequence[Due], shop: Shop, now: datetime) -> dict[int, dict[str, Any]]:
    """By enrolment: the values by key (`nickname`, `field.skin`)."""
    values: dict[int, dict[str, Any]] = {one.row.id: {"shop": shop.name} for one in due}
    named: frozenset[str] = frozenset().union(
        *(named_in(text) for text in {text for one in due for text in _texts(one)})
    )
    asked = Asked(due, named, shop, now)
    for source in SOURCES:
        if any(source.knows(key) for key in named):
            for enrolment_id, found in source.load(conn, asked):
                values[enrolment_id] |= found
    return values


def _texts(one: Due) -> Iterator[str]:
    return texts_of(one.content)


def texts_of(said: Content) -> Iterator[str]:
    """Everything in it that may name variables."""
    yield said.text
    for part in said.attachments:
        for card in (part.get("link"), part.get("miniprogram")):
            yield from (str(text) for text in (card or {}).values())


@lru_cache(maxsize=2048)
def named_in(text: str) -> frozenset[str]:
    """The keys a text names; reading a template costs more than filling it."""
    return frozenset(variables_of(text))
