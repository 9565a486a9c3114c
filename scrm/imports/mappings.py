"""Saved column mappings: kept by name, found again by a file's headings."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm import audit
from scrm.commerce.canonical import OrderStatus
from scrm.commerce.connectors import KNOWN_HEADINGS, Connector, find_connector
from scrm.commerce.connectors.generic import STATUSES
from scrm.commerce.connectors.mapped import PREFIX, ColumnMapping, signature
from scrm.commerce.connectors.reader import Scratch, clean, normalise_heading, open_sheet
from scrm.commerce.files.import_orders import REASON
from scrm.db import Database, upsert
from scrm.errors import Invalid, NotFound
from scrm.imports.models import import_mapping

# What a word may be said to mean, as people write it.
MEANINGS: Mapping[str, str] = {
    "pending_payment": "待付款",
    "paid": "待发货",
    "partially_shipped": "部分发货",
    "shipped": "已发货",
    "completed": "已完成",
    "cancelled": "已取消",
    "closed": "已关闭",
}


def meaning_of(text: str) -> str:
    """Our status by any word that we know for it; the text itself where there is none."""
    return STATUSES.get(normalise_heading(text), text.strip())


@audit.keeps("import_mapping", import_mapping.c.name, of=("mapping.name",))
def save_mapping(conn: Connection, mapping: ColumnMapping, headings: list[str], *, now: datetime) -> None:
    """Keep it for files of these headings; raises Invalid when it cannot be used."""
    name = mapping.name.strip()
    if not 0 < len(name) <= 60:
        raise Invalid("请给映射起个名字，最多 60 个字")
    mapping.connector()
    words = dict(mapping.statuses or {})
    for word, status in words.items():
        if status not in OrderStatus.__args__:  # type: ignore[attr-defined]
            raise Invalid(f"“{word[:30]}”后面写的“{status[:30]}”不是订单状态，请写 {'、'.join(MEANINGS.values())} 之一")
    values = {
        "signature": signature(headings),
        "columns": {field: heading for field, heading in mapping.columns.items() if heading},
        "options": {"channel": mapping.channel, "statuses": words},
        "created_at": now,
    }
    statement = upsert(import_mapping, conn).values(name=name, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def list_mappings(conn: Connection) -> list[Row[Any]]:
    """By name."""
    return list(conn.execute(select(import_mapping).order_by(import_mapping.c.name)))


@audit.keeps("import_mapping", import_mapping.c.name, of=("name",))
def delete_mapping(conn: Connection, name: str) -> None:
    """Nothing happens when there is none; files that were read with it stay as they are."""
    conn.execute(delete(import_mapping).where(import_mapping.c.name == name))


def mapping_of(row: Row[Any]) -> ColumnMapping:
    """A row as the reader takes it."""
    options: Mapping[str, Any] = row.options
    return ColumnMapping(row.name, row.columns, options.get("channel", ""), options.get("statuses") or {})


def find_mapping(conn: Connection, key: str) -> ColumnMapping | None:
    """A saved mapping by `mapped:NAME`; None when there is none."""
    name = key.removeprefix(PREFIX) if key.startswith(PREFIX) else ""
    row = conn.execute(select(import_mapping).where(import_mapping.c.name == name)).one_or_none()
    return None if row is None else mapping_of(row)


def find_format(conn: Connection, key: str) -> Connector:
    """A format by its key, a saved mapping by `mapped:NAME`; raises Invalid or NotFound."""
    if not key.startswith(PREFIX):
        return find_connector(key)
    name = key.removeprefix(PREFIX)
    mapping = find_mapping(conn, key)
    if mapping is None:
        known = "、".join(one.name for one in list_mappings(conn))
        raise NotFound(
            f"没有叫“{name[:60]}”的列映射" + (f"，已有：{known}" if known else "，请先在控制台的“导入”里建一个")
        )
    return mapping.connector()


async def recognise_mapping(db: Database, paths: list[Path]) -> Connector | None:
    """The saved mapping that was made for exactly these headings; None when there is none."""
    rows = await db.read(list_mappings)
    if not rows:
        return None
    theirs = {normalise_heading(heading) for row in rows for heading in row.columns.values()}
    with Scratch() as scratch:
        for path in paths:
            try:
                titles = open_sheet(path, KNOWN_HEADINGS | theirs, scratch).titles
            except Invalid:
                return None
            # The rows that were given back have one column more, which says why.
            found = {signature(titles), signature(title for title in titles if clean(title) != REASON)}
            same = next((row for row in rows if row.signature in found), None)
            if same is None:
                return None
    return mapping_of(same).connector() if same is not None else None
