"""Words for an order's state that nobody knew: counted, shown, and read as a manager says from then on."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from scrm import audit
from scrm.commerce.canonical import Order, Refund
from scrm.commerce.connectors.aftersale import AFTERSALE, NO_CASE
from scrm.commerce.connectors.reader import normalise_heading
from scrm.commerce.connectors.status_words import MOST_WORDS, Seen, add, ended, of_case
from scrm.commerce.models import order_status_word
from scrm.db import upsert
from scrm.errors import Invalid

# What a word may mean, as a form offers it.
STATUSES: Mapping[str, str] = {
    "pending_payment": "待付款",
    "paid": "已付款，待发货",
    "partially_shipped": "部分发货",
    "shipped": "已发货",
    "completed": "交易成功",
    "closed": "交易关闭（没付款的记为已取消）",
}

# What a word for an after-sale case may mean.
CASES: Mapping[str, str] = {
    "none": "没有售后",
    "requested": "申请中",
    "agreed": "商家已同意",
    "waiting_return": "等待寄回",
    "returned_in_transit": "退货途中",
    "refunding": "退款中",
    "refunded": "已退款",
    "rejected": "已拒绝",
    "cancelled": "已撤销",
    "failed": "退款失败",
}

_FILE = "file:"


def meanings(word: str) -> Mapping[str, str]:
    """What a word may mean."""
    return CASES if word.startswith(AFTERSALE) else STATUSES


def of_file(format_key: str) -> str:
    """The source of a file's words; no section of the settings can be called so."""
    return f"{_FILE}{format_key}"


def settle(conn: Connection, source: str, orders: Sequence[Order], *, now: datetime) -> None:
    """Read live orders of unknown states as the manager says, in place; note the words that nobody knows."""
    strange = [order for order in orders if order.status == "unknown" and order.raw_status]
    cases = [(order, case) for order in orders for case in order.refunds or () if _is_strange(case)]
    if not strange and not cases:
        return
    own, words = own_words(conn, source), dict[str, Seen]()
    for order in strange:
        if (status := own.get(normalise_heading(order.raw_status))) is not None:
            order.status = ended(status, order.paid_at is not None)  # type: ignore[assignment]
        else:
            add(words, (order.raw_status,), order)
    for order, case in cases:
        word = of_case(case.raw_status)
        if (status := own.get(normalise_heading(word))) is not None:
            case.status = "cancelled" if status == NO_CASE else status  # type: ignore[assignment]
        else:
            add(words, (word,), order)
    note(conn, source, words, now=now)


def _is_strange(case: Refund) -> bool:
    return case.status == "unknown" and case.raw_status != ""


def own_words(conn: Connection, source: str) -> dict[str, str]:
    """What a manager says, by normalised word."""
    table = order_status_word.c
    rows = conn.execute(select(table.word, table.status).where(table.source == source[:80], table.status != ""))
    return {normalise_heading(row.word): row.status for row in rows}


def note(conn: Connection, source: str, words: Mapping[str, Seen], *, now: datetime) -> None:
    """Add to what was counted before; beyond MOST_WORDS of a source only known words are counted on."""
    if not words:
        return
    table = order_status_word
    known = set(conn.execute(select(table.c.word).where(table.c.source == source[:80])).scalars())
    for text, seen in sorted(words.items()):
        word = text.replace("\0", "")
        if word not in known and len(known) >= MOST_WORDS:
            continue
        known.add(word)
        values = {
            "seen": seen.times,
            "order_no": seen.order_no,
            "taken_as": seen.taken_as,
            "first_at": now,
            "last_at": now,
        }
        statement = upsert(table, conn).values(source=source[:80], word=word, **values)
        again = {"seen": table.c.seen + seen.times, "last_at": now}
        conn.execute(statement.on_conflict_do_update(index_elements=["source", "word"], set_=again))


def list_words(conn: Connection, sources: Collection[str] | None = None) -> list[Row[Any]]:
    """Of these sources, or of all files: those without a meaning first, and of them what came most often."""
    table = order_status_word.c
    of = table.source.startswith(_FILE) if sources is None else table.source.in_(list(sources))
    query = select(order_status_word).where(of, (table.seen > 0) | (table.status != ""))
    order = (table.status != "", table.seen.desc(), table.source, table.word)
    return list(conn.execute(query.order_by(*order).limit(MOST_WORDS)))


def count_strange(conn: Connection) -> int:
    """Words that nobody has said the meaning of."""
    return int(
        conn.execute(
            select(func.count()).where(order_status_word.c.status == "", order_status_word.c.seen > 0)
        ).scalar_one()
    )


def map_word(conn: Connection, source: str, word: str, status: str, *, by: str, now: datetime) -> bool:
    """From now on the word means this; '' takes it back; whether that is new. Raises Invalid for what is no status."""
    if status and status not in meanings(word):
        raise Invalid(
            f"没有{'售后状态' if word.startswith(AFTERSALE) else '订单状态'}“{status[:30]}”，请从列表里选一个"
        )
    table = order_status_word
    key = {"source": source[:80], "word": word[:80]}
    before = conn.execute(select(table.c.status).filter_by(**key)).scalar_one_or_none()
    if status == (before or ""):
        return False
    # Counted anew: the number says how many came while nobody knew.
    values = {"status": status, "mapped_by": by if status else "", "seen": 0, "last_at": now}
    statement = upsert(table, conn).values(**key, **values, first_at=now)
    conn.execute(statement.on_conflict_do_update(index_elements=["source", "word"], set_=values))
    audit.changed(conn, "status_word", f"{source}/{word}"[:120], {"status": before or ""}, {"status": status})
    return True
