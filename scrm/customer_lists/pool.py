"""公海: customers nobody looks after, by the shop's rules; members take some of them, and give back whom they neglect.

What takes a customer in is decided by `reason_for`, over plain facts; SQL is in pool_store. Two ticks: a walk over all
persons, some thousands at a time, and a look at those who were picked, when their time is up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm import audit
from scrm.customer_lists import pool_store as store
from scrm.customer_lists.pool_store import Facts, Rule
from scrm.customer_lists.relations import ON_THE_WAY, list_handed
from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.events import Event, publish
from scrm.profiles.words import Word
from scrm.services import Services
from scrm.transfers import begin as transfers
from scrm.transfers.store import Plan

TICK_SECONDS = 20.0
# Persons of one walk's step, and steps of one tick: a million are walked in an hour.
SLICE = 1_000
_SLICES = 6
_LOOKED_AT = 200

REASONS: Mapping[str, Word] = {
    "ownerless": Word("员工已离开", "warn"),
    "idle": Word("长期没有跟进", "info"),
    "recycled": Word("领取后没有跟进", "bad"),
    "by_hand": Word("手工放入"),
}
_MOST_DAYS = 3650
_MOST_PICKS = 1000


def reason_for(facts: Facts, rule: Rule, now: datetime) -> str:
    """Why a customer belongs into the pool; empty for who stays. Pure.

    Only friends of somebody: whoever deleted us, or never was a friend, cannot be talked to by who takes them.
    """
    if not rule.is_on or not facts.is_friend or facts.is_picked:
        return ""
    if rule.takes_ownerless and not facts.has_member:
        return "ownerless"
    if rule.idle_days and facts.has_member and facts.followed_up_at < now - timedelta(days=rule.idle_days):
        return "idle"
    return ""


# Rules ----------------------------------------------------------------------------------------------------------------


def read_rule(said: Mapping[str, Any]) -> Rule:
    """What the form says; raises Invalid in words. Pure."""
    idle = _days(said, "idle", "多少天没有跟进")
    recycle = _days(said, "recycle", "领取后多少天没有跟进")
    text = str(said.get("picks_per_day", "")).strip()
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= _MOST_PICKS:
        raise Invalid(f"每人每天领取数要写 1 到 {_MOST_PICKS} 的整数，写的是“{text[:20]}”")
    rule = Rule(said.get("is_on") == "1", said.get("takes_ownerless") == "1", idle, int(text), recycle)
    if rule.is_on and not (rule.takes_ownerless or rule.idle_days):
        raise Invalid("启用公海要至少选一种进入公海的情况")
    return rule


def _days(said: Mapping[str, Any], name: str, title: str) -> int | None:
    if said.get(f"has_{name}") != "1":
        return None
    text = str(said.get(f"{name}_days", "")).strip()
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) <= _MOST_DAYS:
        raise Invalid(f"{title}要写 1 到 {_MOST_DAYS} 的整数，写的是“{text[:20]}”")
    return int(text)


# Coming in ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Changes:
    """What a slice of the walk comes to, and how far it went (0: the end)."""

    comes: list[tuple[Facts, str]]
    goes: list[int]
    cursor: int


def find_changes(conn: Connection, now: datetime) -> Changes:
    """Of the next slice of all persons: who belongs into the pool, and whom somebody looks after again."""
    rule = store.load_rule(conn)
    facts, cursor = store.list_facts(conn, store.load_cursor(conn), SLICE)
    comes = [(each, why) for each in facts if not each.is_pooled and (why := reason_for(each, rule, now))]
    goes = [each.person_id for each in facts if each.is_by_rule and each.has_follow_up_since]
    return Changes(comes, goes, cursor)


def walk(conn: Connection, now: datetime) -> int:
    """Carry out what the next slice comes to; returns how many entered."""
    found = find_changes(conn, now)
    store.leave(conn, found.goes)
    entered = store.enter(conn, [(each.person_id, reason, each.owner) for each, reason in found.comes], now)
    _tell(conn, "pool.entered", {person_id: {"reason": REASONS[reason].text} for person_id, reason, _ in entered}, now)
    store.save_cursor(conn, found.cursor, now)
    return len(entered)


def put(conn: Connection, person_ids: list[int], *, by: str, now: datetime) -> set[int]:
    """By hand; returns who was not in it before."""
    entered = store.enter(conn, [(each, "by_hand", store.owner_of(conn, each)) for each in person_ids], now)
    store.end_picks(conn, [person_id for person_id, _, _ in entered], "returned", now)
    facts = {"reason": REASONS["by_hand"].text, "by": by}
    _tell(conn, "pool.entered", {person_id: facts for person_id, _, _ in entered}, now)
    return {person_id for person_id, _, _ in entered}


def take_back(conn: Connection, person_ids: list[int], *, since: datetime) -> dict[int, str]:
    """Out again whom somebody has put in by hand since then; by person who is responsible again, empty for nobody."""
    entries = store.list_put(conn, person_ids, since)
    store.leave(conn, sorted(entries))
    store.give_back(conn, entries)
    return entries


def recycle(conn: Connection, now: datetime) -> int:
    """Look at those whose time is up: who was not followed up goes back; returns how many."""
    rule, back = store.load_rule(conn), 0
    for pick in store.list_due_picks(conn, now, _LOOKED_AT):
        owner = store.owner_of(conn, pick.person_id)
        if owner and owner.lower() != pick.userid.lower():
            store.end_picks(conn, [pick.person_id], "owner_changed", now)
            continue
        if not rule.is_on or not rule.recycle_days:
            store.look_again(conn, pick.id, now + timedelta(days=1))
            continue
        due_at = max(pick.picked_at, store.followed_up_at(conn, pick.person_id)) + timedelta(days=rule.recycle_days)
        if due_at > now:
            store.look_again(conn, pick.id, due_at)
            continue
        store.end_picks(conn, [pick.person_id], "recycled", now)
        entered = store.enter(conn, [(pick.person_id, "recycled", pick.userid)], now)
        _tell(conn, "pool.entered", {each: {"reason": REASONS["recycled"].text} for each, _, _ in entered}, now)
        back += len(entered)
    return back


# Going out ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taker:
    """Who gets customers; `by` is whoever assigns them, empty when the member picks."""

    userid: str
    by: str = ""


def take(conn: Connection, person_ids: list[int], taker: Taker, zone: ZoneInfo, *, now: datetime) -> dict[int, str]:
    """Make a member responsible for customers of the pool; by person what is to be said, empty where all is well.

    Who is somebody else's friend is handed over through WeCom. Raises Forbidden for somebody who is no member, Conflict
    over the daily limit, which holds for whoever picks and not for what a manager assigns.
    """
    member = store.find_member(conn, taker.userid)
    if member is None:
        raise Forbidden("只有企业成员能领取客户；本地账号可以把客户分配给员工")
    if not taker.by:
        _check_limit(conn, member, len(person_ids), zone, now)
    entries = store.take_out(conn, person_ids)
    if not entries:
        raise NotFound("这些客户已经不在公海里，可能刚被同事领走。请刷新页面")
    rule = store.load_rule(conn)
    store.set_owner(conn, sorted(entries), member)
    said = _hand_over(conn, sorted(entries), member, taker, now)
    look_at = now + timedelta(days=rule.recycle_days or 1)
    store.add_picks(conn, sorted(entries), member, taker.by, now, look_at)
    _tell(conn, "pool.picked", {each: {"userid": member, "by": taker.by} for each in entries}, now, userid=member)
    audit.changed(conn, "pool", ",".join(map(str, sorted(entries)))[:100], None, {"taker": member})
    return said


def _check_limit(conn: Connection, userid: str, more: int, zone: ZoneInfo, now: datetime) -> None:
    rule = store.load_rule(conn)
    if not rule.is_on:
        raise Conflict("公海没有启用，不能领取。请主管在“公海规则”里启用")
    midnight = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    store.lock_picker(conn, userid)
    picked = store.count_picks(conn, userid, midnight)
    if picked + more > rule.picks_per_day:
        left = max(0, rule.picks_per_day - picked)
        raise Conflict(f"每人每天最多领取 {rule.picks_per_day} 位，今天还能领 {left} 位，这次选了 {more} 位")


def _hand_over(conn: Connection, person_ids: list[int], userid: str, taker: Taker, now: datetime) -> dict[int, str]:
    """Friends of somebody else become the taker's, as far as WeCom allows; by person what is to be said of it."""
    said = dict.fromkeys(person_ids, "")
    groups: dict[tuple[str, bool], list[store.Giver]] = {}
    for giver in store.list_givers(conn, person_ids, userid):
        groups.setdefault((giver.userid, giver.has_left), []).append(giver)
    for (handover, has_left), group in sorted(groups.items()):
        plan = Plan(
            handover_userid=handover,
            takeover_userid=userid,
            resigned=has_left,
            created_by=taker.by or userid,
            external_userids=[each.external_userid for each in group],
        )
        try:
            with conn.begin_nested():
                taken = list_handed(conn, transfers.begin(conn, plan, now=now))
        except Invalid as error:
            said |= {each.person_id: error.text for each in group}
        else:
            said |= {each.person_id: taken.get(each.external_userid, ON_THE_WAY) for each in group}
    return said


def _tell(
    conn: Connection, name: str, facts: Mapping[int, Mapping[str, Any]], now: datetime, *, userid: str = ""
) -> None:
    stamp = int(now.timestamp() * 1000)
    told = [
        Event(name, now, person_id, userid=userid, facts=dict(each), once=f"{name}:{person_id}:{stamp}")
        for person_id, each in facts.items()
    ]
    if told:
        publish(conn, told, now=now)


async def tick(services: Services) -> int:
    """Some slices of the walk, and the picks whose time is up; returns how many entered."""
    now = services.clock.now()
    rule = await services.db.read(store.load_rule)
    entered = 0
    if await services.db.read(store.has_due_picks, now):
        entered += await services.db.write(recycle, now)
    if rule.is_on:
        for _ in range(_SLICES):
            # Looked at beside the writer: nearly always there is nothing to be done.
            found = await services.db.read(find_changes, now)
            if found.comes or found.goes:
                entered += await services.db.write(walk, now)
            else:
                await services.db.write(store.save_cursor, found.cursor, now)
            if not found.cursor:
                break
            await services.worker.give_way()
    return entered
