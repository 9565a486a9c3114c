"""The corp, its members, its customers and what passed between them, held in memory."""

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from .acquisition import AcquisitionState
from .group_chats import Group, GroupChatState
from .kf import KfState
from .messages import Message
from .official_account import OfficialAccountState
from .sending import Sending
from .transfers import TransferState

AVATAR_COLORS = ("blue", "teal", "violet", "orange", "rose", "green", "indigo", "amber")
MEDIA_LIFE = timedelta(days=3)
WELCOME_LIFE = timedelta(seconds=20)

Json = dict[str, Any]


def pick_color(text: str) -> str:
    """A colour that stays the same for the same text."""
    return AVATAR_COLORS[hashlib.sha256(text.encode()).digest()[0] % len(AVATAR_COLORS)]


class PairState(StrEnum):
    """How far the friendship of a member and a customer has come (doc 90313, help of 84061)."""

    ASKED = "asked"  # the customer asked, the member has not accepted
    HALF = "half"  # added in skip-verify mode, the member has not confirmed
    FRIEND = "friend"
    LEFT = "left"  # the customer deleted the member: one-way, calls still work
    DELETED = "deleted"  # the member deleted the customer: calls answer 84061


@dataclass
class Member:
    """A colleague who uses WeCom and may serve customers."""

    userid: str
    name: str
    avatar_color: str
    department: int
    position: str = "导购"


@dataclass(slots=True)
class WechatUser:
    """A person with WeChat on a phone."""

    key: str
    name: str
    gender: int  # 0 unknown, 1 male, 2 female
    external_userid: str
    unionid: str | None = None
    phone: str | None = None
    avatar_color: str = "blue"
    corp_name: str = ""  # of a WeCom user of another corp, who is type 2 and has no unionid (doc 92114)


@dataclass(slots=True)
class Pair:
    """One member following one customer."""

    userid: str
    external_userid: str
    state: PairState
    created_at: datetime
    add_way: int = 1
    channel: str = ""  # the state of the contact way
    remark: str = ""
    description: str = ""
    remark_company: str = ""
    remark_mobiles: list[str] = field(default_factory=list)
    tag_ids: list[str] = field(default_factory=list)
    has_chatted: bool = False  # a welcome or a message was delivered since the last add


@dataclass
class AppMessage:
    """One message of the app to one member."""

    msgid: str
    at: datetime
    body: Json
    replaced_button: str = ""
    is_recalled: bool = False


@dataclass
class ContactWay:
    """A channel code that customers scan."""

    config_id: str
    created_at: datetime
    scene: int = 2
    type: int = 2
    style: int = 0
    remark: str = ""
    state: str = ""
    skip_verify: bool = True
    userids: list[str] = field(default_factory=list)
    party: list[int] = field(default_factory=list)
    is_temp: bool = False
    scans: int = 0
    extra: Json = field(default_factory=dict)


@dataclass
class WelcomeCode:
    """Twenty seconds and one use, counted from the event's CreateTime (doc 92137)."""

    code: str
    userid: str
    external_userid: str
    created_at: datetime
    is_used: bool = False


@dataclass
class Tag:
    """A corp tag."""

    id: str
    name: str
    created_at: datetime
    order: int = 0
    is_deleted: bool = False
    is_of_app: bool = False  # an app edits and deletes only what it made (doc 92117)


@dataclass
class TagGroup:
    """A group of corp tags."""

    id: str
    name: str
    created_at: datetime
    order: int = 0
    tags: list[Tag] = field(default_factory=list)


@dataclass(frozen=True)
class Media:
    """A file that was uploaded; `door` is the endpoint it came in by."""

    id: str
    kind: str
    filename: str
    content_type: str
    content: bytes
    created_at: datetime
    door: str


