"""Somebody changed the corp's tags in WeCom: the event has no names, so the library is fetched anew (doc 92130)."""

from scrm.callbacks.router import Callback, Router
from scrm.profiles.mark_tags import library_work
from scrm.work import queue

router = Router()


@router.on("change_external_tag", "create")
@router.on("change_external_tag", "update")
@router.on("change_external_tag", "delete")
@router.on("change_external_tag", "shuffle")
async def tag_changed(callback: Callback) -> None:
    """Whatever happened to whichever tag: the whole library is one call, and it has no paging."""
    services = callback.services
    now = services.clock.now()
    await services.db.write(queue.add, library_work(now, callback.correlation), now=now)
