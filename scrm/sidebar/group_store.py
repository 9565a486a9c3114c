"""What the sidebar reads of a customer group: its people, who follows them, and who is in several of our groups."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, func, select

from scrm.access.store import find_role
from scrm.db.bulk import among
from scrm.group_chats.models import group_chat, group_chat_member
from scrm.group_chats.store import CUSTOMER
from scrm.profiles.models import follow_user, follow_user_tag, member


def may_see(conn: Connection, group: Row[Any], userid: str, role: str) -> bool:
    """Its owner, its admins, who is in it, and whose role shows all groups."""
    folded = userid.lower()
    if folded == group.owner.lower() or folded in {str(each).lower() for each in group.admins or ()}:
        return True
    inside = select(group_chat_member.c.userid).where(
        group_chat_member.c.chat_id == group.chat_id,
        group_chat_member.c.type != CUSTOMER,
        func.lower(group_chat_member.c.userid) == folded,
    )
    if conn.execute(inside.limit(1)).first() is not None:
        return True
    found = find_role(conn, role)
    return found is not None and found.may("group_chats")


def list_followers(conn: Connection, external_userids: Collection[str]) -> dict[str, list[Row[Any]]]:
    """By contact, the members who follow it now, the earliest first."""
    rows = conn.execute(
        select(
            follow_user.c.external_userid,
            follow_user.c.userid,
            follow_user.c.remark,
            member.c.name.label("member_name"),
        )
        .outerjoin(member, member.c.userid == follow_user.c.userid)
        .where(among(conn, follow_user.c.external_userid, list(external_userids)), follow_user.c.ended_by == "")
        .order_by(follow_user.c.followed_at, follow_user.c.userid)
    )
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.external_userid, []).append(row)
    return found


def list_tags(conn: Connection, userid: str, external_userids: Collection[str]) -> dict[str, list[str]]:
    """By contact, the tags that the member's own relation carries."""
    rows = conn.execute(
        select(follow_user_tag.c.external_userid, follow_user_tag.c.tag_name)
        .where(
            among(conn, follow_user_tag.c.external_userid, list(external_userids)),
            func.lower(follow_user_tag.c.userid) == userid.lower(),
        )
        .order_by(follow_user_tag.c.group_name, follow_user_tag.c.tag_name)
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.external_userid, []).append(row.tag_name)
    return found


def list_other_groups(conn: Connection, chat_id: str, userids: Collection[str]) -> dict[str, list[str]]:
    """By customer, the names of our other living groups that he is in."""
    row = group_chat_member
    rows = conn.execute(
        select(row.c.userid, group_chat.c.name)
        .join(group_chat, group_chat.c.chat_id == row.c.chat_id)
        .where(
            among(conn, row.c.userid, list(userids)),
            row.c.type == CUSTOMER,
            row.c.chat_id != chat_id,
            group_chat.c.dismissed_at.is_(None),
        )
        .order_by(row.c.joined_at, row.c.chat_id)
    )
    found: dict[str, list[str]] = {}
    for each in rows:
        found.setdefault(each.userid, []).append(each.name)
    return found
