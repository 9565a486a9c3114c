"""Customers: every relation of every serving member, by batch/get_by_user, compared and only written where it differs.

The members are dealt out to parts of at most a hundred, which run beside each other as WeCom's pace allows. A part keeps
its cursor with what it wrote, so a run that is cut off goes on there. When a part has been read, `list` says which of
our relations WeCom no longer has, and `get` is asked about each of them before it ends.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Row

from scrm.clock import monotonic
from scrm.db import Priority
from scrm.db.serving import in_turns
from scrm.profiles import reconcile
from scrm.services import Services
from scrm.sync import follow_users, repairs, store
from scrm.sync.patience import patiently
from scrm.wecom.contacts import MOST_MEMBERS, Relation, RelationPage
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work.progress import Progress

log = structlog.get_logger()

KEY = "contacts"
PARTS_PER_LANE = 4
SAVE_SECONDS = 2.0
# WeCom's cursors are short-lived: an older one is not trusted (wecom-contacts 5.3, no. 38).
CURSOR_LIFE = timedelta(hours=1)
_CURSOR_GONE = (50100, 40058)
# Nobody's fault and nothing to end by: the member has no customers, or is not visible to us.
_NOT_SHOWN = (84061, 60111, 60011, 40003, 40096, 84083, 84084, 60021, 60030)


@dataclass(slots=True)
class _Part:
    number: int
    userids: list[str]
    cursor: str
    done: int
    saved: float


async def run(services: Services, progress: Progress, full: bool) -> None:
    """The source's run (scrm.sync.sources)."""
    userids = await follow_users.refresh(services)
    parts = await _parts(services, progress, userids, full)
    lanes = asyncio.Semaphore(max(1, services.settings.wecom.read_concurrency))
    results = await asyncio.gather(
        *(_in_lane(services, progress, part, lanes) for part in parts), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    await services.db.write(store.drop_parts, KEY)


async def _in_lane(services: Services, progress: Progress, part: _Part, lanes: asyncio.Semaphore) -> None:
    async with lanes:
        await _run_part(services, progress, part)


# Planning -------------------------------------------------------------------------------------------------------------


async def _parts(services: Services, progress: Progress, userids: Sequence[str], full: bool) -> list[_Part]:
    """What a run that was cut off left, or a new plan."""
    now = services.clock.now()
    kept = await services.db.read(store.load_parts, KEY)
    if full or not kept or now - kept[0].planned_at > store.LONGEST_RUN:
        progress.done = 0
        await services.db.write(store.plan_parts, KEY, _deal(services, userids), now=now)
        kept = await services.db.read(store.load_parts, KEY)
        progress.expect(await _expected(services, userids))
    progress.done = sum(row.done for row in kept)
    return [_part(row, now) for row in kept if not row.is_over]


def _deal(services: Services, userids: Sequence[str]) -> list[Sequence[str]]:
    """A few parts for each call that may be under way: fewer calls than one for each member, and no long tail."""
    lanes = max(1, services.settings.wecom.read_concurrency)
    size = min(MOST_MEMBERS, max(1, -(-len(userids) // (lanes * PARTS_PER_LANE))))
    return [userids[start : start + size] for start in range(0, len(userids), size)]


def _part(row: Row[Any], now: datetime) -> _Part:
    """Reading a part again from its start changes nothing that was written."""
    if now - row.saved_at > CURSOR_LIFE:
        return _Part(row.number, list(row.userids), "", 0, monotonic())
    return _Part(row.number, list(row.userids), row.cursor, row.done, monotonic())


async def _expected(services: Services, userids: Sequence[str]) -> int:
    """About how many relations there are: as many as the last time; at the first, WeCom's lists are counted."""
    known = await services.db.read(reconcile.count_living, userids)
    if known:
        return known
    counts = await asyncio.gather(*(_count(services, userid) for userid in userids))
    return sum(counts)


async def _count(services: Services, userid: str) -> int:
    try:
        return len(await services.wecom.contacts.list(userid))
    except WeComError:
        return 0


# Reading --------------------------------------------------------------------------------------------------------------


async def _run_part(services: Services, progress: Progress, part: _Part) -> None:
    try:
        await _read_part(services, progress, part)
    except WeComError as error:
        if error.errcode in _CURSOR_GONE and part.cursor:
            progress.done -= part.done
            part.cursor, part.done = "", 0
            await _read_part(services, progress, part)
        elif error.errcode not in _NOT_SHOWN:
            raise
        elif len(part.userids) > 1:
            # One of them spoils the call: ask for each alone.
            progress.done -= part.done
            await _split(services, progress, part)
            return
        elif error.errcode != 84061:
            progress.note(f"员工 {part.userids[0]} 的客户没有核对：{error.text}")
    for userid in part.userids:
        await _find_lost(services, progress, userid)
    await services.db.write(store.save_part, KEY, part.number, "", part.done, is_over=True, now=services.clock.now())


async def _split(services: Services, progress: Progress, part: _Part) -> None:
    now = services.clock.now()
    await services.db.write(store.add_parts, KEY, part.number, part.userids, now=now)
    rows = await services.db.read(store.load_parts, KEY)
    for row in rows:
        if not row.is_over and len(row.userids) == 1 and row.userids[0] in part.userids:
            await _run_part(services, progress, _part(row, now))


async def _read_part(services: Services, progress: Progress, part: _Part) -> None:
    """Every page from the part's cursor on; a page is kept together with the cursor behind it."""
    is_first = True
    while is_first or part.cursor:
        is_first = False
        page = await patiently(services.clock, lambda: _page(services, part))
        if page.unreadable:
            progress.note(f"有 {page.unreadable} 条客户数据看不懂，已跳过")
        await _keep(services, progress, part, page)


async def _page(services: Services, part: _Part) -> RelationPage:
    async for page in services.wecom.contacts.batch_get_by_user(part.userids, start=part.cursor):
        return page
    return RelationPage((), "")


async def _keep(services: Services, progress: Progress, part: _Part, page: RelationPage) -> None:
    """Write what differs; a page without differences costs no write, its cursor is saved now and then."""
    relations = page.relations
    found = await services.db.read(reconcile.differences, relations, services.vault)
    odd = [one.relation for one in found]
    for_cursor = (part.number, page.next_cursor, part.done + len(relations))
    if odd:
        await _write(services, progress, odd, for_cursor)
    elif monotonic() - part.saved > SAVE_SECONDS:
        await services.db.write_as(Priority.IMPORT, store.save_part, KEY, *for_cursor, now=services.clock.now())
        part.saved = monotonic()
    part.cursor, part.done = page.next_cursor, for_cursor[2]
    progress.advance(len(relations))


async def _write(services: Services, progress: Progress, odd: Sequence[Relation], cursor: tuple[int, str, int]) -> None:
    url, now = services.db.url, services.clock.now()
    async for turn in in_turns(url, services.clock, odd):
        work = turn.timed(repairs.keep_relations)
        kept = await services.db.write_as(Priority.IMPORT, work, turn.rows, cursor, services.vault, now)
        progress.advance(0, added=kept.added, changed=kept.changed)


# What WeCom no longer has ---------------------------------------------------------------------------------------------


async def _find_lost(services: Services, progress: Progress, userid: str) -> None:
    """Relations of ours that WeCom does not list: each is asked about before it ends."""
    ours = await services.db.read(reconcile.living_of_member, userid)
    if not ours:
        return
    try:
        listed = set(await patiently(services.clock, lambda: services.wecom.contacts.list(userid)))
    except WeComError as error:
        if error.errcode not in _NOT_SHOWN:
            raise
        progress.note(f"员工 {userid}：企业微信没有列出任何客户（{error.errcode}），我们的 {len(ours)} 位没有改动")
        return
    young = services.clock.now() - repairs.GRACE
    for external_userid, row in ours.items():
        if external_userid not in listed and row.followed_at < young:
            await _verify_lost(services, progress, row)


async def _verify_lost(services: Services, progress: Progress, row: Row[Any]) -> None:
    try:
        answer = await patiently(
            services.clock, lambda: services.wecom.contacts.get_external_contact(row.external_userid)
        )
        followers = {str(one.get("userid", "")).lower() for one in answer["follow_user"]}
    except WeComError as error:
        if error.errcode == 84061:  # nobody follows this customer any more
            followers = set()
        elif error.retry_class in (RetryClass.RELATION, RetryClass.PARAMETER):
            progress.note(f"有客户已不在企业微信的列表里，但无法核实（{error.errcode}），没有改动")
            return
        else:
            raise
    if row.userid.lower() in followers:
        return
    ended = await services.db.write_as(Priority.IMPORT, repairs.end_lost, row, services.clock.now())
    progress.advance(0, ended=int(ended))
