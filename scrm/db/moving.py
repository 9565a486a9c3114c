"""Copies everything from one database to another: from SQLite, which one machine outgrew, to PostgreSQL."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, create_engine, func, insert, make_url, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from scrm.db.migrate import complaint, current_revision, migrate
from scrm.errors import Conflict, Invalid, ScrmError

_AT_ONCE = 2_000
# What a fresh database says of itself, and the migrations keep.
_KEPT = "alembic_version"

Say = Callable[[str], None]


def move(source: str, target: str, say: Say = lambda line: None) -> dict[str, int]:
    """Rows by table. All or nothing: the target has everything in one transaction, or stays empty.

    Raises Invalid for databases of the wrong kind, Conflict when the target has something, ScrmError when it fails.
    """
    _check_kinds(source, target)
    engine = create_engine(make_url(source).set(drivername="sqlite+pysqlite"), poolclass=NullPool)
    with engine.connect() as conn:
        if wrong := complaint(current_revision(conn)):
            raise Conflict(f"搬不了：{wrong}。")
    try:
        migrate(target)
        return asyncio.run(_copy_all(engine, target, say))
    except (OSError, SQLAlchemyError) as error:
        shown = make_url(target).render_as_string(hide_password=True)
        reason = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise ScrmError(f"没有搬成，{shown} 里什么也没有留下：{reason}") from None


def _check_kinds(source: str, target: str) -> None:
    if make_url(source).get_backend_name() != "sqlite":
        raise Invalid("database.url 已经不是 SQLite：scrm move 只把 SQLite 搬到 PostgreSQL。")
    try:
        kind = make_url(target).get_backend_name()
    except SQLAlchemyError:
        kind = ""
    if kind != "postgresql":
        raise Invalid("--to 要写 PostgreSQL 的地址，例如 postgresql://scrm:密码@db.internal/scrm")


async def _copy_all(source: Engine, target: str, say: Say) -> dict[str, int]:
    from scrm.db.every_table import metadata

    engine = create_async_engine(make_url(target).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
    moved: dict[str, int] = {}
    try:
        async with engine.begin() as conn:
            tables = [table for table in metadata.sorted_tables if table.name != _KEPT]
            await conn.run_sync(_require_empty, tables)
            triggered = await conn.run_sync(_tables_with_triggers)
            await conn.run_sync(_let_triggers, "DISABLE", triggered)
            for table in tables:
                moved[table.name] = await conn.run_sync(_copy, source, table)
                if moved[table.name]:
                    say(f"{table.name}：{moved[table.name]:,} 行")
            await conn.run_sync(_let_triggers, "ENABLE", triggered)
            await conn.run_sync(_go_on_counting, tables)
    finally:
        await engine.dispose()
    return moved


def _require_empty(conn: Connection, tables: Sequence[Table]) -> None:
    """Rows that migrations put there are the source's own as well."""
    for table in tables:
        if table.name == "person" and conn.execute(select(table).limit(1)).first() is not None:
            raise Conflict("目标数据库里已经有客户，不能再搬进去：请建一个空的数据库。")
    for table in reversed(tables):
        conn.execute(table.delete())


def _tables_with_triggers(conn: Connection) -> list[str]:
    found = text("SELECT DISTINCT CAST(CAST(tgrelid AS regclass) AS text) FROM pg_trigger WHERE NOT tgisinternal")
    return sorted(conn.scalars(found))


def _let_triggers(conn: Connection, act: str, tables: Sequence[str]) -> None:
    """What they keep is copied as well."""
    for table in tables:
        conn.exec_driver_sql(f"ALTER TABLE {table} {act} TRIGGER USER")


def _copy(conn: Connection, source: Engine, table: Table) -> int:
    """Raises ScrmError when as many did not arrive as left."""
    copied = 0
    for rows in _read(source, table):
        conn.execute(insert(table), rows)
        copied += len(rows)
    arrived = conn.execute(select(func.count()).select_from(table)).scalar_one()
    if arrived != copied:
        raise ScrmError(f"表 {table.name} 读出 {copied} 行，到了 {arrived} 行，已全部撤回。")
    return copied


def _read(source: Engine, table: Table) -> Iterator[list[dict[str, Any]]]:
    """In the order of the key, so that rows which name earlier ones of their own table come after them."""
    with source.connect().execution_options(yield_per=_AT_ONCE) as conn:
        for rows in conn.execute(select(table).order_by(*table.primary_key.columns)).mappings().partitions():
            yield [dict(row) for row in rows]


def _go_on_counting(conn: Connection, tables: Sequence[Table]) -> None:
    """The next id of each table comes after the largest one that was brought."""
    for table in tables:
        column = _counted(table)
        if column is None:
            continue
        sequence = conn.execute(
            text("SELECT pg_get_serial_sequence(:name, :column)"), {"name": table.name, "column": column.name}
        ).scalar_one()
        largest = conn.execute(select(func.max(column))).scalar_one()
        if sequence and largest:
            conn.execute(
                text("SELECT setval(CAST(:sequence AS regclass), :largest)"), {"sequence": sequence, "largest": largest}
            )


def _counted(table: Table) -> Column[Any] | None:
    return table.autoincrement_column
