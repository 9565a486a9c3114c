"""What people do in customer groups; WeCom tells the app of it, with the versions of the member list."""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from scrm.errors import Conflict, Invalid, NotFound

from .envelope import xml_document
from .group_chats import FULL_FOR_CODES, MOST_SEATS, Group, JoinWay, Seat, details
from .sandbox import Sandbox
from .world import Json

BY_INVITATION, BY_CODE = 1, 3
Fields = list[tuple[str, str | int]]


def create_group(sandbox: Sandbox, owner: str, name: str = "", *, seed: str = "", quietly: bool = False) -> Group:
    """A member makes a customer group; `quietly` tells nobody, as with groups that were there before the app."""
    member = sandbox.get_member(owner)
    world, now = sandbox.world, sandbox.clock.now()
    chat_id = world.make_id("wr", f"group/{seed or world.next_number()}")
    group = Group(chat_id, member.userid, now, name, version=secrets.token_hex(16))
    group.seats[member.userid] = Seat(member.userid, 1, member.name, now, BY_INVITATION)
    world.group_chats.groups[chat_id] = group
    world.group_chats.opengids[world.make_id("og", chat_id)] = chat_id
    if not quietly:
        _push(sandbox, group, "新建客户群", "create", [])
    return group


def join(
    sandbox: Sandbox,
    chat_id: str,
    people: Iterable[str],
    *,
    scene: int = BY_INVITATION,
    state: str = "",
    quietly: bool = False,
) -> list[str]:
    """Members (userids) and customers (keys of WeChat users) come in; gives the ids that WeCom names."""
    group = _living(sandbox, chat_id)
    seats = [_make_seat(sandbox, group, one, scene, state) for one in people]
    new = [seat for seat in seats if seat.userid not in group.seats]
    if not new:
        raise Conflict("他们已经在群里了。")
    if len(group.seats) + len(new) > MOST_SEATS:
        raise Conflict(f"群里最多 {MOST_SEATS} 人。")
    _keep_shown(sandbox, group)
    for seat in new:
        group.seats[seat.userid] = seat
        group.joins.append((seat.joined_at, seat.userid))
    ids = [seat.userid for seat in new]
    told = 3 if scene == BY_CODE else 0  # the event counts otherwise than groupchat/get
    _change_members(sandbox, group, "客户入群", "add_member", ids, ("JoinScene", told), quietly=quietly)
    return ids


def leave(sandbox: Sandbox, chat_id: str, people: Iterable[str], *, is_removed: bool = False) -> list[str]:
    """People go, or the owner removes them."""
    group = _living(sandbox, chat_id)
    ids = [_id_of(sandbox, one) for one in people]
    if missing := [one for one in ids if one not in group.seats]:
        raise Conflict(f"不在群里：{missing[0]}")
    _keep_shown(sandbox, group)
    for one in ids:
        del group.seats[one]
    _change_members(sandbox, group, "客户退群", "del_member", ids, ("QuitScene", int(is_removed)))
    return ids


def seed_group(
    sandbox: Sandbox, seed: str, owner: str, name: str, *, created_at: datetime, people: Mapping[str, datetime]
) -> Group:
    """A group from before the app, made then, with people who came when `people` says; nobody is told."""
    group = create_group(sandbox, owner, name, seed=seed, quietly=True)
    group.created_at = group.seats[group.owner].joined_at = created_at
    for one, joined_at in people.items():
        (userid,) = join(sandbox, group.chat_id, [one], scene=BY_CODE, quietly=True)
        group.seats[userid].joined_at = joined_at
    group.joins = [(seat.joined_at, seat.userid) for seat in group.seats.values() if seat.userid != group.owner]
    return group


