"""Customer groups, their join codes, welcome materials and statistics (docs 92120, 92122, 92229, 92366, 92133)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from scrm.wecom.calls import Calls, Json

LIST_LIMIT = 1000
STATISTIC_LIMIT = 1000
# 0 normal, 1 its owner left the corp, 2 being inherited, 3 inherited.
STATUSES = (0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """Somebody in a group; `userid` is an external_userid when `type` is 2 (then `unionid` may be known).

    `join_scene`: 1 invited directly, 2 by a link, 3 by a QR code, 0 not told.
    """

    userid: str
    type: int
    joined_at: datetime | None = None
    join_scene: int = 0
    invitor: str = ""
    unionid: str = ""
    name: str = ""
    group_nickname: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class GroupChat:
    """A customer group with everybody in it; `name` and `notice` may be empty."""

    chat_id: str
    owner: str
    created_at: datetime | None = None
    name: str = ""
    notice: str = ""
    member_version: str = ""
    admins: tuple[str, ...] = ()
    members: tuple[GroupMember, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """One line of groupchat/list; `status` is one of STATUSES."""

    chat_id: str
    status: int


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """What WeCom counted of one owner or one day; data ends yesterday, and only 180 days back are kept."""

    owner: str
    day: datetime | None
    new_chat_cnt: int
    chat_total: int
    chat_has_msg: int
    new_member_cnt: int
    member_total: int
    member_has_msg: int
    msg_total: int


@dataclass(frozen=True, slots=True)
class JoinWay:
    """A join code as WeCom has it (doc 92229)."""

    config_id: str
    qr_code: str = ""
    state: str = ""
    remark: str = ""
    chat_ids: tuple[str, ...] = ()
    auto_create_room: bool = True
    room_base_name: str = ""
    room_base_id: int = 0


class GroupChats:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def list_group_chats(
        self, *, status_filter: int = 0, owners: Sequence[str] = (), cursor: str = ""
    ) -> tuple[list[ListedGroup], str]:
        """One page of up to 1000 groups and the cursor to go on from, empty at the end (doc 92120).

        `owners` <= 100; without them a corp with more than 1000 visible members is refused with 81017. Groups of a
        resigned owner only come when that owner is named.
        """
        body: Json = {"status_filter": status_filter, "limit": LIST_LIMIT}
        if owners:
            body["owner_filter"] = {"userid_list": list(owners)}
        if cursor:
            body["cursor"] = cursor
        answer = await self._calls.post("externalcontact/groupchat/list", body)
        rows = [row for row in answer.get("group_chat_list") or [] if row.get("chat_id")]
        found = [ListedGroup(str(row["chat_id"]), _int(row.get("status"))) for row in rows]
        following = _text(answer.get("next_cursor"))
        return found, "" if following == cursor else following

    async def iter_group_chats(
        self, *, status_filter: int = 0, owners: Sequence[str] = (), cursor: str = ""
    ) -> AsyncIterator[tuple[list[ListedGroup], str]]:
        """Pages with the cursor that follows each, until the cursor is empty (doc 92120)."""
        while True:
            page, cursor = await self.list_group_chats(status_filter=status_filter, owners=owners, cursor=cursor)
            yield page, cursor
            if not cursor:
                return

    async def get_group_chat(self, chat_id: str) -> GroupChat:
        """The group with names of all members (doc 92122); may lag behind the event by some seconds.

        40050 unknown, 49008 dismissed, 90501 not a customer group, 60011 its owner is outside the visible range.
        """
        answer = await self._calls.post("externalcontact/groupchat/get", {"chat_id": chat_id, "need_name": 1})
        return read_group_chat(answer.get("group_chat") or {}, chat_id)

    async def opengid_to_chatid(self, opengid: str) -> str:
        """The chat_id of one of our own groups; 90511 for any other (doc 94822)."""
        return _text((await self._calls.post("externalcontact/opengid_to_chatid", {"opengid": opengid}))["chat_id"])

    # Join codes

    async def add_join_way(
        self,
        chat_ids: Sequence[str],
        *,
        state: str = "",
        remark: str = "",
        auto_create_room: bool = True,
        room_base_name: str = "",
        room_base_id: int = 1,
    ) -> str:
        """The config_id of a new QR code for one to five groups (41091 beyond); `state` <= 30 characters.

        When they are full WeCom makes a new group of `room_base_name` (<= 40 characters) and a number, if told to.
        """
        fields = _join_way(chat_ids, state, remark, auto_create_room, room_base_name, room_base_id)
        return _text((await self._calls.post("externalcontact/groupchat/add_join_way", fields))["config_id"])

    async def get_join_way(self, config_id: str) -> JoinWay:
        """The settings and the address of the QR picture, which add_join_way does not tell; 41044 unknown."""
        answer = await self._calls.post("externalcontact/groupchat/get_join_way", {"config_id": config_id})
        return _read_join_way(answer.get("join_way") or {}, config_id)

    async def update_join_way(
        self,
        config_id: str,
        chat_ids: Sequence[str],
        *,
        state: str = "",
        remark: str = "",
        auto_create_room: bool = True,
        room_base_name: str = "",
        room_base_id: int = 1,
    ) -> None:
        """Overwrites everything (doc 92229)."""
        fields = _join_way(chat_ids, state, remark, auto_create_room, room_base_name, room_base_id)
        await self._calls.post("externalcontact/groupchat/update_join_way", {"config_id": config_id, **fields})

    async def del_join_way(self, config_id: str) -> None:
        """The code stops working at once."""
        await self._calls.post("externalcontact/groupchat/del_join_way", {"config_id": config_id})

    # Welcome materials

    async def add_welcome_template(
        self, text: str, attachment: Mapping[str, Any] | None = None, *, notify: bool = True
    ) -> str:
        """The template_id; text <= 3000 bytes with %NICKNAME%, at most one attachment; 41055 beyond 100 (doc 92366).

        The group's owner must still apply it in the client; `notify` tells the owners that it is there.
        """
        body = {**_welcome(text, attachment), "notify": int(notify)}
        return _text((await self._calls.post("externalcontact/group_welcome_template/add", body))["template_id"])

    async def edit_welcome_template(
        self, template_id: str, text: str, attachment: Mapping[str, Any] | None = None
    ) -> None:
        """Only materials of this app: 41058 for others."""
        body = {"template_id": template_id, **_welcome(text, attachment)}
        await self._calls.post("externalcontact/group_welcome_template/edit", body)

    async def get_welcome_template(self, template_id: str) -> Json:
        """`text` and one of image, link, miniprogram, file, video."""
        answer = await self._calls.post("externalcontact/group_welcome_template/get", {"template_id": template_id})
        return {key: value for key, value in answer.items() if key not in ("errcode", "errmsg")}

    async def del_welcome_template(self, template_id: str) -> None:
        """Groups that apply it greet no more."""
        await self._calls.post("externalcontact/group_welcome_template/del", {"template_id": template_id})

    # Statistics

    async def statistic(
        self,
        first: datetime,
        last: datetime,
        *,
        owners: Sequence[str] = (),
        order_by: Literal[1, 2, 3, 4] = 4,
    ) -> list[GroupFigures]:
        """Sums per owner from the day of `first` to the day of `last`, both China's days, <= 30 days (doc 92133).

        `order_by`: 1 new groups, 2 groups, 3 new members, 4 members; `owners` <= 100.
        """
        body: Json = {
            "day_begin_time": int(first.timestamp()),
            "day_end_time": int(last.timestamp()),
            "order_by": order_by,
            "order_asc": 0,
            "limit": STATISTIC_LIMIT,
        }
        if owners:
            body["owner_filter"] = {"userid_list": list(owners)}
        found: list[GroupFigures] = []
        offset = 0
        while True:
            answer = await self._calls.post("externalcontact/groupchat/statistic", {**body, "offset": offset})
            items = answer.get("items") or []
            found += [_figures(item) for item in items]
            following, total = _int(answer.get("next_offset")), _int(answer.get("total"))
            if following <= offset or following >= total or not items:
                return found
            offset = following

    async def statistic_group_by_day(
        self, first: datetime, last: datetime, *, owners: Sequence[str] = ()
    ) -> list[GroupFigures]:
        """Sums per day, the oldest first; limits as `statistic` (doc 92133)."""
        body: Json = {"day_begin_time": int(first.timestamp()), "day_end_time": int(last.timestamp())}
        if owners:
            body["owner_filter"] = {"userid_list": list(owners)}
        answer = await self._calls.post("externalcontact/groupchat/statistic_group_by_day", body)
        return [_figures(item) for item in answer.get("items") or []]


def read_group_chat(told: Mapping[str, Any], chat_id: str = "") -> GroupChat:
    """What groupchat/get said of a group; everything but the ids may be missing."""
    return GroupChat(
        chat_id=_text(told.get("chat_id")) or chat_id,
        owner=_text(told.get("owner")),
        created_at=_time(told.get("create_time")),
        name=_text(told.get("name")),
        notice=_text(told.get("notice")),
        member_version=_text(told.get("member_version")),
        admins=tuple(_text(row.get("userid")) for row in told.get("admin_list") or [] if row.get("userid")),
        members=tuple(_member(row) for row in told.get("member_list") or [] if row.get("userid")),
    )


def _member(told: Mapping[str, Any]) -> GroupMember:
    return GroupMember(
        userid=_text(told["userid"]),
        type=_int(told.get("type")),
        joined_at=_time(told.get("join_time")),
        join_scene=_int(told.get("join_scene")),
        invitor=_text((told.get("invitor") or {}).get("userid")),
        unionid=_text(told.get("unionid")),
        name=_text(told.get("name")),
        group_nickname=_text(told.get("group_nickname")),
        state=_text(told.get("state")),
    )


def _join_way(
    chat_ids: Sequence[str], state: str, remark: str, auto_create_room: bool, room_base_name: str, room_base_id: int
) -> Json:
    fields: Json = {"scene": 2, "chat_id_list": list(chat_ids), "auto_create_room": int(auto_create_room)}
    if auto_create_room and room_base_name:
        fields |= {"room_base_name": room_base_name, "room_base_id": room_base_id}
    # Empty texts are left out: WeCom takes some of them for values.
    return fields | {key: value for key, value in (("remark", remark), ("state", state)) if value}


def _read_join_way(told: Mapping[str, Any], config_id: str) -> JoinWay:
    return JoinWay(
        config_id=_text(told.get("config_id")) or config_id,
        qr_code=_text(told.get("qr_code")),
        state=_text(told.get("state")),
        remark=_text(told.get("remark")),
        chat_ids=tuple(_text(chat_id) for chat_id in told.get("chat_id_list") or []),
        auto_create_room=bool(_int(told.get("auto_create_room"))),
        room_base_name=_text(told.get("room_base_name")),
        room_base_id=_int(told.get("room_base_id")),
    )


def _welcome(text: str, attachment: Mapping[str, Any] | None) -> Json:
    """`attachment` is {image: {...}} or of another kind, as WeCom names it."""
    body: Json = {"text": {"content": text}} if text else {}
    return body | dict(attachment or {})


def _figures(told: Mapping[str, Any]) -> GroupFigures:
    data = told.get("data") or {}
    return GroupFigures(
        owner=_text(told.get("owner")),
        day=_time(told.get("stat_time")),
        **{
            name: _int(data.get(name))
            for name in (
                "new_chat_cnt",
                "chat_total",
                "chat_has_msg",
                "new_member_cnt",
                "member_total",
                "member_has_msg",
                "msg_total",
            )
        },
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _int(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0


def _time(value: Any) -> datetime | None:
    seconds = _int(value)
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 4_102_444_800 else None
