"""Joining persons: every table that knows them, who may join them, and when it happens by itself."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Row, and_, func, select, text, update
from sqlalchemy.exc import DBAPIError

from scrm import audit, events
from scrm.commerce.binding import bind_orders
from scrm.commerce.kept import take_turn
from scrm.commerce.models import coupon_issue, orders
from scrm.commerce.order_events import event_key
from scrm.commerce.running_totals import recount
from scrm.db import Database
from scrm.db.bulk import among
from scrm.db.vault import Vault, mask_phone
from scrm.errors import NotFound
from scrm.membership import points
from scrm.membership.models import points_account, points_lot
from scrm.profiles import identities, merge, suggestions
from scrm.profiles.identities import Known
from scrm.profiles.merge import Act, Join, Mover, Undone
from scrm.profiles.models import external_contact, identity, person
from scrm.profiles.own_fields.tables import field_change
from scrm.profiles.phones import normalise_phone
from scrm.profiles.redirects import follow
from scrm.profiles.store import Details
from scrm.referrals import ledger as referrals
from scrm.services import Services
from scrm.sop import run_keys
from scrm.sop.mass import leaving
from scrm.sop.models import enrolment, step_run, task
from scrm.work import queue

JOIN = "person.join"
SWEEP = "person.sweep"
# Whoever read the old id before the join has written by then.
SWEEPS = (timedelta(seconds=15), timedelta(minutes=10))
_MERGE_LOCK = 7_210_003
_TRIES = 8
# Serialization failure, deadlock, and rows that came to a person while it went.
_PASSING = frozenset({"40001", "40P01", "23503", "23505"})

P = ParamSpec("P")
T = TypeVar("T")


# What a join does to playbooks ----------------------------------------------------------------------------------------


def _move_runs(conn: Connection, join: Join) -> None:
    """One live run per playbook and key: of two the one that is further goes on, and its key becomes the person's."""
    mine = select(enrolment).where(enrolment.c.person_id.in_((join.kept, join.gone))).order_by(enrolment.c.id)
    rows = list(conn.execute(mine))
    live: dict[tuple[str, str], Row[Any]] = {}
    for row in rows:
        if row.state not in _LIVING:
            continue
        base = row.run_key.partition("#")[0].partition("~")[0]
        # A run that was moved before may still bear the number of somebody who is gone.
        run = row.playbook_key, "person" if base.startswith("person:") else _as_kept(base, join)
        other = live.setdefault(run, row)
        if other.id != row.id:
            goes_on, ends = sorted((other, row), key=lambda one: (-one.step, one.enrolled_at, one.id))
            live[run] = goes_on
            _end_run(conn, join, ends)
            if ends.is_holdout and not goes_on.is_holdout:
                # Once held out is always: else the comparison would be between nobody knows whom.
                join.change(conn, enrolment, goes_on, is_holdout=True)
    taken = {(row.playbook_key, row.run_key): row for row in rows if row.person_id == join.kept}
    for row in rows:
        if row.person_id == join.gone and (key := _free_key(row, taken, join)) != row.run_key:
            join.change(conn, enrolment, row, run_key=key)
            _rename_reasons(conn, join, row, key)


def _as_kept(run_key: str, join: Join) -> str:
    return run_keys.moved(run_key, join.gone, join.kept)


def _free_key(row: Row[Any], taken: dict[tuple[str, str], Any], join: Join) -> str:
    """The kept person's key; where that is taken, the next number for a newer run, else a key of its own."""
    key = wanted = _as_kept(row.run_key, join)
    base, mark, _ = wanted.partition("#")
    if wanted != row.run_key:
        rivals = [
            (other, run)
            for (playbook, other), run in taken.items()
            if playbook == row.playbook_key and other.partition("#")[0] == base
        ]
        if mark and all(run.id < row.id for _, run in rivals):
            highest = max((int(other.rpartition("#")[2]) for other, _ in rivals if "#" in other), default=0)
            key = f"{base}#{max(highest + 1, int(wanted.rpartition('#')[2]))}"
        elif rivals:
            key = wanted.replace(base, f"{base}~{join.gone}", 1)
    taken[row.playbook_key, key] = row
    return key


_LIVING = frozenset({"active", "paused", "queued"})
_ENDED = "两个客户档案合并，保留了走得更远的那一次"


