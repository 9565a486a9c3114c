"""All SQL about customer groups and the people in them, as events and syncs keep them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, select, update

from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.group_chats.models import group_chat, group_chat_change, group_chat_hint, group_chat_member
from scrm.profiles.models import external_contact, identity

CUSTOMER = 2

# The event and the member list need not give a join the same second.
SAME_JOIN = timedelta(seconds=10)

PAGE = 50


def find_group(conn: Connection, chat_id: str) -> Row[Any] | None:
    return conn.execute(select(group_chat).where(group_chat.c.chat_id == chat_id)).one_or_none()


def ensure_group(conn: Connection, chat_id: str, *, created_at: datetime) -> bool:
    """True when the group is new to us."""
    added = conn.execute(
        upsert(group_chat, conn)
        .values(chat_id=chat_id, created_at=created_at)
        .on_conflict_do_nothing(index_elements=["chat_id"])
        .returning(group_chat.c.id)
    )
    return added.scalar_one_or_none() is not None


def set_group(conn: Connection, chat_id: str, values: Mapping[str, Any]) -> None:
    conn.execute(update(group_chat).where(group_chat.c.chat_id == chat_id).values(**values))


def list_members(conn: Connection, chat_id: str) -> list[Row[Any]]:
    """Everybody in the group, those who came first ahead."""
    query = select(group_chat_member).where(group_chat_member.c.chat_id == chat_id)
    return list(conn.execute(query.order_by(group_chat_member.c.joined_at, group_chat_member.c.userid)))


def remove_members(conn: Connection, chat_id: str, userids: Collection[str]) -> None:
    conn.execute(
        delete(group_chat_member).where(
            group_chat_member.c.chat_id == chat_id, among(conn, group_chat_member.c.userid, userids)
        )
    )


def add_members(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(conn, group_chat_member, rows)


def add_changes(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The history keeps each join and each leave once."""
    insert_rows(conn, group_chat_change, rows, skip_known=True)


def take_hint(
    conn: Connection, chat_id: str, userid: str, kind: str, *, at: datetime, scene: int, member_type: int, now: datetime
) -> None:
    """What an event said of a join or a leave goes into the history, unless a fetch has put it there.

    A leave that a fetch noticed gets the moment and the manner that the event knows.
    """
    change = group_chat_change
    same = and_(change.c.chat_id == chat_id, change.c.userid == userid, change.c.kind == kind)
    found = conn.execute(select(change.c.id).where(same, change.c.at == at)).scalar_one_or_none()
    values: dict[str, Any] = {"is_told": True}
    if found is None:
        untold = select(change.c.id).where(same, change.c.is_told.is_(False)).order_by(change.c.at).limit(1)
        if kind == "left":
            untold = untold.where(change.c.noticed_at >= at)
            values |= {"at": at, "scene": scene}
        else:
            untold = untold.where(change.c.at >= at - SAME_JOIN, change.c.at <= at + SAME_JOIN)
        found = conn.execute(untold).scalar_one_or_none()
    if found is not None:
        conn.execute(update(change).where(change.c.id == found).values(**values))
        return
    if kind == "joined":
        scene = {0: 1, 3: 3}.get(scene, -1)  # the event counts otherwise than groupchat/get
    row = {"chat_id": chat_id, "userid": userid, "type": member_type, "kind": kind, "at": at, "scene": scene}
    add_changes(conn, [{**row, "is_told": True, "noticed_at": now}])


def list_hints(conn: Connection, chat_id: str) -> list[Row[Any]]:
    query = select(group_chat_hint).where(group_chat_hint.c.chat_id == chat_id)
    return list(conn.execute(query.order_by(group_chat_hint.c.at, group_chat_hint.c.id)))


def add_hints(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(conn, group_chat_hint, rows)


def drop_hints(conn: Connection, ids: Collection[int]) -> None:
    if ids:
        conn.execute(delete(group_chat_hint).where(among(conn, group_chat_hint.c.id, ids)))


def list_living(conn: Connection) -> list[Row[Any]]:
    """`chat_id` and `owner` of every group that was not dismissed."""
    query = select(group_chat.c.chat_id, group_chat.c.owner).where(group_chat.c.dismissed_at.is_(None))
    return list(conn.execute(query.order_by(group_chat.c.id)))


def persons_of(conn: Connection, people: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Person ids by external_userid of those we know, by that id or else by their unionid: (userid, unionid)."""
    unionids = dict(people)
    known = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.person_id).where(
            among(conn, external_contact.c.external_userid, list(unionids))
        )
    )
    found = {row.external_userid: int(row.person_id) for row in known}
    strangers = {unionid: userid for userid, unionid in unionids.items() if unionid and userid not in found}
    if strangers:
        owners = conn.execute(
            select(identity.c.value, identity.c.person_id).where(
                identity.c.kind == "wx_unionid", identity.c.scope == "", among(conn, identity.c.value, list(strangers))
            )
        )
        found |= {strangers[row.value]: int(row.person_id) for row in owners}
    return found


IS_LIVING: ColumnElement[bool] = group_chat.c.dismissed_at.is_(None)
