"""Imports begun in the console: files kept aside, a check that keeps nothing, then the import itself, as durable work."""

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm import audit
from scrm.commerce.connectors import Connector
from scrm.commerce.files.import_orders import Into, Progress, import_orders
from scrm.errors import Conflict, NotFound, ScrmError
from scrm.imports import customers
from scrm.imports.mappings import find_format, recognise_mapping
from scrm.imports.models import import_job
from scrm.services import Services
from scrm.work import queue
from scrm.work.queue import Claimed

KIND = "imports.run"
KINDS = {"orders": "订单", "customers": "客户和标签"}
MOST_BYTES = 2_000_000_000
_KEPT = timedelta(days=30)
_NOTE_SECONDS = 1.0
BUSY = ("checking", "running", "stopping")


def folder_of(services: Services, folder: str) -> Path:
    """Where a job's files lie, beside the originals of pictures."""
    return services.settings.content.media_dir.parent / "imports" / folder


def add_file(conn: Connection, folder: str, kind: str, name: str, by: str, *, now: datetime) -> int:
    """A file has been uploaded into `folder`: a new job's first one, or one more; returns the job's id."""
    row = conn.execute(select(import_job).where(import_job.c.folder == folder)).one_or_none()
    if row is None:
        values = {"kind": kind, "files": [name], "folder": folder, "state": "waiting", "by": by, "created_at": now}
        job_id = int(conn.execute(import_job.insert().values(**values).returning(import_job.c.id)).scalar_one())
        audit.changed(conn, "import", job_id, None, {"kind": kind, "files": [name]})
        return job_id
    change(conn, row.id, files=sorted({*row.files, name}))
    return int(row.id)


def get_job(conn: Connection, job_id: int) -> Row[Any]:
    """Raises NotFound for an unknown one."""
    row = conn.execute(select(import_job).where(import_job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound("没有这次导入")
    return row


def list_jobs(conn: Connection, limit: int = 50) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(import_job).order_by(import_job.c.id.desc()).limit(limit)))


@audit.keeps("import", import_job.c.id, of=("job_id",))
def change(conn: Connection, /, job_id: int, **values: Any) -> None:
    """Set columns of a job."""
    conn.execute(import_job.update().where(import_job.c.id == job_id).values(**values))


def fail(conn: Connection, job_id: int, problem: str, now: datetime) -> None:
    """It will not come to its end."""
    busy = import_job.c.id == job_id, import_job.c.state.in_(BUSY)
    conn.execute(import_job.update().where(*busy).values(state="failed", problem=problem, finished_at=now))


def take_up(conn: Connection, job_id: int, problem: str, *, check: bool) -> None:
    """One that stopped with this problem is under way again."""
    stopped = import_job.c.id == job_id, import_job.c.state == "failed", import_job.c.problem == problem
    state = "checking" if check else "running"
    conn.execute(import_job.update().where(*stopped).values(state=state, problem="", finished_at=None))


def start(conn: Connection, /, job_id: int, *, check: bool, now: datetime, **values: Any) -> None:
    """Check (keeps nothing) or import, in the background; raises Conflict while one of them runs."""
    row = get_job(conn, job_id)
    if row.state in BUSY:
        raise Conflict("正在进行中，请等它结束")
    state = "checking" if check else "running"
    change(conn, job_id, state=state, share=0.0, problem="", finished_at=None, **values)
    item = queue.Item(
        lane="bulk",
        kind=KIND,
        payload={"job_id": job_id, "check": check},
        order_key="imports",
        dedupe_key=f"import:{job_id}",
    )
    queue.add(conn, item, now=now)


def stop(conn: Connection, /, job_id: int) -> None:
    """Ask what runs to end after the orders at hand; what is kept stays. Nothing happens when none runs."""
    if get_job(conn, job_id).state in BUSY:
        change(conn, job_id, state="stopping")


async def run_import(services: Services, claimed: Claimed) -> None:
    """One check or import; broken off by a restart, it is taken up where it stopped."""
    job_id, check = claimed.payload["job_id"], claimed.payload["check"]
    job = await services.db.read(get_job, job_id)
    noted = _Noted()
    noting = asyncio.create_task(_note(services, job_id, noted))
    values: dict[str, Any]
    try:
        noted.is_stopped = job.state == "stopping"
        found = await _run(services, job, check, noted.take)
    except _Stopped:
        values = {"state": "stopped", "counts": {} if check else {"orders": noted.orders}}
    except ScrmError as error:
        values = {"state": "failed", "problem": error.text[:1000]}
    else:
        values = {"state": "checked", "forecast": found} if check else {"state": "done", "counts": found}
        values["format"] = found.get("format") or job.format
    finally:
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting
    await services.db.write(change, job_id, share=1.0, finished_at=services.clock.now(), **values)


async def _run(services: Services, job: Row[Any], check: bool, report: Callable[[Progress], None]) -> dict[str, Any]:
    paths = [folder_of(services, job.folder) / name for name in job.files]
    if job.kind == "customers":
        into = customers.Into(services.db, services.vault, services.clock, only_new=job.only_new, dry_run=check)
        counts = await customers.import_customers(into, paths[0], report=report)
        return counts.as_dict() | {"reasons": counts.reasons, "error_files": _names(counts.error_files)}
    connector = await _connector(services, job, paths)
    orders_into = Into(
        services.db,
        services.vault,
        services.clock,
        services.settings.shop.zone,
        shop_key=job.shop_key,
        dry_run=check,
        only_new=job.only_new,
    )
    result = await import_orders(orders_into, paths, connector=connector, report=report)
    told = asdict(result)
    return told | {"error_files": _names(result.error_files)}


def _names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


async def _connector(services: Services, job: Row[Any], paths: list[Path]) -> Connector | None:
    if job.format:
        return await services.db.read(find_format, job.format)
    return await recognise_mapping(services.db, paths)


class _Stopped(Exception):
    """Somebody asked for the end."""


class _Noted:
    """The newest progress, for the task that writes it down now and then, and hears whether to stop."""

    def __init__(self) -> None:
        self.share, self.orders, self.is_stopped = 0.0, 0, False

    def take(self, progress: Progress) -> None:
        self.share, self.orders = progress.share, progress.orders
        if self.is_stopped and progress.share < 1.0:
            raise _Stopped


async def _note(services: Services, job_id: int, noted: _Noted) -> None:
    told = 0.0
    while True:
        await services.clock.sleep(_NOTE_SECONDS)
        noted.is_stopped = (await services.db.read(get_job, job_id)).state == "stopping"
        if noted.share != told:
            told = noted.share
            await services.db.write(change, job_id, share=told, counts={"orders": noted.orders})


async def tick(services: Services) -> None:
    """Old jobs and their files go: what they held stands in the orders."""
    before = services.clock.now() - _KEPT

    def take_old(conn: Connection) -> list[str]:
        old = (import_job.c.created_at < before, import_job.c.state.not_in(BUSY))
        folders = list(conn.execute(select(import_job.c.folder).where(*old)).scalars())
        conn.execute(delete(import_job).where(*old))
        return folders

    for folder in await services.db.write(take_old):
        await asyncio.to_thread(shutil.rmtree, folder_of(services, folder), ignore_errors=True)
