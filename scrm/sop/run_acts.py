"""What a manager does with one run by hand: ends it, or leaves its next step out; each can be taken back for a while."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, insert, select, update

from scrm import audit
from scrm.db.tables import from_millis, to_millis
from scrm.errors import Conflict, NotFound
from scrm.sop import store
from scrm.sop.facts import Due
from scrm.sop.guards.answers import House
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.board_tables import run_act
from scrm.sop.life.published import Published
from scrm.sop.mass import leaving
from scrm.sop.members import task_store
from scrm.sop.models import enrolment, step_run
from scrm.sop.placing import course_of, place_from
from scrm.sop.schema import Playbook, Step
from scrm.sop.shelf import find_version
from scrm.sop.turns import progress

log = structlog.get_logger()

UNDO = timedelta(minutes=10)
WORDS = {"stop": "停止", "skip": "跳过这一步"}
_LIVING = ("active", "paused", "queued")
_MOMENTS = ("due_at", "paused_at", "look_at", "counted_from")
_KEPT = ("state", "step", "awaits", "ended_reason", "held_reason", "arms", "pass_number", *_MOMENTS)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done with a run, and until when it can be taken back."""

    act_id: int
    words: str
    until: datetime


def stop(conn: Connection, enrolment_id: int, by: str, name: str, *, now: datetime) -> Done:
    """End a run; what nobody has sent yet is withdrawn. Raises NotFound, or Conflict when it is over."""
    run = _lock(conn, enrolment_id)
    reason = f"{name}停止了这次跟进"
    act_id = _keep(conn, run, "stop", "", by, now)
    ended = {"state": "exited", "ended_reason": reason[:200], "ended_at": now, "due_at": None, "look_at": None}
    conn.execute(update(enrolment).where(enrolment.c.id == run.id).values(**ended, paused_at=None, awaits=""))
    task_store.withdraw_tasks(conn, [run.id], f"{reason}，任务已撤回。", now=now)
    has_mass = leaving.withdraw(conn, [run.id], reason, now) > 0
    _note(conn, run, "exited", reason)
    words = "已停止。等员工确认的群发已取消，撤销也不会补上" if has_mass else "已停止，没发的待办已撤回"
    return Done(act_id, words, now + UNDO)


def list_stoppers(conn: Connection, enrolment_ids: Collection[int]) -> dict[int, str]:
    """Who ended which of these runs by hand: a userid, or `api:` and the key's name."""
    stopped = select(run_act.c.enrolment_id, run_act.c.by).where(
        run_act.c.enrolment_id.in_(list(enrolment_ids)), run_act.c.act == "stop", run_act.c.undone_at.is_(None)
    )
    return {row.enrolment_id: row.by for row in conn.execute(stopped.order_by(run_act.c.id))}


def skip(
    conn: Connection,
    published: Published,
    house: House,
    enrolment_id: int,
    step_id: str,
    by: str,
    name: str,
    *,
    now: datetime,
) -> Done:
    """Leave out the step that comes next, and go on behind it; `step_id` is the one that the manager saw there.

    Raises Conflict when the run stands elsewhere by now.
    """
    run = _lock(conn, enrolment_id)
    playbook = find_version(conn, published, run.playbook_key, run.version)
    node = playbook.node(run.step) if playbook is not None else None
    if playbook is None or run.state != "active" or not isinstance(node, Step) or node.id != step_id:
        raise Conflict("这位客户已经不在这一步了，请刷新名单")
    if run.is_holdout:
        raise Conflict("对照组的客户不发消息，不用跳过")
    reason = f"{name}跳过了这一步"
    act_id = _keep(conn, run, "skip", step_id, by, now)
    decided = {"channel": node.channel.value, "state": "skipped", "reason": reason[:300], "facts": {}}
    about = {"enrolment_id": run.id, "step_id": step_id, "pass": run.pass_number}
    store.add_step_runs(conn, [{**about, **decided, "intent_at": now, "outcome_at": now}])
    _go_on(conn, run, playbook, house, now)
    _note(conn, run, run.state, f"{reason}：{node.title or node.id}")
    return Done(act_id, f"已跳过“{node.title or node.id}”", now + UNDO)


def _go_on(conn: Connection, run: Row[Any], playbook: Playbook, house: House, now: datetime) -> None:
    place = place_from(course_of(playbook, run, house), run.step + 1, now)
    store.save_progress(conn, [progress(Due(run, playbook, None), place)])
    if place.due_at is None:
        store.finish_idle(conn, [run.id], now=now)


# Taking back ----------------------------------------------------------------------------------------------------------


