"""A backup that somebody asked for in the console: made in the background, one at a time."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.backup import archive, daily
from scrm.services import Services
from scrm.settings import Settings
from scrm.work import queue
from scrm.work.models import work_item

KIND = "backup.make"


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in the folder."""

    name: str
    made_at: datetime | None
    megabytes: float


def ask(conn: Connection, *, now: datetime) -> bool:
    """False when one is being made already."""
    return queue.add(conn, queue.Item(lane="bulk", kind=KIND, payload={}, dedupe_key=KIND), now=now)


def last_asked(conn: Connection) -> Row[Any, Any, Any] | None:
    """The newest that is under way (`state` below 2) or failed, with its `last_error`; what went well leaves no trace."""
    table = work_item.c
    query = select(table.state, table.last_error, table.created_at).where(table.kind == KIND)
    return conn.execute(query.order_by(table.state, table.id.desc()).limit(1)).first()


async def run_make(services: Services, item: queue.Claimed) -> None:
    """Raises ScrmError, which is stands in the queue with its reason until somebody tries again."""
    await asyncio.to_thread(_make, services.settings, services.clock.now())


def _make(settings: Settings, now: datetime) -> None:
    archive.make(settings, settings.backup.dir, now)
    archive.prune(settings.backup.dir, settings.backup.keep)


def list_kept(settings: Settings) -> list[Kept]:
    """Newest first."""
    return [_kept(settings, path) for path in archive.list_backups(settings.backup.dir)]


def _kept(settings: Settings, path: Path) -> Kept:
    return Kept(path.name, daily.made_at(settings, path), path.stat().st_size / 1e6)
