"""What a manager does with a mass message that waits: remind the members, stop it, or take the stop back."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.mass_messages import plan, store
from scrm.mass_messages.dispatch import note_cancelled
from scrm.mass_messages.results import stop_part
from scrm.services import Services
from scrm.wecom.errors import WeComError

STOP_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Reminded:
    """How many members were reminded; `problem` says why others were not."""

    members: int
    problem: str = ""


async def remind(services: Services, message_id: int) -> Reminded:
    """Tell the members who have not confirmed; each at most three times in 24 hours. Raises NotFound, Conflict."""
    parts = [row for row in await _parts(services, message_id) if row.state == "created" and row.confirmed_at is None]
    if not parts:
        raise Conflict("没有待确认的员工，不用提醒。")
    reminded, problem = 0, ""
    for row in parts:
        if not await services.db.write(store.take_reminder, row.id, services.clock.now()):
            problem = "部分员工 24 小时内已提醒 3 次，企业微信不允许再提醒。"
            continue
        try:
            await services.wecom.customer_messages.remind_groupmsg_send(row.msgid)
            reminded += 1
        except WeComError as error:
            problem = error.text
    if not reminded:
        raise Conflict(problem)
    return Reminded(reminded, problem)


async def cancel(services: Services, message_id: int) -> int:
    """Stop what has not gone out; what was sent stays. Returns how many parts were stopped; raises NotFound, Conflict.

    What WeCom refuses for now is stopped later, by the tick that asks for results.
    """
    parts = await services.db.write(_stop, message_id, services.clock.now())
    stopped, problem = 0, ""
    for row in parts:
        try:
            await stop_part(services, row)
            stopped += 1
        except WeComError as error:
            problem = error.text
    if problem:
        raise Conflict(f"有 {len(parts) - stopped} 位员工的群发还没能停止，系统会接着试：{problem}")
    return stopped


def _stop(conn: Connection, message_id: int, now: datetime) -> list[Row[Any]]:
    """Nothing new is made from here on; returns the parts that WeCom must be told of."""
    row = store.find_message(conn, message_id)
    if row is None or row.origin != "own":
        raise NotFound("没有这条群发。")
    row = store.lock_message(conn, message_id)
    if row.state in ("done", "refused"):
        raise Conflict("这条群发已经结束，不用停止。")
    store.change_message(conn, message_id, state="cancelled", ended_at=row.ended_at or now)
    store.cancel_planned(conn, message_id)
    made = []
    for part in store.list_parts(conn, message_id):
        if part.state == "planned":
            note_cancelled(conn, part.id, now)
        elif part.state == "created":
            store.change_part(conn, part.id, poll_at=now + STOP_AGAIN)
            made.append(part)
    return made


def restore(conn: Connection, message_id: int, *, approve_above: int, opens_at: datetime, now: datetime) -> None:
    """Take a stop back while nothing has reached WeCom; twice is once. Raises NotFound, Conflict.

    The list is written down anew, at its time but not before `opens_at`; a big one that nobody agreed to waits again.
    """
    found = store.find_message(conn, message_id)
    if found is None or found.origin != "own":
        raise NotFound("没有这条群发。")
    row = store.lock_message(conn, message_id)
    if row.state in ("pending", "preparing", "dividing", "running"):
        return
    if row.state != "cancelled":
        raise Conflict("这条群发已经结束，不能恢复。可以用“复制为新群发”再建一条。")
    if store.was_called(conn, message_id):
        raise Conflict("停止前已经交给企业微信，不能恢复。可以用“复制为新群发”再建一条。")
    begins_at = max(row.scheduled_at or opens_at, opens_at)
    is_big = 0 < approve_above < row.expected and row.kind == "single"
    state = "pending" if is_big and not row.decided_by else "preparing"
    scheduled_at = begins_at if state == "preparing" and begins_at > now else row.scheduled_at
    store.change_message(
        conn, message_id, state=state, prepared_until="", why="", ended_at=None, scheduled_at=scheduled_at
    )
    if state == "preparing":
        plan.queue_prepare(conn, message_id, begins_at, now, is_again=True)


def approve(conn: Connection, message_id: int, by: str, *, may_own: bool, opens_at: datetime, now: datetime) -> None:
    """Let it go, at its time but not before `opens_at`. Raises NotFound, Conflict, Forbidden."""
    row = _lock_pending(conn, message_id)
    if not may_own and row.created_by.lower() == by.lower():
        raise Forbidden("自己创建的群发要由另一位主管或管理员批准。")
    begins_at = max(row.scheduled_at or opens_at, opens_at)
    scheduled_at = begins_at if begins_at > now else row.scheduled_at
    store.change_message(conn, message_id, state="preparing", decided_by=by, decided_at=now, scheduled_at=scheduled_at)
    plan.queue_prepare(conn, message_id, begins_at, now)


def refuse(conn: Connection, message_id: int, by: str, why: str, *, now: datetime) -> None:
    """Send it back with a reason: nothing of it goes out. Raises NotFound, Conflict, Invalid."""
    if not (why := why.strip()):
        raise Invalid("请写一句退回的原因，创建的人会看到。")
    _lock_pending(conn, message_id)
    store.change_message(conn, message_id, state="refused", decided_by=by, decided_at=now, why=why[:300], ended_at=now)


def _lock_pending(conn: Connection, message_id: int) -> Row[Any]:
    if store.find_message(conn, message_id) is None:
        raise NotFound("没有这条群发。")
    row = store.lock_message(conn, message_id)
    if row.state != "pending":
        raise Conflict("这条群发不在等待审批，可能已经有人处理了。")
    return row


async def _parts(services: Services, message_id: int) -> list[Row[Any]]:
    def look(conn: Connection) -> list[Row[Any]]:
        row = store.find_message(conn, message_id)
        if row is None or row.origin != "own":
            raise NotFound("没有这条群发。")
        # Of one that is stopped nobody is asked to send it, though WeCom may not know yet.
        return [] if row.state == "cancelled" else store.list_parts(conn, message_id)

    return await services.db.read(look)
