"""Handling kept callbacks once more: one at once, or a range in the background, in the order in which they came.

Handlers ask for the state instead of applying what an event says, so that a replay changes nothing twice. A range goes
to the queue a part at a time: what WeCom tells meanwhile does not wait behind it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, literal_column, select, update

from scrm import audit
from scrm.callbacks import inbox, search
from scrm.callbacks.models import FORGOTTEN, callback_replay, inbox_event
from scrm.callbacks.search import Wanted
from scrm.errors import Conflict, Invalid
from scrm.services import Services
from scrm.work import queue
from scrm.work.models import work_item

KIND = "callbacks.replay"
MOST = 100_000
LONGEST = timedelta(days=31)
PART = 200
_PAUSE = timedelta(seconds=1)


def run_again(conn: Connection, inbox_id: int, *, now: datetime) -> bool:
    """Put a kept callback to work once more; False when there is none of that id, it waits already, or has no body."""
    return bool(_put_to_work(conn, [inbox_id], now=now))


def _put_to_work(conn: Connection, ids: Sequence[int], *, now: datetime, lane: str | None = None) -> list[int]:
    """The ids that were put to work; a dead letter of the same callback has had its second chance by this."""
    table = inbox_event.c
    rows = conn.execute(
        select(table.id, table.body, table.correlation)
        .where(table.id.in_(ids), table.state != "new", table.body.not_in([FORGOTTEN, b""]))
        .order_by(table.id)
        # What the sweep takes away at this moment is not put to work.
        .with_for_update()
    ).all()
    if not rows:
        return []
    found = [row.id for row in rows]
    conn.execute(update(inbox_event).where(table.id.in_(found)).values(state="new", done_at=None, error=""))
    conn.execute(
        delete(work_item).where(
            literal_column("work_item.state = 2"),
            work_item.c.kind == inbox.KIND,
            work_item.c.correlation.in_([row.correlation for row in rows if row.correlation]),
        )
    )
    for row in rows:
        queue.add(conn, _item(row, lane, now), now=now)
    return found


def _item(row: Row[Any, Any, Any], lane: str | None, now: datetime) -> queue.Item:
    told = inbox.incoming(bytes(row.body), now)
    return queue.Item(
        lane=lane or told.lane,
        kind=inbox.KIND,
        payload={"inbox": row.id},
        order_key=inbox.order_key_of(told.body, False) if lane else told.order_key,
        dedupe_key=_key(row.id),
        correlation=row.correlation,
    )


def _key(inbox_id: int) -> str:
    return f"callback:{inbox_id}"


# A range --------------------------------------------------------------------------------------------------------------


def count(conn: Connection, wanted: Wanted, now: datetime) -> int:
    """How many there would be; raises Invalid where the range is too wide."""
    is_odd = wanted.state in ("odd", "unknown", "unreadable", "failed")
    if not is_odd and not wanted.contact:
        if wanted.since is None:
            raise Invalid("请先选开始日期，或只看一位客户、只看待处理的回调，再重放")
        if (wanted.until or now) - wanted.since > LONGEST + timedelta(days=1):
            raise Invalid("时段超过了 31 天，请选短一些，分几次重放")
    found = search.count_replayable(conn, wanted, MOST)
    if found > MOST:
        raise Invalid(f"符合条件的回调超过 {MOST:,} 条，请选短一些的时段，分几次重放")
    if not found:
        raise Invalid("没有可以重放的回调：符合条件的都在排队，或者原文已经删除")
    return found


def ask(conn: Connection, wanted: Wanted, *, asked_by: str, now: datetime) -> int:
    """The number of the job; raises Conflict while another one runs."""
    if (busy := find_running(conn)) is not None:
        raise Conflict(f"已经有一批回调在重放（{busy.done:,} / {busy.total:,}），请等它完成或先停止")
    values = {
        "asked_by": asked_by,
        "asked_at": now,
        "wanted": wanted.as_json(),
        "newest_id": search.newest_id(conn),
        "total": count(conn, wanted, now),
    }
    job_id = int(conn.execute(callback_replay.insert().values(**values).returning(callback_replay.c.id)).scalar_one())
    _go_on(conn, job_id, 0, [], now=now, due_at=now)
    return job_id


def find_running(conn: Connection) -> Row[Any] | None:
    return conn.execute(
        select(callback_replay).where(callback_replay.c.state == "running").order_by(callback_replay.c.id).limit(1)
    ).first()


def find_last(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(callback_replay).order_by(callback_replay.c.id.desc()).limit(1)).first()


@audit.keeps("callback_replay", callback_replay.c.id, of=("job_id",))
def stop(conn: Connection, job_id: int, *, now: datetime) -> bool:
    """What was put to the queue is still handled; False when it does not run."""
    stopped = conn.execute(
        update(callback_replay)
        .where(callback_replay.c.id == job_id, callback_replay.c.state == "running")
        .values(state="stopped", finished_at=now)
        .returning(callback_replay.c.id)
    )
    return stopped.first() is not None


def halt(conn: Connection, job_id: int, *, now: datetime) -> None:
    """Its work died: nobody waits for it as if it ran."""
    _turn(conn, job_id, "running", state="stopped", finished_at=now)


def take_up(conn: Connection, job_id: int) -> None:
    """Its work is tried again, and goes on behind what was put to the queue."""
    _turn(conn, job_id, "stopped", state="running", finished_at=None)


def _turn(conn: Connection, job_id: int, was: str, /, **values: Any) -> None:
    which = (callback_replay.c.id == job_id, callback_replay.c.state == was)
    conn.execute(update(callback_replay).where(*which).values(**values))


async def run_replay(services: Services, item: queue.Claimed) -> None:
    """Work of kind callbacks.replay: waits for its last part, then puts the next one to the queue."""
    job = await services.db.read(_find, item.payload["job"])
    if job is None or job.state != "running":
        return
    ids = await services.db.read(
        search.list_replayable,
        Wanted.from_json(job.wanted),
        after=job.cursor,
        up_to=job.newest_id,
        limit=PART,
    )
    await services.db.write(_step, item.payload, ids, services.clock.now())


def _find(conn: Connection, job_id: int) -> Row[Any] | None:
    return conn.execute(select(callback_replay).where(callback_replay.c.id == job_id)).one_or_none()


def _step(conn: Connection, payload: dict[str, Any], ids: list[int], now: datetime) -> None:
    """One transaction: the part, the cursor behind it, and the item that goes on; after a crash it is made again."""
    job = _find(conn, payload["job"])
    if job is None or job.state != "running":
        return
    if _are_open(conn, payload["part"]):
        _go_on(conn, job.id, payload["turn"] + 1, payload["part"], now=now, due_at=now + _PAUSE)
        return
    if not ids:
        _save(conn, job.id, state="done", done=job.total, finished_at=now)
        return
    part = _put_to_work(conn, ids, now=now, lane="event")
    _save(conn, job.id, cursor=ids[-1], done=min(job.total, job.done + len(payload["part"])))
    _go_on(conn, job.id, payload["turn"] + 1, part, now=now, due_at=now + _PAUSE)


def _are_open(conn: Connection, part: Sequence[int]) -> bool:
    if not part:
        return False
    waiting = select(work_item.c.id).where(
        work_item.c.dedupe_key.in_([_key(each) for each in part]),
        literal_column("work_item.dedupe_key IS NOT NULL AND work_item.state < 2"),
    )
    return conn.execute(waiting.limit(1)).first() is not None


def _save(conn: Connection, job_id: int, **values: Any) -> None:
    conn.execute(update(callback_replay).where(callback_replay.c.id == job_id).values(**values))


def _go_on(conn: Connection, job_id: int, turn: int, part: Sequence[int], *, now: datetime, due_at: datetime) -> None:
    item = queue.Item(
        lane="bulk",
        kind=KIND,
        payload={"job": job_id, "turn": turn, "part": list(part)},
        due_at=due_at,
        dedupe_key=f"{KIND}:{job_id}:{turn}",
    )
    queue.add(conn, item, now=now)


EXECUTORS = {KIND: run_replay}
