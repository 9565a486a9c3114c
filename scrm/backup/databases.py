"""How each kind of database is copied out while it is used, put back, and counted."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, func, make_url, select, table, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from scrm.errors import Conflict, ScrmError

T = TypeVar("T")

_COUNTED_SQLITE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
_COUNTED_POSTGRESQL = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"
_REVISION = "SELECT version_num FROM alembic_version"
# Whoever holds the database for themselves is waited for so long.
PATIENCE_SECONDS = 10
# What pg_dump says after that, by the language of the server.
_WAITED = ("statement timeout", "语句超时")
# Where Debian and Red Hat keep the tools of a version that is not on the path.
_TOOLS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")


class Kind(Protocol):
    """One kind of database; `file` is its name in the archive."""

    name: str
    file: str

    def copy_out(self, target: Path) -> None:
        """A consistent copy as of now, while others read and write."""

    def require_empty(self) -> None:
        """Raises Conflict when something is there that a restore would overwrite."""

    def put_back(self, source: Path) -> None: ...

    def look_into(self, source: Path) -> tuple[str, dict[str, int]]:
        """Restore the copy to a place of its own, check it and count: its revision, and rows by table.

        Raises ScrmError when it is damaged.
        """


def kind_of(url: str) -> Kind:
    parsed = make_url(url)
    return Sqlite(Path(parsed.database or "")) if parsed.get_backend_name() == "sqlite" else PostgreSql(parsed)


class Sqlite:
    """One file; SQLite's own online backup sees one moment of it and stops nobody (WAL)."""

    name = "sqlite"
    file = "database.sqlite3"

    def __init__(self, path: Path) -> None:
        self.path = path

    def copy_out(self, target: Path) -> None:
        if not self.path.is_file():
            raise ScrmError(f"database.url: {self.path} does not exist: nothing to back up")
        with (
            closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=PATIENCE_SECONDS)) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            # Asked for by ourselves, the right to read comes soon or not at all; the backup would wait without end.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master")
            source.backup(copy)
            # What lies in one file is easier kept than a file with its log.
            copy.execute("PRAGMA journal_mode=DELETE")

    def require_empty(self) -> None:
        if self.path.exists():
            raise Conflict(
                f"数据库 {self.path} 已经在了，恢复不会覆盖它：请先停止服务并把它移走，或把 database.url 指到新的位置。"
            )

    def put_back(self, source: Path) -> None:
        """All or nothing: the last step is a rename within the folder."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.restoring")
        shutil.copyfile(source, fresh)
        fresh.rename(self.path)

    def look_into(self, source: Path) -> tuple[str, dict[str, int]]:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as copy:
            try:
                damage = [row[0] for row in copy.execute("PRAGMA integrity_check(5)")]
                orphans = copy.execute("PRAGMA foreign_key_check").fetchmany(5)
                if damage != ["ok"] or orphans:
                    raise ScrmError(
                        f"备份里的数据库已损坏：{'；'.join([*damage, *(str(one[0]) for one in orphans)])[:300]}"
                    )
                tables = [row[0] for row in copy.execute(_COUNTED_SQLITE)]
                count = 'SELECT count(*) FROM "{}"'  # names that the file itself gave
                rows = {name: copy.execute(count.format(name)).fetchone()[0] for name in tables}
                (revision,) = copy.execute(_REVISION).fetchone()
            except sqlite3.DatabaseError as error:
                raise ScrmError(f"备份里的数据库读不出来（{error}）。") from None
        return str(revision), rows


class PostgreSql:
    """pg_dump's own format, read back by pg_restore; the password goes by the environment, never by the command line."""

    name = "postgresql"
    file = "database.pgdump"

    def __init__(self, url: URL) -> None:
        self.url = url

    def copy_out(self, target: Path) -> None:
        plain = "--format=custom", "--no-owner", "--no-privileges", f"--lock-wait-timeout={PATIENCE_SECONDS}s"
        _run([_tool("pg_dump"), *plain, f"--file={target}"], self.url)

    def require_empty(self) -> None:
        tables = _ask(self.url, lambda conn: conn.execute(text(_COUNTED_POSTGRESQL)).scalars().all())
        if tables:
            raise Conflict(
                f"数据库 {self.url.database} 里已经有 {len(tables)} 张表，恢复不会覆盖它：请建一个空的数据库，再把 database.url 指过去。"
            )

    def put_back(self, source: Path) -> None:
        """In one transaction: all of it or nothing."""
        command = [_tool("pg_restore"), "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error"]
        _run([*command, f"--dbname={self.url.database}", str(source)], self.url)

    def look_into(self, source: Path) -> tuple[str, dict[str, int]]:
        with self._scratch() as url:
            PostgreSql(url).put_back(source)
            return _ask(url, _count)

    @contextmanager
    def _scratch(self) -> Iterator[URL]:
        """A database for the time of the check."""
        name = f"scrm_verify_{token_hex(4)}"
        _command(self.url, f'CREATE DATABASE "{name}"')
        try:
            yield self.url.set(database=name)
        finally:
            _command(self.url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _count(conn: Connection) -> tuple[str, dict[str, int]]:
    tables = conn.execute(text(_COUNTED_POSTGRESQL)).scalars().all()
    rows = {name: conn.execute(select(func.count()).select_from(table(name))).scalar_one() for name in tables}
    return str(conn.execute(text(_REVISION)).scalar_one()), rows


def _ask(url: URL, work: Callable[[Connection], T], **options: Any) -> T:
    async def run() -> T:
        engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), poolclass=NullPool, **options)
        try:
            async with engine.connect() as conn:
                return await conn.run_sync(work)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _command(url: URL, statement: str) -> None:
    """What PostgreSQL refuses within a transaction."""
    _ask(url, lambda conn: conn.exec_driver_sql(statement), isolation_level="AUTOCOMMIT")


def _tool(name: str) -> str:
    found = shutil.which(name) or next(
        (str(path) for folder in _TOOLS for path in sorted(Path("/").glob(f"{folder[1:]}/{name}"), reverse=True)), None
    )
    if found is None:
        raise ScrmError(
            f"找不到 {name}：PostgreSQL 的备份要用它。请安装 postgresql-client（版本不低于数据库服务器），再试一次。"
        )
    return found


def _run(command: list[str], url: URL) -> None:
    known = {"PGHOST": url.host, "PGPORT": url.port, "PGUSER": url.username, "PGPASSWORD": url.password}
    told = {name: str(value) for name, value in known.items() if value}
    done = subprocess.run(  # noqa: S603 - our own tool, and nothing of the user's in its name
        command,
        env={**os.environ, "PGCONNECT_TIMEOUT": str(PATIENCE_SECONDS), **told, "PGDATABASE": url.database or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["没有说明原因"]
        if any(sign in done.stderr for sign in _WAITED):
            raise ScrmError(
                f"数据库的表被别的事务占着，等了 {PATIENCE_SECONDS} 秒：请等它结束（多半是升级或维护），再试一次。"
            )
        raise ScrmError(f"{Path(command[0]).name} 没有做成：{lines[0][:300]}")
