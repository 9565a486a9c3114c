"""Customers, and which members follow them (externalcontact)."""

from typing import Any

from scrm.wecom.calls import Calls, Json


class Contacts:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def get_external_contact(self, external_userid: str) -> Json:
        """`external_contact` and all of `follow_user` (pages of 500 joined); 84061 no relation (doc 92114)."""
        answer = await self._calls.get("externalcontact/get", external_userid=external_userid)
        follow_users = list(answer.get("follow_user", []))
        while cursor := answer.get("next_cursor"):
            answer = await self._calls.get("externalcontact/get", external_userid=external_userid, cursor=cursor)
            follow_users += answer.get("follow_user", [])
        return {"external_contact": answer["external_contact"], "follow_user": follow_users}

    async def get_follow_user_list(self) -> list[str]:
        """Userids of members with the customer-contact function (doc 92571)."""
        return list((await self._calls.get("externalcontact/get_follow_user_list")).get("follow_user", []))

    async def remark(self, userid: str, external_userid: str, **fields: Any) -> None:
        """remark <= 20 characters, description <= 150, remark_mobiles overwrites (doc 92115)."""
        await self._calls.post(
            "externalcontact/remark", {"userid": userid, "external_userid": external_userid, **fields}
        )
