"""What was bought in each hour, beside the orders: triggers keep it in the transaction that changes an order.

Orders are written on several ways (one by one, by the thousand, from files); whoever writes them need not think of it.
`install` runs after the migrations, which may have made the table anew and its triggers with it gone.
"""

# ruff: noqa: S608 - every name in these statements is one of ours

from collections.abc import Iterator
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, delete, func, literal_column, select, text

from scrm.commerce.models import IS_PURCHASE, order_hour, orders
from scrm.db.bulk import insert_rows

HOUR = 3_600_000
_SEEN = ("paid_at", "channel", "paid_fen", "refunded_fen", "is_test", "payment_status")
_COUNTED = ("orders", "paid_fen", "refunded_fen")
_SUMS = "count(*) AS orders, sum(paid_fen) AS paid_fen, sum(refunded_fen) AS refunded_fen"
_ADD = (
    "ON CONFLICT (hour, channel) DO UPDATE SET orders = order_hour.orders + excluded.orders,"
    " paid_fen = order_hour.paid_fen + excluded.paid_fen,"
    " refunded_fen = order_hour.refunded_fen + excluded.refunded_fen"
)


def install(conn: Connection) -> None:
    """Make the triggers; safe to repeat."""
    for statement in _of_sqlite() if conn.dialect.name == "sqlite" else _of_postgresql():
        conn.exec_driver_sql(statement)


def differing(conn: Connection) -> int:
    """How many hours do not say what the orders say."""
    return len({row[:2] for row in _kept(conn) ^ _counted(conn)})


def recount(conn: Connection) -> int:
    """Count all hours anew from the orders; returns how many hours differed. The caller has the turn of orders."""
    kept, counted = _kept(conn), _counted(conn)
    if kept != counted:
        conn.execute(delete(order_hour))
        names = [column.name for column in order_hour.c]
        insert_rows(conn, order_hour, [dict(zip(names, row, strict=True)) for row in sorted(counted)])
    return len({row[:2] for row in kept ^ counted})


def _kept(conn: Connection) -> set[tuple[Any, ...]]:
    return _rows(conn, select(order_hour).where(order_hour.c.orders != 0))


def _counted(conn: Connection) -> set[tuple[Any, ...]]:
    hour: ColumnElement[int] = literal_column(f"orders.paid_at / {HOUR}", BigInteger())
    sums = (func.count(), func.sum(orders.c.paid_fen), func.sum(orders.c.refunded_fen))
    return _rows(conn, select(hour, orders.c.channel, *sums).where(text(IS_PURCHASE)).group_by(hour, orders.c.channel))


def _rows(conn: Connection, query: Any) -> set[tuple[Any, ...]]:
    return {(int(hour), channel, *map(int, sums)) for hour, channel, *sums in conn.execute(query)}


def _is_purchase(row: str) -> str:
    words = IS_PURCHASE
    for name in ("paid_at", "paid_fen", "is_test", "payment_status"):
        words = words.replace(name, f"{row}.{name}")
    return words


def _of_sqlite() -> Iterator[str]:
    # A new row first fails to be inserted where its hour is known: WHERE TRUE parts the SELECT from ON CONFLICT.
    put = (
        "INSERT INTO order_hour (hour, channel, orders, paid_fen, refunded_fen)"
        " SELECT new.paid_at / {hour}, new.channel, 1, new.paid_fen, new.refunded_fen WHERE {is_bought} {add};"
    ).format(hour=HOUR, is_bought=_is_purchase("new"), add=_ADD)
    take = (
        "UPDATE order_hour SET orders = orders - 1, paid_fen = paid_fen - old.paid_fen,"
        " refunded_fen = refunded_fen - old.refunded_fen"
        f" WHERE hour = old.paid_at / {HOUR} AND channel = old.channel AND {_is_purchase('old')};"
    )
    changed = " OR ".join(f"old.{name} IS NOT new.{name}" for name in _SEEN)
    yield from _trigger("insert", f"AFTER INSERT ON orders WHEN {_is_purchase('new')}", put)
    yield from _trigger("update", f"AFTER UPDATE OF {', '.join(_SEEN)} ON orders WHEN {changed}", f"{take} {put}")
    yield from _trigger("delete", "AFTER DELETE ON orders", take)


def _trigger(kind: str, occasion: str, body: str) -> Iterator[str]:
    yield f"DROP TRIGGER IF EXISTS order_hour_{kind}"
    yield f"CREATE TRIGGER order_hour_{kind} {occasion} BEGIN {body} END"


def _of_postgresql() -> Iterator[str]:
    """For a whole statement at once: an import writes a thousand orders with one."""
    groups = f"WHERE {IS_PURCHASE} GROUP BY paid_at / {HOUR}, channel"
    put = (
        "INSERT INTO order_hour (hour, channel, orders, paid_fen, refunded_fen)"
        f" SELECT paid_at / {HOUR}, channel, count(*), sum(paid_fen), sum(refunded_fen) FROM new_rows {groups} {_ADD};"
    )
    sums = ", ".join(f"{name} = order_hour.{name} - gone.{name}" for name in _COUNTED)
    take = (
        f"UPDATE order_hour SET {sums} FROM (SELECT paid_at / {HOUR} AS hour, channel, {_SUMS} FROM old_rows {groups})"
        " AS gone WHERE order_hour.hour = gone.hour AND order_hour.channel = gone.channel;"
    )
    olds, news = "OLD TABLE AS old_rows", "NEW TABLE AS new_rows"
    for kind, tables, body in (
        ("insert", news, put),
        ("update", f"{olds} {news}", f"{take} {put}"),
        ("delete", olds, take),
    ):
        yield (
            f"CREATE OR REPLACE FUNCTION order_hour_{kind}() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN {body} RETURN NULL; END $$"
        )
        yield f"DROP TRIGGER IF EXISTS order_hour_{kind} ON orders"
        yield (
            f"CREATE TRIGGER order_hour_{kind} AFTER {kind.upper()} ON orders REFERENCING {tables}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION order_hour_{kind}()"
        )