def _end_run(conn: Connection, join: Join, run: Row[Any]) -> None:
    ended = {"state": "merged", "ended_reason": _ENDED, "due_at": None, "look_at": None, "ended_at": join.now}
    join.change(conn, enrolment, run, **ended)
    for row in conn.execute(select(task).where(task.c.enrolment_id == run.id, task.c.state == "open")).all():
        join.change(conn, task, row, state="withdrawn", reason=_ENDED, ended_at=join.now)
    waiting = select(step_run).where(step_run.c.enrolment_id == run.id, step_run.c.state == "waiting")
    for row in conn.execute(waiting).all():
        join.change(conn, step_run, row, state="skipped", reason=_ENDED, outcome_at=join.now)
    leaving.withdraw(conn, [run.id], _ENDED, join.now)


def _rename_reasons(conn: Connection, join: Join, run: Row[Any], key: str) -> None:
    """The coupon that a run gave stays that run's: under its new key it gives no second one."""
    old, new = f"{run.playbook_key}:{run.run_key}", f"{run.playbook_key}:{key}"
    given = select(coupon_issue).where(coupon_issue.c.person_id == join.gone, coupon_issue.c.reason_key == old)
    for row in conn.execute(given).all():
        join.change(conn, coupon_issue, row, reason_key=new)


def _part_reasons(conn: Connection, join: Join) -> None:
    """Two coupons of one batch for the same reason: both stay, the moved one under a reason of its own."""
    kept = coupon_issue.alias("kept")
    doubled = (
        select(coupon_issue)
        .join(kept, (kept.c.batch_key == coupon_issue.c.batch_key) & (kept.c.reason_key == coupon_issue.c.reason_key))
        .where(coupon_issue.c.person_id == join.gone, kept.c.person_id == join.kept)
    )
    for row in conn.execute(doubled).all():
        join.change(conn, coupon_issue, row, reason_key=f"{row.reason_key[:170]}~{join.gone}#{row.id}")


def _rename_history(conn: Connection, join: Join) -> None:
    """What was changed in a person's fields is found under the person's id."""
    own = select(field_change).where(field_change.c.person_id == join.gone, field_change.c.entity == "person")
    for row in conn.execute(own).all():
        join.change(conn, field_change, row, subject=str(join.kept))


def _lock_before_orders(conn: Connection, person_ids: Sequence[int]) -> None:
    """As who refreshes a contact: the persons, then the turn of orders. Orders may still name these persons meanwhile."""
    mine = select(person.c.id).where(person.c.id.in_(person_ids)).order_by(person.c.id)
    conn.execute(mine.with_for_update(key_share=True)).all()
    take_turn(conn)


# Every table with a person_id, in the order in which others lock them; a test looks for those that are missing.
MOVERS: tuple[Mover, ...] = (
    Mover("identity", "身份"),
    Mover("stop_entry", "停发名单"),
    Mover("external_contact", "企业微信客户"),
    Mover("follow_user", "跟进关系"),
    Mover("person_field", "自定义字段"),
    Mover("field_change", "字段修改历史", first=_rename_history),
    Mover("enrolment", "剧本进程", first=_move_runs),
    Mover("task", "员工待办"),
    Mover("note", "跟进记录"),
    Mover("notice", "内部通知"),
    Mover("refusal", "未进入剧本的原因"),
    Mover("send", "发送记录"),
    Mover("mass_message_target", "群发名单"),
    Mover("way_add", "渠道添加记录"),
    Mover("report_add", "渠道成效"),
    Mover("referral", "老带新", first=referrals.join),
    Mover("transfer_customer", "客户继承"),
    Mover("missed_callback", "补漏记录"),
    Mover("kf_visitor", "微信客服访客"),
    Mover("kf_message", "微信客服消息"),
    Mover("oa_follower", "公众号粉丝"),
    Mover("coupon_issue", "优惠券", first=_part_reasons),
    Mover("orders", "订单", lock=_lock_before_orders),
    Mover("event", "动态"),
    Mover("tracked_event", "浏览轨迹"),
    Mover("radar_link", "内容雷达链接", leaves_doubles=True),
    Mover("privacy_act", "隐私查看记录"),
    Mover("points_account", "积分账户"),
    Mover("points_lot", "积分批次"),
    Mover("points_movement", "积分流水"),
    Mover("growth_movement", "成长值流水"),
    Mover("points_request", "积分调整申请"),
    Mover("segment_member", "人群包成员"),
    Mover("pool_entry", "公海"),
    Mover("pool_pick", "公海领取记录"),
    Mover("bulk_item", "批量操作结果"),
    Mover("person_value", "RFM 与生命周期", counted=True),
    Mover("person_stat", "订单汇总", counted=True),
)

