"""Who somebody of WeChat is: joined to a person by unionid, never taken from one person to another."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from scrm import joining
from scrm.db import upsert
from scrm.profiles import store as profiles
from scrm.profiles.identities import Known
from scrm.profiles.models import external_contact, identity, person


def know_visitor(conn: Connection, external_userid: str, *, now: datetime) -> int:
    """The person of an external_userid; a customer-service visitor need be nobody's contact."""
    return profiles.ensure_contact(conn, external_userid, now=now).person_id


def learn_visitor(conn: Connection, told: dict[str, Any], *, now: datetime) -> None:
    """What kf/customer/batchget says: a name where we had none, and the unionid with the orders it brings."""
    external_userid = str(told.get("external_userid") or "")
    contact = profiles.find_contact(conn, external_userid)
    if contact is None:
        return
    name, unionid = str(told.get("nickname") or "")[:120], str(told.get("unionid") or "")[:64]
    if name and not contact.name:
        values = {"name": name, "avatar": str(told.get("avatar") or "")[:512], "gender": int(told.get("gender") or 0)}
        conn.execute(
            update(external_contact).where(external_contact.c.external_userid == external_userid).values(**values)
        )
        conn.execute(update(person).where(person.c.id == contact.person_id, person.c.name == "").values(name=name))
    if unionid:
        joining.learn(conn, contact.person_id, Known("wx_unionid", unionid), now=now)


def know_follower(conn: Connection, app_id: str, openid: str, *, now: datetime) -> int:
    """The person of an openid (its scope is the app); a new one gets a person of its own."""
    known = conn.scalar(
        select(identity.c.person_id).where(
            identity.c.kind == "oa_openid", identity.c.scope == app_id, identity.c.value == openid
        )
    )
    if known is not None:
        return int(known)
    person_id = int(conn.execute(person.insert().values(created_at=now).returning(person.c.id)).scalar_one())
    added = conn.execute(
        upsert(identity, conn)
        .values(person_id=person_id, kind="oa_openid", scope=app_id, value=openid, source="auto", created_at=now)
        .on_conflict_do_nothing()
        .returning(identity.c.id)
    ).scalar_one_or_none()
    if added is not None:
        return person_id
    conn.execute(person.delete().where(person.c.id == person_id))  # another process was faster
    return know_follower(conn, app_id, openid, now=now)


def join_by_unionid(conn: Connection, app_id: str, openid: str, unionid: str, *, now: datetime) -> int:
    """The follower's person, who is known by this unionid as well from now on.

    A follower who turns out to be somebody we know becomes one with them soon, with all that was known of both.
    """
    own = know_follower(conn, app_id, openid, now=now)
    joining.learn(conn, own, Known("wx_unionid", unionid), now=now)
    return own
