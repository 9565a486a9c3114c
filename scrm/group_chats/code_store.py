"""All SQL about join codes and the groups they lead to."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, select, update

from scrm import audit
from scrm.db import upsert
from scrm.db.bulk import among
from scrm.group_chats.models import group_chat, group_chat_change, group_join_code, group_join_slot
from scrm.group_chats.store import CUSTOMER


def find_code(conn: Connection, state: str) -> Row[Any] | None:
    return conn.execute(select(group_join_code).where(group_join_code.c.state == state)).one_or_none()


def find_code_by_token(conn: Connection, token: str) -> Row[Any] | None:
    return conn.execute(select(group_join_code).where(group_join_code.c.token == token)).one_or_none()


def list_codes(conn: Connection) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(group_join_code).order_by(group_join_code.c.created_at.desc())))


def add_code(conn: Connection, values: Mapping[str, Any]) -> None:
    conn.execute(group_join_code.insert().values(**values))
    audit.changed(conn, "group_code", values["state"], None, values)


@audit.keeps("group_code", group_join_code.c.state, of=("state",))
def set_code(conn: Connection, state: str, values: Mapping[str, Any]) -> None:
    conn.execute(update(group_join_code).where(group_join_code.c.state == state).values(**values))


@audit.keeps("group_code", group_join_code.c.state, of=("state",))
def drop_code(conn: Connection, state: str) -> None:
    """With its slots; the state stays taken, because customers carry it."""
    conn.execute(delete(group_join_slot).where(group_join_slot.c.state == state))
    conn.execute(delete(group_join_code).where(group_join_code.c.state == state))


def list_slots(conn: Connection, states: Collection[str]) -> list[Row[Any]]:
    """The slots of codes in their order, with the group's name, seats taken and end."""
    return list(
        conn.execute(
            select(
                group_join_slot, group_chat.c.name.label("group_name"), group_chat.c.members, group_chat.c.dismissed_at
            )
            .outerjoin(group_chat, group_chat.c.chat_id == group_join_slot.c.chat_id)
            .where(among(conn, group_join_slot.c.state, states))
            .order_by(group_join_slot.c.state, group_join_slot.c.position, group_join_slot.c.id)
        )
    )


def add_slot(
    conn: Connection, state: str, *, chat_id: str, config_id: str, qr_code: str, expires_at: datetime | None
) -> bool:
    """At the end of the line; False when the group is in it already."""
    audit.changed(conn, "group_code", state, None, {"chat_id": chat_id})
    last = select(func.coalesce(func.max(group_join_slot.c.position), 0)).where(group_join_slot.c.state == state)
    added = conn.execute(
        upsert(group_join_slot, conn)
        .values(
            state=state,
            position=int(conn.execute(last).scalar_one()) + 1,
            chat_id=chat_id,
            config_id=config_id,
            qr_code=qr_code[:512],
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["state", "chat_id"])
        .returning(group_join_slot.c.id)
    )
    return added.scalar_one_or_none() is not None


@audit.keeps("group_code_slot", group_join_slot.c.id, of=("slot_id",))
def drop_slot(conn: Connection, slot_id: int) -> None:
    conn.execute(delete(group_join_slot).where(group_join_slot.c.id == slot_id))


def count_joins_by_state(conn: Connection, states: Collection[str], since: datetime) -> dict[str, tuple[int, int]]:
    """(all, since then) of customers who joined by each code, from the history."""
    change = group_chat_change
    rows = conn.execute(
        select(
            change.c.state,
            func.count().label("times"),
            func.coalesce(func.sum(case((change.c.at >= since, 1), else_=0)), 0).label("lately"),
        )
        .where(change.c.kind == "joined", change.c.type == CUSTOMER, among(conn, change.c.state, states))
        .group_by(change.c.state)
    )
    return {row.state: (int(row.times), int(row.lately)) for row in rows}
