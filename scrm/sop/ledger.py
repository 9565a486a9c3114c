"""The ledger of sends: what went out, or should have, to whom, and what became of it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    and_,
    func,
    or_,
    select,
    update,
)

from scrm.db import upsert
from scrm.sop.models import send


def add_send(conn: Connection, values: Mapping[str, Any]) -> int | None:
    """The new row's id; None when what may go out only once is there already."""
    return conn.execute(
        upsert(send, conn).values(**values).on_conflict_do_nothing(index_elements=["once"]).returning(send.c.id)
    ).scalar_one_or_none()


def add_sends(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Many at once; those that are there already stay as they are."""
    if rows:
        conn.execute(upsert(send, conn).on_conflict_do_nothing(index_elements=["once"]), list(rows))


def find_send(conn: Connection, once: str) -> Row[Any] | None:
    return conn.execute(select(send).where(send.c.once == once)).one_or_none()


def change_send(conn: Connection, once: str, **values: Any) -> None:
    conn.execute(update(send).where(send.c.once == once).values(**values))


def list_sends(
    conn: Connection, external_userid: str | None, *, before: tuple[datetime, int] | None = None, limit: int = 200
) -> list[Row[Any]]:
    """What went out to a contact, or to anybody, or should have, the newest first; `before`: decided_at and id."""
    query = select(send)
    if external_userid is not None:
        query = query.where(send.c.external_userid == external_userid)
    if before is not None:
        at, last_id = before
        query = query.where(or_(send.c.decided_at < at, and_(send.c.decided_at == at, send.c.id < last_id)))
    return list(conn.execute(query.order_by(send.c.decided_at.desc(), send.c.id.desc()).limit(limit)))


def list_welcomes(conn: Connection, playbook_key: str, userid: str, external_userid: str) -> list[Row[Any]]:
    """What became of a playbook's welcomes to this contact, the newest first."""
    return list(
        conn.execute(
            select(send.c.step_id, send.c.outcome, send.c.reason, send.c.decided_at, send.c.sent_at)
            .where(
                send.c.external_userid == external_userid,
                send.c.kind == "welcome",
                send.c.playbook_key == playbook_key,
                func.lower(send.c.userid) == userid.lower(),
            )
            .order_by(send.c.decided_at.desc(), send.c.id.desc())
        )
    )
