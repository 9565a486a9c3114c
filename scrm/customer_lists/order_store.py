"""SQL of the list of orders: a page along the time they were placed, what all of them add up to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, Select, cast, func, or_, select, tuple_, type_coerce

from scrm.access.scope import Scope, reaches
from scrm.commerce.models import order_hour, orders
from scrm.customer_lists.order_filters import Narrowed
from scrm.customer_lists.search import begins_with
from scrm.customer_lists.store import find_people
from scrm.db.tables import to_millis

PAGE = 50
# So many persons whom the words may mean, and so many orders that are added up.
_MEANT = 50
MOST_SUMMED = 500_000
_SHOWN = (
    orders.c.id,
    orders.c.order_no,
    orders.c.channel,
    orders.c.shop_key,
    orders.c.person_id,
    orders.c.status,
    orders.c.raw_status,
    orders.c.aftersale_status,
    orders.c.ordered_at,
    orders.c.delivered_at,
    orders.c.paid_fen,
    orders.c.refunded_fen,
    orders.c.route,
    orders.c.is_test,
)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of orders, the newest first; `before` is where the next one begins."""

    rows: Sequence[Row[Any]]
    before: str = ""


class Sums(NamedTuple):
    """Of everything that fits, or of the newest MOST_SUMMED of it."""

    orders: int
    paid_fen: int
    refunded_fen: int

    @property
    def is_cut(self) -> bool:
        return self.orders >= MOST_SUMMED


def find_page(conn: Connection, narrowed: Narrowed, scope: Scope, *, before: str = "", limit: int = PAGE) -> Found:
    """Within the scope; an order whose buyer is unknown is shown to those who reach everybody."""
    if narrowed.problems:
        return Found(())
    at = _at(narrowed)
    query = _fitting(conn, select(*_SHOWN, at.label("at")), narrowed, scope)
    millis, _, number = before.partition(".")
    if _is_number(millis) and _is_number(number):
        query = query.where(tuple_(at, orders.c.id) < tuple_(int(millis), int(number)))
    rows = conn.execute(query.order_by(at.desc(), orders.c.id.desc()).limit(limit + 1)).all()
    if len(rows) <= limit:
        return Found(rows)
    return Found(rows[:limit], f"{rows[limit - 1].at}.{rows[limit - 1].id}")


def sum_up(conn: Connection, narrowed: Narrowed, scope: Scope) -> Sums:
    """Test orders are shown and not added up."""
    if narrowed.problems:
        return Sums(0, 0, 0)
    columns = orders.c.paid_fen, orders.c.refunded_fen
    fitting = _fitting(conn, select(*columns), narrowed, scope).where(orders.c.is_test.is_(False))
    some = fitting.order_by(_at(narrowed).desc()).limit(MOST_SUMMED).subquery()
    whole = (cast(func.coalesce(func.sum(each), 0), BigInteger) for each in (some.c.paid_fen, some.c.refunded_fen))
    return Sums(*map(int, conn.execute(select(func.count(), *whole).select_from(some)).one()))


def count_up_to(conn: Connection, narrowed: Narrowed, scope: Scope, *, most: int) -> int:
    """How many fit; `most` and one when there are more."""
    if narrowed.problems:
        return 0
    some = _fitting(conn, select(orders.c.id), narrowed, scope).limit(most + 1).subquery()
    return conn.scalar(select(func.count()).select_from(some)) or 0


def list_channels(conn: Connection) -> list[str]:
    """From which anything was ever bought."""
    return list(conn.scalars(select(order_hour.c.channel).distinct().order_by(order_hour.c.channel)))


def _at(narrowed: Narrowed) -> ColumnElement[int]:
    """When it was placed; of the few that words find also those of which that is not known."""
    placed = type_coerce(orders.c.ordered_at, BigInteger)
    return placed if narrowed.since else func.coalesce(placed, type_coerce(orders.c.first_seen_at, BigInteger))


def _fitting(conn: Connection, query: Select[Any], narrowed: Narrowed, scope: Scope) -> Select[Any]:
    wanted, o = narrowed.wanted, orders.c
    if not scope.is_whole:
        query = query.where(o.person_id.is_not(None), reaches(scope, o.person_id))
    if narrowed.since and narrowed.until:
        query = query.where(_span(narrowed.since, narrowed.until))
    if wanted.q:
        persons = find_people(conn, wanted.q, narrowed.phone_lookup, scope, limit=_MEANT)
        query = query.where(or_(begins_with(o.order_no, wanted.q), o.person_id.in_(persons)))
    if wanted.state:
        query = query.where(_is_in(wanted.state))
    for column, value in ((o.channel, wanted.channel), (o.route, wanted.route)):
        query = query.where(column == value) if value else query
    if narrowed.paid_from is not None:
        query = query.where(o.paid_fen >= narrowed.paid_from)
    return query if narrowed.paid_to is None else query.where(o.paid_fen <= narrowed.paid_to)


def _span(since: datetime, until: datetime) -> ColumnElement[bool]:
    placed = type_coerce(orders.c.ordered_at, BigInteger)
    return (placed >= to_millis(since)) & (placed < to_millis(until))


def _is_in(state: str) -> ColumnElement[bool]:
    """As scrm.commerce.words.order_state calls it."""
    o = orders.c
    if state == "aftersale":
        return o.aftersale_status.not_in(("", "none"))
    if state == "closed":
        return o.status.in_(("closed", "cancelled"))
    if state in ("shipped", "delivered"):
        return (o.status == "shipped") & (
            o.delivered_at.is_(None) if state == "shipped" else o.delivered_at.is_not(None)
        )
    return o.status == state


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
