"""Begin another playbook for the person, as if its trigger had come; playbooks that start each other are cut."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm import events
from scrm.events import Event
from scrm.sop.actions import store
from scrm.sop.actions.effects import Act, Field
from scrm.sop.actions.stop_playbook import playbook_keys
from scrm.sop.triggers import BY_HAND
from scrm.work import queue

log = structlog.get_logger()

name = "start_playbook"
title = "开始剧本"
fields = (Field("start_playbook", "剧本", "playbook"),)
needs_relation = False

KIND = "sop.start_run"
# A chain of so many playbooks, each begun by the one before, is a circle.
MOST_DEEP = 5


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    keys = playbook_keys(value)
    return "" if keys and "all" not in keys else "start_playbook 要写剧本编号，例如 start_playbook: pb-07-recovery"


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """An event for each, which names the playbook and how deep the chain is; the run begins after the commit."""
    published = store.list_published(conn, {key for one in acts for key in playbook_keys(one.value)})
    depths = _depths(conn, acts)
    told: dict[str, tuple[Event, Act]] = {}
    for one in acts:
        for key in playbook_keys(one.value):
            if key not in published:
                one.effects.failures.append(f"剧本 {key} 没有发布，没有开始")
            elif depths[one.actor.event_id] >= MOST_DEEP:
                one.effects.failures.append(f"剧本互相启动超过 {MOST_DEEP} 层，已在这里切断，没有开始 {key}")
                log.warning("sop.chain_cut", playbook=one.actor.playbook_key, starts=key, person=one.actor.person_id)
            else:
                event = _event(one, key, depths[one.actor.event_id] + 1, now)
                told[str(event.once)] = event, one
    kept = events.publish(conn, [event for event, _ in told.values()], now=now)
    queue.add_many(conn, [_work(event, told[str(event.once)][1]) for event in kept], now=now)


def _depths(conn: Connection, acts: Sequence[Act]) -> dict[int, int]:
    """By the event that began the run: how many playbooks stand before it."""
    ids = {one.actor.event_id for one in acts}
    facts = events.list_facts(conn, ids - {0})
    return {each: int(facts.get(each, {}).get("depth") or 0) for each in ids}


def _event(one: Act, key: str, depth: int, now: datetime) -> Event:
    actor = one.actor
    return Event(
        BY_HAND,
        now,
        actor.person_id,
        actor.external_userid,
        actor.userid,
        key=_business_key(actor.run_key)[:160],
        facts={
            "title": f"由剧本“{actor.playbook_title}”开始",
            "playbook": key,
            "by": f"playbook:{actor.playbook_key}",
            "depth": depth,
        },
        once=f"start:{one.once}:{key}"[:200],
    )


def _business_key(run_key: str) -> str:
    """What the run is about, an order or a parcel, so that a playbook with such keys can go on from it."""
    value = run_key.partition("#")[0].partition(":")[2]
    return value.partition("@")[2] or value


def _work(event: Event, one: Act) -> queue.Item:
    return queue.Item(
        lane="event",
        kind=KIND,
        payload={"event_id": event.id, "playbook": event.facts["playbook"]},
        correlation=one.actor.correlation,
    )
