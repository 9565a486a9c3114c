"""运行一览: everything that can go wrong beneath the business, each in one line with where to mend it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.backup import daily
from scrm.commerce import status_words as strange
from scrm.commerce.hooks import store as hooks
from scrm.commerce.hooks.kinds import hooks_of
from scrm.commerce.pulls import store as pulls
from scrm.commerce.pulls.kinds import pulls_of
from scrm.console import store
from scrm.console.door import MANAGER, for_managers, page
from scrm.console.mall.sources import in_words
from scrm.console.words import LANES, Word
from scrm.services import SERVICES, Services
from scrm.sync import store as syncs
from scrm.sync.sources import SOURCES
from scrm.webhooks import store as webhooks
from scrm.work import queue

routes = web.RouteTableDef()

# What waits longer than this is not just busy.
SLOW, STUCK = timedelta(minutes=2), timedelta(minutes=10)
WEEK = timedelta(days=7)
_OLD_SYNC, _OLD_BACKUP = timedelta(hours=36), timedelta(hours=36)
_DEAD = 2
_BUSY = 1
STATES = {"bad": Word("要处理", "bad"), "warn": Word("留意", "warn"), "good": Word("正常", "good"), "": Word("未使用")}


@dataclass(frozen=True, slots=True)
class Glance:
    """One line; `tone` is bad, warn, good, or empty for what this shop does not use."""

    title: str
    tone: str
    says: str
    url: str
    module: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One queue; `late` says how long its oldest item is overdue."""

    title: str
    waiting: int
    busy: int
    dead: int
    late: str
    tone: str


@routes.get("/console/operations")
@for_managers
async def operations(request: web.Request) -> web.StreamResponse:
    services, manager = request.app[SERVICES], request[MANAGER]
    lanes = await services.db.read(look_at_lanes, services.clock.now())
    trying = await services.db.read(queue.list_trying, LANES)
    glances = [_work(lanes, sum(each.many for each in trying))]
    for look in GLANCES:
        glances.append(await services.db.read(look, services))
    glances += [await _wecom(services), _backups(services)]
    order = ("bad", "warn", "good", "")
    glances.sort(key=lambda one: order.index(one.tone))
    return await page(
        request,
        "operations.html",
        active="operations",
        glances=[(one, manager.may(one.module)) for one in glances],
        lanes=lanes,
        states=STATES,
        counts={tone: sum(one.tone == tone for one in glances) for tone in order},
    )


def look_at_lanes(conn: Connection, now: datetime) -> list[Lane]:
    counts = queue.count_by_lane(conn)
    return [_lane(conn, key, title, counts, now) for key, title in LANES.items()]


def _lane(conn: Connection, key: str, title: str, counts: dict[tuple[str, int], int], now: datetime) -> Lane:
    due_at = queue.next_due_at(conn, key)
    late = max(timedelta(), now - due_at) if due_at is not None else timedelta()
    dead = counts.get((key, _DEAD), 0)
    tone = "bad" if late > STUCK else "warn" if dead or late > SLOW else "good"
    told = in_words(late) if late > timedelta(seconds=5) else ""
    return Lane(title, counts.get((key, 0), 0), counts.get((key, _BUSY), 0), dead, told, tone)


def _work(lanes: list[Lane], trying: int) -> Glance:
    stuck = [f"“{lane.title}”最早的已等 {lane.late}" for lane in lanes if lane.tone == "bad"]
    dead = sum(lane.dead for lane in lanes)
    says = [*stuck, *([f"{dead:,} 个任务停止了重试"] if dead else [])]
    says += [f"{trying:,} 个失败了在自动重试"] if trying else []
    waiting = sum(lane.waiting for lane in lanes)
    tone = "bad" if stuck else "warn" if dead or trying or any(lane.tone == "warn" for lane in lanes) else "good"
    return Glance("任务队列", tone, "；".join(says) or f"排队 {waiting:,} 个，没有停下的", "/console/work", "work")


# What is looked up -------------------------------------------------------------------------------------------------------


def _callbacks(conn: Connection, services: Services) -> Glance:
    now = services.clock.now()
    odd, last = store.count_needs(conn).callbacks, store.last_callback_at(conn)
    missed = sum(syncs.count_missed(conn, since=now - WEEK).values())
    says = [f"{_many(odd)} 条没能处理"] if odd else []
    if missed:
        says.append(f"7 天内漏了 {missed:,} 条，已由同步补上")
    if last is None:
        return Glance("企业微信回调", "warn", "还没有收到过，请到体检核对回调地址", "/console/doctor", "doctor")
    url = "/console/callbacks?state=odd" if odd else "/console/sync" if missed else "/console/callbacks"
    says.append(f"最近一条在 {in_words(now - last)}前")
    return Glance("企业微信回调", "warn" if odd or missed else "good", "；".join(says), url, "callbacks")


def _welcomes(conn: Connection, services: Services) -> Glance:
    missed = store.count_missed_welcomes(conn, services.clock.now() - WEEK)
    says = f"7 天内 {_many(missed)} 位新客户没有收到，请员工补发" if missed else "7 天内没有漏发"
    return Glance("欢迎语", "bad" if missed else "good", says, "/console/sends?kind=welcome&outcome=failed", "sends")


