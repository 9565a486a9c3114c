"""Give the person points of the membership, or take some; the ledger has one line for each step."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.errors import ScrmError
from scrm.membership import points
from scrm.membership.points import MOST
from scrm.membership.rules import GIVEN
from scrm.services import Services
from scrm.sop.actions import store
from scrm.sop.actions.effects import Act, Field
from scrm.work import queue

name = "points"
title = "加减积分"
fields = (Field("points", "积分", "number"),)
needs_relation = False

KIND = "sop.points"
_REASON = "campaign"


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    amount, reason = _read(value)
    if amount is None or amount == 0 or abs(amount) > MOST:
        return f"points 要写不等于 0 的整数，最多 {MOST}，扣减用负数，例如 points: 100 或 points: {{amount: 100, note: 首单积分}}"
    if reason not in GIVEN:
        return f"points 的 reason 只能是 {'、'.join(GIVEN)}，写的是“{reason}”"
    return ""


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """Done after the commit, each person by himself: a ledger costs some statements for each line of it."""
    queue.add_many(conn, [_work(one) for one in acts], now=now)


def _work(one: Act) -> queue.Item:
    amount, reason = _read(one.value)
    note = str(one.value.get("note") or "") if isinstance(one.value, dict) else ""
    return queue.Item(
        lane="event",
        kind=KIND,
        payload={
            "step_run_id": one.actor.step_run_id,
            "person_id": one.actor.person_id,
            "amount": amount,
            "reason": reason,
            "once": one.once,
            "by": f"playbook:{one.actor.playbook_key}"[:64],
            "note": (note or one.actor.words)[:200],
        },
        correlation=one.actor.correlation,
    )


async def run_points(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.points"; twice is once. What the ledger refuses fails the step, in words."""
    await services.db.write(_move, item.payload, services.clock.now())


def _move(conn: Connection, payload: dict[str, Any], now: datetime) -> None:
    try:
        points.move(
            conn,
            payload["person_id"],
            payload["amount"],
            payload["reason"],
            business_key=payload["once"],
            by=payload["by"],
            note=payload["note"],
            now=now,
        )
    except ScrmError as error:
        store.fail_step(conn, payload["step_run_id"], error.text, now)


def _read(value: Any) -> tuple[int | None, str]:
    amount, reason = (
        (value.get("amount"), value.get("reason", _REASON)) if isinstance(value, dict) else (value, _REASON)
    )
    if isinstance(amount, str) and amount.strip().lstrip("+-").isdigit():
        amount = int(amount)
    return (amount if isinstance(amount, int) and not isinstance(amount, bool) else None), str(reason)


EXECUTORS = {KIND: run_points}
