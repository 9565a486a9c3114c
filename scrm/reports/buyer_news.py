"""Whose purchases have changed: triggers on orders tell it in the same transaction, whoever writes the orders.

`install` runs after the migrations, which may have made the table anew and its triggers with it gone.
"""

# ruff: noqa: S608 - every name in these statements is one of ours

from collections.abc import Iterator

from sqlalchemy import Connection

from scrm.commerce.models import IS_PURCHASE

_SEEN = ("person_id", "paid_at", "paid_fen", "refunded_fen", "is_test", "payment_status")
# With DO NOTHING a row that the tick is just taking away would not come back (PostgreSQL locks what it updates).
_TOLD = "ON CONFLICT (person_id) DO UPDATE SET due_at = NULL WHERE report_buyer_news.due_at IS NOT NULL"


def install(conn: Connection) -> None:
    """Make the triggers; safe to repeat."""
    for statement in _of_sqlite() if conn.dialect.name == "sqlite" else _of_postgresql():
        conn.exec_driver_sql(statement)


def _is_bought(row: str) -> str:
    words = IS_PURCHASE
    for name in ("paid_at", "paid_fen", "is_test", "payment_status"):
        words = words.replace(name, f"{row}.{name}")
    return f"{row}.person_id IS NOT NULL AND {words}"


def _of_sqlite() -> Iterator[str]:
    def tell(row: str) -> str:
        return f"INSERT INTO report_buyer_news (person_id) SELECT {row}.person_id WHERE {_is_bought(row)} {_TOLD};"

    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in _SEEN)
    for kind, occasion, body in (
        ("insert", f"AFTER INSERT ON orders WHEN {_is_bought('new')}", tell("new")),
        ("update", f"AFTER UPDATE OF {', '.join(_SEEN)} ON orders WHEN {changed}", f"{tell('old')} {tell('new')}"),
        ("delete", "AFTER DELETE ON orders", tell("old")),
    ):
        yield f"DROP TRIGGER IF EXISTS report_buyer_{kind}"
        yield f"CREATE TRIGGER report_buyer_{kind} {occasion} BEGIN {body} END"


def _of_postgresql() -> Iterator[str]:
    """For a whole statement at once: an import writes a thousand orders with one."""
    seen = ", ".join(("id", *_SEEN))
    olds, news = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
    both = (
        f"(SELECT {seen} FROM old_rows EXCEPT SELECT {seen} FROM new_rows)"
        f" UNION ALL (SELECT {seen} FROM new_rows EXCEPT SELECT {seen} FROM old_rows)"
    )
    for kind, tables, rows in (
        ("insert", news, f"SELECT {seen} FROM new_rows"),
        ("update", f"{olds} {news}", both),
        ("delete", olds, f"SELECT {seen} FROM old_rows"),
    ):
        # In order, so that two who tell of the same persons do not wait for each other crosswise.
        told = f"SELECT DISTINCT person_id FROM ({rows}) AS seen WHERE {_is_bought('seen')} ORDER BY person_id"
        body = f"INSERT INTO report_buyer_news (person_id) {told} {_TOLD};"
        yield (
            f"CREATE OR REPLACE FUNCTION report_buyer_{kind}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN NULL; END $$"
        )
        yield f"DROP TRIGGER IF EXISTS report_buyer_{kind} ON orders"
        yield (
            f"CREATE TRIGGER report_buyer_{kind} AFTER {kind.upper()} ON orders REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION report_buyer_{kind}()"
        )