def _sends(conn: Connection, services: Services) -> Glance:
    now = services.clock.now()
    unknown = store.count_unknown_sends(conn, now - WEEK)
    stuck = store.count_stuck_sends(conn, now - STUCK)
    says = [f"7 天内 {_many(unknown)} 条结果未知"] if unknown else []
    if stuck:
        says.append(f"{_many(stuck)} 条发了 10 分钟还没有结果")
    url = "/console/sends?outcome=unknown" if unknown else "/console/sends?outcome=intent"
    tone = "warn" if says else "good"
    return Glance("发送", tone, "；".join(says) or "没有结果未知的发送", url if says else "/console/sends", "sends")


def _sync(conn: Connection, services: Services) -> Glance:
    runs, now = syncs.last_runs(conn), services.clock.now()
    failed = [source.title for source in SOURCES if (run := runs.get(source.key)) and run.state == "failed"]
    ended = [run.finished_at for run in runs.values() if run.state == "done" and run.finished_at]
    if failed:
        return Glance("同步企业微信", "bad", f"{'、'.join(failed)}没有做完", "/console/sync", "sync")
    if not ended:
        return Glance("同步企业微信", "warn", "还没有做过，每天夜里自动进行", "/console/sync", "sync")
    oldest = now - min(ended)
    tone = "warn" if oldest > _OLD_SYNC else "good"
    return Glance("同步企业微信", tone, f"最早的一项是 {in_words(oldest)}前完成的", "/console/sync", "sync")


def _pulls(conn: Connection, services: Services) -> Glance:
    sources = pulls_of(services)
    if not sources:
        return Glance("订单拉取", "", "没有设置", "/console/sources", "sources")
    cursors = pulls.list_cursors(conn)
    broken = [
        f"“{pull.shown}”的{stream.title}出错"
        for pull in sources.values()
        for stream in pull.streams
        if (row := cursors.get((pull.key, stream.key))) is not None and row.failures
    ]
    rejects = len(pulls.list_rejects(conn))
    says = broken + ([f"{rejects} 条订单读不懂"] if rejects else [])
    tone = "bad" if broken else "warn" if rejects else "good"
    return Glance("订单拉取", tone, "；".join(says) or f"{len(sources)} 个来源都正常", "/console/sources", "sources")


def _hooks(conn: Connection, services: Services) -> Glance:
    sources = hooks_of(services)
    if not sources:
        return Glance("订单推送", "", "没有设置", "/console/hooks", "hooks")
    odd = hooks.list_messages(conn, state="odd", limit=store.MOST + 1)
    says = f"{_many(len(odd))} 条读不懂或处理失败" if odd else f"{len(sources)} 个来源都正常"
    return Glance("订单推送", "warn" if odd else "good", says, "/console/hooks", "hooks")


def _status_words(conn: Connection, _: Services) -> Glance:
    count = strange.count_strange(conn)
    says = f"{count} 种说法不认识，这些订单的状态记为未知" if count else "都认识"
    return Glance("订单状态", "warn" if count else "good", says, "/console/imports#status-words", "imports")


def _webhooks(conn: Connection, _: Services) -> Glance:
    rows = webhooks.list_webhooks(conn)
    if not rows:
        return Glance("事件推送", "", "没有设置", "/console/webhooks", "webhooks")
    paused = [f"“{row.title}”已暂停" for row in rows if row.state == "paused"]
    failing = [f"“{row.title}”推送失败，正在重试" for row in rows if row.state == "on" and row.failing_since]
    tone = "bad" if paused else "warn" if failing else "good"
    says = "；".join(paused + failing) or f"{len(rows)} 个都正常"
    return Glance("事件推送", tone, says, "/console/webhooks", "webhooks")


# A new line of the page is a function here.
GLANCES: tuple[Callable[[Connection, Services], Glance], ...] = (
    _callbacks,
    _welcomes,
    _sends,
    _sync,
    _pulls,
    _hooks,
    _status_words,
    _webhooks,
)


async def _wecom(services: Services) -> Glance:
    known: Any = (await services.wecom.stops.look()).values()
    names = "、".join(stop.scope or "全部接口" for stop in known)
    says = f"{names}已停止自动调用，处理后恢复" if names else "没有停下的接口"
    return Glance(
        "调用企业微信", "bad" if names else "good", says, "/console/work" if names else "/console/doctor", "work"
    )


def _backups(services: Services) -> Glance:
    settings, now = services.settings, services.clock.now()
    made_at = daily.made_at(settings, daily.newest_of(settings))
    if made_at is None:
        tone, says = ("warn", "还没有备份") if daily.hour_of(settings) is not None else ("", "没有开启每天的备份")
    else:
        tone, says = "bad" if now - made_at > _OLD_BACKUP else "good", f"最近一次在 {in_words(now - made_at)}前"
    return Glance("备份", tone, says, "/console/backups", "backups")


def _many(count: int) -> str:
    return f"{store.MOST}+" if count > store.MOST else str(count)
