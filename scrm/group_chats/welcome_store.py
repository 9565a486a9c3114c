"""All SQL about welcome materials of groups."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm import audit
from scrm.db import upsert
from scrm.group_chats.models import group_welcome


def list_welcomes(conn: Connection) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(group_welcome).order_by(group_welcome.c.created_at.desc())))


def find_welcome(conn: Connection, template_id: str) -> Row[Any] | None:
    return conn.execute(select(group_welcome).where(group_welcome.c.template_id == template_id)).one_or_none()


@audit.keeps("group_welcome", group_welcome.c.template_id, of=("template_id",))
def save_welcome(conn: Connection, template_id: str, values: Mapping[str, Any], *, now: datetime) -> None:
    conn.execute(
        upsert(group_welcome, conn)
        .values(template_id=template_id, created_at=now, changed_at=now, **values)
        .on_conflict_do_update(index_elements=["template_id"], set_={**values, "changed_at": now})
    )


@audit.keeps("group_welcome", group_welcome.c.template_id, of=("template_id",))
def drop_welcome(conn: Connection, template_id: str) -> None:
    conn.execute(delete(group_welcome).where(group_welcome.c.template_id == template_id))
