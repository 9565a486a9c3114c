"""Give the person a coupon; within one run it is always the same one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons import store as coupons
from scrm.errors import ScrmError
from scrm.sop.actions.effects import Act, Field, by_value, fail
from scrm.sop.engine import coupon_reason

name = "issue_coupon"
title = "发优惠券"
fields = (Field("issue_coupon", "券批次", "coupon_batch"),)
needs_relation = False


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if isinstance(value, str) and value else "issue_coupon 要写券批次的编号，例如 issue_coupon: new72h"


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """A batch that is sold out fails the step, in words, and nothing else."""
    for batch_key, group in by_value(acts, lambda one: str(one.value)):
        wanted = {_reason(one): one for one in group}
        try:
            issues = coupons.issue_many(conn, batch_key, set(wanted), now=now)
        except ScrmError as error:
            fail(group, error.text)
            continue
        # They are the customers' from now on, whether or not a message speaks of them.
        coupons_lifecycle.confirm(conn, [issue.id for issue in issues.values()], now=now)
        unserved = [one for one in group if _reason(one) not in issues]
        if unserved:
            fail(unserved, _refusal(conn, batch_key, _reason(unserved[0]), now))


def _refusal(conn: Connection, batch_key: str, wanted: tuple[int, str], now: datetime) -> str:
    """Why there is none, in the words of the coupons."""
    person_id, reason_key = wanted
    try:
        coupons.issue(conn, batch_key=batch_key, person_id=person_id, reason_key=reason_key, now=now)
    except ScrmError as error:
        return error.text
    return ""  # pragma: no cover - the batch is locked: what was refused is refused again


def _reason(one: Act) -> tuple[int, str]:
    return one.actor.person_id, coupon_reason(one.actor.playbook_key, one.actor.run_key)
