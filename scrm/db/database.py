"""Transactions: many readers, one writer on SQLite, a pool on PostgreSQL, and group commit on both.

Work on the database is a plain function whose first argument is a Connection. It is handed to `read`, `write` or
`together`, which open the transaction, run it and commit; the function itself never commits.
"""

import asyncio
import contextvars
import heapq
import itertools
import sqlite3
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

import aiosqlite
import msgspec
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool, StaticPool
from sqlalchemy.util import greenlet_spawn

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row")

READERS = 3  # threads; the GIL makes more of them useless


class Beside(Protocol):
    """Somebody who adds to each transaction of a request (scrm.audit): before its COMMIT, and told when it stands."""

    def before_commit(self, conn: Connection) -> None: ...

    def committed(self) -> None: ...


# Who adds to what this request writes; group commits belong to nobody's request.
beside: contextvars.ContextVar[Beside | None] = contextvars.ContextVar("beside", default=None)


class Priority(IntEnum):
    """Who may write next when several wait for SQLite's only writer."""

    CALLBACK = 0
    WORK = 1
    IMPORT = 2


# Small enough that a callback, which has five seconds, never waits long behind another batch.
BATCH_ROWS = {Priority.CALLBACK: 500, Priority.WORK: 50, Priority.IMPORT: 200}