@dataclass
class World:
    """Everything the sandbox knows; `revision` grows with each change so that pages know when to redraw."""

    corp_id: str
    members: dict[str, Member] = field(default_factory=dict)  # by case-folded userid
    out_of_range: set[str] = field(default_factory=set)  # userids that the app may not see
    wechat_users: dict[str, WechatUser] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Pair] = field(default_factory=dict)
    contact_ways: dict[str, ContactWay] = field(default_factory=dict)
    chats: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    app_messages: dict[str, list[AppMessage]] = field(default_factory=dict)
    app_messages_by_day: dict[str, int] = field(default_factory=dict)  # person-times
    welcome_codes: dict[str, WelcomeCode] = field(default_factory=dict)
    tag_groups: list[TagGroup] = field(default_factory=list)
    acquisition: AcquisitionState = field(default_factory=AcquisitionState)
    group_chats: GroupChatState = field(default_factory=GroupChatState)
    transfers: TransferState = field(default_factory=TransferState)
    kf: KfState = field(default_factory=KfState)
    official_account: OfficialAccountState = field(default_factory=OfficialAccountState)
    departments: list[str] = field(default_factory=list)  # index + 1 is the id; the first is the root
    media: dict[str, Media] = field(default_factory=dict)
    response_codes: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # code: (msgid, made at)
    sent_bodies: dict[str, tuple[datetime, str]] = field(default_factory=dict)  # duplicate check: (until, msgid)
    sending: Sending = field(default_factory=Sending)
    echoes: list[tuple[str, str]] = field(default_factory=list)  # pairs that a call changed, yet to be told of
    revision: int = 0
    _customers: dict[str, WechatUser] = field(default_factory=dict)
    _by_member: dict[str, dict[str, Pair]] = field(default_factory=dict)
    _by_customer: dict[str, dict[str, Pair]] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def touch(self) -> None:
        """Tell the pages that something changed."""
        self.revision += 1

    def next_number(self) -> int:
        """A number that was not given before."""
        return next(self._numbers)

    def make_id(self, prefix: str, seed: str, length: int = 32) -> str:
        """An id in WeCom's form; the same corp and seed give the same id, also after a restart."""
        digest = hashlib.sha256(f"{self.corp_id}/{prefix}/{seed}".encode()).hexdigest()
        return prefix + digest[: length - len(prefix)]

    def find_member(self, userid: str) -> Member | None:
        """The member; userids ignore case (doc 90195)."""
        return self.members.get(userid.casefold())

    def members_in_range(self) -> list[Member]:
        """Those whom the app may see."""
        return [member for member in self.members.values() if member.userid not in self.out_of_range]

    def find_in_range(self, userid: str) -> Member | None:
        """The member, if the app may see them."""
        member = self.find_member(userid)
        return member if member and member.userid not in self.out_of_range else None

    def put_wechat_user(self, user: WechatUser) -> None:
        """Let somebody in, found by key and by external_userid."""
        self.wechat_users[user.key] = user
        self._customers[user.external_userid] = user
        self.touch()

    def put_pair(self, pair: Pair) -> None:
        """Keep a relation; a former one of the same two gives way."""
        self.pairs[pair.userid, pair.external_userid] = pair
        self._by_member.setdefault(pair.userid, {})[pair.external_userid] = pair
        self._by_customer.setdefault(pair.external_userid, {})[pair.userid] = pair
        self.touch()

    def find_customer(self, external_userid: str) -> WechatUser | None:
        """The WeChat user behind an external_userid."""
        return self._customers.get(external_userid)

    def get_customer(self, external_userid: str) -> WechatUser:
        """The WeChat user behind an external_userid that a relation names."""
        return self._customers[external_userid]

    def find_pair(self, userid: str, external_userid: str) -> Pair | None:
        """The relation of a member and a customer, in whatever state."""
        member = self.find_member(userid)
        return self.pairs.get((member.userid, external_userid)) if member else None

    def pairs_of_member(self, userid: str) -> list[Pair]:
        """All relations of a member, oldest first."""
        return list(self._by_member.get(userid, {}).values())

    def pairs_after(self, userid: str, start: int) -> Iterator[Pair]:
        """A member's relations from number `start` on, oldest first; none is ever taken out, so numbers stay."""
        return itertools.islice(self._by_member.get(userid, {}).values(), start, None)

    def first_users(self, most: int) -> list[WechatUser]:
        """So many of the WeChat users, for pages that list them."""
        return list(itertools.islice(self.wechat_users.values(), most))

    def count_pairs(self, userid: str) -> int:
        """How many relations a member has."""
        return len(self._by_member.get(userid, {}))

    def pairs_of_customer(self, external_userid: str) -> list[Pair]:
        """All relations of a customer, oldest first."""
        return list(self._by_customer.get(external_userid, {}).values())

    def append(
        self,
        pair: Pair,
        at: datetime,
        sender: Literal["member", "customer", "system"],
        kind: str,
        content: Json,
        via: Literal["typed", "welcome", "sidebar", "system"] = "typed",
    ) -> Message:
        """Put a message into the chat; what a member says to somebody who left does not arrive."""
        is_delivered = not (sender == "member" and pair.state in (PairState.LEFT, PairState.ASKED))
        message = Message(self.next_number(), at, sender, kind, content, via, is_delivered)
        self.chats.setdefault((pair.userid, pair.external_userid), []).append(message)
        if sender != "system" and is_delivered:
            pair.has_chatted = True
        self.touch()
        return message

    def find_group(self, userid: str, chat_id: str) -> Group | None:
        """A living customer group in which the member is."""
        group = self.group_chats.groups.get(chat_id)
        return group if group and group.dismissed_at is None and userid in group.seats else None

    def append_to_group(self, group: Group, userid: str, at: datetime, kind: str, content: Json) -> Message:
        """Put what a member sends from the sidebar into the group."""
        message = Message(self.next_number(), at, "member", kind, content, "sidebar")
        group.said.append((userid, message))
        self.touch()
        return message

    def find_tag(self, tag_id: str) -> tuple[TagGroup, Tag] | None:
        """A living corp tag and its group."""
        for group in self.tag_groups:
            for tag in group.tags:
                if tag.id == tag_id and not tag.is_deleted:
                    return group, tag
        return None

    def find_media(self, media_id: str, now: datetime) -> Media | None:
        """An uploaded file that has not expired; pictures of uploadimg live for ever (doc 90256)."""
        media = self.media.get(media_id)
        if media and media.door != "uploadimg" and now - media.created_at > MEDIA_LIFE:
            return None
        return media

    def department_id(self, name: str) -> int:
        """The id of a department, made when it is new; the root has id 1."""
        if name not in self.departments:
            self.departments.append(name)
        return self.departments.index(name) + 1
