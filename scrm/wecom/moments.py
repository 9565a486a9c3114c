"""Moments that members publish to their customers, 客户朋友圈 (docs 95094, 93333, 97612)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scrm.wecom.calls import Calls, Json


@dataclass(frozen=True, slots=True)
class MomentJob:
    """`status` 1 begun, 2 being made, 3 done: only then `errcode` and `moment_id` mean anything."""

    status: int
    moment_id: str = ""
    errcode: int = 0
    errmsg: str = ""
    invalid_userids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as WeCom lists it; `is_corp` false for what members wrote themselves."""

    moment_id: str
    creator: str
    created_at: datetime
    is_corp: bool
    is_public: bool
    text: str


@dataclass(frozen=True, slots=True)
class Publisher:
    """One member of a corp moment, and whether he has published it."""

    userid: str
    is_published: bool


@dataclass(frozen=True, slots=True)
class Reaction:
    """A comment or a like, of a customer (`external_userid`) or of a member (`userid`)."""

    external_userid: str
    userid: str
    created_at: datetime | None


class Moments:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def add_moment_task(
        self,
        *,
        text: str = "",
        attachments: Sequence[Json] = (),
        userids: Sequence[str] = (),
        tag_ids: Sequence[str] = (),
    ) -> str:
        """The id of a job (24 h) that makes the moment; members publish it themselves (doc 95094).

        Text <= 2000 characters; up to 9 images, or 1 video, or 1 link, with ids of media/upload_attachment. Without
        `userids` all members in range, without `tag_ids` for all their customers. 10 a minute, 100,000 a month.
        """
        body: Json = {}
        if text:
            body["text"] = {"content": text}
        if attachments:
            body["attachments"] = list(attachments)
        visible: Json = {}
        if userids:
            visible["sender_list"] = {"user_list": list(userids)}
        if tag_ids:
            visible["external_contact_list"] = {"tag_list": list(tag_ids)}
        if visible:
            body["visible_range"] = visible
        return str((await self._calls.post("externalcontact/add_moment_task", body))["jobid"])

    async def get_moment_task_result(self, jobid: str) -> MomentJob:
        """How the job stands, and who or what of its range did not count (doc 95094)."""
        answer = await self._calls.get("externalcontact/get_moment_task_result", jobid=jobid)
        result: Json = answer.get("result") or {}
        return MomentJob(
            status=int(answer.get("status") or 1),
            moment_id=str(result.get("moment_id") or ""),
            errcode=int(result.get("errcode") or 0),
            errmsg=str(result.get("errmsg") or ""),
            invalid_userids=tuple((result.get("invalid_sender_list") or {}).get("user_list") or ()),
        )

    async def cancel_moment_task(self, moment_id: str) -> None:
        """Members who have not published it cannot any more (doc 97612)."""
        await self._calls.post("externalcontact/cancel_moment_task", {"moment_id": moment_id})

    async def get_moment_list(
        self, start: datetime, end: datetime, *, filter_type: int = 2, creator: str = ""
    ) -> AsyncIterator[Moment]:
        """Moments of at most 30 days; deleted ones are left out (doc 93333)."""
        body: Json = {
            "start_time": int(start.timestamp()),
            "end_time": int(end.timestamp()),
            "filter_type": filter_type,
            "limit": 20,
        }
        if creator:
            body["creator"] = creator
        async for page in self._calls.pages("externalcontact/get_moment_list", body, "moment_list"):
            for row in page.items:
                yield Moment(
                    moment_id=str(row.get("moment_id", "")),
                    creator=str(row.get("creator") or ""),
                    created_at=_moment(row.get("create_time")) or datetime.fromtimestamp(0, UTC),
                    is_corp=row.get("create_type") != 1,
                    is_public=row.get("visible_type") == 1,
                    text=str((row.get("text") or {}).get("content") or ""),
                )

    async def get_moment_task(self, moment_id: str) -> AsyncIterator[Publisher]:
        """Who is to publish a corp moment, and who has (doc 93333)."""
        body = {"moment_id": moment_id, "limit": 1000}
        async for page in self._calls.pages("externalcontact/get_moment_task", body, "task_list"):
            for row in page.items:
                yield Publisher(str(row.get("userid", "")), row.get("publish_status") == 1)

    async def get_moment_customer_list(self, moment_id: str, userid: str) -> AsyncIterator[str]:
        """The external_userids a member chose to show it to (doc 93333)."""
        body = {"moment_id": moment_id, "userid": userid, "limit": 1000}
        async for page in self._calls.pages("externalcontact/get_moment_customer_list", body, "customer_list"):
            for row in page.items:
                yield str(row.get("external_userid", ""))

    async def get_moment_send_result(self, moment_id: str, userid: str) -> AsyncIterator[str]:
        """The external_userids who can see it after publishing (doc 93333)."""
        body = {"moment_id": moment_id, "userid": userid, "limit": 5000}
        async for page in self._calls.pages("externalcontact/get_moment_send_result", body, "customer_list"):
            for row in page.items:
                yield str(row.get("external_userid", ""))

    async def get_moment_comments(self, moment_id: str, userid: str) -> tuple[list[Reaction], list[Reaction]]:
        """Comments and likes on one member's copy (doc 93333)."""
        body = {"moment_id": moment_id, "userid": userid}
        answer = await self._calls.post("externalcontact/get_moment_comments", body)
        return _reactions(answer.get("comment_list")), _reactions(answer.get("like_list"))


def _reactions(rows: object) -> list[Reaction]:
    return [
        Reaction(str(row.get("external_userid") or ""), str(row.get("userid") or ""), _moment(row.get("create_time")))
        for row in (rows if isinstance(rows, list) else [])
    ]


def _moment(value: object) -> datetime | None:
    return datetime.fromtimestamp(int(str(value)), UTC) if value else None
