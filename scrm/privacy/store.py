"""All SQL of acts upon private data: who saw, took out or erased what, and whom the shop forgot."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from scrm.db import upsert
from scrm.privacy.models import erasure, privacy_act
from scrm.profiles.models import member, person


def note_act(
    conn: Connection,
    act: str,
    person_id: int,
    *,
    actor: str,
    reason: str = "",
    facts: dict[str, Any] | None = None,
    now: datetime,
) -> None:
    """revealed, exported, erased, opted_out or opted_in; `facts` name fields and counts, never their values."""
    conn.execute(
        privacy_act.insert().values(
            act=act, person_id=person_id, actor=actor[:100], reason=reason[:200], facts=facts or {}, done_at=now
        )
    )


def count_revealed(conn: Connection, actor: str, since: datetime) -> int:
    """How often this member has seen private fields since then; nobody counts beside us until we have committed."""
    if conn.dialect.name == "postgresql":
        folded = func.lower(actor)
        conn.execute(select(member.c.userid).where(member.c.folded == folded).with_for_update()).all()
    seen = privacy_act.c.actor == actor, privacy_act.c.done_at >= since, privacy_act.c.act == "revealed"
    return int(conn.execute(select(func.count()).select_from(privacy_act).where(*seen)).scalar_one())


def list_acts(conn: Connection, person_id: int, limit: int = 20) -> list[Row[Any]]:
    """The newest first."""
    query = select(privacy_act).where(privacy_act.c.person_id == person_id)
    return list(conn.execute(query.order_by(privacy_act.c.id.desc()).limit(limit)))


def find_erasure(conn: Connection, person_id: int) -> datetime | None:
    """When this number's person was erased."""
    return conn.execute(select(erasure.c.erased_at).where(erasure.c.person_id == person_id)).scalar_one_or_none()


def note_erasure(conn: Connection, person_id: int, *, now: datetime) -> None:
    conn.execute(upsert(erasure, conn).values(person_id=person_id, erased_at=now).on_conflict_do_nothing())


def lock_person(conn: Connection, person_id: int) -> dict[str, Any] | None:
    """What the person refused; the row is locked until the end of the transaction. None: there is nobody."""
    query = select(person.c.optout).where(person.c.id == person_id)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update()
    row = conn.execute(query).one_or_none()
    return None if row is None else dict(row.optout or {})


def save_optout(conn: Connection, person_id: int, optout: dict[str, Any]) -> None:
    conn.execute(update(person).where(person.c.id == person_id).values(optout=optout))
