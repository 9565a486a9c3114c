"""Which way runs take at branches, splits and the ends of waits; one statement for each condition of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop import chance, store
from scrm.sop.exits import concerns
from scrm.sop.facts import Due, holding
from scrm.sop.placing import Place, choice_key, waiting
from scrm.sop.schema import Branch, Fork, Split, Wait
from scrm.sop.triggers.facts import fits

CAME, TIMED_OUT, NONE = "等到了", "没等到", "都不符合"


@dataclass(frozen=True, slots=True)
class Turn:
    """The node a run goes on at, the name of the way it took, and whether its times are counted anew from now.

    `ends` is set when the run is over with it, `stays` when it has only looked back and waits from now on.
    """

    target: int
    arm: str
    counts_anew: bool = False
    ends: str = ""
    stays: Place | None = None


def take(conn: Connection, due: Sequence[Due], now: datetime) -> dict[int, Turn]:
    """By enrolment, for all of these that stand at a fork."""
    turns: dict[int, Turn] = {}
    forks: dict[int, list[Due]] = {}
    for one in due:
        if isinstance(one.node, Fork):
            forks.setdefault(id(one.node), []).append(one)
    for group in forks.values():
        fork = group[0].node
        assert isinstance(fork, Fork)  # noqa: S101 - chosen above
        if isinstance(fork.part, Branch):
            turns |= _branch(conn, fork, fork.part, group, now)
        elif isinstance(fork.part, Split):
            turns |= {one.row.id: choose_arm(fork, fork.part, one) for one in group}
        else:
            turns |= _wait(conn, fork, fork.part, group, now)
    return turns


def end_wait(fork: Fork, wait: Wait, *, came: bool) -> Turn:
    """The event came, or the time is over."""
    if not came and wait.ends:
        return Turn(fork.after, TIMED_OUT, ends="等待超时，流程结束")
    return Turn(fork.targets[0 if came else 1], CAME if came or not wait.event else TIMED_OUT, counts_anew=True)


def choose_arm(fork: Fork, split: Split, one: Due) -> Turn:
    """Which way of a split: by its shares, for one person always the same."""
    index = chance.choose([arm.share for arm in split.arms], f"{choice_key(one.row)}/{split.id}")
    return Turn(fork.targets[index], split.arms[index].name)


def arms_with(one: Due, turn: Turn) -> dict[str, str]:
    """The ways a run took so far, and this one; a wait for nothing but time is no choice."""
    node = one.node
    if not isinstance(node, Fork) or (isinstance(node.part, Wait) and not node.part.event):
        return dict(one.row.arms)
    return {**one.row.arms, node.part.id: turn.arm}


def progress(one: Due, place: Place, held: str = "", **changed: Any) -> dict[str, Any]:
    """A run's next place as `store.save_progress` takes it; `counted_from` and `arms` stay unless they are given."""
    return {
        "id": one.row.id,
        "step": place.step,
        "due_at": place.due_at,
        "awaits": place.awaits,
        "held_reason": held[:200],
        "counted_from": changed.get("counted_from", one.row.counted_from),
        "arms": changed.get("arms", one.row.arms),
    }


def _branch(conn: Connection, fork: Fork, branch: Branch, group: Sequence[Due], now: datetime) -> dict[int, Turn]:
    """The first arm that holds; who fits none of them goes past."""
    turns: dict[int, Turn] = {}
    for arm, target in zip(branch.arms, fork.targets, strict=True):
        rest = [one for one in group if one.row.id not in turns]
        if not rest:
            break
        holds = {one.row.id for one in rest} if arm.condition is None else holding(conn, arm.condition, rest, now)
        turns |= {one.row.id: Turn(target, arm.name) for one in rest if one.row.id in holds}
    return {one.row.id: turns.get(one.row.id, Turn(fork.after, NONE)) for one in group}


def _wait(conn: Connection, fork: Fork, wait: Wait, group: Sequence[Due], now: datetime) -> dict[int, Turn]:
    """Their time is over, or they have just come here and look back.

    An event that came in the moment before the time was over, and was not seen in time, is still one that came.
    """
    if not wait.event:
        return {one.row.id: end_wait(fork, wait, came=True) for one in group}
    after = min(one.row.event_id or 0 for one in group)
    happened = store.list_events_of(conn, {one.row.person_id for one in group}, {wait.event}, after)
    turns = {}
    for one in group:
        is_new = not one.row.awaits
        since = (one.row.counted_from or one.run.since) if is_new else one.row.due_at - wait.timeout
        came = any(
            told.occurred_at >= since and concerns(one.playbook, one.run, told) and fits(wait.where, told.facts)
            for told in happened.get(one.row.person_id, ())
        )
        if is_new and not came:
            turns[one.row.id] = Turn(one.row.step, "", stays=waiting(one.row.step, wait, now))
        else:
            turns[one.row.id] = end_wait(fork, wait, came=came)
    return turns
