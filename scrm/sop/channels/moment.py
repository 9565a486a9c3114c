"""P, a moment: seen by all of a tag's customers, so that it belongs to a plan and not to one customer's run."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from scrm.sop.channels.ready import Outcome, Ready, Release
from scrm.sop.schema import Step

letter = "P"
title = "朋友圈（写在计划里）"
opening = "intent"
keys: frozenset[str] = frozenset()

_WORDS = "朋友圈是按标签发给一群客户看的，不能跟着一位客户的进度发：请在「群与朋友圈计划」里写成 kind: moment 的计划"


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """It never stands in a playbook."""
    return [f"步骤“{step.id}”：{_WORDS}"]


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """Nothing goes out."""
    return [Outcome(one.step_run_id, "failed", _WORDS) for one in ready]
