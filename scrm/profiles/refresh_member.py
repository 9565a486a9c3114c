"""Work of kind member.refresh: what WeCom says of a member (doc 90196)."""

from typing import Any

import structlog

from scrm.profiles.store import find_member, save_member, save_member_left
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work.queue import Claimed

KIND = "member.refresh"

_NOBODY = 60111  # the company has no such userid (any more)

log = structlog.get_logger()


async def run_refresh_member(services: Services, item: Claimed) -> None:
    """A member outside the app's visible range stays known by userid alone; that is no error."""
    userid = item.payload["userid"]
    try:
        user = await services.wecom.members.get_user(userid)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION) and error.errcode != 60011:
            raise
        log.warning("member.unreadable", errcode=error.errcode)
        if error.errcode == _NOBODY:
            now = services.clock.now()
            await services.db.write(save_member_left, userid, left_at=now, now=now)
            return
        if await services.db.read(find_member, userid) is not None:
            return
        user = {"name": ""}
    await services.db.write(
        save_member,
        userid,
        name=str(user.get("name", "")),
        alias=str(user.get("alias", "")),
        avatar=str(user.get("avatar", "")),
        is_active=int(user.get("status", 1)) == 1,
        leaders=[str(userid) for userid in user.get("direct_leader") or ()],
        leads=_led(user),
        now=services.clock.now(),
    )


def _led(user: dict[str, Any]) -> list[int]:
    """The departments he leads: two lists of the same length."""
    leading = user.get("is_leader_in_dept") or ()
    return [int(each) for each, leads in zip(user.get("department") or (), leading, strict=False) if int(leads)]
