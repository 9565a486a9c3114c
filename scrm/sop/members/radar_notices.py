"""Tells a member, once, that a customer has just opened what the member had sent."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.services import Services
from scrm.sop import ledger, timing
from scrm.sop.shelf import house_of
from scrm.tracking import radar
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

# After that it is no news.
FRESH = timedelta(minutes=30)


async def run_notice(services: Services, item: queue.Claimed) -> None:
    """Work of kind "radar.notice"; at night and when it comes late nothing is said, the timeline has it anyway.

    Raises WeCom's error when trying again helps; the same request is then sent with the duplicate check on.
    """
    now, house = services.clock.now(), house_of(services)
    if house.quiet is not None and timing.quiet_until(now, house.quiet, house.zone) is not None:
        return
    if now - item.created_at > FRESH:
        return
    link_id = int(item.payload["link_id"])
    body = await services.db.write(_intend, link_id, services)
    if body is None:
        return
    once = _once(link_id)
    try:
        answer = await services.wecom.messages.send_message(body, duplicate_check=True)
    except WeComError as error:
        await services.db.write(_settle, once, "failed", error.errcode, error.text, None)
        if error.retry_class in (RetryClass.PARAMETER, RetryClass.RELATION):
            log.warning("radar.notice_refused", errcode=error.errcode)
            return
        raise
    if answer.get("invaliduser"):
        reason = "员工不在应用可见范围内，收不到提醒"
        await services.db.write(_settle, once, "failed", 81013, reason, None)
    else:
        await services.db.write(_settle, once, "sent", 0, "", now)


def _settle(conn: Connection, once: str, outcome: str, errcode: int, reason: str, sent_at: datetime | None) -> None:
    ledger.change_send(conn, once, outcome=outcome, errcode=errcode, reason=reason, sent_at=sent_at)


def _once(link_id: int) -> str:
    return f"radar:{link_id}"


def _intend(conn: Connection, link_id: int, services: Services) -> dict[str, Any] | None:
    """The message, with its row in the ledger; None when it was sent before."""
    row = radar.find_notice(conn, link_id)
    if row is None:
        return None
    once = _once(link_id)
    kept = ledger.find_send(conn, once)
    if kept is not None:
        return None if kept.outcome == "sent" else dict(kept.content["body"])
    body = compose(row, services.settings.server.public_url)
    values = {
        "kind": "app_message",
        "userid": row.userid,
        "external_userid": row.external_userid,
        "person_id": row.person_id,
        "once": once,
        "content": {"body": body},
        "decided_at": services.clock.now(),
        "outcome": "intent",
    }
    ledger.add_send(conn, values)
    return body


def compose(row: Any, public_url: str) -> dict[str, Any]:
    """A card that opens the customer's page (doc 90236). Pure."""
    name = str(row.remark or row.contact_name or "一位客户")
    return {
        "touser": row.userid,
        "msgtype": "textcard",
        "textcard": {
            "title": f"{name[:30]}刚刚看过你发的内容",
            "description": f"《{row.title[:60]}》\n现在联系，记忆最新。同一条内容只提醒这一次。",
            "url": f"{public_url}/sidebar/contacts/{row.external_userid}",
            "btntxt": "看客户",
        },
    }
