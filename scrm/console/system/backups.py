"""备份: which there are, one now, and how to put one back."""

from typing import Any

from aiohttp import web
from sqlalchemy import Row

from scrm.backup import asked, daily
from scrm.console.door import for_managers, page
from scrm.services import SERVICES
from scrm.work.models import DEAD

routes = web.RouteTableDef()


@routes.get("/console/backups")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    settings = services.settings
    kept = asked.list_kept(settings)
    last = await services.db.read(asked.last_asked)
    return await page(
        request,
        "backups.html",
        active="backups",
        kept=kept,
        folder=settings.backup.dir,
        keep=settings.backup.keep,
        hour=daily.hour_of(settings),
        making=last is not None and last.state < DEAD,
        trouble=_trouble(last, kept),
        asked="asked" in request.query,
    )


@routes.post("/console/backups")
@for_managers
async def make(request: web.Request) -> web.StreamResponse:
    """A second press while one is being made changes nothing."""
    services = request.app[SERVICES]
    await services.db.write(asked.ask, now=services.clock.now())
    raise web.HTTPSeeOther("/console/backups?asked")


def _trouble(last: Row[Any, Any, Any] | None, kept: list[asked.Kept]) -> str:
    """Why the last one that was asked for failed, until a newer one is there."""
    if last is None or last.state < DEAD or (kept and kept[0].made_at and kept[0].made_at > last.created_at):
        return ""
    return str(last.last_error).partition(": ")[2] or str(last.last_error)
