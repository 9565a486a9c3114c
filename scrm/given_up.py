"""What waits for durable work that nobody does any more is told so, and waits again when it is tried again.

Work that a trouble of WeCom's or a setting holds up goes on by itself: whoever waits for that goes on waiting.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection

from scrm.callbacks import replay
from scrm.contact_ways import store as ways_store
from scrm.contact_ways import ways
from scrm.imports import jobs as imports
from scrm.mass_messages import dispatch
from scrm.mass_messages import plan as mass_plan
from scrm.mass_messages import store as mass_store
from scrm.moments import publish as moments
from scrm.moments import store as moments_store
from scrm.profiles import remarks, tags
from scrm.segments import freeze
from scrm.segments import store as segments_store
from scrm.sop import outward
from scrm.sop.actions import points
from scrm.sop.actions import store as acts
from scrm.sop.channels.outward import KIND as OUTWARD
from scrm.sop.rehearsal import jobs as rehearsals
from scrm.transfers import begin as transfers
from scrm.transfers import store as transfers_store
from scrm.work import queue

STOPPED = "程序出错，停在这里了。管理员可以在“任务队列”里重试。"
DISCARDED = "管理员在“任务队列”里丢弃了，不会再做。"

Payload = Mapping[str, Any]


class Ending(NamedTuple):
    """`stops` when it died, with the words to show; `again` takes them back; `ends` when it was thrown away."""

    stops: Callable[[Connection, Payload, datetime, str, datetime], None]
    again: Callable[[Connection, Payload, str], None]
    ends: Callable[[Connection, Payload, datetime, str, datetime], None]


def died(conn: Connection, item: queue.Claimed, now: datetime) -> None:
    """To be called in the transaction that buries the item."""
    if (ending := ENDINGS.get(item.kind)) is not None:
        ending.stops(conn, item.payload, item.created_at, STOPPED, now)


def revive(conn: Connection, item_id: int, *, now: datetime) -> bool:
    """`queue.revive`, and what was told that it stopped waits again."""
    dead = queue.find_dead(conn, item_id)
    if dead is not None and (ending := ENDINGS.get(dead.kind)) is not None:
        ending.again(conn, dead.payload, STOPPED)
    return queue.revive(conn, item_id, now=now)


def discard(conn: Connection, item_id: int, *, now: datetime) -> Any | None:
    """`queue.discard`, and what waited for it has an end."""
    gone = queue.discard(conn, item_id)
    if gone is not None and (ending := ENDINGS.get(gone.kind)) is not None:
        # Nobody can try it again: the words that promise it go first.
        ending.again(conn, gone.payload, STOPPED)
        ending.ends(conn, gone.payload, gone.created_at, DISCARDED, now)
    return gone


# Tags, remarks and points -----------------------------------------------------------------------------------------------------


def _let_go_tags(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    tags.let_go(conn, payload, asked_at, words)


def _let_go_remark(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    remarks.let_go(conn, payload, asked_at, words)


def _stop_tagging(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    tags.let_go(conn, payload, asked_at, words)
    _stop_step(conn, payload, asked_at, words, now)


def _tag_again(conn: Connection, payload: Payload, words: str) -> None:
    tags.take_up(conn, payload, words)
    _step_again(conn, payload, words)


def _stop_step(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    if payload.get("step_run_id") is not None:
        acts.fail_step(conn, payload["step_run_id"], words, now)


def _step_again(conn: Connection, payload: Payload, words: str) -> None:
    if payload.get("step_run_id") is not None:
        acts.open_again(conn, payload["step_run_id"], words)


def _points_again(conn: Connection, payload: Payload, words: str) -> None:
    """Its step did not wait for the points: it is done, unless they fail once more."""
    acts.open_again(conn, payload["step_run_id"], words, "done")


# Mass messages and moments --------------------------------------------------------------------------------------------


def _note_part(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    mass_store.change_part(conn, int(payload["part_id"]), reason=words)


def _clear_part(conn: Connection, payload: Payload, words: str) -> None:
    mass_store.change_part(conn, int(payload["part_id"]), reason="")


def _end_part(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    dispatch.give_up(conn, int(payload["part_id"]), words, now)


def _note_message(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    mass_store.change_message(conn, int(payload["id"]), why=words)


def _clear_message(conn: Connection, payload: Payload, words: str) -> None:
    mass_store.change_message(conn, int(payload["id"]), why="")


def _end_message(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    """One that was stopped and taken back is prepared by other work."""
    message_id = int(payload["id"])
    if mass_store.lock_message(conn, message_id).state in ("preparing", "dividing"):
        mass_store.change_message(conn, message_id, state="cancelled", why=words, ended_at=now)
        mass_store.cancel_planned(conn, message_id)


def _note_moment(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    moments_store.change_moment(conn, int(payload["id"]), reason=words)


def _clear_moment(conn: Connection, payload: Payload, words: str) -> None:
    moments_store.change_moment(conn, int(payload["id"]), reason="")


def _end_moment(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    moments_store.change_moment(conn, int(payload["id"]), state="failed", reason=words, poll_at=None)


# Transfers ------------------------------------------------------------------------------------------------------------


def _note_transfer(of: str, conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    transfers_store.note_open(conn, int(payload["transfer_id"]), of, words)


def _clear_transfer(of: str, conn: Connection, payload: Payload, words: str) -> None:
    transfers_store.note_open(conn, int(payload["transfer_id"]), of, "")


def _end_transfer(of: str, conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    transfers_store.end_open(conn, int(payload["transfer_id"]), of, words, now)


def _transfer(of: str) -> Ending:
    return Ending(partial(_note_transfer, of), partial(_clear_transfer, of), partial(_end_transfer, of))


# The others -----------------------------------------------------------------------------------------------------------


def _note_way(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    ways_store.note_problem(conn, str(payload["state"]), words)


def _clear_way(conn: Connection, payload: Payload, words: str) -> None:
    ways_store.note_problem(conn, str(payload["state"]), "")


def _note_list(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    segments_store.note_list(conn, str(payload["key"]), words)


def _clear_list(conn: Connection, payload: Payload, words: str) -> None:
    segments_store.note_list(conn, str(payload["key"]), "")


def _stop_import(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    imports.fail(conn, payload["job_id"], words, now)


def _import_again(conn: Connection, payload: Payload, words: str) -> None:
    imports.take_up(conn, payload["job_id"], words, check=payload["check"])


def _stop_replay(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    replay.halt(conn, int(payload["job"]), now=now)


def _replay_again(conn: Connection, payload: Payload, words: str) -> None:
    replay.take_up(conn, int(payload["job"]))


def _stop_rehearsal(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    rehearsals.stop(conn, int(payload["rehearsal_id"]), words, now)


def _rehearse_again(conn: Connection, payload: Payload, words: str) -> None:
    rehearsals.take_up(conn, int(payload["rehearsal_id"]), words)


def _stop_outward(conn: Connection, payload: Payload, asked_at: datetime, words: str, now: datetime) -> None:
    outward.note_end(conn, int(payload["step_run_id"]), "failed", words, now)


def _outward_again(conn: Connection, payload: Payload, words: str) -> None:
    outward.take_up(conn, int(payload["step_run_id"]), words)


# One line for each kind of work that something waits for.
ENDINGS: Mapping[str, Ending] = {
    tags.MARK: Ending(_let_go_tags, tags.take_up, _let_go_tags),
    "sop.mark_tag": Ending(_stop_tagging, _tag_again, _stop_tagging),
    remarks.WRITE: Ending(_let_go_remark, remarks.take_up, _let_go_remark),
    points.KIND: Ending(_stop_step, _points_again, _stop_step),
    OUTWARD: Ending(_stop_outward, _outward_again, _stop_outward),
    mass_plan.PREPARE: Ending(_note_message, _clear_message, _end_message),
    mass_plan.CREATE: Ending(_note_part, _clear_part, _end_part),
    moments.KIND: Ending(_note_moment, _clear_moment, _end_moment),
    transfers.ASK: _transfer("asked"),
    transfers.POLL: _transfer("waiting"),
    transfers.GROUPS: _transfer("groups"),
    ways.KIND: Ending(_note_way, _clear_way, _note_way),
    freeze.KIND: Ending(_note_list, _clear_list, _note_list),
    imports.KIND: Ending(_stop_import, _import_again, _stop_import),
    replay.KIND: Ending(_stop_replay, _replay_again, _stop_replay),
    rehearsals.KIND: Ending(_stop_rehearsal, _rehearse_again, _stop_rehearsal),
}
