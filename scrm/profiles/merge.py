"""Two persons become one, and two again: what moves, what it leaves in the log, and the way back.

Which tables know persons is not known here: callers hand over the list (scrm.joining). Rows are moved, never copied;
what cannot stand twice for one person is kept in the snapshot. Undo gives back every row that is still where the join
put it; what came later goes with the contact it names, else stays with the person who was kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    UniqueConstraint,
    and_,
    delete,
    func,
    insert,
    not_,
    select,
    tuple_,
    update,
)

from scrm.db import upsert
from scrm.db.tables import UtcDateTime, metadata
from scrm.errors import Conflict, NotFound
from scrm.profiles.merge_tables import person_merge, person_redirect
from scrm.profiles.models import external_contact, identity, person
from scrm.profiles.redirects import follow

# More keys than this go to the database in pieces.
_PIECE = 500


@dataclass(frozen=True, slots=True)
class Mover:
    """One table that knows persons by `person_id`; `first` makes its rows fit to be the kept person's."""

    table: str
    title: str
    first: "Callable[[Connection, Join], None] | None" = None
    # Taken before the table is touched, in the order in which everybody takes it.
    lock: Callable[[Connection, Sequence[int]], None] | None = None
    # Of rows that exclude each other the moved one keeps the old id: links that customers have must go on.
    leaves_doubles: bool = False
    # Counted anew from other tables: its row goes with the person who goes.
    counted: bool = False

    @property
    def rows(self) -> Table:
        return metadata.tables[self.table]


@dataclass(frozen=True, slots=True)
class Act:
    """Who joins two persons, and why; `evidence` holds no clear private value."""

    by: str
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Join:
    """A join under way: who stays, who goes, and the snapshot that grows."""

    kept: int
    gone: int
    now: datetime
    moved: dict[str, list[list[Any]]] = field(default_factory=dict)
    changed: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    # Rows that could not stand twice, as they were when they moved: what was changed since stays where it is.
    held: list[dict[str, Any]] = field(default_factory=list)
    persons: dict[str, dict[str, Any]] = field(default_factory=dict)

    def change(self, conn: Connection, table: Table, row: Row[Any], **values: Any) -> None:
        """Write `values` into a row and remember what stood there."""
        before = {name: row._mapping[name] for name in values}
        if before == values:
            return
        key = {str(column.name): row._mapping[column.name] for column in table.primary_key}
        conn.execute(update(table).where(*_is(table, key)).values(**values))
        self.changed.append({"table": table.name, "key": key, "before": before, "after": values})

    def snapshot(self) -> dict[str, Any]:
        names = ("moved", "changed", "dropped", "held", "persons")
        told: dict[str, Any] = msgspec.to_builtins({name: getattr(self, name) for name in names}, enc_hook=str)
        return told


def merge(conn: Connection, kept: int, gone: int, act: Act, movers: Sequence[Mover], *, now: datetime) -> int:
    """Make `gone` a part of `kept`; both exist, and nobody else joins them meanwhile. The id of the log's row."""
    if kept == gone:
        raise Conflict("这是同一位客户，不需要合并")
    join = Join(kept, gone, now)
    for mover in movers:
        _move(conn, mover, join)
    _settle_persons(conn, join)
    values = {
        "kept_id": kept,
        "gone_id": gone,
        "by": act.by,
        "reason": act.reason,
        "evidence": act.evidence,
        "counts": _counts(join),
        "snapshot": join.snapshot(),
        "merged_at": now,
    }
    merge_id = int(conn.execute(insert(person_merge).values(**values).returning(person_merge.c.id)).scalar_one())
    conn.execute(insert(person_redirect).values(old_id=gone, new_id=kept, merge_id=merge_id))
    return merge_id


def _counts(join: Join) -> dict[str, int]:
    return {table: len(keys) for table, keys in join.moved.items() if keys}


