"""Asks sources for what changed: due streams become durable work, windows and pages go into the one upsert."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import structlog
from sqlalchemy import Connection, Row

from scrm.commerce.connectors.hook import Unreadable
from scrm.commerce.connectors.pull import Caller, Pull, PullFailed, Stream, Tokens, Window
from scrm.commerce.pulls import store
from scrm.commerce.pulls.kinds import Pulls, pulls_of
from scrm.commerce.store import Route
from scrm.db.row_errors import ABOUT_A_ROW
from scrm.errors import Invalid, NotFound
from scrm.services import Services
from scrm.work import queue

log = structlog.get_logger()

KIND = "pulls.run"
REPLAY = "pulls.replay"
LANE = "sync"
TICK_SECONDS = 20.0
# A pull that has much to do lets others have their turn after so long.
TURN = timedelta(minutes=2)
# What a source told late, or moved while pages were turned, is found by reading so much once more: each hour the last day,
# each night after three the last fifteen (docs/commerce 2.10).
HOURLY, NIGHTLY = timedelta(days=1), timedelta(days=15)
_NIGHT = timedelta(hours=3)
# What is still open and older than that is asked for by its number, for so long after it was placed, the newest first.
_OPEN_FOR, _MOST_QUESTIONS = timedelta(days=90), 100
# A page that moved while we turned it: how often a window is read again before we go on.
_READINGS = 3


class Callers(dict[str, Caller]):
    """One per source in this process, so that its limits hold over all its streams."""


# When -----------------------------------------------------------------------------------------------------------------


async def tick(services: Services) -> int:
    """Leave the work of every stream that is due; of several processes one does it. Returns how many."""
    pulls = pulls_of(services)
    if not pulls:
        return 0
    now = services.clock.now()
    cursors = await services.db.read(store.list_cursors)
    due = [
        (pull, stream)
        for pull in pulls.values()
        for stream in pull.streams
        if (row := cursors.get((pull.key, stream.key))) is None or row.due_at <= now
    ]
    return await services.db.write(_leave, due, now) if due else 0


def _leave(conn: Connection, due: list[tuple[Pull, Stream]], now: datetime) -> int:
    left = 0
    for pull, stream in due:
        store.begin(conn, pull.key, stream.key, now=now)
        if store.claim(conn, pull.key, stream.key, now=now, again_at=now + stream.every):
            left += _ask(conn, pull.key, stream.key, now)
    return left


def _ask(conn: Connection, source: str, stream: str, now: datetime) -> bool:
    item = queue.Item(
        lane=LANE,
        kind=KIND,
        payload={"source": source, "stream": stream},
        # One stream of a source at a time: they share its limits.
        order_key=f"{KIND}:{source}",
        dedupe_key=f"{KIND}:{source}:{stream}",
    )
    return queue.add(conn, item, now=now)


def ask_now(conn: Connection, pull: Pull, *, now: datetime) -> None:
    """Somebody wants it at once; pressing twice changes nothing."""
    for stream in pull.streams:
        store.begin(conn, pull.key, stream.key, now=now)
        _ask(conn, pull.key, stream.key, now)


def is_going_on(conn: Connection, source: str) -> bool:
    """Whether a pull of this source waits or runs."""
    return queue.is_open(conn, LANE, f"{KIND}:{source}")


# One pull -------------------------------------------------------------------------------------------------------------


async def run_pull(services: Services, item: queue.Claimed) -> None:
    """Work of kind pulls.run, payload {"source", "stream"}: how it ends is told by the cursor, never by a dead letter."""
    source, stream_key = str(item.payload["source"]), str(item.payload["stream"])
    pull = pulls_of(services).get(source)
    stream = next((one for one in pull.streams if one.key == stream_key), None) if pull is not None else None
    if pull is None or stream is None:
        return
    await services.db.write(store.start, source, stream_key, now=services.clock.now())
    one = _Run(services, pull, stream, await _caller(services, pull))
    try:
        is_over = await one.go()
    except asyncio.CancelledError:
        raise
    except Exception as error:
        text = str(error) if isinstance(error, PullFailed) else f"{type(error).__name__}: {error}"
        log.warning("pull.failed", source=source, stream=stream_key, error=text[:300])
        await services.db.write(
            store.fail,
            source,
            stream_key,
            error=text,
            retry_seconds=getattr(error, "retry_seconds", None),
            now=services.clock.now(),
        )
        return
    await services.db.write(store.succeed, source, stream_key, counts=dict(one.counts), now=services.clock.now())
    if not is_over:
        await services.db.write(store.make_due, source, stream_key, now=services.clock.now())
    log.info("pull.done", source=source, stream=stream_key, **one.counts)


class _Run:
    """One stream from where its cursor stands to now, or until its turn is over."""

    def __init__(self, services: Services, pull: Pull, stream: Stream, caller: Caller) -> None:
        self.services, self.pull, self.stream, self.caller = services, pull, stream, caller
        self.counts: Counter[str] = Counter(records=0, created=0, updated=0, unchanged=0, unreadable=0)
        self._begun_at = services.clock.now()
        self._is_looking_back = False

    async def go(self) -> bool:
        """True when everything up to now is kept."""
        cursor = await self.services.db.read(store.find_cursor, self.pull.key, self.stream.key)
        until = self._begun_at - self.stream.lag
        since = cursor.reached_at
        if since is None:
            since = cursor.begun_at - timedelta(days=self.pull.options.since_days)
        # Row versions tell nothing of what is history: they begin where it has been read to its end.
        has_history = since >= cursor.begun_at - self.stream.lag
        if self.stream.counts_versions and cursor.version and has_history:
            if not await self._read_newer(cursor.version):
                return False
            await self._advance(until)
        elif not await self._read_windows(since, until, cursor.begun_at):
            return False
        return not has_history or await self._review(since, cursor)

    async def _read_windows(self, since: datetime, until: datetime, begun_at: datetime) -> bool:
        for window in windows(since - self.stream.overlap, until, self.stream.span, cut_at=begun_at):
            await self._read_window(window, self._route(window, begun_at))
            await self._advance(window.ends_at)
            if window.ends_at < until and self._is_turn_over():
                return False
        return True

    def _route(self, window: Window, begun_at: datetime) -> Route:
        """What happened before we knew the source is history: it starts no playbook."""
        return "file" if window.ends_at <= begun_at else self.pull.route

    async def _review(self, reached_at: datetime, cursor: Row[Any]) -> bool:
        """Windows once more, the newest first; a later turn goes on where this one ends: False while some are left.

        Where it fails the next hour or night comes, and what is new is not kept waiting.
        """
        self._is_looking_back = True
        since, until = cursor.review_since, cursor.review_until
        depth = self._review_depth(cursor.reviewed_at or cursor.begun_at)
        if depth is NIGHTLY or (depth and until is None):
            since, until = reached_at - depth, reached_at
            await self._leave_review(since, until, begins=True)
        if until is None:
            return True
        try:
            if depth is NIGHTLY and self.pull.by_number and self.stream is self.pull.streams[0]:
                await self._ask_by_number(before=since)
            for window in reversed(list(windows(since, until, self.stream.span, cut_at=cursor.begun_at))):
                await self._read_window(window, self._route(window, cursor.begun_at))
                if self._is_turn_over() and window.begins_at > since:
                    await self._leave_review(since, window.begins_at)
                    return False
        except PullFailed as error:
            log.warning("pull.review_failed", source=self.pull.key, stream=self.stream.key, error=str(error)[:300])
        await self._leave_review(None, None)
        return True

    async def _ask_by_number(self, before: datetime) -> None:
        size = self.pull.by_number
        placed = (before - _OPEN_FOR, before)
        numbers = await self.services.db.read(store.list_open, self.pull.key, placed, limit=size * _MOST_QUESTIONS)
        for first in range(0, len(numbers), size):
            await self._save(await self.pull.named(self.caller, numbers[first : first + size]), self.pull.route)

    def _review_depth(self, reviewed_at: datetime) -> timedelta | None:
        """How much is due to be read once more; row versions lose nothing within a day."""
        zone = self.services.settings.shop.zone
        before, now = reviewed_at.astimezone(zone), self._begun_at.astimezone(zone)
        if (before - _NIGHT).date() < (now - _NIGHT).date():
            return NIGHTLY
        is_new_hour = before.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1) <= now
        return HOURLY if is_new_hour and not self.stream.counts_versions else None

    async def _leave_review(self, since: datetime | None, until: datetime | None, *, begins: bool = False) -> None:
        values: dict[str, Any] = {"review_since": since, "review_until": until}
        if begins:
            values["reviewed_at"] = self._begun_at
        await self.services.db.write(store.leave_review, self.pull.key, self.stream.key, **values)

    async def _read_newer(self, version: int) -> bool:
        async for page in self.pull.newer(self.caller, self.stream.key, version):
            await self._save(page.records, self.pull.route)
            if self._is_turn_over():
                return False
        return True

    async def _read_window(self, window: Window, route: Route) -> None:
        """All pages; once more when the window shrank meanwhile, because what follows a gap moved past us."""
        for _ in range(_READINGS):
            totals: list[int] = []
            last: list[dict[str, Any]] = []
            async for page in self.pull.pages(self.caller, self.stream.key, window):
                if page.total is not None:
                    totals.append(page.total)
                if page.records and page.records == last:
                    raise PullFailed("两次翻页得到完全相同的内容，停在这里以免没完没了，请核对对方接口的翻页")
                last = page.records
                await self._save(page.records, route)
            if not totals or min(totals) == totals[0]:
                return

    async def _save(self, records: list[dict[str, Any]], route: Route) -> None:
        """All of a page in one transaction; where one of them cannot be kept, one by one."""
        if not records:
            return
        zone = self.services.settings.shop.zone
        read = await asyncio.to_thread(read_page, self.pull, self.stream.key, records, zone)
        try:
            await self._keep(records, read, route)
        except ABOUT_A_ROW as error:
            if len(records) > 1:
                for record in sorted(records, key=self.pull.version):
                    await self._save([record], route)
                return
            log.exception("pull.record_failed", source=self.pull.key, stream=self.stream.key)
            await self._keep(records, unkept(self.pull, self.stream.key, records[0], error), route)

    async def _keep(self, records: list[dict[str, Any]], read: store.Read, route: Route) -> None:
        # Among what is older a row may have a new version: to go on from there would leave out those in between.
        counts = self.stream.counts_versions and not self._is_looking_back
        version = max(map(self.pull.version, records)) if counts else 0
        saved = await self.services.db.write(
            store.save_page,
            self.pull.key,
            self.stream.key,
            read,
            route=route,
            vault=self.services.vault,
            now=self.services.clock.now(),
            version=version,
        )
        self.counts["records"] += len(records)
        self.counts["unreadable"] += len(read.rejects)
        self.counts.update("unchanged" if one.result == "stale" else one.result for one in saved)

    async def _advance(self, reached_at: datetime) -> None:
        await self.services.db.write(store.advance, self.pull.key, self.stream.key, reached_at=reached_at)

    def _is_turn_over(self) -> bool:
        return self.services.clock.now() - self._begun_at >= TURN


def windows(since: datetime, until: datetime, span: timedelta, *, cut_at: datetime) -> Iterator[Window]:
    """From `since` to `until` in pieces of at most `span`, the oldest first; none reaches over `cut_at`."""
    while since < until:
        end = min(since + span, until)
        if since < cut_at < end:
            end = cut_at
        yield Window(since, end)
        since = end


def read_page(pull: Pull, stream: str, records: list[dict[str, Any]], zone: ZoneInfo) -> store.Read:
    """Each record as parts of orders, or as one that could not be read, with the reason."""
    read = store.Read()
    for record in records:
        name = _name(pull, stream, record)
        try:
            read.parts += pull.read(stream, record, zone)
        except Unreadable as error:
            read.rejects.append(store.Reject(name, str(error), record))
        except Invalid as error:
            read.rejects.append(store.Reject(name, error.text, record))
        except Exception as error:
            # A connector that stumbles over a shape it never saw: the other records of the page are none the worse.
            log.exception("pull.record_failed", source=pull.key, stream=stream)
            read.rejects += unkept(pull, stream, record, error).rejects
        else:
            read.good.append(name)
    return read


def unkept(pull: Pull, stream: str, record: dict[str, Any], error: Exception) -> store.Read:
    """A record that nobody expected: shown with the kind of trouble, for its text may hold what is private."""
    reason = f"处理时出错（{type(error).__name__}），升级程序后可以重新解析"
    return store.Read(rejects=[store.Reject(_name(pull, stream, record), reason, record)])


def _name(pull: Pull, stream: str, record: dict[str, Any]) -> str:
    return pull.name(stream, record).replace("\0", "") or "（没有编号）"


async def _caller(services: Services, pull: Pull) -> Caller:
    callers = services.memory.setdefault(Callers, Callers())
    caller: Caller | None = callers.get(pull.key)
    if caller is None:
        own = pull.tokens()
        origin = services.vault.sign("pull token", f"{own.access}\0{own.refresh}")

        async def keep(tokens: Tokens) -> None:
            await services.db.write(store.keep_token, pull.key, origin, tokens, services.vault)

        async def find() -> Tokens | None:
            return await services.db.read(store.find_token, pull.key, origin, services.vault)

        caller = Caller(services.http, services.clock, limits=pull.limits, keep=keep, find=find)
        caller.tokens = await find() or own
        callers[pull.key] = caller
    return caller


# Once more ------------------------------------------------------------------------------------------------------------


def ask_replay(conn: Connection, pulls: Pulls, source: str, *, now: datetime) -> None:
    """Read what could not be read once more; raises NotFound for a source that is not in the settings."""
    if source not in pulls:
        raise NotFound(f"设置里没有数据来源 {source}，可能已经停用")
    item = queue.Item(lane=LANE, kind=REPLAY, payload={"source": source}, dedupe_key=f"{REPLAY}:{source}")
    queue.add(conn, item, now=now)


async def run_replay(services: Services, item: queue.Claimed) -> None:
    """Work of kind pulls.replay, payload {"source"}: what can be read now leaves the list."""
    source, after = str(item.payload["source"]), 0
    pull = pulls_of(services).get(source)
    while pull is not None and (rows := await services.db.read(store.list_sealed, source, after=after)):
        for row in rows:
            record = msgspec.json.decode(services.vault.open(row.sealed))
            read = read_page(pull, row.stream, [record], services.settings.shop.zone)
            try:
                await services.db.write(
                    store.save_page,
                    source,
                    row.stream,
                    read,
                    route=pull.route,
                    vault=services.vault,
                    now=services.clock.now(),
                )
            except ABOUT_A_ROW:
                log.exception("pull.record_failed", source=source, stream=row.stream)  # it stays in the list
        after = rows[-1].id
