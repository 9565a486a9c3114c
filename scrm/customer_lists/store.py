"""SQL of the lists: who fits the filters, page by page, and how many.

Most pages are found among the newest of the order, so those are looked at one by one first. Only when they do not fill
the page is everybody asked, with each filter as a set: the work of a segment.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Label,
    Row,
    Select,
    String,
    exists,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from scrm.access.roles import OWN
from scrm.access.scope import Scope, reaches
from scrm.commerce.models import orders
from scrm.contact_ways.models import contact_way
from scrm.customer_lists.filters import Narrowed, Order, Wanted
from scrm.db.bulk import among
from scrm.db.tables import from_millis
from scrm.privacy.models import erasure
from scrm.profiles import models
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaf import is_among
from scrm.profiles.conditions.leaves_tags import with_tags
from scrm.profiles.conditions.tree import compile_asked, with_definitions
from scrm.profiles.models import external_contact, identity
from scrm.profiles.search import find_named
from scrm.profiles.tags import list_library
from scrm.segments.store import list_segments

# Names of their own, so that a condition of a segment inside does not mean these rows.
person = models.person.alias("listed")
stat = models.person_stat.alias("listed_stat")
follow = models.follow_user.alias("listed_follow")
reached = models.follow_user.alias("listed_reach")

PAGE = 50
# How many of an order are looked at one by one before everybody is asked.
WINDOW = 20_000
# How many of one name are taken at a time.
NAMED = 500
MOST_COUNTED = 10_000
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Found:
    """A page of ids; `before` is where the next one begins, `is_cut` when a search stopped before its end."""

    ids: Sequence[int]
    before: str = ""
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of an order begins: behind this value and id, or (no value) among those who have none."""

    id: int
    value: int | None = None
    has_value: bool = True

    @staticmethod
    def of(text: str) -> "Place | None":
        """What is no place is the top."""
        value, dot, number = text.rpartition(".")
        if not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        if not dot:
            return Place(int(number))
        if value == "-":
            return Place(int(number), None, has_value=False)
        is_whole = value.isascii() and value.isdigit() and len(value) <= 18
        return Place(int(number), int(value)) if is_whole else None

    def __str__(self) -> str:
        return f"{self.value}.{self.id}" if self.value is not None else f"{'' if self.has_value else '-.'}{self.id}"


def find_page(
    conn: Connection, narrowed: Narrowed, scope: Scope, now: datetime, *, before: str = "", limit: int = PAGE
) -> Found:
    """Persons within the scope who fit every filter, in the order that is asked for."""
    if narrowed.problems:
        return Found(())
    ask = _Ask(conn, narrowed, scope, now)
    if narrowed.wanted.q:
        return _called(ask, before, limit)
    order, goes_up = narrowed.wanted.order, bool(narrowed.wanted.up)
    place = Place.of(before)
    return _ordered(ask, order, goes_up, place, limit) if order.column else _by_id(ask, goes_up, place, limit)


def find_people(conn: Connection, text: str, phone_lookup: str, scope: Scope, *, limit: int) -> list[int]:
    """The newest persons within the scope whom the words mean; without words the newest of all."""
    ask = _Ask(conn, Narrowed(Wanted(q=text), phone_lookup=phone_lookup), scope, from_millis(0))
    if text:
        return list(_called(ask, "", limit).ids)
    return list(conn.scalars(ask.ids(as_sets=False).order_by(person.c.id.desc()).limit(limit)))


def count(conn: Connection, narrowed: Narrowed, scope: Scope, now: datetime) -> int:
    """How many fit, up to one more than `MOST_COUNTED`: more are not counted out."""
    if narrowed.problems:
        return 0
    ask = _Ask(conn, narrowed, scope, now)
    if narrowed.wanted.q:
        meant = among(conn, person.c.id, _meant(conn, narrowed, None, MOST_COUNTED + 1))
        query = ask.ids(as_sets=False).where(meant)
    else:
        query = ask.ids(as_sets=not _are_many(ask))
    some = query.limit(MOST_COUNTED + 1).subquery()
    return int(conn.execute(select(func.count()).select_from(some)).scalar_one())


