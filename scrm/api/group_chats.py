"""GET /api/v1/group_chats: customer groups, and who is in one."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection

from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, PAGED, Choice, Moment, Page, Text
from scrm.errors import NotFound
from scrm.group_chats import list_store, tag_store
from scrm.services import SERVICES

routes = web.RouteTableDef()

_STATES = {"": None, "living": False, "dismissed": True}
OWNER = Text("owner", "群主的 userid", most=64)
TAG = Text("tag", "群标签", most=30)
STATE = Choice("state", "living 在用，dismissed 已解散", ("living", "dismissed"))


class GroupChat(Struct, kw_only=True):
    """`status`: 0 normal, 1 the owner left, 2 being inherited, 3 inherited."""

    id: int
    chat_id: str
    name: str
    owner: str
    owner_name: str
    notice: str
    status: int
    admins: list[str]
    member_version: str
    members: int
    customers: int
    tags: list[str]
    created_at: Moment
    dismissed_at: Moment | None
    refreshed_at: Moment | None


class GroupChatMember(Struct, kw_only=True):
    """`type`: 1 a member, 2 a customer, who has `person_id` once we know who it is."""

    userid: str
    type: int
    name: str
    person_id: int | None
    group_nickname: str
    joined_at: Moment
    join_scene: int
    invitor: str
    state: str


class GroupChatWithMembers(GroupChat, kw_only=True):
    """With everybody in it now."""

    member_list: list[GroupChatMember]


@routes.get("/api/v1/group_chats")
@operation("客户群，新的在前", query=(OWNER, TAG, STATE, *PAGED))
async def list_group_chats(request: web.Request) -> Page[GroupChat]:
    owner, tag, is_dismissed = OWNER.read(request), TAG.read(request), _STATES[STATE.read(request)]
    before, limit = CURSOR.read(request), LIMIT.read_size(request)

    def look(conn: Connection) -> Page[GroupChat]:
        found = list_store.list_groups(
            conn, owner=owner, tag=tag, is_dismissed=is_dismissed, before=before, limit=limit
        )
        tags = tag_store.list_tags(conn, [row.chat_id for row in found.rows])
        items = [GroupChat(**_parts(row, tags.get(row.chat_id, []))) for row in found.rows]
        return Page(items, None if found.before is None else str(found.before))

    return await request.app[SERVICES].db.read(look)


@routes.get("/api/v1/group_chats/{chat_id}")
@operation("一个客户群和群里的人", errors=(404,))
async def get_group_chat(request: web.Request) -> GroupChatWithMembers:
    chat_id = request.match_info["chat_id"]

    def look(conn: Connection) -> GroupChatWithMembers:
        row = list_store.get_group(conn, chat_id)
        if row is None:
            raise NotFound(f"没有客户群 {chat_id[:64]}")
        tags = tag_store.list_tags(conn, [chat_id]).get(chat_id, [])
        members = [_member(one) for one in list_store.customers_within(conn, chat_id)]
        return GroupChatWithMembers(**_parts(row, tags), member_list=members)

    return await request.app[SERVICES].db.read(look)


def _parts(row: Any, tags: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "chat_id": row.chat_id,
        "name": row.name,
        "owner": row.owner,
        "owner_name": row.owner_name or "",
        "notice": row.notice,
        "status": row.status,
        "admins": row.admins,
        "member_version": row.member_version,
        "members": row.members,
        "customers": row.customers,
        "tags": tags,
        "created_at": row.created_at,
        "dismissed_at": row.dismissed_at,
        "refreshed_at": row.refreshed_at,
    }


def _member(row: Any) -> GroupChatMember:
    return GroupChatMember(
        userid=row.userid,
        type=row.type,
        name=row.contact_name or row.member_name or row.name,
        person_id=row.person_id,
        group_nickname=row.group_nickname,
        joined_at=row.joined_at,
        join_scene=row.join_scene,
        invitor=row.invitor,
        state=row.state,
    )
