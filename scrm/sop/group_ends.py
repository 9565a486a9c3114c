"""The end of a group message that a step asked for: what its owner did not confirm in time is stopped."""

from typing import Any

from sqlalchemy import Connection, select

from scrm.errors import ScrmError
from scrm.mass_messages import acts
from scrm.mass_messages.models import mass_message_target
from scrm.services import Services
from scrm.sop import store
from scrm.sop.channels.group import KIND
from scrm.work import queue


async def run_end(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.group_end", due when the step's time is over; raises what WeCom says when it may pass."""
    payload = item.payload
    if await services.db.read(_state, payload) != "sent":
        try:
            await acts.cancel(services, int(payload["message_id"]))
        except ScrmError as error:
            if "没能停止" in error.text and item.attempts < 3:
                raise RuntimeError(error.text) from None
    await services.db.write(_end, payload, services.clock.now())


def _state(conn: Connection, payload: dict[str, Any]) -> str:
    query = select(mass_message_target.c.state).where(
        mass_message_target.c.mass_message_id == int(payload["message_id"]),
        mass_message_target.c.target == payload["chat_id"],
    )
    return str(conn.execute(query).scalar_one_or_none() or "")


def _end(conn: Connection, payload: dict[str, Any], now: Any) -> None:
    is_sent = _state(conn, payload) == "sent"
    state, reason = ("done", "") if is_sent else ("dropped", "群主没有在有效期内确认，已过期")
    store.change_send(
        conn, payload["once"], outcome="sent" if is_sent else "none", sent_at=now if is_sent else None, reason=reason
    )
    store.end_step_runs(conn, [int(payload["step_run_id"])], state, reason, now=now)


EXECUTORS = {KIND: run_end}
