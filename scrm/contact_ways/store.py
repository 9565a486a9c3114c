"""All SQL about channel codes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from scrm.contact_ways.models import contact_way
from scrm.db import upsert

_FIND = select(contact_way).where(contact_way.c.state == bindparam("state"))


def find_contact_way(conn: Connection, state: str) -> Row[Any] | None:
    return conn.execute(_FIND, {"state": state}).one_or_none()


def list_contact_ways(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(contact_way).order_by(contact_way.c.created_at)))


def save_contact_way(
    conn: Connection,
    state: str,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    config_id: str = "",
    qr_code: str = "",
    skip_verify: bool = True,
    now: datetime,
) -> None:
    """`state` (<= 30 characters) comes back in the event of everyone who scans the code."""
    values = {
        "title": title,
        "kind": kind,
        "userids": list(userids),
        "config_id": config_id,
        "qr_code": qr_code,
        "skip_verify": skip_verify,
    }
    conn.execute(
        upsert(contact_way, conn)
        .values(state=state, created_at=now, **values)
        .on_conflict_do_update(index_elements=["state"], set_=values)
    )
