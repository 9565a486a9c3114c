"""Orders that were kept while nobody knew a word: once a manager has said what it means, they are read again."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, literal_column, select

from scrm.commerce import kept, store
from scrm.commerce.canonical import allocate
from scrm.commerce.connectors import CONNECTORS
from scrm.commerce.connectors.aftersale import AFTERSALE, NO_CASE
from scrm.commerce.connectors.platform_file import dialect_of, is_paid_from
from scrm.commerce.connectors.status_words import ended
from scrm.commerce.merge import RANK
from scrm.commerce.models import order_status_word, orders, refund
from scrm.commerce.status_words import of_file
from scrm.db import Priority
from scrm.services import Services
from scrm.work import queue

KIND = "orders.restate"
CHUNK = 500
# How many orders are looked through at once for those that had a state before the word came.
STRIDE = 20_000

# Said in words, so that the partial indexes are used.
_STRANGE_ORDER: ColumnElement[bool] = literal_column("orders.status = 'unknown' AND orders.raw_status <> ''")
_STRANGE_CASE: ColumnElement[bool] = literal_column("refund.status = 'unknown'")


def ask(conn: Connection, source: str, word: str, *, now: datetime) -> None:
    """Have the orders that are kept with the word read again, in the background."""
    key = f"{KIND}:{source}:{word}"[:200]
    queue.add(conn, queue.Item("bulk", KIND, {"source": source, "word": word}, dedupe_key=key), now=now)


async def run_restate(services: Services, item: queue.Claimed) -> None:
    """Work of kind orders.restate: a few hundred orders a transaction; what is done is not found again."""
    source, word = str(item.payload["source"]), str(item.payload["word"])
    done = CHUNK
    while done == CHUNK:
        done = await services.db.write_as(Priority.IMPORT, restate, source, word, now=services.clock.now())
    if word.startswith(AFTERSALE):
        return
    after: int | None = 0
    while after is not None:
        after, ids = await services.db.read(find_later, source, word, after)
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            await services.db.write_as(Priority.IMPORT, raise_later, source, word, some, now=services.clock.now())


def restate(conn: Connection, source: str, word: str, *, now: datetime) -> int:
    """Read up to `CHUNK` orders with this word as it is mapped; returns how many there were."""
    found = _mapped(conn, order_status_word.c.source == source, order_status_word.c.word == word)
    if not found:
        return 0
    kept.take_turn(conn)
    ids = list(conn.execute(_ids(found[0]).limit(CHUNK)).scalars())
    if word.startswith(AFTERSALE):
        store.change_orders(conn, ids, lambda kept: _read_cases(kept, word, found[0].status), now=now)
    else:
        store.change_orders(conn, ids, lambda kept: _read_status(kept, found[0]), now=now)
    return len(ids)


def find_later(conn: Connection, source: str, word: str, after: int) -> tuple[int | None, list[int]]:
    """Orders that had a state already when the word came, among the next `STRIDE`; and where to go on, None at the end.

    No index knows them: a word is mapped now and then, and orders are looked through by their ids meanwhile.
    """
    table = orders.c
    last = conn.execute(select(func.max(table.id)).where(table.id <= after + STRIDE)).scalar_one() or 0
    beyond = conn.execute(select(func.min(table.id)).where(table.id > after + STRIDE)).scalar_one()
    found = _mapped(conn, order_status_word.c.source == source, order_status_word.c.word == word)
    if not found or last <= after:
        return (beyond - 1 if found and beyond is not None else None), []
    here = select(table.id).where(table.id > after, table.id <= last)
    behind = (table.raw_status == word, table.status != "unknown", _came(found[0]))
    ids = list(conn.execute(here.where(*behind).order_by(table.id)).scalars())
    return (None if beyond is None else beyond - 1), ids


def raise_later(conn: Connection, source: str, word: str, ids: Collection[int], *, now: datetime) -> None:
    """Read these as the word is mapped, as its file would be read again: a state goes on and never back."""
    for row in _mapped(conn, order_status_word.c.source == source, order_status_word.c.word == word):
        kept.take_turn(conn)
        behind = (orders.c.raw_status == word, orders.c.status.in_(_behind(row.status)), orders.c.id.in_(ids))
        still = list(conn.execute(select(orders.c.id).where(*behind)).scalars())
        store.change_orders(conn, still, lambda kept, row=row: _read_status(kept, row), now=now)  # type: ignore[misc]


def _behind(status: str) -> list[str]:
    return [one for one, rank in RANK.items() if one != "unknown" and rank < min(RANK[status], RANK["cancelled"])]


def count_left(conn: Connection, sources: Collection[str] | None = None) -> int:
    """How many orders still wait to be read as these sources' words are mapped; None is all files."""
    table = order_status_word.c
    mine = table.source.startswith(of_file("")) if sources is None else table.source.in_(list(sources))
    return sum(
        conn.execute(select(func.count()).select_from(_ids(row).limit(100_000).subquery())).scalar_one()
        for row in _mapped(conn, mine)
    )


