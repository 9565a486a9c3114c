"""Give the person points of the membership, or take some; the ledger has one line for each step."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.errors import ScrmError
from scrm.membership import points
from scrm.membership.points import MOST
from scrm.membership.rules import GIVEN
from scrm.sop.actions.effects import Act, Field

name = "points"
title = "加减积分"
fields = (Field("points", "积分", "number"),)
needs_relation = False

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
    """In the order of the persons, so that two batches do not wait for each other."""
    for one in sorted(acts, key=lambda one: one.actor.person_id):
        amount, reason = _read(one.value)
        note = str(one.value.get("note") or "") if isinstance(one.value, dict) else ""
        try:
            points.move(
                conn,
                one.actor.person_id,
                amount or 0,
                reason,
                business_key=one.once,
                by=f"playbook:{one.actor.playbook_key}"[:64],
                note=(note or one.actor.words)[:200],
                now=now,
            )
        except ScrmError as error:
            one.effects.failures.append(error.text)


def _read(value: Any) -> tuple[int | None, str]:
    amount, reason = (
        (value.get("amount"), value.get("reason", _REASON)) if isinstance(value, dict) else (value, _REASON)
    )
    if isinstance(amount, str) and amount.strip().lstrip("+-").isdigit():
        amount = int(amount)
    return (amount if isinstance(amount, int) and not isinstance(amount, bool) else None), str(reason)
