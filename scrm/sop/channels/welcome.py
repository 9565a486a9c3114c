"""W, the welcome: sent within seconds of the add by scrm.sop.welcome, before any run begins."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection

from scrm.sop.channels.ready import Outcome, Ready, Release, missing_content, needless_acts
from scrm.sop.schema import Step, When

letter = "W"
title = "欢迎语"
opening = "intent"
keys: frozenset[str] = frozenset()


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """It has its moment and no other, and nobody to act for it."""
    found = [*missing_content(step), *needless_acts(step)]
    if step.when != When() or "late" in keys or "ttl" in keys:
        found.append(f"欢迎语“{step.id}”只能在 at: T0，不写 window、late、ttl：20 秒内不发就再也发不出")
    if step.content is not None and step.content.variants:
        found.append(f"欢迎语“{step.id}”不能写 variants：不同的欢迎语请按渠道写成不同的剧本")
    return found


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """Too late: a welcome's code has been used, or is gone."""
    return [Outcome(one.step_run_id, "skipped", "欢迎语只在添加时发送") for one in ready]
