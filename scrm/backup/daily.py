"""The backup of each day: made once after the hour the settings name, by whichever process comes first."""

import asyncio
import fcntl
from datetime import datetime, time, timedelta
from pathlib import Path

import structlog

from scrm.backup import archive
from scrm.errors import ScrmError
from scrm.services import Services
from scrm.settings import Settings

log = structlog.get_logger()

TICK_SECONDS = 600.0
_USUAL = time(3, 30)
_DAY = timedelta(days=1)


def hour_of(settings: Settings) -> time | None:
    """When the shop's day has its backup; None when nobody wants one from us."""
    said = settings.backup.at
    if said == "none":
        return None
    if said:
        return time.fromisoformat(said)
    return _USUAL if settings.database.url.get_secret_value().startswith("sqlite") else None


def is_due(settings: Settings, now: datetime) -> bool:
    """Whether the last hour for a backup has passed without one since."""
    hour = hour_of(settings)
    if hour is None:
        return False
    local = now.astimezone(settings.shop.zone)
    last = datetime.combine(local.date(), hour, tzinfo=settings.shop.zone)
    last = last if last <= local else last - _DAY
    newest = made_at(settings, newest_of(settings))
    return newest is None or newest < last


def newest_of(settings: Settings) -> Path | None:
    return next(iter(archive.list_backups(settings.backup.dir)), None)


def made_at(settings: Settings, path: Path | None) -> datetime | None:
    """As its name says, in the shop's zone; None for a name that is not ours."""
    if path is None:
        return None
    try:
        moment = datetime.strptime(path.name.split(".")[0], "scrm-%Y%m%d-%H%M%S")  # noqa: DTZ007 - the zone comes next
    except ValueError:
        return None
    return moment.replace(tzinfo=settings.shop.zone)


async def tick(services: Services) -> bool:
    """Make today's backup when it is due; says whether one was made."""
    settings, now = services.settings, services.clock.now()
    if not is_due(settings, now):
        return False
    return await asyncio.to_thread(_make_alone, settings, now)


def _make_alone(settings: Settings, now: datetime) -> bool:
    folder = settings.backup.dir
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False  # another process is at it
        if not is_due(settings, now):
            return False
        try:
            path = archive.make(settings, folder, now)
        except ScrmError as error:
            log.error("backup.failed", reason=error.text)
            return False
        archive.prune(folder, settings.backup.keep)
        log.info("backup.made", file=path.name)
        return True