# Tables with a person_id that stay as they are, and why.
NOT_MOVED: Mapping[str, str] = {
    "report_buyer": "made from the orders, which tell whom they leave and whom they reach",
    "report_buyer_news": "the orders themselves tell whom they leave and whom they reach",
    "erased_identity": "who was erased is nobody any more",
    "erasure": "who was erased is nobody any more",
}


# Joining and the way back ---------------------------------------------------------------------------------------------


def join(conn: Connection, kept: int, gone: int, act: Act, *, now: datetime) -> int:
    """Make one person of two, whatever they became meanwhile; returns the id of the log's row.

    Raises Conflict when they are one already, NotFound when one does not exist.
    """
    _take_turn(conn)
    kept, gone = follow(conn, kept), follow(conn, gone)
    merge_id = merge.merge(conn, kept, gone, act, MOVERS, now=now)
    recount(conn, kept)
    points.recount(conn, kept, now=now)
    suggestions.decide(conn, kept, gone, "merged", by=act.by, now=now)
    facts = {"merge_id": merge_id, "from": gone, "by": act.by, "reason": act.reason, **act.evidence}
    # Playbooks hear of it too.
    merged = events.Event("person.merged", now, kept, facts=facts, once=f"person.merged:{merge_id}")
    events.publish(conn, [merged], now=now)
    audit.changed(conn, "merge", merge_id, None, {"kept_id": kept, "gone_id": gone, "reason": act.reason})
    for delay in SWEEPS:
        again = queue.Item("bulk", SWEEP, {"merge_id": merge_id}, due_at=now + delay)
        queue.add(conn, again, now=now)
    return merge_id


def part(conn: Connection, merge_id: int, *, by: str, now: datetime) -> Undone:
    """Undo a join; the two are never joined by themselves again. Raises NotFound, or Conflict when undone before."""
    _take_turn(conn)
    undone = merge.undo(conn, merge_id, MOVERS, by=by, now=now, then=_give_back_orders)
    told = {"kept_id": undone.holder, "gone_id": undone.back}
    audit.changed(conn, "merge", merge_id, {**told, "state": "合并"}, {**told, "state": "已撤销"})
    for person_id in sorted((undone.holder, undone.back)):
        recount(conn, person_id)
        points.recount(conn, person_id, now=now)
        _refill_lots(conn, person_id)
    suggestions.decide(conn, undone.holder, undone.back, "apart", by=by, now=now)
    _record(conn, "person.parted", undone.holder, {"merge_id": merge_id, "from": undone.back, "by": by}, now)
    _record(conn, "person.parted", undone.back, {"merge_id": merge_id, "from": undone.holder, "by": by}, now)
    return undone


def _take_turn(conn: Connection) -> None:
    """Joins go one at a time: two of them over the same persons would wait for each other."""
    if conn.dialect.name == "postgresql":
        conn.execute(text(f"SELECT pg_advisory_xact_lock({_MERGE_LOCK})"))


def _record(conn: Connection, name: str, person_id: int, facts: Mapping[str, Any], now: datetime) -> None:
    events.record(conn, [events.Event(name, now, person_id, facts=dict(facts))], now=now)


def _give_back_orders(conn: Connection, undone: Undone) -> None:
    """Orders that came since the join go to whom their unionid or phone means, with what was told of them."""
    theirs = select(identity.c.value).where(identity.c.person_id == undone.back)
    mine = orders.c.person_id == undone.holder, orders.c.first_seen_at >= undone.merged_at
    by_unionid = orders.c.buyer_unionid.in_(theirs.where(identity.c.kind == "wx_unionid"))
    by_phone = orders.c.buyer_phone_lookup.in_(theirs.where(identity.c.kind == "mobile_e164"))
    rows = conn.execute(select(orders).where(*mine, by_unionid | by_phone)).mappings().all()
    ids = [row["id"] for row in rows]
    conn.execute(update(orders).where(orders.c.id.in_(ids)).values(person_id=undone.back))
    for table in (mover.rows for mover in MOVERS if "order_id" in mover.rows.c):
        with_them = table.c.person_id == undone.holder, table.c.order_id.in_(ids)
        conn.execute(update(table).where(*with_them).values(person_id=undone.back))
    told = events.event.c
    about = told.person_id == undone.holder, told.key.in_([event_key(dict(row)) for row in rows])
    conn.execute(update(events.event).where(*about).values(person_id=undone.back))


