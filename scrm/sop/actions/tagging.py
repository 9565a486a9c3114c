"""Tells WeCom which corp tags a step gives and takes, and the step how that went."""

from typing import Any

from sqlalchemy import Connection

from scrm.profiles import mark_tags, tags
from scrm.services import Services
from scrm.sop.actions import store
from scrm.work import queue


async def run_mark_tag(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mark_tag"; marking a tag twice changes nothing, so an interrupted call is simply repeated.

    Raises WeCom's error when trying again helps; else the step counts as failed, with the reason.
    """
    payload = item.payload
    if not payload.get("is_wished"):  # work from before wishes
        await services.db.write(_wish, payload, services)
    await mark_tags.mark(services, payload["userid"], payload["external_userid"])
    await services.db.write(_note, payload, services)


def _wish(conn: Connection, payload: dict[str, Any], services: Services) -> None:
    tags.wish(
        conn,
        payload["userid"],
        payload["external_userid"],
        add=payload["add"],
        remove=payload["remove"],
        source="playbook",
        reason=str(payload.get("reason") or "剧本"),
        now=services.clock.now(),
    )


def _note(conn: Connection, payload: dict[str, Any], services: Services) -> None:
    """The step is done when all it wanted is there; another act of the same step may have failed before its turn."""
    wanted = [*payload["add"], *payload["remove"]]
    problem = tags.find_problem(conn, payload["userid"], payload["external_userid"], wanted)
    reason = "；".join(filter(None, [str(payload.get("failed") or ""), problem]))
    if payload.get("step_run_id") is None:
        return
    if reason:
        store.fail_step(conn, payload["step_run_id"], reason, services.clock.now())
    else:
        store.end_if_open(conn, payload["step_run_id"], services.clock.now())