def _mapped(conn: Connection, *which: ColumnElement[bool]) -> list[Row[Any]]:
    """Words with a meaning; not those that another source may have left, which means something else by them."""
    table = order_status_word.c
    rows = conn.execute(select(order_status_word).where(table.status != "", *which)).all()
    return [row for row in rows if not _is_disputed(conn, row)]


def _is_disputed(conn: Connection, row: Row[Any]) -> bool:
    table, is_file = order_status_word.c, _is_file(row.source)
    if is_file and _channel(row.source):
        return False
    others = conn.execute(select(table.source).where(table.word == row.word, table.status != row.status)).scalars()
    return any(_is_file(other) == is_file and not _channel(other) for other in others)


def _is_file(source: str) -> bool:
    """Whether the word came with a file."""
    return source.startswith(of_file(""))


def _channel(source: str) -> str:
    """The platform whose own export it is, '' where orders of any channel may have come."""
    key = source.removeprefix(of_file(""))
    return key if _is_file(source) and key != "generic" and any(one.key == key for one in CONNECTORS) else ""


def _came(row: Row[Any]) -> ColumnElement[bool]:
    channel = _channel(row.source)
    came = orders.c.route == "file" if _is_file(row.source) else orders.c.route != "file"
    return and_(came, orders.c.channel == channel) if channel else came


def _ids(row: Row[Any]) -> Any:
    table, came = orders.c, _came(row)
    if row.word.startswith(AFTERSALE):
        text = row.word.removeprefix(AFTERSALE)
        joined = select(table.id).join(refund, refund.c.order_id == table.id)
        return joined.where(_STRANGE_CASE, refund.c.raw_status == text, came).distinct()
    return select(table.id).where(_STRANGE_ORDER, table.raw_status == row.word, came)


def _read_status(kept: kept.Kept, word: Row[Any]) -> None:
    row = kept.row
    row["status"] = ended(word.status, row["paid_at"] is not None)
    dialect = dialect_of(_channel(word.source))
    # Such an export tells no payment apart: its reader takes what was to be paid, once the state says that it was.
    if dialect is not None and row["paid_fen"] == 0 and is_paid_from(dialect, row["status"]):
        row["paid_fen"] = row["payable_fen"]
        weights = [0 if line["is_gift"] else line["unit_price_fen"] * line["qty"] for line in kept.lines]
        shares = allocate(row["paid_fen"], weights)
        kept.lines = [line | {"paid_fen": share} for line, share in zip(kept.lines, shares, strict=True)]


def _read_cases(kept: kept.Kept, word: str, status: str) -> None:
    text = word.removeprefix(AFTERSALE)
    kept.refunds = [
        case | {"status": status} if case["status"] == "unknown" and case["raw_status"] == text else case
        for case in kept.refunds
        if not (status == NO_CASE and case["status"] == "unknown" and case["raw_status"] == text)
    ]
