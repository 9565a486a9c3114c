"""One app message (doc 90236) sent once: the ledger has its body before the call, and its outcome after."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.services import Services
from scrm.sop import ledger
from scrm.wecom.errors import RetryClass, WeComError

log = structlog.get_logger()

# WeCom's answer names who is outside the app's visible range; no error code comes with it.
UNREACHABLE = 81013


@dataclass(frozen=True, slots=True)
class Message:
    """`once` is its row in the ledger, `what` its name in words (提醒, 通知).

    `compose` gives the body, or None when nobody needs it any more; `end` is told how it went (sent, failed, none) and
    why. Both run in the transaction that changes the ledger.
    """

    once: str
    what: str
    compose: Callable[[Connection], dict[str, Any] | None]
    end: Callable[[Connection, str, str], None]


async def send(services: Services, message: Message) -> None:
    """Send it, or say in the ledger why not.

    Raises WeCom's error when trying again helps. The same request goes out each time, with the duplicate check on: who
    was killed before the answer came does not tell the member twice.
    """
    body = await services.db.write(_take_body, message)
    if body is None:
        return
    try:
        answer = await services.wecom.messages.send_message(body, duplicate_check=True)
    except WeComError as error:
        # Until a later try succeeds, this is how it stands.
        await services.db.write(_note_failure, message, error.errcode, error.text)
        if error.retry_class in (RetryClass.PARAMETER, RetryClass.RELATION):
            log.warning("sop.app_message_refused", once=message.once, errcode=error.errcode)
            return
        raise
    if answer.get("invaliduser"):
        reason = f"员工不在应用可见范围内，收不到{message.what}"
        await services.db.write(_note_failure, message, UNREACHABLE, reason)
    else:
        await services.db.write(_note_sent, message, services.clock.now())


def _take_body(conn: Connection, message: Message) -> dict[str, Any] | None:
    """The message as it was first written, so that WeCom can tell a repeat; None when it is no longer needed."""
    row = ledger.find_send(conn, message.once)
    if row is None or row.outcome in ("sent", "none"):
        return None
    if "body" in row.content:
        kept: dict[str, Any] = row.content["body"]
        return kept
    body = message.compose(conn)
    if body is None:
        ledger.change_send(conn, message.once, outcome="none", reason=f"待办都已处理，不再{message.what}")
        message.end(conn, "none", "待办已处理")
    else:
        ledger.change_send(conn, message.once, content={**row.content, "body": body})
    return body


def _note_sent(conn: Connection, message: Message, now: datetime) -> None:
    ledger.change_send(conn, message.once, outcome="sent", sent_at=now, errcode=0, reason="")
    message.end(conn, "sent", "")


def _note_failure(conn: Connection, message: Message, errcode: int, reason: str) -> None:
    ledger.change_send(conn, message.once, outcome="failed", errcode=errcode, reason=reason)
    message.end(conn, "failed", reason)
