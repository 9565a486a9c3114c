"""Pairs of persons who may be the same: what speaks for it, and what somebody said to it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from scrm import audit
from scrm.db import upsert
from scrm.profiles.merge_tables import merge_suggestion
from scrm.profiles.models import external_contact, identity, person

# A value that more persons share is a shop's own phone or a common nickname: it tells nothing.
_MOST_SHARERS = 4


def suggest(conn: Connection, one: int, other: int, evidence: dict[str, Any], *, now: datetime) -> None:
    """Ask whether two are the same; what speaks for it is added up. A pair that was told apart stays so."""
    low, high = sorted((one, other))
    found = _find(conn, low, high)
    if found is None:
        row = {"low_id": low, "high_id": high, "evidence": [evidence], "suggested_at": now}
        conn.execute(upsert(merge_suggestion, conn).values(**row).on_conflict_do_nothing())
    elif found.state != "apart" and (evidence not in found.evidence or found.state != "open"):
        seen = found.evidence if evidence in found.evidence else [*found.evidence, evidence][-20:]
        _change(conn, low, high, state="open", evidence=seen, decided_at=None, decided_by="")


def decide(conn: Connection, one: int, other: int, state: str, *, by: str, now: datetime) -> None:
    """Somebody said merged or apart; also of a pair that nobody asked about."""
    low, high = sorted((one, other))
    decided = {"state": state, "decided_at": now, "decided_by": by}
    found = _find(conn, low, high)
    before = {"state": "" if found is None else found.state}
    audit.changed(conn, "suggestion", f"{low}:{high}", before, {"state": state})
    conn.execute(
        upsert(merge_suggestion, conn)
        .values(low_id=low, high_id=high, suggested_at=now, **decided)
        .on_conflict_do_update(index_elements=["low_id", "high_id"], set_=decided)
    )


def are_apart(conn: Connection, one: int, other: int) -> bool:
    """Whether somebody said that these two are not the same."""
    found = _find(conn, *sorted((one, other)))
    return found is not None and found.state == "apart"


def _find(conn: Connection, low: int, high: int) -> Row[Any] | None:
    pair = merge_suggestion.c.low_id == low, merge_suggestion.c.high_id == high
    return conn.execute(select(merge_suggestion).where(*pair)).one_or_none()


def _change(conn: Connection, low: int, high: int, **values: Any) -> None:
    pair = merge_suggestion.c.low_id == low, merge_suggestion.c.high_id == high
    conn.execute(update(merge_suggestion).where(*pair).values(**values))


def list_open(conn: Connection, *, person_id: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """Pairs that wait for an answer and still are two, the newest first, with both names."""
    low, high = person.alias("low"), person.alias("high")
    query = (
        select(merge_suggestion, low.c.name.label("low_name"), high.c.name.label("high_name"))
        .join(low, low.c.id == merge_suggestion.c.low_id)
        .join(high, high.c.id == merge_suggestion.c.high_id)
        .where(merge_suggestion.c.state == "open")
        .order_by(merge_suggestion.c.suggested_at.desc(), merge_suggestion.c.low_id)
        .limit(limit)
    )
    if person_id is not None:
        query = query.where(or_(merge_suggestion.c.low_id == person_id, merge_suggestion.c.high_id == person_id))
    return list(conn.execute(query))


def look(conn: Connection, *, now: datetime, limit: int = 500) -> int:
    """Look for persons who share a masked phone and a name; returns how many pairs were found."""
    named = func.coalesce(external_contact.c.name, person.c.name)
    known = (
        select(identity.c.person_id, identity.c.mask, named.label("name"))
        .join(person, person.c.id == identity.c.person_id)
        .outerjoin(external_contact, external_contact.c.person_id == person.c.id)
        .where(identity.c.kind == "mobile_e164", identity.c.mask != "", named != "")
        .distinct()
        .subquery()
    )
    shared = (
        select(known.c.mask, known.c.name)
        .group_by(known.c.mask, known.c.name)
        .having(func.count() > 1, func.count() <= _MOST_SHARERS)
        .order_by(known.c.mask, known.c.name)
        .limit(limit)
        .subquery()
    )
    rows = conn.execute(
        select(known).join(shared, (shared.c.mask == known.c.mask) & (shared.c.name == known.c.name))
    ).all()
    sharers: dict[tuple[str, str], set[int]] = {}
    for row in rows:
        sharers.setdefault((row.mask, row.name), set()).add(row.person_id)
    return sum(
        suggest_all(conn, ids, {"key": "masked_phone_and_name", "shown": f"{mask} {name}"}, now=now)
        for (mask, name), ids in sharers.items()
    )


def suggest_all(conn: Connection, person_ids: Iterable[int], evidence: dict[str, Any], *, now: datetime) -> int:
    """Suggest each pair among a few persons; none when so many share it that it tells nothing."""
    ids = sorted(set(person_ids))
    if len(ids) > _MOST_SHARERS:
        return 0
    pairs = [(one, other) for place, one in enumerate(ids) for other in ids[place + 1 :]]
    for one, other in pairs:
        suggest(conn, one, other, evidence, now=now)
    return len(pairs)
