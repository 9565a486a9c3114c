"""Makes WeCom's channel codes what ours say they are: one work item per change, one at a time per code."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.contact_ways import ledger, store
from scrm.contact_ways.plan import Plan, crew_at, next_border, plan_of, problems
from scrm.contact_ways.registry import new_state
from scrm.errors import Invalid, NotFound
from scrm.services import Services
from scrm.wecom.contact_ways import MOST_MEMBERS, MOST_REMARK_CHARACTERS, ContactWay
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.work import queue
from scrm.work.progress import Progress

log = structlog.get_logger()

KIND = "ways.apply"

_UNKNOWN = 41044
_FINAL = (RetryClass.PARAMETER, RetryClass.RELATION)
# A capped code is counted again after this, should an add have slipped past.
_COUNT_AGAIN = timedelta(seconds=60)
# Adds of so many seconds are one count.
_SPAN = 5
# list_contact_way knows no older ones (doc 92228).
_FIRST_LISTED = 1_625_846_400


def make(
    conn: Connection,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    skip_verify: bool = True,
    plan: Plan | None = None,
    state: str = "",
    inviter_id: int | None = None,
    now: datetime,
) -> str:
    """Keep a new code and leave it to the worker to make it in WeCom; returns its state, made up when none is given.

    Raises Invalid for what WeCom would refuse, Conflict when the state is taken.
    """
    plan = plan or Plan()
    check(title, userids, plan)
    state = state or new_state()
    said: dict[str, Any] = {"title": title, "kind": kind, "userids": userids, "skip_verify": skip_verify, "plan": plan}
    store.add_way(conn, state, **said, inviter_id=inviter_id, now=now)
    queue.add(conn, apply_work(state), now=now)
    return state


def change(
    conn: Connection,
    state: str,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    skip_verify: bool,
    plan: Plan,
    now: datetime,
) -> None:
    """Keep what was decided anew; the picture of the code stays the same. Raises Invalid, NotFound."""
    check(title, userids, plan)
    if not store.change_way(
        conn, state, title=title, kind=kind, userids=userids, skip_verify=skip_verify, plan=plan, now=now
    ):
        raise NotFound("没有这个渠道活码，或者它已经被删除")
    queue.add(conn, apply_work(state), now=now)


def end(conn: Connection, state: str, *, now: datetime) -> None:
    """Who scans the code from now on is told that it is gone. Raises NotFound."""
    if not store.delete_way(conn, state, now=now):
        raise NotFound("没有这个渠道活码，或者它已经被删除")
    queue.add(conn, apply_work(state), now=now)


def check(title: str, userids: Sequence[str], plan: Plan) -> None:
    """Raises Invalid with everything that is wrong, in the words of the form."""
    found = problems(plan)
    if not title.strip():
        found.insert(0, "请填写渠道名称")
    if len(title) > MOST_REMARK_CHARACTERS:
        found.append(f"渠道名称最多 {MOST_REMARK_CHARACTERS} 个字，现在有 {len(title)} 个字")
    if not userids and not plan.party and not plan.shifts:
        found.append("请至少选一位接待员工")
    if len(userids) > MOST_MEMBERS:
        found.append(f"一个活码最多 {MOST_MEMBERS} 位接待员工，现在有 {len(userids)} 位")
    if found:
        raise Invalid("；".join(found))


def apply_work(state: str, *, due_at: datetime | None = None, dedupe_key: str | None = None) -> queue.Item:
    return queue.Item(
        lane="sync",
        kind=KIND,
        payload={"state": state},
        due_at=due_at,
        order_key=f"way:{state}",
        dedupe_key=dedupe_key,
    )


def count_soon(conn: Connection, state: str, now: datetime) -> None:
    """Somebody came by a capped code: look who has had enough, once for all adds of a few seconds.

    The key names the seconds and the work begins after them: no add comes too late to be counted.
    """
    span = int(now.timestamp()) // _SPAN
    due_at = now + timedelta(seconds=_SPAN)
    queue.add(conn, apply_work(state, due_at=due_at, dedupe_key=f"{KIND}:{state}:{span}"), now=now)


async def run_apply(services: Services, item: queue.Claimed) -> None:
    """Work of kind "ways.apply"; whatever happened before, it ends with WeCom having what our row says."""
    state = item.payload["state"]
    row = await services.db.read(store.find_contact_way, state)
    if row is None or row.link_id:
        return
    try:
        await _apply(services, row)
    except WeComError as error:
        log.warning("way.refused", state=state, errcode=error.errcode)
        await services.db.write(store.note_problem, state, error.text)
        if error.retry_class not in _FINAL:
            raise


async def _apply(services: Services, row: Row[Any]) -> None:
    if row.deleted_at is not None:
        await _end(services, row)
    elif row.config_id:
        await _move(services, row)
    else:
        await _make(services, row)


async def _make(services: Services, row: Row[Any]) -> None:
    wanted, check_at = await services.db.read(_wanted, row, services)
    made = await _find_made(services, row) if row.live.get("asked_at") else None
    if made is None:
        await services.db.write(store.note_call, row.state, services.clock.now())
        try:
            made = await services.wecom.contact_ways.add_contact_way(state=row.state, **wanted)
        except WeComError as error:
            if not (isinstance(error, WeComUnreachable) and error.perhaps_done):
                await services.db.write(store.note_problem, row.state, error.text, live={})
            raise
    live = wanted if made.user == wanted["user"] else {}
    await services.db.write(
        store.note_answer, row.state, live, check_at, config_id=made.config_id, qr_code=made.qr_code
    )
    if not live:
        await services.db.write(queue.add, apply_work(row.state), now=services.clock.now())


async def _find_made(services: Services, row: Row[Any]) -> ContactWay | None:
    """A code that an earlier try may have made before its answer was lost."""
    since = int((row.created_at - timedelta(minutes=5)).timestamp())
    known = await services.db.read(store.config_ids)
    async for config_id in services.wecom.contact_ways.list_contact_way(start_time=since):
        if config_id not in known:
            way = await services.wecom.contact_ways.get_contact_way(config_id)
            if way.state == row.state:
                return way
    return None


async def _move(services: Services, row: Row[Any]) -> None:
    wanted, check_at = await services.db.read(_wanted, row, services)
    if wanted != row.live:
        try:
            await services.wecom.contact_ways.update_contact_way(row.config_id, **wanted)
        except WeComError as error:
            if error.errcode == _UNKNOWN:
                gone = "企业微信里已经没有这个活码，扫码的客户会看到已失效。请删除后重新创建。"
                await services.db.write(store.note_problem, row.state, gone, check_at=None)
                return
            raise
        log.info("way.moved", state=row.state, members=len(wanted["user"]))
    await services.db.write(store.note_answer, row.state, wanted, check_at)


async def _end(services: Services, row: Row[Any]) -> None:
    made = ContactWay(config_id=row.config_id)
    if not row.config_id and row.live.get("asked_at"):
        made = await _find_made(services, row) or made
    if made.config_id:
        try:
            await services.wecom.contact_ways.del_contact_way(made.config_id)
        except WeComError as error:
            if error.errcode != _UNKNOWN:
                raise
    await services.db.write(store.note_answer, row.state, {}, None, config_id="")


def _wanted(conn: Connection, row: Row[Any], services: Services) -> tuple[dict[str, Any], datetime | None]:
    """What WeCom is to know now, and when to look again."""
    zone, now = services.settings.shop.zone, services.clock.now()
    plan = plan_of(row.plan)
    adds = ledger.count_by_member(conn, row.state, ledger.day_start(now, zone)) if plan.is_capped else {}
    crew = crew_at(plan, row.userids, row.skip_verify, now.astimezone(zone), adds)
    border = next_border(plan, now, zone)
    check_at = min(border, now + _COUNT_AGAIN) if border and plan.is_capped else border
    return {**crew.told, "remark": row.title[:MOST_REMARK_CHARACTERS]}, check_at


async def tick(services: Services) -> int:
    """Leave every code whose hour has come to the worker; returns how many."""
    now = services.clock.now()
    if not await services.db.read(store.has_due, now=now):
        return 0
    return int(await services.db.write(_leave_due, now))


def _leave_due(conn: Connection, now: datetime) -> int:
    due = store.claim_due(conn, now=now)
    queue.add_many(conn, [apply_work(state) for state in due], now=now)
    return len(due)


async def sync_ways(services: Services, progress: Progress, full: bool) -> None:
    """Source of the sync: codes made elsewhere through the API become ours; with `full` each of ours is looked at.

    Nothing of ours is ended because WeCom's list lacks it: the list leaves out old and temporary codes (doc 92228).
    `full` also brings the ledger to what older events say.
    """
    known = await services.db.read(store.config_ids)
    api = services.wecom.contact_ways
    async for config_id in api.list_contact_way(
        start_time=_FIRST_LISTED, end_time=int(services.clock.now().timestamp())
    ):
        if config_id in known and not full:
            continue
        way = await api.get_contact_way(config_id)
        note = await services.db.write(_adopt, way, services.clock.now())
        progress.advance()
        if note:
            progress.note(note)
    if full:
        last = 0
        while last := await services.db.write(ledger.rebuild, last):
            pass


def _adopt(conn: Connection, way: ContactWay, now: datetime) -> str:
    """Keep what WeCom says of a code; returns what an administrator should know, or ''."""
    if way.is_temp:
        return ""
    if not way.state:
        return f"活码“{way.remark or way.config_id[:8]}”没有渠道标识，扫码的客户无法归到渠道"
    live = {"user": way.user, "party": way.party, "skip_verify": way.skip_verify, "remark": way.remark}
    row = store.find_contact_way(conn, way.state)
    if row is None:
        store.save_contact_way(
            conn,
            way.state,
            title=way.remark or way.state,
            kind="",
            userids=way.user,
            config_id=way.config_id,
            qr_code=way.qr_code,
            skip_verify=way.skip_verify,
            now=now,
        )
        if way.party:
            conn.execute(_set_party(way))
        store.note_answer(conn, way.state, live, None)
    elif row.config_id in ("", way.config_id) and row.deleted_at is None:
        if not (row.live == live and row.config_id == way.config_id and row.qr_code == way.qr_code):
            store.note_answer(conn, way.state, live, row.check_at, config_id=way.config_id, qr_code=way.qr_code)
            queue.add(conn, apply_work(way.state), now=now)
    elif row.deleted_at is None:
        return f"渠道标识 {way.state} 有两个活码，统计会合在一起"
    return ""


def _set_party(way: ContactWay) -> Any:
    from scrm.contact_ways.models import contact_way

    return contact_way.update().where(contact_way.c.state == way.state).values(plan={"party": way.party})