def scan_join_way(sandbox: Sandbox, wechat_user_key: str, config_id: str) -> str:
    """A customer scans a join code: into its first group with room, or a new one if it may be made; the chat_id."""
    way = sandbox.world.group_chats.join_ways.get(config_id)
    if way is None:
        raise NotFound("这个群二维码已失效。")
    groups = [sandbox.world.group_chats.groups[chat_id] for chat_id in way.chat_ids]
    living = [group for group in groups if group.dismissed_at is None]
    group = next((one for one in living if len(one.seats) < FULL_FOR_CODES), None)
    if group is None:
        group = _next_group(sandbox, way, groups)
    join(sandbox, group.chat_id, [wechat_user_key], scene=BY_CODE, state=way.state)
    return group.chat_id


def _next_group(sandbox: Sandbox, way: JoinWay, groups: list[Group]) -> Group:
    if not way.auto_create_room or len(way.chat_ids) >= 5:
        raise Conflict("群已满，无法加入。")
    name = f"{way.room_base_name}{way.room_base_id}" if way.room_base_name else ""
    group = create_group(sandbox, groups[0].owner, name)
    way.room_base_id += 1
    way.chat_ids.append(group.chat_id)
    return group


def rename(sandbox: Sandbox, chat_id: str, name: str) -> None:
    """Anybody in the group gives it another name."""
    group = _living(sandbox, chat_id)
    _keep_shown(sandbox, group)
    group.name = name
    _push(sandbox, group, "客户群改名", "update", [("UpdateDetail", "change_name")])


def post_notice(sandbox: Sandbox, chat_id: str, text: str) -> None:
    """The owner writes a notice."""
    group = _living(sandbox, chat_id)
    _keep_shown(sandbox, group)
    group.notice = text
    _push(sandbox, group, "客户群公告变更", "update", [("UpdateDetail", "change_notice")])


def hand_over(sandbox: Sandbox, chat_id: str, owner: str, *, quietly: bool = False) -> None:
    """Another member of the corp becomes the owner, and is in the group from then on."""
    group, member = _living(sandbox, chat_id), sandbox.get_member(owner)
    _keep_shown(sandbox, group)
    if member.userid not in group.seats:
        group.seats[member.userid] = Seat(member.userid, 1, member.name, sandbox.clock.now(), BY_INVITATION)
        group.version = secrets.token_hex(16)
    group.owner = member.userid
    if not quietly:
        _push(sandbox, group, "客户群更换群主", "update", [("UpdateDetail", "change_owner")])


def dismiss(sandbox: Sandbox, chat_id: str) -> None:
    """The owner ends the group: calls answer 49008 from now on."""
    group = _living(sandbox, chat_id)
    group.dismissed_at = sandbox.clock.now()
    _push(sandbox, group, "解散客户群", "dismiss", [])


def find_group(sandbox: Sandbox, chat_id: str) -> Group:
    """The group, else NotFound."""
    group = sandbox.world.group_chats.groups.get(chat_id)
    if group is None:
        raise NotFound(f"沙箱里没有客户群 {chat_id}。")
    return group


def acts(sandbox: Sandbox) -> dict[str, Callable[[Json], Awaitable[Json]]]:
    """The acts for the control pages, by their names."""

    async def group_create(body: Json) -> Json:
        """{owner, name?, people?: [userid or key]}"""
        group = create_group(sandbox, _text(body, "owner"), str(body.get("name") or ""))
        if body.get("people"):
            join(sandbox, group.chat_id, _texts(body, "people"))
        return {"chat_id": group.chat_id}

    async def group_join(body: Json) -> Json:
        """{chat_id, people, scene?: 1 | 3, state?}"""
        scene = BY_CODE if body.get("scene") == BY_CODE else BY_INVITATION
        chat_id, people = _text(body, "chat_id"), _texts(body, "people")
        return {"userids": join(sandbox, chat_id, people, scene=scene, state=str(body.get("state") or ""))}

    async def group_leave(body: Json) -> Json:
        """{chat_id, people, removed?}"""
        people = _texts(body, "people")
        return {"userids": leave(sandbox, _text(body, "chat_id"), people, is_removed=bool(body.get("removed")))}

    async def group_scan(body: Json) -> Json:
        """{user, config_id}"""
        return {"chat_id": scan_join_way(sandbox, _text(body, "user"), _text(body, "config_id"))}

    async def group_rename(body: Json) -> Json:
        """{chat_id, name}"""
        rename(sandbox, _text(body, "chat_id"), _text(body, "name"))
        return {}

    async def group_notice(body: Json) -> Json:
        """{chat_id, notice}"""
        post_notice(sandbox, _text(body, "chat_id"), _text(body, "notice"))
        return {}

    async def group_owner(body: Json) -> Json:
        """{chat_id, owner}"""
        hand_over(sandbox, _text(body, "chat_id"), _text(body, "owner"))
        return {}

    async def group_dismiss(body: Json) -> Json:
        """{chat_id}"""
        dismiss(sandbox, _text(body, "chat_id"))
        return {}

    async def group_lag(body: Json) -> Json:
        """{seconds}: how long groupchat/get stays behind the events."""
        sandbox.world.group_chats.lag_seconds = float(body.get("seconds") or 0)
        return {}

    every = (
        group_create, group_join, group_leave, group_scan, group_rename, group_notice, group_owner, group_dismiss,
        group_lag,
    )  # fmt: skip
    return {act.__name__: act for act in every}


