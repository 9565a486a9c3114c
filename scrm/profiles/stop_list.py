"""The stop list: relatives of the staff, colleagues of other shops, test numbers, and whom nobody writes to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, ForeignKey, Index, Row, String, Table, delete, func, select, text

from scrm import audit
from scrm.db import upsert
from scrm.db.tables import UtcDateTime, metadata
from scrm.errors import Invalid, NotFound
from scrm.profiles.models import external_contact, person

KINDS = {"relative": "员工亲友", "peer": "同行", "test": "测试号", "black": "黑名单"}

stop_entry = Table(
    "stop_entry",
    metadata,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    # relative, peer, test; black, whom not even notices reach
    Column("kind", String(12), nullable=False),
    Column("note", String(200), nullable=False, server_default=text("''")),
    Column("added_by", String(64), nullable=False, server_default=text("''")),
    Column("added_at", UtcDateTime, nullable=False),
    Index("ix_stop_entry_added_at", "added_at"),
)


@audit.keeps("stop_entry", stop_entry.c.person_id, of=("person_id",))
def add_to_stop_list(conn: Connection, person_id: int, kind: str, *, note: str, by: str, now: datetime) -> None:
    """Or change why somebody is on it. Raises Invalid for an unknown kind, NotFound without such a person."""
    if kind not in KINDS:
        raise Invalid(f"停发原因只能是 {'、'.join(KINDS.values())}")
    if conn.execute(select(person.c.id).where(person.c.id == person_id)).first() is None:
        raise NotFound("没有这位客户，可能已被删除或合并")
    values = {"kind": kind, "note": note.strip()[:200], "added_by": by, "added_at": now}
    insert = upsert(stop_entry, conn).values(person_id=person_id, **values)
    conn.execute(insert.on_conflict_do_update(index_elements=["person_id"], set_=values))


@audit.keeps("stop_entry", stop_entry.c.person_id, of=("person_id",))
def remove_from_stop_list(conn: Connection, person_id: int) -> bool:
    """Whether there was somebody to remove."""
    return conn.execute(delete(stop_entry).where(stop_entry.c.person_id == person_id)).rowcount > 0


def find_stop_kind(conn: Connection, person_id: int) -> str:
    """The word for why this person is on the list; empty when he is not."""
    kind = conn.scalar(select(stop_entry.c.kind).where(stop_entry.c.person_id == person_id))
    return KINDS.get(kind, "停发名单") if kind else ""


def list_stopped(conn: Connection, *, limit: int = 200) -> Sequence[Row[Any]]:
    """The newest first, each with the customer's name."""
    name = select(func.max(external_contact.c.name)).where(external_contact.c.person_id == stop_entry.c.person_id)
    called = func.coalesce(func.nullif(person.c.name, ""), name.scalar_subquery(), "").label("called")
    query = select(stop_entry, called).join(person, person.c.id == stop_entry.c.person_id)
    return conn.execute(query.order_by(stop_entry.c.added_at.desc(), stop_entry.c.person_id).limit(limit)).all()
