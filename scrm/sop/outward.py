"""Calls systems outside WeCom for steps of channel K; how a call is made and signed stands in scrm.outgoing."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog
from sqlalchemy import Connection
from yarl import URL

from scrm.outgoing import DELAYS, Call, Refused, Target, post
from scrm.services import Services
from scrm.settings import Settings
from scrm.sop import exits, ledger, store, timing
from scrm.sop.actions.store import open_again
from scrm.sop.channels.outward import KIND, once
from scrm.sop.guards import answers as guards
from scrm.sop.shelf import find_version, house_of, playbooks_of
from scrm.work import queue
from scrm.work.retry import TryAgain, next_try

log = structlog.get_logger()

# What was decided longer ago is looked at once more before it is said.
_FRESH = timedelta(minutes=1)


async def run_outward(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.outward": call, and write down how it went; raises TryAgain while trying again helps."""
    step_run_id = int(item.payload["step_run_id"])
    try:
        call = await services.db.write(_prepare, item, services)
        if call is None:
            return
        receipt = await post(services.http, call, services.clock.now())
    except Refused as refusal:
        await services.db.write(note_end, step_run_id, "failed", refusal.text, services.clock.now())
    except TryAgain as trouble:
        now = services.clock.now()
        if next_try(trouble, item.attempts, now, item.give_up_at) is None:
            await services.db.write(note_end, step_run_id, "failed", f"多次重试仍失败：{trouble}", now)
            return
        await services.db.write(_note_trouble, step_run_id, str(trouble))
        raise
    else:
        await services.db.write(note_end, step_run_id, "done", receipt, services.clock.now())


def _prepare(conn: Connection, item: queue.Claimed, services: Services) -> Call | None:
    """What to send, if it still may be sent; raises TryAgain in the quiet hours, Refused without a target."""
    step_run_id = int(item.payload["step_run_id"])
    row = ledger.find_send(conn, once(step_run_id))
    if row is None or row.outcome in ("sent", "none"):
        return None
    now = services.clock.now()
    if (item.attempts > 1 or now - item.created_at > _FRESH) and (why := _stale(conn, item, services, now)):
        ledger.change_send(conn, once(step_run_id), outcome="none", reason=why[:300])
        store.end_step_runs(conn, [step_run_id], "skipped", why, now=now)
        return None
    return Call(target_of(services.settings, row.content), once(step_run_id), msgspec.json.encode(row.content["body"]))


def _stale(conn: Connection, item: queue.Claimed, services: Services, now: datetime) -> str:
    """Why a call that did not get through may not be tried again: hours have passed since it was decided."""
    run = store.find_run(conn, int(item.payload["enrolment_id"]))
    if run is None or run.state in ("exited", "goal", "merged", "failed", "paused"):
        return exits.withdrawn_words(run.ended_reason if run is not None else "流程已结束")
    playbook = find_version(conn, playbooks_of(services), run.playbook_key, run.version)
    row = ledger.find_send(conn, once(int(item.payload["step_run_id"])))
    step = playbook.step(row.step_id) if playbook is not None and row is not None else None
    if playbook is None or step is None:
        return ""
    optout = store.lock_persons(conn, [run.person_id]).get(run.person_id, {})
    if refused := guards.refused(playbook, optout, step):
        return refused
    house = house_of(services)
    quiet = guards.quiet_hours(playbook, step, house)
    ends = timing.quiet_until(now, quiet, house.zone) if quiet is not None else None
    if ends is not None:
        raise TryAgain("勿扰时段，稍后再试", delays=DELAYS, retry_after=(ends - now).total_seconds())
    return ""


def target_of(settings: Settings, content: Mapping[str, Any]) -> Target:
    """Raises Refused when the settings have no such endpoint."""
    if "url" in content:
        url = URL(str(content["url"]))
        return Target(url, secret_for(settings, url.host or ""))
    endpoint = settings.outward.get(str(content.get("to")))
    if endpoint is None:
        raise Refused(f"设置里没有 [outward.{content.get('to')}]，请写上 url 和 secret")
    return Target(
        URL(endpoint.url), endpoint.secret.get_secret_value(), endpoint.allow_private, endpoint.timeout_seconds
    )


def secret_for(settings: Settings, host: str) -> str:
    """What calls of a plain `url` are signed with: one secret for each host, never ours."""
    key = settings.security.secret_key.get_secret_value().encode()
    return hmac.new(key, f"outward:{host.lower()}".encode(), hashlib.sha256).hexdigest()


def note_end(conn: Connection, step_run_id: int, state: str, words: str, now: datetime) -> None:
    """How it ended, in the ledger and at the step."""
    is_done = state == "done"
    ledger.change_send(
        conn,
        once(step_run_id),
        outcome="sent" if is_done else "failed",
        sent_at=now if is_done else None,
        reason=words[:300],
    )
    store.end_step_runs(conn, [step_run_id], state, words, now=now)
    if not is_done:
        log.warning("sop.outward_failed", step_run=step_run_id)


def take_up(conn: Connection, step_run_id: int, words: str) -> None:
    """A call that ended with these words is to be made again."""
    row = ledger.find_send(conn, once(step_run_id))
    if row is not None and (row.outcome, row.reason) == ("failed", words):
        ledger.change_send(conn, once(step_run_id), outcome="intent", reason="")
        open_again(conn, step_run_id, words)


def _note_trouble(conn: Connection, step_run_id: int, words: str) -> None:
    """Until a later try succeeds, this is how it stands; whether the other side has it already nobody knows."""
    ledger.change_send(conn, once(step_run_id), outcome="unknown", reason=f"{words}，将自动重试"[:300])


EXECUTORS = {KIND: run_outward}
