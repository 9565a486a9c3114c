"""WeChat customer service (微信客服): accounts, messages both ways, session states (docs 94638-95159)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from scrm.wecom.calls import Calls, Json

TEXT_BYTES = 2048
MENU_TEXT_BYTES = 1024
SCENE_BYTES = 32
# Shown to an agent: who wrote a message.
CUSTOMER, SYSTEM, SERVICER = 3, 4, 5

# send_msg and send_msg_on_event: it went out before, this is our own second try.
DUPLICATE_MSGID = 95033
OVER_COUNT, OVER_TIME, STATE_FORBIDS, BAD_TOKEN, SESSION_ENDED = 95001, 95002, 95018, 95007, 95013


class ServiceState(IntEnum):
    """Who answers (doc 94669): only NEW and ROBOT let the API write."""

    NEW = 0
    ROBOT = 1
    POOL = 2
    HUMAN = 3
    ENDED = 4


@dataclass(frozen=True, slots=True)
class KfMessage:
    """One message or event as sync_msg tells it; `content` is the object named like `msgtype`."""

    msgid: str
    open_kfid: str
    external_userid: str
    sent_at: datetime
    origin: int
    msgtype: str
    servicer_userid: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)

    @property
    def event_type(self) -> str:
        return str(self.content.get("event_type", "")) if self.msgtype == "event" else ""

    @property
    def text(self) -> str:
        """What the customer wrote, or the menu item he pressed; '' for everything else."""
        return str(self.content.get("content", "")) if self.msgtype == "text" else ""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """`has_more` may be true on an empty page; the cursor goes with the page's messages or not at all."""

    messages: list[KfMessage]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, slots=True)
class KfAccount:
    """An account of WeChat customer service."""

    open_kfid: str
    name: str
    avatar: str
    # Whether the API may manage its sessions.
    managed: bool


class Kf:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def sync_msg(self, open_kfid: str, *, cursor: str, token: str = "", limit: int = 1000) -> MessagePage:
        """The next messages of an account, at most 1000; an empty cursor begins three days ago (doc 94670).

        `token` is the event's, 10 minutes valid (95007 after that); without one WeCom limits calls strictly.
        """
        body: Json = {"open_kfid": open_kfid, "limit": limit, "voice_format": 0}
        if cursor:
            body["cursor"] = cursor
        if token:
            body["token"] = token
        answer = await self._calls.post("kf/sync_msg", body)
        messages = [_message(row, open_kfid) for row in answer.get("msg_list") or []]
        return MessagePage(messages, str(answer.get("next_cursor") or ""), bool(answer.get("has_more")))

    async def send_msg(self, open_kfid: str, touser: str, msgid: str, msgtype: str, content: Json) -> None:
        """A message within 48 h of the customer's last, at most 5, in states 0 and 1 only (doc 94677).

        `msgid` (<= 32 of 0-9a-zA-Z_-) is ours: the same again is 95033, so a repeat never doubles it.
        """
        body = {"touser": touser, "open_kfid": open_kfid, "msgid": msgid, "msgtype": msgtype, msgtype: content}
        await self._calls.post("kf/send_msg", body)

    async def send_msg_on_event(self, code: str, msgid: str, msgtype: str, content: Json) -> None:
        """The one answer to an event's code: enter_session and the end of a session within 20 s (doc 95122)."""
        await self._calls.post(
            "kf/send_msg_on_event", {"code": code, "msgid": msgid, "msgtype": msgtype, msgtype: content}
        )

    async def service_state_get(self, open_kfid: str, external_userid: str) -> tuple[int, str]:
        """(state, servicer's userid in state 3) of a session (doc 94669)."""
        answer = await self._calls.post(
            "kf/service_state/get", {"open_kfid": open_kfid, "external_userid": external_userid}
        )
        return int(answer.get("service_state") or 0), str(answer.get("servicer_userid") or "")

    async def service_state_trans(
        self, open_kfid: str, external_userid: str, state: int, servicer_userid: str = ""
    ) -> str:
        """Hand a session on; returns the code for a word with it, or ''. 95014 no servicer, 95016 bad change."""
        body: Json = {"open_kfid": open_kfid, "external_userid": external_userid, "service_state": state}
        if servicer_userid:
            body["servicer_userid"] = servicer_userid
        return str((await self._calls.post("kf/service_state/trans", body)).get("msg_code") or "")

    async def account_list(self) -> list[KfAccount]:
        """Every account, in pages of 100; the end is a short page (doc 94661)."""
        found: list[KfAccount] = []
        while True:
            answer = await self._calls.post("kf/account/list", {"offset": len(found), "limit": 100})
            rows = answer.get("account_list") or []
            found += [
                KfAccount(
                    str(row["open_kfid"]),
                    str(row.get("name") or ""),
                    str(row.get("avatar") or ""),
                    bool(row.get("manage_privilege")),
                )
                for row in rows
            ]
            if len(rows) < 100:
                return found

    async def add_contact_way(self, open_kfid: str, scene: str = "") -> str:
        """The link that opens a chat with the account; `scene` (<= 32 B of 0-9a-zA-Z_-) comes back on entering."""
        body: Json = {"open_kfid": open_kfid}
        if scene:
            body["scene"] = scene
        return str((await self._calls.post("kf/add_contact_way", body))["url"])

    async def customer_batchget(self, external_userids: Sequence[str]) -> list[Json]:
        """external_userid, nickname, avatar, gender, unionid? of at most 100 who were active within 48 h (doc 95159)."""
        answer = await self._calls.post(
            "kf/customer/batchget", {"external_userid_list": list(external_userids), "need_enter_session_context": 0}
        )
        return list(answer.get("customer_list") or [])


def _message(row: dict[str, Any], open_kfid: str) -> KfMessage:
    """The ids of an event stand inside the event."""
    msgtype = str(row.get("msgtype") or "")
    content = row.get(msgtype)
    content = _keepable(content) if isinstance(content, dict) else {}
    return KfMessage(
        msgid=str(row.get("msgid") or ""),
        open_kfid=str(row.get("open_kfid") or content.get("open_kfid") or open_kfid),
        external_userid=str(row.get("external_userid") or content.get("external_userid") or ""),
        sent_at=datetime.fromtimestamp(int(row.get("send_time") or 0), UTC),
        origin=int(row.get("origin") or 0),
        msgtype=msgtype,
        servicer_userid=str(row.get("servicer_userid") or content.get("servicer_userid") or ""),
        content=content,
    )


def _keepable(value: Any) -> Any:
    """Without NUL, which a customer can paste and PostgreSQL cannot keep: one such message must not stop the rest."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {str(key).replace("\0", ""): _keepable(one) for key, one in value.items()}
    return [_keepable(one) for one in value] if isinstance(value, list) else value
