"""PostgreSQL databases that are emptied and used again: a tenth of the work of copying the template for each test."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import asyncpg

from tests.postgresql_server import Server

T = TypeVar("T")

# What tells that a test changed more than rows; such a database is not used again.
SHAPE = """
    SELECT count(*), sum(oid::bigint), sum(relnatts), sum(relchecks), sum(relhastriggers::int),
           (SELECT string_agg(version_num, ' ' ORDER BY version_num) FROM alembic_version)
    FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
SEQUENCES = "SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
END_OTHERS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
MUCH_BYTES = 1 << 18  # dead rows of that much are not left for the next test to read over


class Shelf:
    """Hands out migrated databases; `with` opens it, its template is the caller's to migrate."""

    template = "scrm_template"

    def __init__(self, server: Server) -> None:
        self.server = server
        self._free: list[str] = []
        self._made = 0
        self._connections: dict[str, asyncpg.Connection] = {}
        self._shapes: dict[str, tuple[Any, ...]] = {}
        self._which = ""

    def __enter__(self) -> "Shelf":
        # A loop of its own: asyncpg's connections outlive the loops of the tests.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server.execute(f"CREATE DATABASE {self.template}")
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            self._run(connection.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def take(self) -> str:
        """The name of an empty database that nobody else has."""
        if self._free:
            return self._free.pop()
        self._made += 1
        name = f"scrm_{self._made}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE {self.template}")
        self._run(self._look(name))
        return name

    def give_back(self, name: str) -> None:
        """Empty it for the next one; a database whose tables are not what they were is dropped."""
        if self._run(self._empty(name)):
            self._free.append(name)
        else:
            self._run(self._connections.pop(name).close())
            self.server.execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def _look(self, name: str) -> None:
        connection = await asyncpg.connect(self.server.url(name))
        await connection.execute("SET session_replication_role = replica")  # no order among tables that refer
        self._connections[name] = connection
        self._shapes[name] = tuple(await connection.fetchrow(SHAPE))
        tables = [row[0] for row in await connection.fetch(TABLES)]
        self._which = " UNION ALL ".join(
            f"(SELECT '{table}', pg_relation_size('{table}') FROM {table} LIMIT 1)" for table in tables
        )

    async def _empty(self, name: str) -> bool:
        """Delete every row and start the numbers anew; False when the tables are not what they were."""
        connection = self._connections[name]
        await connection.execute(END_OTHERS)
        if tuple(await connection.fetchrow(SHAPE)) != self._shapes[name]:
            return False
        acts = [
            f'DELETE FROM "{table}"' if size < MUCH_BYTES else f'TRUNCATE "{table}" CASCADE'
            for table, size in await connection.fetch(self._which)
        ]
        acts += [f'ALTER SEQUENCE "{row[0]}" RESTART' for row in await connection.fetch(SEQUENCES)]
        if acts:
            await connection.execute(";".join(acts))
        return True

    def _run(self, work: "Coroutine[Any, Any, T]") -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)