def shown(sandbox: Sandbox) -> Json:
    """All groups, for the control pages."""
    return {"groups": [details(group) for group in sandbox.world.group_chats.groups.values()]}


def _living(sandbox: Sandbox, chat_id: str) -> Group:
    group = find_group(sandbox, chat_id)
    if group.dismissed_at is not None:
        raise Conflict("这个群已经解散。")
    return group


def _make_seat(sandbox: Sandbox, group: Group, one: str, scene: int, state: str) -> Seat:
    now = sandbox.clock.now()
    invitor = "" if scene == BY_CODE else group.owner
    if member := sandbox.world.find_member(one):
        return Seat(member.userid, 1, member.name, now, scene, invitor)
    user = sandbox.get_wechat_user(one)
    return Seat(user.external_userid, 2, user.name, now, scene, invitor, user.unionid or "", state=state)


def _id_of(sandbox: Sandbox, one: str) -> str:
    if member := sandbox.world.find_member(one):
        return member.userid
    user = sandbox.world.wechat_users.get(one)
    return user.external_userid if user else one


def _keep_shown(sandbox: Sandbox, group: Group) -> None:
    """What groupchat/get goes on to say for a while after the change that comes now."""
    lag, now = sandbox.world.group_chats.lag_seconds, sandbox.clock.now()
    if not lag:
        group.shown_before = group.shows_at = None
        return
    if group.shows_at is None or group.shows_at <= now:
        group.shown_before = details(group)
    group.shows_at = now + timedelta(seconds=lag)


def _change_members(
    sandbox: Sandbox,
    group: Group,
    title: str,
    detail: str,
    ids: list[str],
    scene: tuple[str, str | int],
    *,
    quietly: bool = False,
) -> None:
    last, group.version = group.version, secrets.token_hex(16)
    if quietly:
        return
    fields: Fields = [("UpdateDetail", detail), scene, ("MemChangeCnt", len(ids))]
    fields += [("LastMemVer", last), ("CurMemVer", group.version)]
    items = xml_document([("Item", one) for one in ids]).removeprefix("<xml>").removesuffix("</xml>")
    _push(sandbox, group, title, "update", fields, f"<MemChangeList>{items}</MemChangeList>")


def _push(sandbox: Sandbox, group: Group, title: str, change_type: str, fields: Fields, more: str = "") -> None:
    if group.owner in sandbox.world.out_of_range:
        return
    plain = sandbox._event("change_external_chat", change_type, [("ChatId", group.chat_id), *fields])
    sandbox.deliveries.push(title, plain.replace("</xml>", f"{more}</xml>") if more else plain)
    sandbox.world.touch()


def _text(body: Json, name: str) -> str:
    value: Any = body.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"缺少 {name}，应为一段文字。")
    return value


def _texts(body: Json, name: str) -> list[str]:
    value = body.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise Invalid(f"{name} 应为一组文字，至少一个。")
    return value
