"""The same questions asked of DuckDB: filled by itself, asked in its own words; it shares nothing with what it checks."""

import os
from collections.abc import Sequence
from datetime import datetime

import duckdb

_TABLES = {
    "person": "id BIGINT, name VARCHAR, created_at BIGINT",
    "follow_user": "userid VARCHAR, external_userid VARCHAR, person_id BIGINT, followed_at BIGINT, ended_by VARCHAR"
    " DEFAULT ''",
    "person_stat": "person_id BIGINT, orders INT, paid_orders INT, paid_fen BIGINT, open_refunds INT, first_paid_at"
    " BIGINT, last_paid_at BIGINT",
    "corp_tag": "tag_id VARCHAR, tag_name VARCHAR",
    "follow_user_tag": "userid VARCHAR, external_userid VARCHAR, tag_id VARCHAR, tag_name VARCHAR",
    "event": "name VARCHAR, person_id BIGINT, facts VARCHAR, occurred_at BIGINT, received_at BIGINT",
    "person_value": "person_id BIGINT, rfm VARCHAR, life VARCHAR, r INT, changed_at BIGINT",
    "orders": "channel VARCHAR, order_no VARCHAR, person_id BIGINT, status VARCHAR, payment_status VARCHAR, paid_fen"
    " BIGINT, refunded_fen BIGINT, is_test BOOLEAN, ordered_at BIGINT, paid_at BIGINT, first_seen_at BIGINT,"
    " last_seen_at BIGINT",
}
_DAY = 86_400_000


def count(persons: int, statements: Sequence[str], question: str, now: datetime) -> int:
    """How many persons a question by hand finds; its division of whole numbers is written as DuckDB writes it."""
    asked = question.replace(":now", str(_millis(now))).replace(" / 86400000", " // 86400000")
    with _filled(persons, statements) as kept:
        (found,) = kept.execute(asked).fetchone() or (0,)
    return int(found)


def classes(persons: int, statements: Sequence[str], now: datetime) -> dict[str, int]:
    """Buyers by RFM class: the usual steps over 365 days, high from 3 on."""
    begin = _millis(now) - 365 * _DAY
    bought = f"""SELECT person_id, count(*) AS f, sum(paid_fen - refunded_fen) AS m, max(paid_at) AS last_at FROM orders
        WHERE paid_fen > refunded_fen AND paid_at >= {begin} GROUP BY person_id"""
    letters = f"""({_millis(now)} - last_at <= {180 * _DAY})::INT || '' || (f >= 3)::INT || '' || (m >= 30000)::INT"""
    with _filled(persons, statements) as kept:
        return dict(kept.execute(f"SELECT {letters}, count(*) FROM ({bought}) GROUP BY 1").fetchall())


def _filled(persons: int, statements: Sequence[str]) -> duckdb.DuckDBPyConnection:
    kept = duckdb.connect(config={"threads": os.cpu_count() or 1})
    for table, columns in _TABLES.items():
        kept.execute(f"CREATE TABLE {table} ({columns})")
    kept.execute(f"CREATE TABLE numbers AS SELECT range::BIGINT AS n FROM range(1, {persons + 1})")
    for statement in statements:
        kept.execute(statement)
    return kept


def _millis(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
