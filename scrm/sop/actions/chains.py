"""What one playbook does to others: it begins and ends runs, after its own step has been committed."""

from typing import Any

import structlog
from sqlalchemy import Connection

from scrm.profiles import redirects
from scrm.services import Services
from scrm.sop import enrol, exits
from scrm.sop.actions import points
from scrm.sop.actions import store as acts
from scrm.sop.actions.start_playbook import KIND as START
from scrm.sop.actions.stop_playbook import ALL
from scrm.sop.actions.stop_playbook import KIND as STOP
from scrm.sop.guards.answers import House
from scrm.sop.life.published import Published
from scrm.sop.members import task_store
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.triggers import BY_HAND
from scrm.work import queue

log = structlog.get_logger()


async def run_stop(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.stop_runs"; doing it twice changes nothing."""
    await services.db.write(stop_runs, item.payload, services.clock.now())


def stop_runs(conn: Connection, payload: dict[str, Any], now: Any) -> int:
    """Returns how many runs ended."""
    keys = None if ALL in payload["playbooks"] else payload["playbooks"]
    rows = acts.lock_runs(conn, redirects.follow(conn, payload["person_id"]), keys, payload["but"])
    ids = [row.id for row in rows]
    if ids:
        acts.end_runs(conn, ids, payload["reason"], now)
        task_store.withdraw_tasks(conn, ids, exits.withdrawn_words(payload["reason"]), now=now)
        log.info("sop.runs_stopped", runs=len(ids), person=payload["person_id"])
    return len(ids)


async def run_start(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.start_run": the playbook takes the person in, or notes why not; twice is once."""
    published, house = playbooks_of(services), house_of(services)
    await services.db.write(start_run, item, published, house, services.clock.now())


def start_run(conn: Connection, item: queue.Claimed, published: Published, house: House, now: Any) -> int | None:
    """The new run; None when there is none, or the event itself has begun it."""
    event = enrol.told(conn, int(item.payload["event_id"]))
    playbook = published.current.get(str(item.payload["playbook"]))
    if playbook is None:
        published.refresh(conn)
        playbook = published.current.get(str(item.payload["playbook"]))
    if event is None or event.person_id is None or playbook is None or playbook.trigger.event == BY_HAND:
        return None
    return enrol.enrol(conn, playbook, event, house, now, item.correlation)


EXECUTORS = {STOP: run_stop, START: run_start, **points.EXECUTORS}
