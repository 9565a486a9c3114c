"""A source of the sync: every customer group that WeCom lists is compared with ours, what is gone is asked after."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import structlog
from sqlalchemy import Connection

from scrm.group_chats import store
from scrm.group_chats.keep import Kept, keep
from scrm.group_chats.refresh import fetch
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.group_chats import ListedGroup
from scrm.work.progress import Progress

log = structlog.get_logger()

_TOO_MANY_MEMBERS = 81017
_OWNERS_PER_CALL = 100
_TOGETHER = 4


async def run(services: Services, progress: Progress, full: bool) -> None:
    """Safe to run again: an unchanged group writes nothing. Memory holds the ids of groups, never their members."""
    ours = {row.chat_id: row.owner for row in await services.db.read(store.list_living)}
    progress.expect(len(ours))
    seen: set[str] = set()
    async for page in _pages(services, sorted(set(ours.values()) - {""})):
        new = [listed for listed in page if listed.chat_id not in seen]
        seen.update(listed.chat_id for listed in new)
        progress.expect(max(progress.total, len(seen)))
        for first in range(0, len(new), _TOGETHER):
            await asyncio.gather(*(_compare(services, progress, one) for one in new[first : first + _TOGETHER]))
    for chat_id in sorted(ours.keys() - seen):
        # Not listed proves nothing: the owner may have left the visible range. The group itself must say so.
        await _ask_after(services, progress, chat_id)


async def _pages(services: Services, known_owners: Sequence[str]) -> AsyncIterator[list[ListedGroup]]:
    """Everything without naming owners where WeCom allows it; then the owners we know, of whom some have resigned."""
    groups = services.wecom.group_chats
    owners: list[str] = list(known_owners)
    try:
        async for page, _ in groups.iter_group_chats():
            yield page
    except WeComError as error:
        if error.errcode != _TOO_MANY_MEMBERS:
            raise
        owners = sorted({*known_owners, *await services.wecom.contacts.get_follow_user_list()})
    for first in range(0, len(owners), _OWNERS_PER_CALL):
        async for page, _ in groups.iter_group_chats(owners=owners[first : first + _OWNERS_PER_CALL]):
            yield page


async def _compare(services: Services, progress: Progress, listed: ListedGroup) -> None:
    kept = await _fetch_and_keep(services, progress, listed.chat_id, listed.status)
    if kept is not None:
        progress.advance(added=kept.is_new, changed=kept.is_changed and not kept.is_new)
        if kept.missed:
            log.warning("group_chat.missed", changes=kept.missed)


async def _ask_after(services: Services, progress: Progress, chat_id: str) -> None:
    kept = await _fetch_and_keep(services, progress, chat_id, None)
    if kept is None and await services.db.read(_is_over, chat_id):
        progress.advance(ended=1)
    elif kept is not None:
        progress.advance(changed=kept.is_changed)


async def _fetch_and_keep(services: Services, progress: Progress, chat_id: str, status: int | None) -> Kept | None:
    """None when WeCom does not show the group; one that cannot be read is said and left as it is."""
    hints = await services.db.read(store.list_hints, chat_id)
    try:
        chat = await fetch(services, chat_id)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION) and error.errcode != 60011:
            raise
        progress.note(f"有客户群读取失败，已跳过：{error.text}")
        progress.advance()
        return None
    if chat is None:
        return None
    return await services.db.write(keep, chat, now=services.clock.now(), hints=hints, status=status)


def _is_over(conn: Connection, chat_id: str) -> bool:
    group = store.find_group(conn, chat_id)
    return group is not None and group.dismissed_at is not None
