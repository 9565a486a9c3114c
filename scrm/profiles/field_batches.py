"""One value for a field of many persons, in a few statements."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from scrm.db.upsert import upsert
from scrm.errors import Invalid, ScrmError
from scrm.profiles import custom_field_values as values
from scrm.profiles import store
from scrm.profiles.custom_field_tables import field_change
from scrm.profiles.custom_field_values import CustomField, Type
from scrm.profiles.custom_fields import find_field
from scrm.profiles.models import person, person_field

# What is sealed, looked up or unique is set for one person at a time.
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
