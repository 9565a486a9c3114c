"""What became of a group message that a step asked for: told as it comes, and stopped when its time is over."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from scrm.errors import ScrmError
from scrm.mass_messages import acts
from scrm.mass_messages.models import mass_message_target
from scrm.services import Services
from scrm.sop import ledger, store
from scrm.sop.channels.group import KIND, look_again
from scrm.sop.plans.store import ENDS
from scrm.work import queue

EXPIRED = "群主没有在有效期内确认，已过期"


async def run_end(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.group_end", every few minutes until the message or its time is over.

    Raises what WeCom says when stopping it may work later.
    """
    payload, now = item.payload, services.clock.now()
    state = await services.db.read(_state, payload)
    if state not in ENDS:
        # Items of earlier versions come only when the time is over.
        if now < datetime.fromisoformat(payload.get("expires_at") or now.isoformat()):
            await services.db.write(look_again, payload, now)
            return
        try:
            await acts.cancel(services, int(payload["message_id"]))
        except ScrmError as error:
            if "没能停止" in error.text and item.attempts < 3:
                raise RuntimeError(error.text) from None
    await services.db.write(_end, payload, now)


def _state(conn: Connection, payload: dict[str, Any]) -> str:
    query = select(mass_message_target.c.state).where(
        mass_message_target.c.mass_message_id == int(payload["message_id"]),
        mass_message_target.c.target == payload["chat_id"],
    )
    return str(conn.execute(query).scalar_one_or_none() or "")


def _end(conn: Connection, payload: dict[str, Any], now: datetime) -> None:
    state, reason = ENDS.get(_state(conn, payload), ("expired", ""))
    if state == "expired":
        state, reason = "dropped", EXPIRED
    is_sent = state == "done"
    ledger.change_send(
        conn, payload["once"], outcome="sent" if is_sent else "none", sent_at=now if is_sent else None, reason=reason
    )
    store.end_step_runs(conn, [int(payload["step_run_id"])], state, reason, now=now)


EXECUTORS = {KIND: run_end}
