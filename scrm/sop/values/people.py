"""Who is spoken to and who speaks: names, the member's store, the shop's own fields."""

from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, select

from scrm.db.bulk import among_given, listed
from scrm.profiles.members import member_names
from scrm.profiles.models import department, external_contact, follow_user, member_department
from scrm.profiles.own_fields import fields as custom_fields
from scrm.sop.values.ready import Asked, Found, Source

_FIELD = "field."
_BIRTHDAYS = ("birthday", "生日")


def _names(conn: Connection, asked: Asked) -> Found:
    contacts = listed(conn, {one.row.external_userid for one in asked.due})
    names: dict[str, str] = dict(conn.execute(_named(conn.dialect.name), {"contacts": contacts}).all())
    for one in asked.due:
        yield one.row.id, {"nickname": names.get(one.row.external_userid, "")}


@cache
def _named(dialect: str) -> Select[Any]:
    """Built once: most texts begin with the name."""
    c = external_contact.c
    return select(c.external_userid, c.name).where(among_given(dialect, c.external_userid, "contacts"))


def _remarks(conn: Connection, asked: Asked) -> Found:
    rows = conn.execute(
        select(follow_user.c.userid, follow_user.c.external_userid, follow_user.c.remark).where(
            follow_user.c.external_userid.in_({one.row.external_userid for one in asked.due})
        )
    )
    remarks = {(row.userid, row.external_userid): row.remark for row in rows}
    for one in asked.due:
        yield one.row.id, {"remark": remarks.get((one.row.userid, one.row.external_userid), "")}


def _staff(conn: Connection, asked: Asked) -> Found:
    names = member_names(conn, {one.row.userid for one in asked.due})
    for one in asked.due:
        yield one.row.id, {"staff": names.get(one.row.userid.lower(), "")}


def _fields(conn: Connection, asked: Asked) -> Found:
    keys = {name.removeprefix(_FIELD) for name in asked.named if name.startswith(_FIELD)} | {"salutation"}
    known = custom_fields.texts_of(conn, asked.person_ids, keys, asked.now)
    for one in asked.due:
        texts = known.get(one.row.person_id, {})
        said: dict[str, Any] = {_FIELD + key: text for key, text in texts.items()}
        if "salutation" in texts:
            said["salutation"] = texts["salutation"]
        yield one.row.id, said


def _stores(conn: Connection, asked: Asked) -> Found:
    """The department the member belongs to: shops keep a department for each of their stores."""
    names = conn.execute(
        select(member_department.c.userid, department.c.name)
        .join(department, department.c.id == member_department.c.department_id)
        .where(member_department.c.userid.in_({one.row.userid for one in asked.due}), department.c.parent_id != 0)
        .order_by(department.c.sort_order, department.c.id.desc())
    )
    known = {row.userid: row.name for row in names}
    for one in asked.due:
        yield one.row.id, {"store": known.get(one.row.userid, "")}


def _birthdays(conn: Connection, asked: Asked) -> Found:
    """The day without its year: nobody likes to be told how old they are."""
    known = custom_fields.texts_of(conn, asked.person_ids, _BIRTHDAYS, asked.now)
    for one in asked.due:
        texts = known.get(one.row.person_id, {})
        written = next((texts[key] for key in _BIRTHDAYS if texts.get(key)), "")
        yield one.row.id, {"birthday": _day(written)}


def _day(written: str) -> str:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return written
    return f"{day.month}月{day.day}日"


SOURCES = (
    Source("nickname".__eq__, _names),
    Source("remark".__eq__, _remarks),
    Source("staff".__eq__, _staff),
    Source("store".__eq__, _stores),
    Source("birthday".__eq__, _birthdays),
    Source(lambda key: key.startswith(_FIELD) or key == "salutation", _fields),
)