def _are_many(ask: "_Ask") -> bool:
    """Whether so many fit, by a sample of all ids, that counting one by one ends soon; else sets are made once for all."""
    newest = ask.conn.scalar(select(func.max(models.person.c.id))) or 0
    sample = range(1, newest + 1, max(1, newest // _SAMPLE))
    among_these = ask.ids(as_sets=False).where(among(ask.conn, person.c.id, list(sample))).subquery()
    found = ask.conn.scalar(select(func.count()).select_from(among_these)) or 0
    fitting = found * newest // max(1, len(sample))
    # One by one walks newest * MOST_COUNTED / fitting persons; a set holds those who fit.
    return fitting * fitting > MOST_COUNTED * newest


def list_ids(
    conn: Connection, narrowed: Narrowed, scope: Scope, now: datetime, *, below: int | None, limit: int
) -> tuple[list[int], int | None]:
    """The next persons below an id whatever the order, and where to go on; None at the end."""
    if narrowed.problems:
        return [], None
    ask = _Ask(conn, narrowed, scope, now)
    query = ask.ids(as_sets=True)
    if below is not None:
        query = query.where(person.c.id < below)
    if narrowed.wanted.q:
        meant = _meant(conn, narrowed, below, limit)
        ids = list(conn.scalars(query.where(among(conn, person.c.id, meant)).order_by(person.c.id.desc())))
        return ids, meant[-1] if len(meant) == limit else None
    ids = list(conn.scalars(query.order_by(person.c.id.desc()).limit(limit)))
    return ids, ids[-1] if len(ids) == limit else None


# What is looked for by words ------------------------------------------------------------------------------------------


def find_exactly(conn: Connection, text: str, phone_lookup: str = "", *, most: int = 50) -> list[int]:
    """Persons whose contact, phone or order is exactly this, the newest first."""
    of_order = orders.c.order_no == text, orders.c.person_id.is_not(None)
    queries: list[Select[Any]] = [
        select(external_contact.c.person_id).where(external_contact.c.external_userid == text),
        select(orders.c.person_id).where(*of_order).limit(most),
    ]
    if phone_lookup:
        same = identity.c.kind == "mobile_e164", identity.c.scope == "", identity.c.value == phone_lookup
        queries.append(select(identity.c.person_id).where(*same))
    return sorted({person_id for query in queries for person_id in conn.scalars(query)}, reverse=True)


_TAIL = re.compile(r"\d{4}", re.ASCII)


def find_by_tail(conn: Connection, text: str, *, below: int | None = None, limit: int) -> list[int]:
    """Persons one of whose phones ends so; nobody for anything but four figures."""
    if not _TAIL.fullmatch(text):
        return []
    # As the index has it.
    ends = literal_column("substr(identity.mask, length(identity.mask) - 3)", String) == text
    query = select(identity.c.person_id).where(_literally("identity.kind = 'mobile_e164'"), ends)
    if below is not None:
        query = query.where(identity.c.person_id < below)
    return list(conn.scalars(query.distinct().order_by(identity.c.person_id.desc()).limit(limit)))


# The ways to a page ---------------------------------------------------------------------------------------------------


def _called(ask: "_Ask", before: str, limit: int) -> Found:
    """Of those who are meant, those whom the filters let through; the newest first, whatever the order."""
    place = Place.of(before)
    meant = _meant(ask.conn, ask.narrowed, place.id if place else None, NAMED)
    query = ask.ids(as_sets=False).where(person.c.id.in_(meant)).order_by(person.c.id.desc())
    ids = list(ask.conn.scalars(query.limit(limit + 1)))
    if len(ids) > limit:
        return Found(ids[:limit], str(Place(ids[limit - 1])))
    return Found(ids, str(Place(meant[-1])), is_cut=True) if len(meant) == NAMED else Found(ids)


def _meant(conn: Connection, narrowed: Narrowed, below: int | None, limit: int) -> list[int]:
    """Whom the words mean, the newest first: a contact, phone or order exactly, else a piece of a name.

    Four figures are the end of a phone, and may be a piece of a name too.
    """
    text = narrowed.wanted.q
    if exactly := find_exactly(conn, text, narrowed.phone_lookup):
        return [each for each in exactly if below is None or each < below]
    named = find_named(conn, text, below=below, limit=limit)
    return sorted({*named, *find_by_tail(conn, text, below=below, limit=limit)}, reverse=True)[:limit]


def _by_id(ask: "_Ask", goes_up: bool, place: Place | None, limit: int) -> Found:
    number = models.person.c.id
    way = _Way(goes_up, place, select(number), _Columns(number))
    rows = _in_two_steps(ask, way, ask.ids, limit)
    ids = [row.id for row in rows]
    return Found(ids[:limit], str(Place(ids[limit - 1])) if len(ids) > limit else "")


def _ordered(ask: "_Ask", order: Order, goes_up: bool, place: Place | None, limit: int) -> Found:
    """First who has a value, by it; then everybody else, the newest first."""
    found: list[Place] = []
    if place is None or place.has_value:
        found = _with_value(ask, order, goes_up, place, limit)
    if len(found) <= limit:
        start = place if place is not None and not place.has_value else None
        found += _without_value(ask, order, start, limit - len(found))
    ids = [each.id for each in found]
    return Found(ids[:limit], str(found[limit - 1]) if len(ids) > limit else "")


def _with_value(ask: "_Ask", order: Order, goes_up: bool, place: Place | None, limit: int) -> list[Place]:
    table = models.person_stat
    columns = _Columns(table.c.person_id, _raw(table, order))
    all_of_them: Any = select(columns.id, _raw(table, order)).where(_has_value(order, table.name))
    lead = _raw(stat, order)
    value = lead.label("value")

    def asked(*, as_sets: bool) -> Select[Any]:
        # The row of person_stat leads: its index is the order.
        return ask.ids(as_sets=as_sets, more=(value,), number=stat.c.person_id).where(_has_value(order, stat.name))

    way = _Way(goes_up, place, all_of_them, columns)
    return [Place(row.id, row.value) for row in _in_two_steps(ask, way, asked, limit)]


def _without_value(ask: "_Ask", order: Order, place: Place | None, limit: int) -> list[Place]:
    """The same by id, of those alone; nobody where a filter wants a value."""
    if ask.wants_value(order):
        return []
    table = models.person_stat
    number = models.person.c.id
    way = _Way(False, place and Place(place.id), select(number), _Columns(number))

    def asked(*, as_sets: bool) -> Select[Any]:
        has = exists(select(1).where(table.c.person_id == person.c.id, _has_value(order, table.name)))
        return ask.ids(as_sets=as_sets).where(~has)

    return [Place(row.id, None, has_value=False) for row in _in_two_steps(ask, way, asked, limit)]


def _raw(table: FromClause, order: Order) -> ColumnElement[int]:
    return type_coerce(table.c[order.column], BigInteger)


def _has_value(order: Order, name: str) -> ColumnElement[bool]:
    """As the partial index has it; a bound parameter would lose the index."""
    compared = "IS NOT NULL" if order.column.endswith("_at") else "> 0"
    return _literally(f"{name}.{order.column} {compared}")


def _literally(condition: str) -> ColumnElement[bool]:
    """Without a type of its own: SQLite would compare a boolean with 1, and lose the partial index."""
    return literal_column(condition)


class _Columns(NamedTuple):
    """By what a query is ordered, wherever that is."""

    id: ColumnElement[int]
    value: ColumnElement[int] | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """The order in which people are walked through; `everybody` of them without any filter."""

    goes_up: bool
    place: Place | None
    everybody: Select[Any]
    columns: _Columns

    def along(self, query: Select[Any], at: _Columns) -> Select[Any]:
        """The query in this order, behind the place."""
        if self.place is not None:
            query = query.where(self._compared(at, self.place, "<>"))
        columns = (at.id,) if at.value is None else (at.value, at.id)
        return query.order_by(*(columns if self.goes_up else (each.desc() for each in columns)))

    def upto(self, at: _Columns, edge: Place) -> ColumnElement[bool]:
        return self._compared(at, edge, "<=>=")

    def _compared(self, at: _Columns, place: Place, how: str) -> ColumnElement[bool]:
        """Behind a place, or not behind it."""
        sign = {("<>", True): ">", ("<>", False): "<", ("<=>=", True): "<=", ("<=>=", False): ">="}[how, self.goes_up]
        if at.value is None:
            return at.id.op(sign, is_comparison=True)(place.id)
        return tuple_(at.value, at.id).op(sign, is_comparison=True)(tuple_(literal(place.value), literal(place.id)))


def _in_two_steps(ask: "_Ask", way: _Way, asked: Callable[..., Select[Any]], limit: int) -> Sequence[Row[Any]]:
    """One row more than `limit`: among the first of the order where that is enough, else of everybody."""

    def ordered(query: Select[Any], *more: ColumnElement[bool]) -> Select[Any]:
        return way.along(query.where(*more), _columns(query)).limit(limit + 1)

    conn, first = ask.conn, asked(as_sets=False)
    if not ask.is_narrow:
        return conn.execute(ordered(first)).all()
    edge = conn.execute(way.along(way.everybody, way.columns).offset(WINDOW).limit(1)).first()
    more = () if edge is None else (way.upto(_columns(first), Place(edge[0], *edge[1:])),)
    rows = conn.execute(ordered(first, *more)).all()
    if len(rows) > limit or edge is None:
        return rows
    if conn.dialect.name == "sqlite":
        return conn.execute(ordered(asked(as_sets=True))).all()
    # With a LIMIT beside it PostgreSQL would walk the order and ask one by one, hoping to be done soon.
    fitting = asked(as_sets=True).cte("fitting").prefix_with("MATERIALIZED")
    return conn.execute(ordered(select(*fitting.c))).all()


def _columns(query: Select[Any]) -> _Columns:
    return _Columns(*(each.element if isinstance(each, Label) else each for each in query.selected_columns))


# What there is to choose from -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choices:
    """Values and titles of the filters; tags by their groups."""

    owners: dict[str, str]
    channels: dict[str, str]
    tags: dict[str, list[str]]
    segments: dict[str, str]

    def names(self) -> dict[str, dict[str, str]]:
        """Titles by the filter's name, for what is chosen."""
        return {"owner": self.owners, "channel": self.channels, "segment": self.segments}


def list_choices(conn: Connection) -> Choices:
    member, way = models.member, contact_way
    owners = select(member.c.userid, member.c.name).order_by(member.c.is_active.desc(), member.c.name).limit(1000)
    is_shops = way.c.state != "", way.c.inviter_id.is_(None)
    channels = select(way.c.state, way.c.title).where(*is_shops).order_by(way.c.title).limit(1000)
    tags: dict[str, list[str]] = {}
    for row in list_library(conn):
        tags.setdefault(row.group_name or "其他", []).append(row.tag_name)
    return Choices(
        {row.userid: row.name or row.userid for row in conn.execute(owners)},
        {row.state: row.title or row.state for row in conn.execute(channels)},
        tags,
        {row.key: row.title for row in list_segments(conn)},
    )


# What narrows ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ask:
    """Who asks for whom, and when."""

    conn: Connection
    narrowed: Narrowed
    scope: Scope
    now: datetime

    @property
    def is_narrow(self) -> bool:
        return self.narrowed.wanted.is_narrow or not self.scope.is_whole

    def ids(
        self,
        *,
        as_sets: bool,
        more: Sequence[ColumnElement[Any]] = (),
        number: ColumnElement[int] = person.c.id,
    ) -> Select[Any]:
        """The ids of everybody who fits."""
        gone = exists(select(1).where(erasure.c.person_id == person.c.id))
        of = person.outerjoin(stat, stat.c.person_id == person.c.id)
        if number is not person.c.id:
            of = stat.join(person, stat.c.person_id == person.c.id)
        query = select(number.label("id"), *more).select_from(of).where(~gone, self._reached(as_sets))
        return query.where(*self._filters(as_sets))

    def _reached(self, as_sets: bool) -> ColumnElement[bool]:
        if as_sets or self.scope.reach != OWN:
            return reaches(self.scope, person.c.id)
        # One by one: a member's whole list is not made for a page.
        userid = _unindexed(reached.c.userid) if self.conn.dialect.name == "sqlite" else reached.c.userid
        mine = userid == self.scope.userid, reached.c.ended_by != "member"
        return exists(select(1).where(reached.c.person_id == person.c.id, *mine))

    def wants_value(self, order: Order) -> bool:
        """Whether a filter leaves out everybody who has nothing in this column."""
        low, high = self.narrowed.ordered_from, self.narrowed.ordered_to
        return bool(self.narrowed.paid_from) if order.key == "paid" else bool(low or high)

    def _filters(self, as_sets: bool) -> Iterator[ColumnElement[bool]]:
        wanted = self.narrowed.wanted
        if wanted.stage:
            yield person.c.stage == wanted.stage
        ordered_at, paid = self._led(stat.c.last_order_at, as_sets), self._led(stat.c.paid_fen, as_sets)
        yield from _between(ordered_at, self.narrowed.ordered_from, self.narrowed.ordered_to)
        if self.narrowed.paid_from:
            if paid is stat.c.paid_fen:
                yield _literally(f"{stat.name}.paid_fen > 0")
            yield paid >= self.narrowed.paid_from
        if self.narrowed.paid_to is not None:
            yield func.coalesce(stat.c.paid_fen, 0) <= self.narrowed.paid_to
        yield from self._relations(as_sets)
        for tree in (wanted.tag_tree(), {"segment": wanted.segment} if wanted.segment else None):
            if tree is not None:
                yield self._fitting(tree, as_sets)

    def _led(self, column: ColumnElement[Any], as_sets: bool) -> ColumnElement[Any]:
        """A column whose index may lead: else SQLite would follow it, and sort everybody whom it finds."""
        is_order = self.narrowed.wanted.order.column == column.key and not self.narrowed.wanted.q
        if as_sets or is_order or self.conn.dialect.name != "sqlite":
            return column
        return _unindexed(column)

    def _fitting(self, tree: dict[str, Any], as_sets: bool) -> ColumnElement[bool]:
        """As conditions of segments have it: what is unknown or deleted is nobody's."""
        tree = with_definitions(self.conn, tree)
        return compile_asked(with_tags(self.conn, tree) if as_sets else tree, self._asked(as_sets))

    def _asked(self, as_sets: bool) -> Asked:
        joins = self.conn.dialect.name == "postgresql"
        return Asked(person.c.id, self.now, stat=stat, is_audience=as_sets, joins=joins)

    def _relations(self, as_sets: bool) -> Iterator[ColumnElement[bool]]:
        """One relation that fits all that is said of relations; living, or one that the customer has ended."""
        wanted, narrowed = self.narrowed.wanted, self.narrowed
        if wanted.friend == "none":
            yield ~exists(select(1).where(follow.c.person_id == person.c.id))
        is_lost = wanted.friend == "lost"
        userid: ColumnElement[Any] = follow.c.userid
        state: ColumnElement[Any] = follow.c.state
        at: ColumnElement[Any] = follow.c.followed_at
        if not as_sets and self.conn.dialect.name == "sqlite":
            # Of one person: SQLite would take the member's index, and walk all customers of his for each.
            userid, state, at = _unindexed(userid), _unindexed(state), _unindexed(at)
        fits = [follow.c.ended_by == ("customer" if is_lost else "")]
        if wanted.owner:
            fits.append(userid.in_(wanted.owner))
        if wanted.channel:
            fits += [_literally(f"{follow.name}.state <> ''"), state.in_(wanted.channel)]
        fits += _between(at, narrowed.added_from, narrowed.added_to)
        if len(fits) > 1 or wanted.friend in ("yes", "lost"):
            if as_sets:
                yield is_among(self._asked(as_sets), select(follow.c.person_id).where(*fits))
            else:
                yield exists(select(1).where(follow.c.person_id == person.c.id, *fits))
        if is_lost:
            others = follow.c.person_id == person.c.id, follow.c.ended_by == ""
            yield ~exists(select(1).where(*others))


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A plus in front is how SQLite is told not to look a column up by an index."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def _between(column: ColumnElement[Any], low: datetime | None, high: datetime | None) -> list[ColumnElement[bool]]:
    """From the first moment to before the last."""
    return ([column >= low] if low else []) + ([column < high] if high else [])
