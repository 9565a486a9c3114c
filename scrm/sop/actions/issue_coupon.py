"""Give the person a coupon; within one run it is always the same one."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.commerce import coupons, coupons_lifecycle
from scrm.errors import ScrmError
from scrm.sop.actions.effects import Actor, Effects, Field
from scrm.sop.engine import coupon_reason

name = "issue_coupon"
title = "发优惠券"
fields = (Field("issue_coupon", "券批次", "coupon_batch"),)
needs_relation = False


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if isinstance(value, str) and value else "issue_coupon 要写券批次的编号，例如 issue_coupon: new72h"


def act(conn: Connection, value: Any, actor: Actor, effects: Effects, now: datetime) -> None:
    """A batch that is sold out fails the step, in words, and nothing else."""
    reason = coupon_reason(actor.playbook_key, actor.run_key)
    try:
        given = coupons.issue(conn, batch_key=value, person_id=actor.person_id, reason_key=reason, now=now)
    except ScrmError as error:
        effects.failures.append(error.text)
    else:
        # It is the customer's from now on, whether or not a message speaks of it.
        coupons_lifecycle.confirm(conn, [given.id], now=now)
