"""The page beside a customer group: who is in it, and whose customer each one is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.errors import Forbidden
from scrm.group_chats.list_store import customers_within, get_group
from scrm.group_chats.refresh import want_refresh
from scrm.group_chats.store import CUSTOMER
from scrm.group_chats.tag_store import list_tags as list_group_tags
from scrm.http import signed_in
from scrm.services import SERVICES
from scrm.sessions import SignedIn
from scrm.sidebar import group_store as store
from scrm.sidebar import pace
from scrm.sidebar.door import for_members, is_partial, page
from scrm.sidebar.today_store import list_worth
from web.texts import _

routes = web.RouteTableDef()

PAGE = 60
_TAGS = 6


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the group; `kind` is mine, theirs, nobody or staff."""

    userid: str
    name: str
    avatar: str
    kind: str
    is_owner: bool
    joined_at: datetime
    scene: int
    invitor: str
    nickname: str = ""
    followers: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    worth_fen: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """What is known of a group's people besides the group's own list, by external_userid."""

    followers: Mapping[str, list[Row[Any]]]
    tags: Mapping[str, list[str]]
    others: Mapping[str, list[str]]
    worth: Mapping[str, int]


def describe(row: Row[Any], group: Row[Any], userid: str, marks: Marks) -> Person:
    """A member of the group as the page shows it. Pure."""
    known: dict[str, Any] = {
        "userid": row.userid,
        "avatar": row.avatar or "",
        "joined_at": row.joined_at,
        "scene": row.join_scene,
        "invitor": row.invitor_name or "",
        "nickname": row.group_nickname,
    }
    if row.type != CUSTOMER:
        name = row.member_name or row.name or row.userid
        return Person(name=name, kind="staff", is_owner=row.userid.lower() == group.owner.lower(), **known)
    followers = marks.followers.get(row.userid, [])
    mine = next((one for one in followers if one.userid.lower() == userid.lower()), None)
    theirs = tuple(one.member_name or one.userid for one in followers if one is not mine)
    return Person(
        name=(mine.remark if mine else "") or row.contact_name or row.name or row.group_nickname or _("未知昵称"),
        kind="mine" if mine else "theirs" if followers else "nobody",
        is_owner=False,
        followers=theirs,
        # What colleagues noted of their customers is theirs.
        tags=tuple(marks.tags.get(row.userid, [])[:_TAGS]) if mine else (),
        worth_fen=marks.worth.get(row.userid, 0) if mine else 0,
        others=tuple(marks.others.get(row.userid, [])),
        **known,
    )


VIEWS: Mapping[str, Callable[[Person], bool]] = {
    "all": lambda one: True,
    "mine": lambda one: one.kind == "mine",
    "theirs": lambda one: one.kind == "theirs",
    "nobody": lambda one: one.kind == "nobody",
    "several": lambda one: bool(one.others),
    "staff": lambda one: one.kind == "staff",
}


def _titles() -> dict[str, str]:
    return {
        "all": _("全部"),
        "mine": _("我的客户"),
        "theirs": _("同事的客户"),
        "nobody": _("还没加好友"),
        "several": _("在多个群"),
        "staff": _("员工"),
    }


@dataclass(frozen=True, slots=True)
class Look:
    """What was asked of a group: a view of it, a part of a name, from which row on."""

    chat_id: str
    member: SignedIn
    key: str
    text: str
    start: int


@routes.get("/sidebar/groups/{chat_id}")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """`?show=` a view, `?q=` a part of a name, `?from=` the row to go on with."""
    look = _look(request)
    values = await request.app[SERVICES].db.read(_read, look)
    if values is None:
        return page(
            request, "group_unknown.html" if is_partial(request) else "group_unknown_page.html", chat_id=look.chat_id
        )
    if request.query.get("part") == "people":
        return page(request, "group_people.html", **values)
    return page(request, "group_body.html" if is_partial(request) else "group.html", **values)


def _look(request: web.Request) -> Look:
    key, start = request.query.get("show", "all"), request.query.get("from", "0")
    return Look(
        chat_id=request.match_info["chat_id"],
        member=signed_in(request),
        key=key if key in VIEWS else "all",
        text=request.query.get("q", "").strip()[:40],
        start=int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 0,
    )


def _read(conn: Connection, look: Look) -> dict[str, Any] | None:
    """None for a group that we do not know; raises Forbidden when it is not the member's to see."""
    group = get_group(conn, look.chat_id)
    if group is None or (group.refreshed_at is None and not group.members):
        return None
    if not store.may_see(conn, group, look.member.userid, look.member.role):
        raise Forbidden(_("你不在这个群里，也不是群主。需要查看请让群主把你拉进群，或联系管理员。"))
    people = _people(conn, group, look.member.userid)
    named = [one for one in people if look.text.casefold() in f"{one.name} {one.nickname}".casefold()]
    shown = [one for one in named if VIEWS[look.key](one)]
    end = look.start + PAGE
    titles = _titles()
    counts = {key: sum(fits(one) for one in named) for key, fits in VIEWS.items()}
    return {
        "group": group,
        "tags": list_group_tags(conn, [look.chat_id]).get(look.chat_id, []),
        "counts": {key: sum(fits(one) for one in people) for key, fits in VIEWS.items()},
        "chips": [(key, titles[key], counts[key]) for key in VIEWS if counts[key] or key in ("all", look.key)],
        "key": look.key,
        "text": look.text,
        "people": shown[look.start : end],
        "next": end if len(shown) > end else None,
        "scenes": {1: _("员工邀请"), 2: _("邀请链接"), 3: _("扫码进群")},
    }


def _people(conn: Connection, group: Row[Any], userid: str) -> list[Person]:
    rows = customers_within(conn, group.chat_id)
    ids = [row.userid for row in rows if row.type == CUSTOMER]
    followers = store.list_followers(conn, ids)
    mine = [each for each, found in followers.items() if any(one.userid.lower() == userid.lower() for one in found)]
    marks = Marks(
        followers,
        store.list_tags(conn, userid, mine),
        store.list_other_groups(conn, group.chat_id, ids),
        list_worth(conn, mine),
    )
    people = [describe(row, group, userid, marks) for row in rows]
    order = {"mine": 0, "nobody": 1, "theirs": 2, "staff": 3}
    return sorted(people, key=lambda one: order[one.kind])


@routes.post("/sidebar/groups/{chat_id}/refresh")
@for_members
async def refresh(request: web.Request) -> web.StreamResponse:
    """Have the group read from WeCom; the page looks again by itself."""
    services, userid, chat_id = request.app[SERVICES], signed_in(request).userid, request.match_info["chat_id"]
    now = services.clock.now()

    def write(conn: Connection) -> None:
        pace.count(conn, "group", userid, pace.FETCHES, now)
        want_refresh(conn, chat_id[:64], now=now)

    await services.db.write(write)
    return page(request, "group_waiting.html", chat_id=chat_id)
