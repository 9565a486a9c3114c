"""Customers, and which members follow them (externalcontact)."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from scrm.wecom.calls import Calls, Json
from scrm.wecom.errors import WeComUnreachable
from scrm.wecom.reading import read

# Both are the documented maximum of batch/get_by_user (doc 92994).
MOST_MEMBERS = 100
MOST_ROWS = 100


class ExternalContact(msgspec.Struct, frozen=True):
    """The customer's own part of an answer; `unionid` is '' while no developer account is bound (doc 92114)."""

    external_userid: str
    name: str = ""
    avatar: str = ""
    type: int = 0
    gender: int = 0
    unionid: str = ""
    corp_name: str = ""


class FollowInfo(msgspec.Struct, frozen=True):
    """What one member notes about the customer; `createtime` in Unix seconds, personal tags are left out (doc 92994)."""

    userid: str
    remark: str = ""
    description: str = ""
    remark_corp_name: str = ""
    createtime: int = 0
    add_way: int = 0
    state: str = ""
    oper_userid: str = ""
    tag_id: tuple[str, ...] = ()
    remark_mobiles: tuple[str, ...] = ()


class Relation(msgspec.Struct, frozen=True):
    """One member following one customer, as a row of batch/get_by_user."""

    external_contact: ExternalContact
    follow_info: FollowInfo


class RelationPage(msgspec.Struct, frozen=True):
    """One page; `next_cursor` is '' at the end, `unreadable` counts rows that are not as documented."""

    relations: tuple[Relation, ...]
    next_cursor: str
    unreadable: int = 0


class Contacts:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_external_contact(self, external_userid: str) -> Json:
        """`external_contact` and all of `follow_user` (pages of 500 joined); 84061 no relation (doc 92114)."""
        body = {"external_userid": external_userid}
        contact: Json = {}
        follow_users: list[Json] = []
        async for page in self._calls.pages("externalcontact/get", body, "follow_user", method="GET"):
            contact = contact or page.answer["external_contact"]
            follow_users += page.items
        return {"external_contact": contact, "follow_user": follow_users}

    async def get_follow_user_list(self) -> list[str]:
        """Userids of members with the customer-contact function (doc 92571)."""
        return list((await self._calls.get("externalcontact/get_follow_user_list")).get("follow_user") or [])

    async def list(self, userid: str) -> Sequence[str]:
        """All external_userids of a member at once, those who deleted the member too; 84061 when there are none.

        60111 for a member who is unknown or not visible (doc 92113).
        """
        answer = await self._calls.get("externalcontact/list", userid=userid)
        return [str(one) for one in answer.get("external_userid") or []]

    async def batch_get_by_user(self, userids: Sequence[str], *, start: str = "") -> AsyncIterator[RelationPage]:
        """The relations of 1-100 members in pages of 100, from the cursor `start` (doc 92994).

        A customer of two of them comes as two rows. 50100 or 40058 for a cursor that is no longer known; 84061 and
        60111 when members have no customers or are not visible.
        """
        body = {"userid_list": [*userids], "limit": MOST_ROWS}
        pages = self._calls.pages("externalcontact/batch/get_by_user", body, "external_contact_list", start=start)
        async for page in pages:
            relations = tuple(filter(None, map(_relation, page.items)))
            yield RelationPage(relations, page.next_cursor, len(page.items) - len(relations))

    async def remark(self, userid: str, external_userid: str, **fields: Any) -> None:
        """remark <= 20 characters, description <= 150, remark_mobiles overwrites (doc 92115)."""
        await self._calls.post(
            "externalcontact/remark", {"userid": userid, "external_userid": external_userid, **fields}
        )


def _relation(row: Any) -> Relation | None:
    """None for a row without ids or with values of another kind: one odd row must not stop a sync."""
    try:
        return msgspec.convert(row, Relation, strict=False)
    except msgspec.ValidationError:
        pass
    try:
        return read(row, Relation)
    except WeComUnreachable:
        return None
