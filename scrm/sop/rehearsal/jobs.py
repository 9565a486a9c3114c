"""Rehearsals that people ask for: kept as rows, played as durable work, with progress, and broken off when asked."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm.errors import Conflict, NotFound, ScrmError
from scrm.services import Services
from scrm.sop.life import published
from scrm.sop.rehearsal.models import rehearsal
from scrm.sop.rehearsal.playing import SMALL, Cancelled, Cast, Progress, cast, play, play_apart, size_of
from scrm.sop.rehearsal.terms import Terms, terms_from
from scrm.sop.schema import Playbook
from scrm.sop.shelf import house_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors
from scrm.work import queue
from scrm.work.queue import Claimed

KIND = "sop.rehearse"
BUSY = ("waiting", "running")
KEPT = timedelta(days=180)
_LOOK_SECONDS = 1.0


def ask(conn: Connection, playbook: Playbook, terms: Terms, by: str, *, now: datetime) -> int:
    """Keep what is asked for and have it played; raises Conflict while one of this playbook is being played."""
    busy = select(rehearsal.c.id).where(rehearsal.c.playbook_key == playbook.key, rehearsal.c.state.in_(BUSY))
    if conn.execute(busy.limit(1)).first() is not None:
        raise Conflict("这个剧本正在预演，请等它结束，或先取消")
    values = {
        "playbook_key": playbook.key,
        "source": playbook.source,
        "digest": playbook.digest,
        "terms": terms.as_json(),
        "state": "waiting",
        "asked_by": by,
        "asked_at": now,
    }
    rehearsal_id = int(conn.execute(rehearsal.insert().values(**values).returning(rehearsal.c.id)).scalar_one())
    item = queue.Item("bulk", KIND, {"rehearsal_id": rehearsal_id}, dedupe_key=f"rehearsal:{rehearsal_id}")
    queue.add(conn, item, now=now)
    return rehearsal_id


def find(conn: Connection, rehearsal_id: int) -> Row[Any]:
    """Raises NotFound for an unknown one."""
    row = conn.execute(select(rehearsal).where(rehearsal.c.id == rehearsal_id)).one_or_none()
    if row is None:
        raise NotFound("没有这次预演，可能已过 180 天")
    return row


def list_of(conn: Connection, playbook_key: str, *, limit: int = 20) -> list[Row[Any]]:
    """Without text and summary, the newest first."""
    r = rehearsal.c
    columns = (r.id, r.digest, r.terms, r.state, r.share, r.problem, r.asked_by, r.asked_at, r.ended_at)
    query = select(*columns).where(r.playbook_key == playbook_key).order_by(r.id.desc()).limit(limit)
    return list(conn.execute(query))


def cancel(conn: Connection, rehearsal_id: int, *, now: datetime) -> bool:
    """Break it off within a second or two; False when it was over already."""
    r = rehearsal.c
    over = conn.execute(
        rehearsal.update()
        .where(r.id == rehearsal_id, r.state.in_(BUSY))
        .values(state="cancelled", ended_at=now)
        .returning(r.id)
    )
    return over.first() is not None


def stop(conn: Connection, rehearsal_id: int, problem: str, now: datetime) -> None:
    """It will not be played to its end."""
    busy = rehearsal.c.id == rehearsal_id, rehearsal.c.state.in_(BUSY)
    conn.execute(rehearsal.update().where(*busy).values(state="failed", problem=problem, ended_at=now))


def take_up(conn: Connection, rehearsal_id: int, problem: str) -> None:
    """One that stopped with this problem is to be played anew."""
    stopped = rehearsal.c.id == rehearsal_id, rehearsal.c.state == "failed", rehearsal.c.problem == problem
    conn.execute(rehearsal.update().where(*stopped).values(state="waiting", problem="", ended_at=None))


async def run_rehearsal(services: Services, item: Claimed) -> None:
    """Work of kind "sop.rehearse"; broken off by a restart, it is played anew: it changes nothing but its own row."""
    rehearsal_id = int(item.payload["rehearsal_id"])
    row = await services.db.read(find, rehearsal_id)
    if row.state not in BUSY:
        return
    await services.db.write(_change, rehearsal_id, state="running", share=0.0)
    try:
        summary = await _play(services, row)
    except Cancelled:
        return
    except ScrmError as error:
        values: dict[str, Any] = {"state": "failed", "problem": error.text[:1000]}
    except PlaybookErrors as error:
        values = {"state": "failed", "problem": "；".join(error.lines)[:1000]}
    else:
        values = {"state": "done", "summary": summary, "share": 1.0}
    await services.db.write(_change, rehearsal_id, ended_at=services.clock.now(), **values)


async def _play(services: Services, row: Row[Any]) -> dict[str, Any]:
    house, now = house_of(services), services.clock.now()

    def prepare(conn: Connection) -> Cast:
        known = published.known_from(conn, quiet=None)
        playbook = parse_playbook(row.source, file_name=row.playbook_key, known=known)
        return cast(conn, playbook, terms_from(row.terms), house, now)

    whole = await services.db.read(prepare)
    progress = Progress()
    watching = asyncio.create_task(_watch(services, row.id, progress))
    try:
        # More gets processes of its own, so that callbacks do not wait for it.
        if size_of(whole) <= SMALL:
            return await asyncio.to_thread(play, whole, progress.reach)
        return await asyncio.to_thread(play_apart, whole, progress)
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(services: Services, rehearsal_id: int, progress: Progress) -> None:
    """Write down how far it is, and see whether it is to stop."""
    told = 0.0
    try:
        while True:
            await services.clock.sleep(_LOOK_SECONDS)
            if (share := round(progress.share, 2)) > told:
                told = share
                await services.db.write(_change, rehearsal_id, share=told)
            if (await services.db.read(_state, rehearsal_id)) not in BUSY:
                progress.stop.value = 1
    finally:
        progress.stop.value = 1


def _state(conn: Connection, rehearsal_id: int) -> str | None:
    return conn.execute(select(rehearsal.c.state).where(rehearsal.c.id == rehearsal_id)).scalar_one_or_none()


def _change(conn: Connection, /, rehearsal_id: int, **values: Any) -> None:
    """What was cancelled stays so."""
    r = rehearsal.c
    conn.execute(rehearsal.update().where(r.id == rehearsal_id, r.state.in_(BUSY)).values(**values))


async def tick(services: Services) -> None:
    """Old rehearsals go."""
    before = services.clock.now() - KEPT

    def take_old(conn: Connection) -> None:
        conn.execute(delete(rehearsal).where(rehearsal.c.asked_at < before, rehearsal.c.state.not_in(BUSY)))

    await services.db.write(take_old)
