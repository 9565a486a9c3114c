"""Brings a database to this version's tables, and tells whether it is there."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, event, make_url
from sqlalchemy.pool import NullPool

from scrm.errors import ScrmError

# Another process migrates a large database, or holds a table, for so long before this one gives up waiting for it.
_PATIENCE_SECONDS = 60

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(url: str, revision: str = "head") -> None:
    """Run every migration up to `revision` that this database has not seen; safe to repeat.

    All of it or nothing: who is killed in the middle leaves the database as it was. Raises ScrmError for a database
    of a newer version. Blocking: not for the event loop.
    """
    _with_connection(url, lambda conn: _upgrade(conn, revision))


def newest_revision() -> str:
    return ScriptDirectory(str(_SCRIPTS)).get_current_head() or ""


def current_revision(conn: Connection) -> str:
    """The revision the database is at; empty when it was never migrated."""
    return MigrationContext.configure(conn).get_current_revision() or ""


def complaint(found: str) -> str:
    """Empty when a database at revision `found` fits this version; else one line with what to do."""
    if found == newest_revision():
        return ""
    if not found:
        return "数据库还没有建表：请先运行 scrm migrate"
    if _is_known(found):
        return f"数据库的表是 {found} 版，这个程序要 {newest_revision()} 版：请停止服务后运行 scrm migrate"
    return f"数据库的表是 {found} 版，比这个程序（{newest_revision()} 版）新：请换回升级后的程序，或者恢复升级前的备份"


def _is_known(revision: str) -> bool:
    try:
        return ScriptDirectory(str(_SCRIPTS)).get_revision(revision) is not None
    except CommandError:
        return False


def _upgrade(conn: Connection, revision: str) -> None:
    heads = MigrationContext.configure(conn).get_current_heads()
    if unknown := [found for found in heads if not _is_known(found)]:
        raise ScrmError(complaint(unknown[0]))
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = conn
    command.upgrade(config, revision)
    if revision == "head":
        from scrm.db.every_table import buyer_news, hours, search

        search.install(conn)
        hours.install(conn)
        buyer_news.install(conn)


def _with_connection(url: str, act: Callable[[Connection], None]) -> None:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _with_sqlite(url, act)
    else:
        _with_postgresql(url, act)


def _with_sqlite(url: str, act: Callable[[Connection], None]) -> None:
    parsed = make_url(url).set(drivername="sqlite+pysqlite")
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, poolclass=NullPool, connect_args={"timeout": _PATIENCE_SECONDS})

    @event.listens_for(engine, "connect")
    def on_connect(dbapi, record):  # type: ignore[no-untyped-def]
        # Batch mode drops and remakes tables: with foreign keys on, that would delete the children's rows.
        dbapi.execute("PRAGMA foreign_keys=OFF")
        dbapi.execute("PRAGMA journal_mode=WAL")
        # Python's driver begins a transaction at the first row that is written, and would commit each table alone.
        dbapi.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(conn):  # type: ignore[no-untyped-def]
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as conn:
        act(conn)
    engine.dispose()


def _with_postgresql(url: str, act: Callable[[Connection], None]) -> None:
    import asyncio

    from sqlalchemy.ext.asyncio import create_async_engine

    async def run() -> None:
        engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
        async with engine.begin() as conn:
            await conn.exec_driver_sql(f"SET LOCAL lock_timeout = '{_PATIENCE_SECONDS}s'")
            # Several processes may start at once: one migrates, the others wait and find it done.
            await conn.exec_driver_sql("SELECT pg_advisory_xact_lock(7210001)")
            await conn.run_sync(act)
        await engine.dispose()

    asyncio.run(run())


def differences(conn: Connection) -> list[object]:
    """What the migrations and the tables in code disagree about (for the test that keeps them equal)."""
    from scrm.db.every_table import metadata, search

    def is_compared(thing: object, name: str | None, *_: object) -> bool:
        return not (name or "").startswith(search.PREFIX)

    opts = {"compare_type": False, "include_object": is_compared}
    return list(compare_metadata(MigrationContext.configure(conn, opts=opts), metadata))