class Database:
    """One database, by its URL `sqlite:///path` or `postgresql://user:pw@host/db`.

    SQLite is one process: one connection writes (WAL, synchronous=FULL, BEGIN IMMEDIATE), a few read, each in a thread
    of its own. PostgreSQL has one asyncpg pool for both.
    """

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._store = _SqliteFile(self.url) if self.is_sqlite else _PostgresqlPool(self.url, pool_size)
        self._groups: dict[Callable[..., Any], _Group[Any, Any]] = {}
        self._tell: Callable[[set[str]], None] = lambda signals: None

    async def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(conn, ...)` in a transaction that only reads."""
        return await self._store.read(lambda conn: work(conn, *args, **kwargs))

    async def write(
        self,
        work: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run `work(conn, ...)` in one transaction and commit it; everything is undone when it raises."""
        return await self.write_as(Priority.WORK, work, *args, **kwargs)

    async def write_as(
        self, priority: Priority, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`write`, with another place in the queue for SQLite's writer."""
        signals: set[str] = set()
        # What is more urgent is bookkeeping on the way (tokens, limits), not what the request is about.
        adds = beside.get() if priority is not Priority.CALLBACK else None
        result = await self._store.write(priority, lambda conn: _run_work(conn, signals, adds, work, args, kwargs))
        if adds is not None:
            adds.committed()
        if signals:
            self._tell(signals)
        return result

    def together(
        self, many: Callable[[Connection, list[Row]], list[T]], row: Row, priority: Priority = Priority.WORK
    ) -> "asyncio.Future[T]":
        """Group commit: what waits for the same `many(conn, rows) -> results` is written in one transaction.

        The future has this row's result once the COMMIT is on disk. A failing batch is repeated row by row, so that one bad
        row cannot fail its neighbours.
        """
        group = self._groups.get(many)
        if group is None:
            group = self._groups[many] = _Group(lambda rows: self.write_as(priority, many, rows), BATCH_ROWS[priority])
        return group.add(row)

    def read_together(self, many: Callable[[Connection, list[Row]], list[T]], row: Row) -> "asyncio.Future[T]":
        """`read` for what is asked a thousand times a second, one by one: who waits is answered by one `many`."""
        group = self._groups.get(many)
        if group is None:
            group = self._groups[many] = _Group(lambda rows: self.read(many, rows), BATCH_ROWS[Priority.CALLBACK])
        return group.add(row)

    async def close(self) -> None:
        """Finish what is being written, then close every connection."""
        for group in self._groups.values():
            await group.drain()
        await self._store.close()

    def on_commit(self, tell: Callable[[set[str]], None]) -> None:
        """After each COMMIT of ours, `tell` gets the signals that `signal()` left in its transaction."""
        self._tell = tell

    def listener(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection of its own, for LISTEN/NOTIFY (PostgreSQL only)."""
        return self._store.listener()


def signal(conn: Connection, name: str) -> None:
    """Tell this process, and on PostgreSQL every other one, about something once the transaction is committed."""
    conn.info.setdefault("signals", set()).add(name)


def _run_work(
    conn: Connection,
    signals: set[str],
    adds: Beside | None,
    work: Callable[..., T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    """`info` belongs to the connection: what a transaction left there that was undone is not this one's."""
    for left in ("signals", "changes"):
        conn.info.pop(left, None)
    conn.info["is_logged"] = adds is not None
    result = work(conn, *args, **kwargs)
    if adds is not None:
        adds.before_commit(conn)
    signals |= conn.info.pop("signals", set())
    if signals and conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_notify('scrm', :names)"), {"names": " ".join(sorted(signals))})
    return result


class _SqliteFile:
    """One aiosqlite connection that writes, a few threads that read.

    A piece of work is one hop to a thread, whatever it asks: a hop per statement costs more than the statements. So
    the work runs in aiosqlite's own thread, with SQLAlchemy's plain connection on the one that aiosqlite opened there.
    """

    def __init__(self, url: URL) -> None:
        self._turn = _Turnstile()
        self._path = _sqlite_path(url)
        self._file: aiosqlite.Connection | None = None
        self._writer: Engine | None = None
        self._reader = _sqlite_reader(url)
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="db-read")

    async def read(self, work: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._reader.connect() as conn:
                return work(conn)

        # Log lines of the work carry the correlation of whoever asked for it.
        here = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._read_threads, lambda: here.run(run))

    async def write(self, priority: Priority, work: Callable[[Connection], T]) -> T:
        """A transaction that has begun is finished, also when nobody waits for it any more."""
        await self._turn.enter(priority)
        writing = asyncio.ensure_future(self._write(work))
        writing.add_done_callback(lambda _: self._turn.leave())
        return await asyncio.shield(writing)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        file, writer = await self._open()

        def run() -> T:
            with writer.begin() as conn:
                return work(conn)

        # aiosqlite offers statements one by one; this is what each of them is made of.
        here = contextvars.copy_context()
        return cast(T, await file._execute(here.run, run))  # type: ignore[no-untyped-call]

    async def _open(self) -> tuple[aiosqlite.Connection, Engine]:
        """Whoever has the turn opens the file, once."""
        if self._file is None or self._writer is None:
            file = await aiosqlite.connect(self._path)
            self._file, self._writer = file, _sqlite_writer(lambda: file._conn)
        return self._file, self._writer

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._read_threads, lambda: None)  # behind whatever runs there
        self._reader.dispose()
        self._read_threads.shutdown(wait=True)
        if self._file is not None:
            await self._file.close()

    def listener(self) -> AbstractAsyncContextManager[AsyncConnection]:
        raise NotImplementedError("SQLite is one process: nobody else has anything to tell")


_TRIES = 3
_BEGIN_ANEW = {"40P01", "40001"}  # deadlock detected, serialization failure


class _PostgresqlPool:
    """Connections that write, and connections that cannot.

    A statement sees what is committed when it begins, in a transaction or not: those that read need neither BEGIN nor
    ROLLBACK, which cost as much as two statements.
    """

    def __init__(self, url: URL, size: int) -> None:
        # One of them listens, others may wait for a row.
        self._engine = _postgresql(url, size + 4)
        self._reader = _postgresql(url, size, {"default_transaction_read_only": "on"}, isolation_level="AUTOCOMMIT")

    async def read(self, work: Callable[[Connection], T]) -> T:
        """One hop for the connection, the work and the giving back: AsyncConnection makes three, and a task to close."""

        def run() -> T:
            with self._reader.sync_engine.connect() as conn:
                return work(conn)

        return await greenlet_spawn(run)

    async def write(self, priority: Priority, work: Callable[[Connection], T]) -> T:
        """PostgreSQL ends one of two transactions that wait for each other crosswise; that one begins anew."""
        for _ in range(_TRIES - 1):
            try:
                return await self._write(work)
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", "") not in _BEGIN_ANEW:
                    raise
        return await self._write(work)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.begin() as conn:
            return await conn.run_sync(work)

    async def close(self) -> None:
        await self._engine.dispose()
        await self._reader.dispose()

    def listener(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._engine.connect()


class _Turnstile:
    """Lets one writer through at a time, the most urgent first, and the longest waiting among equals."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._busy = False

    async def enter(self, priority: Priority) -> None:
        if not self._busy:
            self._busy = True
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (int(priority), next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


class _Group(Generic[Row, T]):
    """Rows that wait for the same function; `run(rows) -> results` is its transaction, of `most` rows at a time."""

    def __init__(self, run: Callable[[list[Row]], Awaitable[list[T]]], most: int) -> None:
        self._run, self._most = run, most
        self._rows: list[tuple[Row, asyncio.Future[T]]] = []
        self._writer: asyncio.Task[None] | None = None

    def add(self, row: Row) -> asyncio.Future[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._rows.append((row, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return done

    async def drain(self) -> None:
        if self._writer is not None:
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        beside.set(None)
        while self._rows:
            batch, self._rows = self._rows[: self._most], self._rows[self._most :]
            try:
                await self._commit(batch)
            except Exception as error:
                if len(batch) > 1 and _is_about_a_row(error):
                    await self._one_by_one(batch)
                else:
                    for _, done in batch:
                        _fail(done, error)
            except BaseException as error:
                for _, done in batch:
                    _fail(done, ConnectionError(f"the writer was stopped: {type(error).__name__}"))
                raise

    async def _commit(self, batch: list[tuple[Row, "asyncio.Future[T]"]]) -> None:
        rows = [row for row, _ in batch]
        results = await self._run(rows)
        for (_, done), result in zip(batch, results, strict=True):
            if not done.done():
                done.set_result(result)

    async def _one_by_one(self, batch: list[tuple[Row, "asyncio.Future[T]"]]) -> None:
        for row in batch:
            try:
                await self._commit([row])
            except Exception as error:
                _fail(row[1], error)


def _is_about_a_row(error: Exception) -> bool:
    """A full disk, a lock or a lost connection would fail each row alike, one long wait after the other."""
    return not isinstance(error, OperationalError | InterfaceError | PoolTimeout | OSError)


def _fail(done: "asyncio.Future[Any]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# Chinese stays readable in the database, and it is faster; errors name statements without people's data.
_OPTIONS: dict[str, Any] = {
    "json_serializer": _to_json,
    "json_deserializer": msgspec.json.decode,
    "hide_parameters": True,
}


def _sqlite_path(url: URL) -> str:
    path = url.database or ""
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return path


# Another program that has the file is waited for so long.
BUSY_MILLIS = 5000
_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # 16 MB: a checkpoint stops the writer; of 80 MB it was seen in the p99 of callbacks.
    "PRAGMA wal_autocheckpoint=4000",
    "PRAGMA journal_size_limit=67108864",
    "PRAGMA cache_size=-65536",
    "PRAGMA temp_store=MEMORY",
)


def _sqlite_writer(connection: Callable[[], sqlite3.Connection]) -> Engine:
    engine = create_engine("sqlite+pysqlite://", creator=connection, poolclass=StaticPool, **_OPTIONS)

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: sqlite3.Connection, record: Any) -> None:
        # The driver's own implicit BEGIN loses updates silently; BEGIN IMMEDIATE below takes the lock first.
        dbapi.isolation_level = None
        for pragma in (f"PRAGMA busy_timeout={BUSY_MILLIS}", *_PRAGMAS):
            dbapi.execute(pragma)

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite_reader(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"),
        poolclass=QueuePool,
        pool_size=READERS,
        max_overflow=0,
        connect_args={"check_same_thread": False},
        **_OPTIONS,
    )

    @event.listens_for(engine, "connect")
    def on_connect(dbapi: sqlite3.Connection, record: Any) -> None:
        dbapi.isolation_level = None
        for pragma in (f"PRAGMA busy_timeout={BUSY_MILLIS}", "PRAGMA cache_size=-65536", "PRAGMA query_only=ON"):
            dbapi.execute(pragma)

    @event.listens_for(engine, "begin")
    def on_begin(conn: Connection) -> None:
        conn.exec_driver_sql("BEGIN")

    return engine


def _postgresql(url: URL, pool_size: int, server: dict[str, str] | None = None, **options: Any) -> AsyncEngine:
    return create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        # A new connection prepares every statement anew, for a quarter of a second in all: the same few do the work, and
        # nobody gets one for a single use.
        pool_size=pool_size,
        max_overflow=0,
        pool_use_lifo=True,
        pool_timeout=60,
        # Compiling a statement takes longer than any of ours runs: half a second of a report's one.
        # What is seldom used stays alive behind firewalls that forget the silent.
        connect_args={"server_settings": {"jit": "off", "tcp_keepalives_idle": "60", **(server or {})}},
        **_OPTIONS,
        **options,
    )