def undo(conn: Connection, act_id: int, *, now: datetime) -> int:
    """The run stands where it stood; returns its number. Raises Conflict when too much has happened since."""
    act = conn.execute(select(run_act).where(run_act.c.id == act_id)).one_or_none()
    run = store.lock_enrolment(conn, act.enrolment_id) if act is not None else None
    if act is None or run is None:
        raise NotFound("没有这条操作记录，请刷新名单")
    if act.undone_at is not None:
        return int(run.id)
    if now - act.at > UNDO:
        raise Conflict("只能在 10 分钟内撤销")
    before = {name: _moment(name, value) for name, value in act.before.items()}
    if act.act == "stop":
        _restart(conn, run, act, before, now)
    else:
        _back_to_step(conn, run, act, before)
    conn.execute(update(run_act).where(run_act.c.id == act_id).values(undone_at=now))
    _note(conn, run, before["state"], f"撤销了{WORDS[act.act]}")
    return int(run.id)


def _restart(conn: Connection, run: Row[Any], act: Row[Any], before: dict[str, Any], now: datetime) -> None:
    if run.state != "exited" or run.ended_at != act.at:
        raise Conflict("这次运行后来又有了变化，不能撤销")
    if before["state"] != "queued" and run.is_journey:
        _refuse_second(conn, run)
    conn.execute(update(enrolment).where(enrolment.c.id == run.id).values(**before, ended_at=None))
    tasks = lifecycle_store.list_withdrawn(conn, [run.id], f"{run.ended_reason}，任务已撤回。")
    again = [
        {"of_id": each.id, "at": now, "end": each.expires_at, "step_run_id": each.step_run_id}
        for each in tasks
        if each.ended_at == act.at and (each.expires_at is None or each.expires_at > now)
    ]
    lifecycle_store.reopen_tasks(conn, again)
    if before["due_at"] is None:
        store.finish_idle(conn, [run.id], now=now)


def _refuse_second(conn: Connection, run: Row[Any]) -> None:
    """Its turn has gone to another one meanwhile."""
    e = enrolment.c
    others = select(e.id).where(
        e.person_id == run.person_id, e.is_journey, e.is_holdout.is_(False), e.state.in_(("active", "paused"))
    )
    store.lock_persons(conn, [run.person_id])
    if conn.execute(others.limit(1)).first() is not None:
        raise Conflict("这位客户已经开始走另一个剧本，不能撤销")


def _back_to_step(conn: Connection, run: Row[Any], act: Row[Any], before: dict[str, Any]) -> None:
    """The step comes again, in a pass of its own: what was noted of it stays."""
    s = step_run.c
    noted = select(func.max(s.id)).where(s.enrolment_id == run.id, s.step_id == act.step_id).scalar_subquery()
    later = select(s.id).where(s.enrolment_id == run.id, s.id > noted)
    if run.state not in ("active", "done") or conn.execute(later.limit(1)).first() is not None:
        raise Conflict("后面的步骤已经执行，不能撤销")
    again = {**before, "pass_number": run.pass_number + 1}
    conn.execute(update(enrolment).where(enrolment.c.id == run.id).values(**again, ended_at=None))


# What was done --------------------------------------------------------------------------------------------------------


def list_acts(conn: Connection, enrolment_ids: Collection[int], now: datetime) -> dict[int, Row[Any]]:
    """By run: the last thing that was done with it and can still be taken back."""
    query = (
        select(run_act)
        .where(
            run_act.c.enrolment_id.in_(list(enrolment_ids)), run_act.c.undone_at.is_(None), run_act.c.at > now - UNDO
        )
        .order_by(run_act.c.id)
    )
    return {row.enrolment_id: row for row in conn.execute(query)}


def find_run_of(conn: Connection, act_id: int) -> Row[Any] | None:
    """The run that something was done with."""
    query = select(enrolment).join(run_act, run_act.c.enrolment_id == enrolment.c.id).where(run_act.c.id == act_id)
    return conn.execute(query).one_or_none()


def _lock(conn: Connection, enrolment_id: int) -> Row[Any]:
    run = store.lock_enrolment(conn, enrolment_id)
    if run is None:
        raise NotFound("没有这次运行的记录，请刷新名单")
    if run.state not in _LIVING:
        raise Conflict("这位客户已经走完或退出了，请刷新名单")
    return run


def _keep(conn: Connection, run: Row[Any], act: str, step_id: str, by: str, now: datetime) -> int:
    before = {name: _plain(getattr(run, name)) for name in _KEPT}
    values = {"enrolment_id": run.id, "act": act, "step_id": step_id, "by": by[:64], "at": now, "before": before}
    return int(conn.execute(insert(run_act).values(**values).returning(run_act.c.id)).scalar_one())


def _plain(value: Any) -> Any:
    return to_millis(value) if isinstance(value, datetime) else value


def _moment(name: str, value: Any) -> Any:
    return from_millis(value) if name in _MOMENTS and value is not None else value


def _note(conn: Connection, run: Row[Any], state: str, words: str) -> None:
    audit.changed(conn, "playbook_run", str(run.person_id), {"state": run.state}, {"state": state, "why": words})
    log.info("sop.run_changed_by_hand", enrolment=run.id, playbook=run.playbook_key)
