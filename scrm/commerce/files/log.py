"""Which order files were read, how far, and with what counts: a reading that broke off goes on where it was."""

from datetime import datetime

from sqlalchemy import Connection, select

from scrm.commerce.models import order_import


def start(
    conn: Connection,
    *,
    file_name: str,
    sha256: str,
    format: str,  # noqa: A002
    shop_key: str,
    now: datetime,
) -> tuple[int, dict[str, int]]:
    """A row for one reading of a file, or the row of a reading of the same file that was broken off; its id and counts."""
    table = order_import.c
    left = conn.execute(
        select(table.id, table.counts)
        .where(
            table.file_sha256 == sha256, table.format == format, table.shop_key == shop_key, table.finished_at.is_(None)
        )
        .order_by(table.id.desc())
        .limit(1)
    ).first()
    if left is not None:
        return left.id, left.counts
    values = {
        "file_name": file_name[-260:],
        "file_sha256": sha256,
        "format": format,
        "shop_key": shop_key,
        "counts": {},
        "started_at": now,
    }
    row = conn.execute(order_import.insert().values(**values).returning(order_import.c.id))
    return int(row.scalar_one()), {}


def note(conn: Connection, import_id: int, *, counts: dict[str, int]) -> None:
    """How far a reading is; belongs into the transaction that keeps the orders."""
    conn.execute(order_import.update().where(order_import.c.id == import_id).values(counts=counts))


def finish(conn: Connection, import_id: int, *, counts: dict[str, int], now: datetime) -> None:
    """The reading is whole."""
    conn.execute(order_import.update().where(order_import.c.id == import_id).values(counts=counts, finished_at=now))
