"""Values of the shop's own fields for many at once, in a few statements."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from scrm.db.bulk import among
from scrm.db.upsert import upsert
from scrm.db.vault import Vault
from scrm.errors import Invalid, ScrmError
from scrm.profiles import store
from scrm.profiles.models import person, person_field
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields import values
from scrm.profiles.own_fields.fields import find_field, list_fields
from scrm.profiles.own_fields.tables import field_change
from scrm.profiles.own_fields.values import CustomField, Type

# What is sealed, looked up or unique is set for one person at a time.
Subject = tuple[Any, ...]

_ONE_BY_ONE = (Type.PHONE, Type.MEMBER, Type.FORMULA)


def set_stage(conn: Connection, person_ids: Collection[int], stage: str) -> None:
    """The same stage for all of them."""
    conn.execute(update(person).where(person.c.id.in_(list(person_ids))).values(stage=stage[:40]))


def set_field(
    conn: Connection, person_ids: Collection[int], key: str, given: object, *, source: str, now: datetime
) -> dict[int, str]:
    """`store.set_field` for many; why it could not be done, by person: empty when all have it."""
    field = find_field(conn, "person", key)
    if field is None or field.is_unique or field.type in _ONE_BY_ONE:
        if field is None and is_nobodys(conn, key):
            _set_undefined(conn, person_ids, key, given, source, now)
            return {}
        return _set_one_by_one(conn, person_ids, key, given, source, now)
    try:
        value = values.read(field, given)
        if value is None and field.is_required:
            raise Invalid(f"“{field.title}”必填")
    except (ValueError, ScrmError) as error:
        return dict.fromkeys(person_ids, str(error))
    _set_defined(conn, person_ids, field, value, source, now)
    return {}


def is_nobodys(conn: Connection, key: str) -> bool:
    """Whether nobody has defined the field, not even one that is archived."""
    return find_field(conn, "person", key, with_archived=True) is None


def _set_one_by_one(
    conn: Connection, person_ids: Collection[int], key: str, given: object, source: str, now: datetime
) -> dict[int, str]:
    refused = {}
    for person_id in sorted(person_ids):
        try:
            store.set_field(conn, person_id, key, given, source=source, now=now)
        except ScrmError as error:
            refused[person_id] = error.text
    return refused


def _set_undefined(
    conn: Connection, person_ids: Collection[int], key: str, value: object, source: str, now: datetime
) -> None:
    text, number = values.compared(None, value)
    kept = {"value": value, "text_value": text, "number_value": number, "source": source, "changed_at": now}
    _keep(conn, person_ids, key, kept)


def _set_defined(
    conn: Connection, person_ids: Collection[int], field: CustomField, value: Any, source: str, now: datetime
) -> None:
    """Those who have the value already are left alone; the others get a line of history."""
    mine = person_field.c.key == field.key, person_field.c.person_id.in_(list(person_ids))
    rows = conn.execute(select(person_field.c.person_id, person_field.c.value).where(*mine).with_for_update())
    before = {row.person_id: row.value for row in rows}
    changed = [person_id for person_id in sorted(person_ids) if before.get(person_id) != value]
    if not changed:
        return
    if value is None:
        conn.execute(delete(person_field).where(*mine))
    else:
        text, number = values.compared(field, value)
        kept = {"value": value, "text_value": text, "number_value": number, "source": source, "changed_at": now}
        _keep(conn, changed, field.key, kept)
    after = None if value is None else values.write(field, value)
    conn.execute(
        insert(field_change),
        [
            {
                "entity": field.entity,
                "subject": str(person_id),
                "key": field.key,
                "before": None if before.get(person_id) is None else values.write(field, before[person_id]),
                "after": after,
                "source": source[:80],
                "actor": "",
                "changed_at": now,
                "person_id": person_id,
            }
            for person_id in changed
        ],
    )


def _keep(conn: Connection, person_ids: Collection[int], key: str, kept: dict[str, Any]) -> None:
    statement = upsert(person_field, conn)
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["person_id", "key"], set_={name: statement.excluded[name] for name in kept}
        ),
        [{"person_id": person_id, "key": key, **kept} for person_id in sorted(person_ids)],
    )


def set_many(
    conn: Connection,
    entity: str,
    given: Mapping[Subject, Mapping[str, object]],
    persons: Mapping[Subject, int | None],
    *,
    source: str,
    now: datetime,
    vault: Vault,
) -> tuple[set[Subject], list[tuple[Subject, str]]]:
    """Values of many owners in a few statements, checked already, each with its history.

    Returns whose values changed, and what could not be set, in words: a unique value that another one has.
    """
    fields = {one.key: one for one in list_fields(conn, entity)}
    table, owner = custom_fields.place_of(entity)
    kept = _kept_of(conn, table, owner, given)
    changed: set[Subject] = set()
    refused: list[tuple[Subject, str]] = []
    rows: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    for subject, field, said in _each(given, fields):
        if field.is_unique or field.type is Type.PHONE:
            by = custom_fields.Change(source, source, now)
            try:
                one = {field.key: said}
                if custom_fields.set_values(conn, entity, subject, one, by, vault=vault, person_id=persons[subject]):
                    changed.add(subject)
            except ScrmError as error:
                refused.append((subject, error.text))
            continue
        value, before = values.read(field, said), kept.get((subject, field.key))
        if value is None or value == before:
            continue
        told = {"source": source[:80], "changed_at": now}
        rows.append(dict(zip(owner, subject, strict=True)) | _row(field, value) | told)
        history.append(
            _line(field, subject, before, value) | told | {"actor": source[:80], "person_id": persons[subject]}
        )
        changed.add(subject)
    if rows:
        statement = upsert(table, conn)
        new = {name: statement.excluded[name] for name in rows[0] if name not in (*owner, "key")}
        conn.execute(statement.on_conflict_do_update(index_elements=[*owner, "key"], set_=new), rows)
        conn.execute(insert(field_change), history)
    return changed, refused


def _each(
    given: Mapping[Subject, Mapping[str, object]], fields: Mapping[str, CustomField]
) -> Iterator[tuple[Subject, CustomField, object]]:
    """Without what was archived meanwhile."""
    for subject, told in given.items():
        for key, said in told.items():
            if key in fields:
                yield subject, fields[key], said


def _row(field: CustomField, value: Any) -> dict[str, Any]:
    text, number = values.compared(field, value)
    return {"key": field.key, "value": value, "text_value": text, "number_value": number}


def _line(field: CustomField, subject: Subject, before: Any, after: Any) -> dict[str, Any]:
    return {
        "entity": field.entity,
        "subject": "/".join(map(str, subject))[:140],
        "key": field.key,
        "before": None if before is None else values.write(field, before),
        "after": values.write(field, after),
    }


def _kept_of(
    conn: Connection, table: Table, owner: tuple[str, ...], given: Mapping[Subject, Mapping[str, object]]
) -> dict[tuple[Subject, str], Any]:
    first = table.c[owner[0]]
    rows = conn.execute(select(table).where(among(conn, first, {subject[0] for subject in given})))
    return {(tuple(getattr(row, name) for name in owner), row.key): row.value for row in rows}