def _move(conn: Connection, mover: Mover, join: Join) -> None:
    table = mover.rows
    if mover.lock is not None:
        mover.lock(conn, (join.kept, join.gone))
    if mover.first is not None:
        mover.first(conn, join)
    if mover.counted:
        conn.execute(delete(table).where(table.c.person_id == join.gone))
        return
    goes = table.c.person_id == join.gone
    for others in _once_per_person(table):
        if mover.leaves_doubles:
            goes = and_(goes, not_(_is_doubled(table, others, join.kept)))
        else:
            _drop_doubles(conn, table, others, join)
    if "person_id" in table.primary_key.columns:
        rows = conn.execute(select(table).where(table.c.person_id == join.gone)).mappings()
        join.held += [{"table": table.name, "row": dict(row)} for row in rows]
    moved = conn.execute(update(table).where(goes).values(person_id=join.kept).returning(*_keys(table)))
    join.moved.setdefault(str(table.name), []).extend([list(row) for row in moved])


def _keys(table: Table) -> Sequence[ColumnElement[Any]]:
    others = [column for column in table.primary_key.columns if column.name != "person_id"]
    return others or [table.c.person_id]


def _once_per_person(table: Table) -> list[list[str]]:
    """What stands once for a person: the other columns of each unique key that has the person in it."""
    keys = [list(table.primary_key.columns)]
    keys += [list(index.columns) for index in table.indexes if index.unique]
    keys += [list(one.columns) for one in table.constraints if isinstance(one, UniqueConstraint)]
    names = [[column.name for column in key] for key in keys]
    return [[name for name in key if name != "person_id"] for key in names if "person_id" in key]


def _drop_doubles(conn: Connection, table: Table, others: Sequence[str], join: Join) -> None:
    """Of two rows that exclude each other the kept person's stays; the other one is in the snapshot."""
    doubled = and_(table.c.person_id == join.gone, _is_doubled(table, others, join.kept))
    rows = [dict(row) for row in conn.execute(select(table).where(doubled)).mappings()]
    for row in rows:
        key = {str(column.name): row[column.name] for column in table.primary_key}
        conn.execute(delete(table).where(*_is(table, key)))
        join.dropped.append({"table": table.name, "row": row})


def _is_doubled(table: Table, others: Sequence[str], kept_id: int) -> ColumnElement[bool]:
    kept = table.alias("kept")
    same = [kept.c.person_id == kept_id, *(kept.c[name] == table.c[name] for name in others)]
    return select(1).select_from(kept).where(*same).exists()


def _is(table: Table, key: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]


def _settle_persons(conn: Connection, join: Join) -> None:
    """The kept person's own values win, the other's fill what is empty; whoever refused something refused it."""
    kept, gone = _persons(conn, (join.kept, join.gone))
    join.persons = {"kept": dict(kept._mapping), "gone": dict(gone._mapping)}
    values = {column.name: kept._mapping[column.name] or gone._mapping[column.name] for column in person.c}
    values |= {
        "id": join.kept,
        "optout": {**(gone.optout or {}), **{key: told for key, told in (kept.optout or {}).items() if told}},
        "created_at": min(kept.created_at, gone.created_at),
    }
    join.change(conn, person, kept, **{name: value for name, value in values.items() if name != "id"})
    conn.execute(delete(person).where(person.c.id == join.gone))