def _refill_lots(conn: Connection, person_id: int) -> None:
    """Points that were spent from one's lots while two were one are the other's spending: the lots are full again."""
    account = conn.execute(select(points_account).where(points_account.c.person_id == person_id)).one_or_none()
    if account is None:
        return
    mine = points_lot.c.person_id == person_id, points_lot.c.state.in_(("open", "spent"))
    lots = conn.execute(select(points_lot).where(*mine).order_by(points_lot.c.id.desc())).all()
    missing = account.available - sum(lot.remaining for lot in lots if lot.state == "open")
    for lot in lots:
        back = min(missing, lot.amount - lot.remaining)
        if back > 0:
            values = {"remaining": lot.remaining + back, "state": "open"}
            conn.execute(update(points_lot).where(points_lot.c.id == lot.id).values(**values))
            missing -= back


async def patiently(
    db: Database, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """`db.write`, again when another transaction was in the way of a join."""
    for _ in range(_TRIES - 1):
        try:
            return await db.write(work, *args, **kwargs)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _PASSING:
                raise
            await asyncio.to_thread(lambda: None)  # whoever was faster goes on first
    return await db.write(work, *args, **kwargs)


# By itself ------------------------------------------------------------------------------------------------------------


def learn(conn: Connection, person_id: int, known: Known, *, now: datetime) -> int:
    """A person turns out to be known by this value: theirs, or the reason for a join or for a suggestion.

    Returns whose it is now. Orders that waited for the value come with it.
    """
    if not identities.is_usable(known.value):
        return person_id
    identities.claim(conn, person_id, known, now=now)
    return _settle(conn, person_id, known, now)


def learn_contact(conn: Connection, person_id: int, details: Details, *, vault: Vault, now: datetime) -> None:
    """What WeCom says of a contact that was saved: whose the unionid and the noted phones are, and their orders."""
    unionid = str(details.external_contact.get("unionid") or "")
    told = [Known("wx_unionid", unionid)] if unionid else []
    numbers = {number for follow_user in details.follow_users for number in follow_user.get("remark_mobiles") or []}
    for phone in sorted(filter(None, map(normalise_phone, numbers))):
        told.append(known_phone(phone, vault, source="remark", confidence=identities.TOLD))
    for known in told:
        _settle(conn, person_id, known, now)


def known_phone(phone: str, vault: Vault, *, source: str, confidence: str) -> Known:
    """`phone` is +86...: found by its keyed hash, kept sealed, shown masked."""
    return Known(
        "mobile_e164", vault.lookup(phone), "", source, confidence, sealed=vault.seal(phone), mask=mask_phone(phone)
    )


def meet_unionids(conn: Connection, told: Mapping[str, int], *, now: datetime) -> None:
    """Of many unionids, those that are known as somebody else's."""
    named = identity.c.kind == "wx_unionid", identity.c.scope == "", among(conn, identity.c.value, list(told))
    for row in conn.execute(select(identity.c.value, identity.c.person_id).where(*named)) if told else ():
        meet(conn, told[row.value], row.person_id, Known("wx_unionid", row.value), now=now)


def _settle(conn: Connection, person_id: int, known: Known, now: datetime) -> int:
    """What follows from a value that is kept already; whose it is."""
    owner = identities.find_owner(conn, known.kind, known.value, known.scope)
    if owner is None:
        return person_id
    if owner != person_id:
        meet(conn, person_id, owner, known, now=now)
    elif known.kind == "wx_unionid":
        bind_orders(conn, person_id, unionid=known.value, now=now)
    elif known.kind == "mobile_e164":
        bind_orders(conn, person_id, phone_lookup=known.value, now=now)
    return owner


def meet(conn: Connection, one: int, other: int, known: Known, *, now: datetime) -> None:
    """Two persons were found under one value: they are joined soon when it is sure, else somebody is asked."""
    if one == other or suggestions.are_apart(conn, one, other):
        return
    evidence = {"key": known.kind, "shown": known.mask or known.value[:12], "source": known.source}
    if identities.joins_by_itself(known.kind, known.confidence):
        low, high = sorted((one, other))
        payload = {"one": low, "other": high, "reason": known.kind, "evidence": evidence}
        item = queue.Item("event", JOIN, payload, dedupe_key=f"join:{low}:{high}")
        queue.add(conn, item, now=now)
    else:
        suggestions.suggest(conn, one, other, evidence, now=now)


@dataclass(frozen=True, slots=True)
class Pair:
    """Who would stay and who would go."""

    kept: int
    gone: int


def choose(conn: Connection, one: int, other: int) -> Pair:
    """Who stays: somebody WeCom knows before somebody it does not, then the older record. Raises NotFound."""
    ids = [follow(conn, one), follow(conn, other)]
    contacts = set(conn.scalars(select(external_contact.c.person_id).where(external_contact.c.person_id.in_(ids))))
    rows = conn.execute(select(person.c.id, person.c.created_at).where(person.c.id.in_(ids))).all()
    if len(rows) < len(set(ids)):
        raise NotFound("没有这位客户，可能已被删除。请回到客户列表重新查找")
    order = sorted(rows, key=lambda row: (row.id not in contacts, row.created_at, row.id))
    return Pair(order[0].id, order[-1].id)


def join_by_itself(
    conn: Connection, one: int, other: int, reason: str, evidence: dict[str, Any], now: datetime
) -> int | None:
    """Join two who share a sure key, unless something speaks against it: then somebody is asked."""
    _take_turn(conn)
    pair = choose(conn, one, other)
    if pair.kept == pair.gone or suggestions.are_apart(conn, pair.kept, pair.gone):
        return None
    against = identities.conflicts(conn, pair.kept, pair.gone)
    if against:
        titles = [identities.kind_of(kind).title for kind, _ in against]
        suggestions.suggest(conn, pair.kept, pair.gone, {**evidence, "against": titles}, now=now)
        return None
    return join(conn, pair.kept, pair.gone, Act("auto", reason, evidence), now=now)


async def run_join(services: Services, item: queue.Claimed) -> None:
    """Work of kind person.join."""
    told = item.payload
    try:
        await patiently(
            services.db,
            join_by_itself,
            told["one"],
            told["other"],
            told["reason"],
            told["evidence"],
            services.clock.now(),
        )
    except NotFound:  # one of them was erased meanwhile
        return


async def run_sweep(services: Services, item: queue.Claimed) -> None:
    """Work of kind person.sweep: what somebody wrote for the old id is moved as well."""
    await patiently(services.db, _sweep, item.payload["merge_id"], services.clock.now())


def _sweep(conn: Connection, merge_id: int, now: datetime) -> int:
    _take_turn(conn)
    return merge.sweep(conn, merge_id, MOVERS, now=now)


# Looking for pairs ----------------------------------------------------------------------------------------------------

_ORDERS_AT_ONCE = 20_000
LOOK_SECONDS = 86_400.0


async def look(services: Services) -> None:
    """Look through everything for persons who may be the same; each piece is a transaction of its own."""
    await services.db.write(suggestions.look, now=services.clock.now())
    last = await services.db.read(lambda conn: conn.scalar(select(func.max(orders.c.id))) or 0)
    for start in range(0, last, _ORDERS_AT_ONCE):
        pairs = await services.db.read(_same_phone, start, start + _ORDERS_AT_ONCE)
        if pairs:
            await services.db.write(_suggest_phones, pairs, services.clock.now())


def _same_phone(conn: Connection, above: int, upto: int) -> list[tuple[int, int, str]]:
    """Orders of one person with the phone of another: the two and what of it may be shown."""
    rows = conn.execute(
        select(orders.c.person_id, identity.c.person_id.label("owner"), identity.c.mask)
        .join(identity, and_(identity.c.kind == "mobile_e164", identity.c.value == orders.c.buyer_phone_lookup))
        .where(
            orders.c.id > above,
            orders.c.id <= upto,
            orders.c.buyer_phone_lookup != "",
            orders.c.person_id != identity.c.person_id,
        )
        .distinct()
    )
    return [(row.person_id, row.owner, row.mask) for row in rows]


def _suggest_phones(conn: Connection, pairs: Sequence[tuple[int, int, str]], now: datetime) -> None:
    for person_id, owner, mask in pairs:
        suggestions.suggest(conn, person_id, owner, {"key": "receiver_phone", "shown": mask}, now=now)
