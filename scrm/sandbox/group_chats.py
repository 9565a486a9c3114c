"""The sandbox's customer groups, their join codes and welcome materials (docs 92120, 92122, 92229, 92366)."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .messages import Message

Json = dict[str, Any]

MOST_SEATS = 500
# A code of a group that is this full makes the next group, or ends.
FULL_FOR_CODES = 200


@dataclass
class Seat:
    """Somebody in a group: a userid (type 1) or an external_userid (type 2)."""

    userid: str
    type: int
    name: str
    joined_at: datetime
    join_scene: int
    invitor: str = ""
    unionid: str = ""
    group_nickname: str = ""
    state: str = ""


@dataclass
class Group:
    """One customer group; `shown_before` is what groupchat/get still says until `shows_at`."""

    chat_id: str
    owner: str
    created_at: datetime
    name: str = ""
    notice: str = ""
    status: int = 0
    version: str = ""
    admins: list[str] = field(default_factory=list)
    seats: dict[str, Seat] = field(default_factory=dict)
    joins: list[tuple[datetime, str]] = field(default_factory=list)
    dismissed_at: datetime | None = None
    shown_before: Json | None = None
    shows_at: datetime | None = None
    # What members sent from the sidebar: (userid, message).
    said: list[tuple[str, Message]] = field(default_factory=list)


@dataclass
class JoinWay:
    """A join code of the app."""

    config_id: str
    scene: int
    chat_ids: list[str]
    remark: str = ""
    state: str = ""
    auto_create_room: int = 1
    room_base_name: str = ""
    room_base_id: int = 1
    mark_source: bool = True


@dataclass
class GroupChatState:
    """All groups; `lag_seconds` is how long the details stay behind the events, 0 to 2 as WeCom says."""

    groups: dict[str, Group] = field(default_factory=dict)
    join_ways: dict[str, JoinWay] = field(default_factory=dict)
    welcomes: dict[str, Json] = field(default_factory=dict)
    foreign_welcomes: set[str] = field(default_factory=set)
    opengids: dict[str, str] = field(default_factory=dict)
    lag_seconds: float = 0.0


def details(group: Group) -> Json:
    """A group as groupchat/get shows it with names."""
    shown: Json = {
        "chat_id": group.chat_id,
        "name": group.name,
        "owner": group.owner,
        "create_time": int(group.created_at.timestamp()),
        "member_list": [_seat(seat) for seat in group.seats.values()],
        "admin_list": [{"userid": userid} for userid in group.admins],
        "member_version": group.version,
    }
    if group.notice:
        shown["notice"] = group.notice
    return shown


def _seat(seat: Seat) -> Json:
    shown: Json = {
        "userid": seat.userid,
        "type": seat.type,
        "join_time": int(seat.joined_at.timestamp()),
        "join_scene": seat.join_scene,
        "group_nickname": seat.group_nickname,
        "name": seat.name,
    }
    if seat.invitor:
        shown["invitor"] = {"userid": seat.invitor}
    if seat.unionid:
        shown["unionid"] = seat.unionid
    if seat.state:
        shown["state"] = seat.state
    return shown
