"""Handing customers and groups over to another member, on the job or after one has left (docs 92125, 94081)."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from scrm.wecom.calls import Calls, Json

MOST_CUSTOMERS = 100
MOST_GROUPS = 100
MESSAGE_CHARS = 200


class TransferStatus(IntEnum):
    """How far WeCom has come with one customer (docs 94088, 94082)."""

    DONE = 1
    WAITING = 2
    REFUSED = 3
    TAKER_FULL = 4
    NO_RECORD = 5


@dataclass(frozen=True, slots=True)
class TransferResult:
    """One customer's state; `takeover_at` is planned while WAITING, None after a refusal.

    A status that nobody documents stays a plain number.
    """

    external_userid: str
    status: int
    takeover_at: datetime | None


@dataclass(frozen=True, slots=True)
class Unassigned:
    """A customer whose member has left and whom nobody has taken over (doc 92124)."""

    handover_userid: str
    external_userid: str
    dimission_at: datetime | None


@dataclass(frozen=True, slots=True)
class ResultPage:
    """Results and the cursor to go on from; '' at the end."""

    results: list[TransferResult]
    next_cursor: str


class Transfers:
    """`resigned` chooses the endpoints for members who have left; WeCom refuses the wrong ones (40097, 40131)."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def transfer_customer(
        self,
        handover_userid: str,
        takeover_userid: str,
        external_userids: Sequence[str],
        *,
        resigned: bool,
        transfer_success_msg: str = "",
    ) -> dict[str, int]:
        """errcode by external_userid; 0 means begun, not done: that takes 24 h (docs 92125, 94081).

        At most 100 customers a call; the message <= 200 characters, on-job only. Rows: 40096-40100, 40128-40132, 40143.
        """
        body: Json = {
            "handover_userid": handover_userid,
            "takeover_userid": takeover_userid,
            "external_userid": list(external_userids),
        }
        if transfer_success_msg and not resigned:
            body["transfer_success_msg"] = transfer_success_msg
        answer = await self._calls.post(_path("transfer_customer", resigned), body)
        return {str(row["external_userid"]): int(row.get("errcode") or 0) for row in answer.get("customer") or []}

    async def transfer_result(
        self, handover_userid: str, takeover_userid: str, *, resigned: bool
    ) -> AsyncIterator[ResultPage]:
        """All customers handed from one to the other, <= 1000 a page (docs 94088, 94082)."""
        body: Json = {"handover_userid": handover_userid, "takeover_userid": takeover_userid}
        async for page in self._calls.pages(_path("transfer_result", resigned), body, "customer"):
            yield ResultPage([_result(row) for row in page.items], page.next_cursor)

    async def get_unassigned_list(self) -> AsyncIterator[list[Unassigned]]:
        """Customers of members who left, <= 1000 a page (doc 92124)."""
        async for page in self._calls.pages("externalcontact/get_unassigned_list", {"page_size": 1000}, "info"):
            yield [_unassigned(row) for row in page.items]

    async def transfer_groups(self, chat_ids: Sequence[str], new_owner: str, *, resigned: bool) -> dict[str, int]:
        """errcode of the groups that failed, by chat_id; the others have their new owner (docs 92127, 95703).

        1-100 groups a call, <= 300 of an owner a day. 90500 owner has not left, 90502 has left, 90504 unchanged.
        """
        path = "externalcontact/groupchat/transfer" if resigned else "externalcontact/groupchat/onjob_transfer"
        answer = await self._calls.post(path, {"chat_id_list": list(chat_ids), "new_owner": new_owner})
        failed = answer.get("failed_chat_list") or []
        return {str(row["chat_id"]): int(row.get("errcode") or -1) for row in failed}


def _path(name: str, resigned: bool) -> str:
    return f"externalcontact/resigned/{name}" if resigned else f"externalcontact/{name}"


def _result(row: dict[str, Any]) -> TransferResult:
    return TransferResult(str(row.get("external_userid", "")), int(row.get("status") or 0), _at(row, "takeover_time"))


def _unassigned(row: dict[str, Any]) -> Unassigned:
    return Unassigned(
        str(row.get("handover_userid", "")), str(row.get("external_userid", "")), _at(row, "dimission_time")
    )


def _at(row: dict[str, Any], name: str) -> datetime | None:
    seconds = int(row.get(name) or 0)
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