def _persons(conn: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    query = select(person).where(person.c.id.in_(ids)).order_by(person.c.id)
    rows = {row.id: row for row in conn.execute(query.with_for_update(key_share=True))}
    if missing := [one for one in ids if one not in rows]:
        raise NotFound(f"没有客户 {missing[0]}，可能刚被合并或删除，请刷新后再试")
    return [rows[one] for one in ids]


def sweep(conn: Connection, merge_id: int, movers: Sequence[Mover], *, now: datetime) -> int:
    """Move what somebody wrote for the old id while it was joined; returns how many rows."""
    row = conn.execute(select(person_merge).where(person_merge.c.id == merge_id).with_for_update()).one()
    if row.undone_at is not None:
        return 0
    join = Join(follow(conn, row.kept_id), row.gone_id, now)
    for mover in movers:
        if conn.execute(select(1).where(mover.rows.c.person_id == row.gone_id).limit(1)).first() is not None:
            _move(conn, mover, join)
    late = sum(map(len, join.moved.values()))
    if late:
        whole = dict(row.snapshot)
        late_ones = join.snapshot()
        for table, keys in late_ones["moved"].items():
            whole["moved"] = {**whole["moved"], table: whole["moved"].get(table, []) + keys}
        for name in ("changed", "dropped", "held"):
            whole[name] = whole[name] + late_ones[name]
        conn.execute(update(person_merge).where(person_merge.c.id == merge_id).values(snapshot=whole))
    return late


# The way back ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Undone:
    """Whose the rows were until now, and who has them again; `merged_at` divides moved rows from later ones."""

    holder: int
    back: int
    merged_at: datetime


def undo(
    conn: Connection,
    merge_id: int,
    movers: Sequence[Mover],
    *,
    by: str,
    now: datetime,
    then: Callable[[Connection, Undone], None],
) -> Undone:
    """Make two persons of one again, also when the kept one was joined into a third since.

    `then` divides what came after the join. Raises NotFound, or Conflict when it was undone before.
    """
    row = conn.execute(select(person_merge).where(person_merge.c.id == merge_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("没有这次合并的记录，请刷新页面")
    if row.undone_at is not None:
        raise Conflict("这次合并已经撤销过了")
    if not row.snapshot.get("persons"):
        raise Conflict("这次合并的内容已随客户资料一起删除，不能撤销")
    conn.execute(delete(person_redirect).where(person_redirect.c.old_id == row.gone_id))
    holder = follow(conn, row.kept_id)
    undone = Undone(holder, row.gone_id, row.merged_at)
    snapshot = row.snapshot
    _restore_persons(conn, undone, snapshot)
    for mover in movers:
        if mover.lock is not None:
            mover.lock(conn, (undone.holder, undone.back))
        if not mover.counted:
            _give_back(conn, mover.rows, undone, snapshot)
    for change in reversed([one for one in snapshot["changed"] if one["table"] != "person"]):
        _change_back(conn, change)
    _give_back_later(conn, movers, undone)
    then(conn, undone)
    conn.execute(update(person_merge).where(person_merge.c.id == merge_id).values(undone_at=now, undone_by=by))
    return undone


def _restore_persons(conn: Connection, undone: Undone, snapshot: dict[str, Any]) -> None:
    gone = _decoded(person, snapshot["persons"]["gone"])
    (holder,) = _persons(conn, (undone.holder,))
    change = next((one for one in snapshot["changed"] if one["table"] == "person"), None)
    after = change["after"].get("optout", {}) if change else snapshot["persons"]["kept"]["optout"] or {}
    # What was refused since then was refused by whoever it was: it holds for both.
    later = {key: told for key, told in (holder.optout or {}).items() if told and not after.get(key)}
    conn.execute(insert(person).values(**gone | {"optout": {**(gone["optout"] or {}), **later}}))
    if change is None or change["key"]["id"] != undone.holder:
        return
    before = _decoded(person, change["before"])
    values = {
        name: before[name]
        for name, value in _decoded(person, change["after"]).items()
        if name != "optout" and holder._mapping[name] == value
    }
    if "optout" in before:
        values["optout"] = {**(before["optout"] or {}), **later}
    conn.execute(update(person).where(person.c.id == undone.holder).values(**values))


def _give_back(conn: Connection, table: Table, undone: Undone, snapshot: dict[str, Any]) -> None:
    held = [_decoded(table, one["row"]) for one in snapshot["held"] if one["table"] == table.name]
    if held:
        for row in held:
            _give_back_held(conn, table, row, undone)
    else:
        keys = snapshot["moved"].get(table.name, [])
        for start in range(0, len(keys), _PIECE):
            mine = _among(table, keys[start : start + _PIECE])
            conn.execute(update(table).where(table.c.person_id == undone.holder, mine).values(person_id=undone.back))
    for one in snapshot["dropped"]:
        if one["table"] == table.name:
            row = _decoded(table, one["row"]) | {"person_id": undone.back}
            conn.execute(upsert(table, conn).values(**row).on_conflict_do_nothing())


def _give_back_held(conn: Connection, table: Table, row: dict[str, Any], undone: Undone) -> None:
    """A value that nobody changed goes back; one that was changed stays, and the old one goes back beside it."""
    key = {str(column.name): row[column.name] for column in table.primary_key} | {"person_id": undone.holder}
    now = conn.execute(select(table).where(*_is(table, key))).mappings().one_or_none()
    if now is None:
        return
    if _comparable(dict(now)) == _comparable(row):
        conn.execute(update(table).where(*_is(table, key)).values(person_id=undone.back))
    else:
        conn.execute(upsert(table, conn).values(**row | {"person_id": undone.back}).on_conflict_do_nothing())


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Without whose it is, and without what is sealed: the same value is sealed differently after a change of keys."""
    told = {name: value for name, value in row.items() if name != "person_id"}
    for name, value in told.items():
        if isinstance(value, dict) and "sealed" in value:
            told[name] = {key: part for key, part in value.items() if key != "sealed"}
    return told


def _among(table: Table, keys: Sequence[Sequence[Any]]) -> ColumnElement[bool]:
    columns = _keys(table)
    told = [
        tuple(_moment(table, column.name, value) for column, value in zip(columns, key, strict=True)) for key in keys
    ]
    if len(columns) == 1:
        only: ColumnElement[Any] = columns[0]
        return only.in_([key[0] for key in told])
    return tuple_(*columns).in_(told)


def _change_back(conn: Connection, change: dict[str, Any]) -> None:
    """Only where the row still says what the join wrote."""
    table = metadata.tables[change["table"]]
    key, before, after = (_decoded(table, change[name]) for name in ("key", "before", "after"))
    is_untouched = [
        table.c[name].is_(None) if value is None else table.c[name] == value for name, value in after.items()
    ]
    conn.execute(update(table).where(*_is(table, key), *is_untouched).values(**before))


def _give_back_later(conn: Connection, movers: Iterable[Mover], undone: Undone) -> None:
    """What names one of the contacts that go back is theirs, whenever it came."""
    contacts = select(external_contact.c.external_userid).where(external_contact.c.person_id == undone.back)
    for mover in movers:
        table = mover.rows
        if "external_userid" in table.c and table is not external_contact:
            theirs = and_(table.c.person_id == undone.holder, table.c.external_userid.in_(contacts))
            conn.execute(update(table).where(theirs).values(person_id=undone.back))
    unionids = select(external_contact.c.unionid).where(
        external_contact.c.person_id == undone.back, external_contact.c.unionid != ""
    )
    for kind, values in (("wecom_external_userid", contacts), ("wx_unionid", unionids)):
        named = and_(identity.c.kind == kind, identity.c.value.in_(values))
        conn.execute(update(identity).where(identity.c.person_id == undone.holder, named).values(person_id=undone.back))


def _decoded(table: Table, values: dict[str, Any]) -> dict[str, Any]:
    """A snapshot's values as the table takes them: JSON has no moments."""
    return {name: _moment(table, name, value) for name, value in values.items() if name in table.c}


def _moment(table: Table, name: str, value: Any) -> Any:
    is_text = isinstance(value, str) and isinstance(table.c[name].type, UtcDateTime)
    return datetime.fromisoformat(value) if is_text else value


# Looking before and after ---------------------------------------------------------------------------------------------


def count_rows(conn: Connection, person_id: int, movers: Iterable[Mover]) -> dict[str, int]:
    """How many rows of each table are this person's; those without any are left out."""
    counts = {
        mover.table: int(
            conn.execute(
                select(func.count()).select_from(mover.rows).where(mover.rows.c.person_id == person_id)
            ).scalar_one()
        )
        for mover in movers
        if not mover.counted
    }
    return {table: count for table, count in counts.items() if count}


def count_doubles(conn: Connection, kept: int, gone: int, movers: Iterable[Mover]) -> dict[str, int]:
    """How many rows of the one who goes cannot stand beside those of the one who stays."""
    counts = {}
    for mover in movers:
        if mover.first is not None or mover.counted or mover.leaves_doubles:
            continue
        table = mover.rows
        for others in _once_per_person(table):
            doubled = table.c.person_id == gone, _is_doubled(table, others, kept)
            counts[mover.table] = conn.execute(select(func.count()).select_from(table).where(*doubled)).scalar_one()
    return counts


def list_merges(
    conn: Connection, *, person_id: int | None = None, before: int | None = None, limit: int = 50
) -> list[Row[Any]]:
    """The log without its snapshots, the newest first; of one person when `person_id` is given."""
    columns = [column for column in person_merge.c if column.name != "snapshot"]
    query = select(*columns).order_by(person_merge.c.id.desc()).limit(limit)
    if person_id is not None:
        query = query.where((person_merge.c.kept_id == person_id) | (person_merge.c.gone_id == person_id))
    if before is not None:
        query = query.where(person_merge.c.id < before)
    return list(conn.execute(query))
