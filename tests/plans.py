"""How the database would find what a function asks for."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.event import listen, remove


def plans_of(conn: Connection, act: Callable[[Connection], Any]) -> list[str]:
    """A plan for each statement of `act`, as for tables that are large; of a connection in a transaction (`db.write`)."""
    asked: list[Any] = []

    def note(_: Any, clause: Any, *rest: Any) -> None:
        asked.append(clause)

    listen(conn, "before_execute", note)
    act(conn)
    remove(conn, "before_execute", note)
    return [plan_of(conn, query) for query in asked]


def plan_of(conn: Connection, query: Any) -> str:
    compiled = str(query.compile(conn, compile_kwargs={"literal_binds": True}))
    if conn.dialect.name == "sqlite":
        return " ".join(str(row[3]) for row in conn.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))
    conn.execute(text("SET LOCAL enable_seqscan = off"))  # a test's tables are small
    return "\n".join(row[0] for row in conn.execute(text(f"EXPLAIN {compiled}")))
