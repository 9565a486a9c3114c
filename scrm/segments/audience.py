"""Everybody whom a condition admits: counted, sampled, or walked through in slices of ids."""

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from math import sqrt
from random import Random
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, func, select

from scrm.db.bulk import among
from scrm.profiles import models
from scrm.profiles.conditions.field_values import read_value
from scrm.profiles.conditions.fields import Asked, find_field
from scrm.profiles.conditions.leaves_tags import with_tags
from scrm.profiles.conditions.tree import compile_asked, list_leaves, with_definitions
from scrm.segments.leaves_segments import DefinedSegment

person = models.person.alias("audience")
person_stat = models.person_stat.alias("audience_stat")

Tree = Mapping[str, Any]
# Up to so many numbers of persons everybody is counted at once; of more so many are asked for an estimate.
FEW = 100_000
ASKED = 10_000


class Audience(NamedTuple):
    """A query's FROM, its column of person ids, and what its rows must fulfil."""

    source: FromClause
    person_id: ColumnElement[int]
    fits: ColumnElement[bool]

    def ids(self) -> Select[int]:
        return select(self.person_id).select_from(self.source).where(self.fits)


def audience_of(conn: Connection, tree: Tree | None, now: datetime) -> Audience:
    """A condition as one query over all persons; None is everybody.

    Who has ordered is found in person_stat alone where the condition wants somebody who has: half the rows to read.
    """
    tree = with_tags(conn, with_definitions(conn, tree))
    joins = conn.dialect.name == "postgresql"
    if _wants_buyer(tree):
        source: FromClause = person_stat
        person_id: ColumnElement[int] = person_stat.c.person_id
        asked = Asked(person_id, now, stat=person_stat, is_audience=True, has_stat=True, joins=joins)
    elif _names_stat(tree):
        source = person.outerjoin(person_stat, person_stat.c.person_id == person.c.id)
        person_id = person.c.id
        asked = Asked(person_id, now, stat=person_stat, is_audience=True, joins=joins)
    else:
        source, person_id = person, person.c.id
        asked = Asked(person_id, now, is_audience=True, joins=joins)
    return Audience(source, person_id, compile_asked(tree, asked))


def count(conn: Connection, tree: Tree | None, now: datetime) -> int:
    """How many persons a condition admits; 0 for one that is wrong."""
    audience = audience_of(conn, tree, now)
    counted = select(func.count()).select_from(audience.source).where(audience.fits)
    return int(conn.execute(counted).scalar_one())


class Estimate(NamedTuple):
    """About how many, and by how much that may be wrong either way (in 19 of 20 cases)."""

    persons: int
    margin: int


def estimate(conn: Connection, tree: Tree | None, now: datetime) -> Estimate | None:
    """By asking some thousands one by one, always the same ones; None where there are so few that counting is quick."""
    lowest, highest = conn.execute(select(func.min(person.c.id), func.max(person.c.id))).one()
    span = highest - lowest + 1 if highest else 0
    if span <= FEW:
        return None
    ids = sorted(Random(span).sample(range(lowest, highest + 1), ASKED))  # noqa: S311 - no secret
    tree = with_tags(conn, with_definitions(conn, tree))
    fits = compile_asked(tree, Asked(person.c.id, now))
    found = conn.scalar(select(func.count()).select_from(person).where(among(conn, person.c.id, ids), fits)) or 0
    part = found / ASKED
    # Of none among n nobody knows more than that they are fewer than three in n.
    margin = 1.96 * sqrt(part * (1 - part) / ASKED) if found else 3 / ASKED
    return Estimate(_rounded(part * span), _rounded(margin * span))


def _rounded(number: float) -> int:
    """To two digits."""
    least: int = 10 ** max(0, len(str(int(number))) - 2)
    return int(round(number / least) * least)


def sample(conn: Connection, tree: Tree | None, now: datetime, *, limit: int = 10) -> list[Row[Any]]:
    """Some of them, the newest first: id, name, paid_orders, paid_fen."""
    audience = audience_of(conn, tree, now)
    newest = audience.ids().order_by(audience.person_id.desc()).limit(limit).subquery()
    stat = models.person_stat
    shown = (
        select(models.person.c.id, models.person.c.name, stat.c.paid_orders, stat.c.paid_fen)
        .join_from(newest, models.person, models.person.c.id == newest.c[0])
        .outerjoin(stat, stat.c.person_id == models.person.c.id)
        .order_by(models.person.c.id.desc())
    )
    return list(conn.execute(shown))


def list_ids(conn: Connection, tree: Tree | None, now: datetime, *, after: int = 0, limit: int = 1000) -> list[int]:
    """The next ids after `after`, in their order."""
    audience = audience_of(conn, tree, now)
    ids = audience.ids().where(audience.person_id > after).order_by(audience.person_id).limit(limit)
    return list(conn.execute(ids).scalars())


# Which persons a condition can only be about --------------------------------------------------------------------------


def _names_stat(tree: Any) -> bool:
    return any(_is_stat(spec) or _names_stat(_inner(spec)) for _, spec in list_leaves(tree))


def _inner(spec: Mapping[str, Any]) -> Any:
    """The condition of a segment that the leaf names."""
    name = spec.get("segment")
    return name.known.condition if isinstance(name, DefinedSegment) and name.known is not None else None


def _is_stat(spec: Mapping[str, Any]) -> bool:
    known = find_field(spec["field"]) if isinstance(spec.get("field"), str) else None
    return known is not None and bool(known.stat)


def _wants_buyer(tree: Any) -> bool:
    """Whether nobody without a row in person_stat can fit."""
    if not isinstance(tree, Mapping) or "not" in tree:
        return False
    if isinstance(tree.get("all"), list):
        return any(_wants_buyer(part) for part in tree["all"])
    if isinstance(tree.get("any"), list):
        return bool(tree["any"]) and all(_wants_buyer(part) for part in tree["any"])
    if inner := _inner(tree):
        return _wants_buyer(inner)
    return _is_stat(tree) and not _fits_nothing(tree)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "in": lambda found, value: found in value,
    "not_in": lambda found, value: found not in value,
    "present": lambda found, value: True,
    "missing": lambda found, value: False,
}


def _fits_nothing(spec: Mapping[str, Any]) -> bool:
    """Whether a leaf about person_stat holds for somebody without a row there; True where it cannot be told."""
    known, op = find_field(spec["field"]), spec.get("op", "eq")
    if known is None or op not in _COMPARE:
        return True
    if known.stat.endswith("_at"):
        return bool(op == "missing")
    try:
        value = spec.get("value")
        read = [read_value(known, each) for each in value] if isinstance(value, list) else value
        if not isinstance(value, list) and op not in ("present", "missing"):
            read = read_value(known, value)
    except ValueError:
        return True
    return _COMPARE[op](0, read)
