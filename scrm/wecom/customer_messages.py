"""What customers receive: welcome messages and mass messages (docs 92137, 92135, 93338, 97610, 97611)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scrm.wecom.calls import Calls, Json

WELCOME = "externalcontact/send_welcome_msg"
MOST_CUSTOMERS, MOST_CHATS, MOST_ATTACHMENTS = 10_000, 2_000, 9


@dataclass(frozen=True, slots=True)
class Created:
    """A mass message that members may confirm now; `fail_list` are customers or chats that it cannot reach."""

    msgid: str
    fail_list: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupMsg:
    """A mass message as WeCom lists it; `creator` is empty for those made by the API, `is_corp` false for personal."""

    msgid: str
    creator: str
    created_at: datetime
    is_corp: bool
    text: str
    attachments: list[Json]


@dataclass(frozen=True, slots=True)
class MemberTask:
    """`sent_at` is None until the member has confirmed."""

    userid: str
    is_sent: bool
    sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sent:
    """`status` 0 not sent, 1 sent, 2 no friend any more, 3 the customer got too many mass messages already."""

    target: str  # external_userid, or chat_id of a group mass message
    userid: str
    status: int
    sent_at: datetime | None


class CustomerMessages:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def send_welcome_msg(self, welcome_code: str, text: str, attachments: list[Json]) -> None:
        """Text <= 4000 bytes, <= 9 attachments; the code lives 20 s and works once (doc 92137).

        One try: what to do after 41051, 41096, 41050 or a time-out is the caller's to decide.
        """
        body: Json = {"welcome_code": welcome_code}
        if text:
            body["text"] = {"content": text}
        if attachments:
            body["attachments"] = attachments
        await self._calls.post(WELCOME, body)

    async def add_msg_template(
        self,
        *,
        sender: str,
        external_userids: Sequence[str] = (),
        chat_ids: Sequence[str] = (),
        text: str = "",
        attachments: Sequence[Json] = (),
    ) -> Created:
        """A mass message of one member, to at most 10,000 customers or 2,000 groups of his (doc 92135).

        Nothing goes out until the member confirms. Text <= 4000 bytes, <= 9 attachments. 41048: nobody can be
        reached. One try: after a time-out only `get_groupmsg_list_v2` knows whether it was made.
        """
        body: Json = {"chat_type": "group" if chat_ids else "single", "sender": sender}
        if chat_ids:
            body["chat_id_list"] = list(chat_ids)
        else:
            body["external_userid"] = list(external_userids)
        if text:
            body["text"] = {"content": text}
        if attachments:
            body["attachments"] = list(attachments)
        answer = await self._calls.post("externalcontact/add_msg_template", body)
        return Created(str(answer["msgid"]), tuple(str(each) for each in answer.get("fail_list") or ()))

    async def remind_groupmsg_send(self, msgid: str) -> None:
        """Tell the members again; at most 3 times in 24 h (41094), 41063 right after creation (doc 97610)."""
        await self._calls.post("externalcontact/remind_groupmsg_send", {"msgid": msgid})

    async def cancel_groupmsg_send(self, msgid: str) -> None:
        """What is not sent yet is stopped, what was sent stays (doc 97611)."""
        await self._calls.post("externalcontact/cancel_groupmsg_send", {"msgid": msgid})

    async def get_groupmsg_list_v2(
        self, chat_type: str, start: datetime, end: datetime, *, filter_type: int = 2, creator: str = ""
    ) -> AsyncIterator[GroupMsg]:
        """Mass messages made within a span of at most a month (doc 93338).

        `chat_type` single or group; `filter_type` 0 of the corp, 1 of members themselves, 2 all.
        """
        body: Json = {
            "chat_type": chat_type,
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()),
            "filter_type": filter_type,
            "limit": 100,
        }
        if creator:
            body["creator"] = creator
        async for page in self._calls.pages("externalcontact/get_groupmsg_list_v2", body, "group_msg_list"):
            for row in page.items:
                yield _group_msg(row)

    async def get_groupmsg_task(self, msgid: str) -> AsyncIterator[MemberTask]:
        """Which members have confirmed (doc 93338); 41063 while it is still being made."""
        body = {"msgid": msgid, "limit": 1000}
        async for page in self._calls.pages("externalcontact/get_groupmsg_task", body, "task_list"):
            for row in page.items:
                is_sent = row.get("status") in (1, 2)  # an old sample of the page has 1 for sent
                yield MemberTask(str(row.get("userid", "")), is_sent, _moment(row.get("send_time")))

    async def get_groupmsg_send_result(self, msgid: str, userid: str) -> AsyncIterator[Sent]:
        """What became of each customer, or of each group it was sent to (doc 93338)."""
        body = {"msgid": msgid, "userid": userid, "limit": 1000}
        async for page in self._calls.pages("externalcontact/get_groupmsg_send_result", body, "send_list"):
            for row in page.items:
                target = str(row.get("external_userid") or row.get("chat_id") or "")
                status = int(row.get("status") or 0)
                yield Sent(target, str(row.get("userid") or userid), status, _moment(row.get("send_time")))


def _group_msg(row: Json) -> GroupMsg:
    text: Any = row.get("text") or {}
    return GroupMsg(
        msgid=str(row.get("msgid", "")),
        creator=str(row.get("creator") or ""),
        created_at=_moment(row.get("create_time")) or datetime.fromtimestamp(0, UTC),
        is_corp=row.get("create_type") != 1,
        text=str(text.get("content") or ""),
        attachments=list(row.get("attachments") or []),
    )


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(int(str(value)), UTC) if value else None
