"""Who changed what: a row for each write of the console and the API, in the transaction of the write itself.

A door calls `begin` for each request that may change something; from then on every transaction of that request takes
the row with it. Rooms say what differs with `changed(conn, entity, key, before, after)` and know nothing else of it.
Rows are only ever added: triggers of the database (migration 0029) refuse to change or delete them.
"""

import dataclasses
import functools
import inspect
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Index, Row, Select, String, Table, select, text

from scrm.clock import Clock
from scrm.db import BigId, Database, Json, UtcDateTime, metadata
from scrm.db.database import beside
from scrm.db.vault import cover_phones

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[Connection, P], T]

_NOT_DONE = text("outcome <> 'done'")

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    # Rows of one request have it in common.
    Column("request", String(16), nullable=False, server_default=text("''")),
    # A member's userid, local:<name>, api:<name of the key> or cli; the name as it was then.
    Column("actor", String(100), nullable=False),
    Column("actor_name", String(80), nullable=False, server_default=text("''")),
    Column("address", String(45), nullable=False, server_default=text("''")),
    # console, api, login, sidebar, cli
    Column("way", String(10), nullable=False),
    Column("module", String(40), nullable=False, server_default=text("''")),
    # edit, approve, export, reveal, erase, login, logout
    Column("act", String(12), nullable=False),
    Column("words", String(200), nullable=False),
    Column("route", String(160), nullable=False, server_default=text("''")),
    # done, none (nothing differs now), refused, failed
    Column("outcome", String(8), nullable=False),
    Column("problem", String(300), nullable=False, server_default=text("''")),
    Column("entity", String(40), nullable=False, server_default=text("''")),
    Column("key", String(120), nullable=False, server_default=text("''")),
    # Only what differs; private values masked, secrets never.
    Column("before", Json),
    Column("after", Json),
    Index("ix_audit_entry_at", "at"),
    Index("ix_audit_entry_actor", "actor", "id"),
    Index("ix_audit_entry_module", "module", "id"),
    Index("ix_audit_entry_act", "act", "id"),
    Index("ix_audit_entry_key", "key", "id"),
    # Nearly all of it was done: only what was not is looked for by its outcome.
    Index("ix_audit_entry_not_done", "outcome", "id", sqlite_where=_NOT_DONE, postgresql_where=_NOT_DONE),
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from where."""

    id: str
    name: str = ""
    address: str = ""
    way: str = "console"


@dataclass(slots=True)
class Deed:
    """What one request is about to do; kept with the first transaction that it writes."""

    actor: Actor
    clock: Clock
    module: str
    act: str
    words: str
    route: str = ""
    key: str = ""
    request: str = field(default_factory=lambda: secrets.token_hex(8))
    is_kept: bool = False
    is_over: bool = False

    def before_commit(self, conn: Connection) -> None:
        """One row for each thing that differs, or a single one the first time."""
        changes = _take_changes(conn)
        if not self.is_over and (changes or not self.is_kept):
            self.keep(conn, "done", changes=changes)

    def committed(self) -> None:
        self.is_kept = True

    def keep(self, conn: Connection, outcome: str, problem: str = "", changes: "list[Change] | None" = None) -> None:
        """Add the rows."""
        for change in changes or [Change("", self.key, None, None)]:
            conn.execute(
                audit_entry.insert().values(
                    at=self.clock.now(),
                    request=self.request,
                    actor=self.actor.id[:100],
                    actor_name=self.actor.name[:80],
                    address=self.actor.address[:45],
                    way=self.actor.way,
                    module=self.module,
                    act=self.act,
                    words=self.words[:200],
                    route=self.route[:160],
                    outcome=outcome,
                    problem=mask_text(problem)[:300],
                    entity=change.entity,
                    key=mask_text(change.key)[:120],
                    before=change.before,
                    after=change.after,
                )
            )


@dataclass(frozen=True, slots=True)
class Change:
    """What differs in one thing."""

    entity: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@contextmanager
def doing(deed: Deed) -> Iterator[Deed]:
    """Transactions inside keep the deed with what they write."""
    token = beside.set(deed)
    try:
        yield deed
    finally:
        deed.is_over = True
        beside.reset(token)


@contextmanager
def unkept() -> Iterator[None]:
    """Transactions inside are bookkeeping beside the deed, and do not take it with them."""
    token = beside.set(None)
    try:
        yield
    finally:
        beside.reset(token)


async def finish(db: Database, deed: Deed, outcome: str, problem: str = "") -> None:
    """The row of a deed that wrote nothing yet; one that was refused or failed after it had begun has another."""
    if deed.is_kept and outcome not in ("refused", "failed"):
        return
    with unkept():
        await db.write(deed.keep, outcome, problem)
    deed.is_kept = True


def note(conn: Connection, deed: Deed, outcome: str = "done", problem: str = "") -> None:
    """Keep a deed at once: logins, commands, and what happens outside the doors."""
    deed.keep(conn, outcome, problem, _take_changes(conn))


def changed(
    conn: Connection,
    entity: str,
    key: object,
    before: "Mapping[str, Any] | Row[Any] | None",
    after: "Mapping[str, Any] | Row[Any] | None",
) -> None:
    """Say what a write changed: `before` is None for what is new, `after` for what is gone.

    Only fields that differ are kept, private ones masked. Where nobody keeps a log (ticks, workers) it is nothing.
    """
    if not conn.info.get("is_logged"):
        return
    if before is None and after is None:
        return
    old, new = _plain_fields(before), _plain_fields(after)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    if before is not None and after is not None and not names:
        return
    change = Change(
        entity[:40],
        str(key)[:120],
        None if before is None else {name: masked(name, old[name]) for name in names if name in old},
        None if after is None else {name: masked(name, new[name]) for name in names if name in new},
    )
    conn.info.setdefault(_CHANGES, []).append(change)


@contextmanager
def watched(conn: Connection, entity: str, key: object, row: Select[Any]) -> Iterator[None]:
    """`changed`, by reading a row before and after what happens inside; costs nothing where nobody keeps a log."""
    if not conn.info.get("is_logged"):
        yield
        return
    before = conn.execute(row).one_or_none()
    yield
    changed(conn, entity, key, before, conn.execute(row).one_or_none())


def keeps(entity: str, *columns: ColumnElement[Any], of: tuple[object, ...]) -> Callable[[Work[P, T]], Work[P, T]]:
    """Above a function that writes one row: `columns` find it, `of` says by what, as text such as "draft.key" for an
    argument and its attribute, and anything else for itself.

        @audit.keeps("segment", segment.c.key, of=("draft.key",))
        def save_segment(conn: Connection, draft: Draft, ...) -> None: ...
    """

    def wrap(work: Work[P, T]) -> Work[P, T]:
        names = inspect.signature(work)

        @functools.wraps(work)
        def kept(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            if not conn.info.get("is_logged"):
                return work(conn, *args, **kwargs)
            given = names.bind(conn, *args, **kwargs).arguments
            values = [_find(given, each) if isinstance(each, str) else each for each in of]
            row = select(columns[0].table).where(
                *(column == value for column, value in zip(columns, values, strict=True))
            )
            with watched(conn, entity, ":".join(map(str, values)), row):
                return work(conn, *args, **kwargs)

        return kept

    return wrap


def _find(given: Mapping[str, Any], path: str) -> Any:
    name, *rest = path.split(".")
    return functools.reduce(getattr, rest, given[name])


_CHANGES = "changes"


def _take_changes(conn: Connection) -> list[Change]:
    found: list[Change] = conn.info.pop(_CHANGES, [])
    return found


# What may stand in the log ------------------------------------------------------------------------------------------

_SECRET = re.compile(r"secret|token|password|sealed|_hash$|^csrf$|digest|authorization|aes_key", re.I)
_PERSONAL = re.compile(r"phone|mobile|address|receiver|unionid|openid|id_card|email", re.I)
# With limits (RFC 5321): without them a long text that has no @ is walked through anew from each of its letters.
_EMAIL = re.compile(r"([\w.+-])[\w.+-]{0,63}@([\w-]{1,63}\.[\w.-]{1,255})")
_MOST_LETTERS = 20_000
_SLACK = 500
_MOST_ITEMS = 200


def masked(name: str, value: Any) -> Any:
    """A value as the log may keep it."""
    if value in (None, "", [], {}):
        return value
    if _SECRET.search(name):
        return "••••••"
    if _PERSONAL.search(name):
        return _stars(value)
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {key: masked(key, one) for key, one in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, list):
        return [masked(name, one) for one in value[:_MOST_ITEMS]]
    return value


def mask_text(value: str) -> str:
    """Phone numbers and mail addresses inside a text are covered; a long text ends with how much is left out."""
    # Some letters more are looked at than are kept: a number or an address that the cut goes through is left out whole.
    looked = value[: _MOST_LETTERS + _SLACK]
    kept = _EMAIL.sub(r"\1***@\2", cover_phones(looked))
    if len(looked) < len(value):
        kept = kept[:-_SLACK]
    if len(value) > _MOST_LETTERS:
        return f"{kept[:_MOST_LETTERS]}……（共 {len(value)} 个字符）"
    return kept


def _stars(value: Any) -> Any:
    if isinstance(value, list):
        return [_stars(one) for one in value[:_MOST_ITEMS]]
    if isinstance(value, dict):
        return {key: _stars(one) for key, one in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, str):
        hidden = mask_text(value)
        return hidden if hidden != value else f"{value[:1]}***"
    return value


def _plain_fields(given: "Mapping[str, Any] | Row[Any] | None") -> dict[str, Any]:
    if given is None:
        return {}
    fields = given._mapping if isinstance(given, Row) else given
    return {str(name): _plain(value) for name, value in fields.items() if name not in _BOOKKEEPING}


# What changes with every write and tells nobody anything.
_BOOKKEEPING = {
    "added_at", "added_by", "changed_at", "changed_by", "computed_at", "created_at", "digest", "looked_until",
    "members", "refresh_at", "refreshed_at", "revision", "saved_at",
}  # fmt: skip


def _plain(value: Any) -> Any:
    """What JSON can hold, and what can be compared."""
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((_plain(one) for one in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    return value if isinstance(value, str | int | float | bool | None) else str(value)
