"""X, our own acts: tags, stage and fields, points, coupons, owners, other playbooks; nobody is written to."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection

from scrm.profiles import tags
from scrm.sop.actions import ACTIONS, Act, Actor, Effects, find_action
from scrm.sop.channels.ready import Outcome, Ready, Release
from scrm.sop.schema import Step
from scrm.work import queue

letter = "X"
title = "系统动作"
opening = "intent"
keys: frozenset[str] = frozenset()


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """It acts, and says nothing."""
    found = []
    if not step.act and "do" not in keys:
        found.append(f"步骤“{step.id}”是系统动作，缺少 do：写明要做什么")
    if step.content is not None:
        found.append(f"步骤“{step.id}”是系统动作，不会对客户说话，请删掉 content")
    return found


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """Our own changes now, tags by a work item; an act nobody knows fails the step and changes nothing."""
    acted = _act_all(conn, ready, release.now)
    tagging = [(one, actor, effects) for one, actor, effects in acted if effects.add_tags or effects.remove_tags]
    # Wishes first, so that what several steps want of one contact becomes one call.
    tags.wish_many(conn, [_tag_wish(actor, effects) for _, actor, effects in tagging], release.now)
    queue.add_many(conn, [_tag_work(one, actor, effects) for one, actor, effects in tagging], now=release.now)
    return [
        Outcome(one.step_run_id, "failed" if effects.failures else "done", "；".join(effects.failures))
        for one, _, effects in acted
        if not effects.add_tags and not effects.remove_tags
    ]


def _act_all(conn: Connection, ready: Sequence[Ready], now: datetime) -> list[tuple[Ready, Actor, Effects]]:
    """Every action once for the whole batch: what it costs does not grow with the number of customers."""
    acted = [(one, _actor(one), Effects()) for one in ready]
    by_action: dict[str, list[Act]] = {}
    for one, actor, effects in acted:
        number = 0
        for act in one.step.act:
            for name, value in act.items():
                action = find_action(name)
                number += 1
                if action is None:
                    effects.failures.append(f"不认识的动作 {name}")
                elif action.needs_relation and not actor.external_userid:
                    effects.failures.append(f"{action.title}需要客户是某位员工的好友")
                else:
                    by_action.setdefault(name, []).append(Act(actor, value, effects, number))
    for action in ACTIONS:
        if action.name in by_action:
            action.act(conn, by_action[action.name], now)
    return acted


def _actor(one: Ready) -> Actor:
    row = one.due.row
    return Actor(
        enrolment_id=row.id,
        playbook_key=one.due.playbook.key,
        playbook_title=one.due.playbook.title,
        step_id=one.step.id,
        step_title=one.step.title or one.due.playbook.title,
        run_key=row.run_key,
        person_id=row.person_id,
        userid=row.userid,
        external_userid=row.external_userid,
        correlation=row.correlation,
        step_run_id=one.step_run_id,
        event_id=row.event_id or 0,
    )


def _tag_wish(actor: Actor, effects: Effects) -> tags.Wanted:
    return tags.Wanted(
        actor.userid,
        actor.external_userid,
        tuple(effects.add_tags),
        tuple(effects.remove_tags),
        "playbook",
        actor.words,
    )


def _tag_work(one: Ready, actor: Actor, effects: Effects) -> queue.Item:
    return queue.Item(
        lane="send",
        kind="sop.mark_tag",
        payload={
            "userid": actor.userid,
            "external_userid": actor.external_userid,
            "add": effects.add_tags,
            "remove": effects.remove_tags,
            "step_run_id": one.step_run_id,
            "failed": "；".join(effects.failures),
            "is_wished": True,
        },
        order_key=tags.order_key(actor.userid, actor.external_userid),
        correlation=actor.correlation,
    )
