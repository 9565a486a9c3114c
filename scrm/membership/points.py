"""What moves points and growth: orders, programs, managers, time. Each act is one transaction under the account's lock."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm import audit
from scrm.errors import Conflict, Invalid
from scrm.events import Event, get_event, publish
from scrm.membership import store
from scrm.membership.ledger import Account, Movement, NotEnough
from scrm.membership.rules import (
    GIVEN,
    REASONS,
    Level,
    Rules,
    decide_level,
    lives_until,
    rate_of,
    told_at,
    worth_of,
)
from scrm.services import Services
from scrm.work.queue import Claimed

TICK_SECONDS = 60.0
_BATCH = 100
MOST = 10**9


async def run_event(services: Services, item: Claimed) -> None:
    """Of work of kind "sop.event": what an order's event means for points and growth."""
    told = await services.db.read(get_event, int(item.payload["event_id"]))
    if told is None or not told.name.startswith(("order.", "refund.")):
        return
    order_id = told.facts.get("order_id")
    if isinstance(order_id, int) and (await services.db.read(store.load_rules)).since is not None:
        await services.db.write(settle_order, order_id, now=services.clock.now())


def settle_order(conn: Connection, order_id: int, *, now: datetime) -> None:
    """Make points and growth agree with how an order stands now; in any order and as often as one likes."""
    rules = store.load_rules(conn)
    found = store.find_purchase(conn, order_id)
    if found is None or found[0] is None:
        return
    person_id = found[0]
    row = store.lock_account(conn, person_id)
    person_id = row.person_id
    # Read again under the lock: who wrote last has the last word.
    found = store.find_purchase(conn, order_id)
    if found is None or found[0] != person_id:
        return
    levels = store.list_levels(conn)
    account = store.load_account(conn, row, order_id)
    rate = next((lot.rate for lot in account.lots if lot.order_id == order_id), 0)
    rate = rate or rate_of(rules, _level(levels, row.level_key))
    worth = worth_of(found[1], rules, rate)
    if worth is None:
        return
    account.expire(now)
    expires_at = lives_until(now, rules)
    account.settle_order(
        order_id,
        worth.points,
        is_free=worth.is_free,
        now=now,
        expires_at=expires_at,
        tell_at=told_at(now, expires_at, rules),
        may_go_negative=rules.may_go_negative,
        rate=rate,
    )
    number = store.count_movements_of(conn, order_id, person_id)
    _save(conn, person_id, account, f"order:{order_id}:{person_id}", now, number=number)
    _settle_growth(conn, row, order_id, worth.growth, levels, rules, now)


def release_order(conn: Connection, order_id: int, person_id: int, *, now: datetime) -> None:
    """The order turned out to be somebody else's: what it gave this person is taken back."""
    rules = store.load_rules(conn)
    if rules.since is None:
        return
    row = store.lock_account(conn, person_id)
    account = store.load_account(conn, row, order_id)
    account.expire(now)
    expires_at = lives_until(now, rules)
    account.settle_order(
        order_id,
        0,
        is_free=True,
        now=now,
        expires_at=expires_at,
        tell_at=told_at(now, expires_at, rules),
        may_go_negative=rules.may_go_negative,
        rate=0,
    )
    number = store.count_movements_of(conn, order_id, row.person_id)
    _save(conn, row.person_id, account, f"order:{order_id}:{row.person_id}", now, number=number)
    _settle_growth(conn, row, order_id, 0, store.list_levels(conn), rules, now)


def _settle_growth(
    conn: Connection, row: Row[Any], order_id: int, growth: int, levels: list[Level], rules: Rules, now: datetime
) -> None:
    brought, number = store.growth_of_order(conn, order_id, row.person_id)
    if growth == brought or (growth == 0 and number == 0):
        return
    store.add_growth(
        conn,
        row,
        growth - brought,
        business_key=f"order:{order_id}:{row.person_id}:growth:{number}",
        reason="purchase" if growth > brought else "refund",
        order_id=order_id,
        now=now,
    )
    decide(conn, row, levels, rules, now, fell=growth < brought)


def _level(levels: list[Level], key: str) -> Level | None:
    return next((level for level in levels if level.key == key), None)


def decide(
    conn: Connection, row: Row[Any], levels: list[Level], rules: Rules, now: datetime, *, fell: bool = False
) -> None:
    """The level of a locked account, decided anew and told when it changes."""
    since = now - timedelta(days=rules.period_days) if rules.period_days else None
    before = store.standing_of(row)
    growth = store.growth_since(conn, row.person_id, since)
    after = decide_level(now, before, growth, levels, rules, fell=fell)
    if after == before:
        return
    store.save_standing(conn, row.person_id, after)
    if after.key == before.key:
        return
    places = {level.key: place for place, level in enumerate(levels)}
    titles = {level.key: level.title for level in levels}
    is_up = places.get(after.key, -1) > places.get(before.key, -1)
    facts = {
        "from": before.key,
        "to": after.key,
        "title": titles.get(after.key, "普通客户"),
        "direction": "up" if is_up else "down",
        "growth": growth,
        "by_refund": fell,
    }
    key = f"{row.person_id}:{after.key}:{int(now.timestamp() * 1000)}"
    publish(
        conn, [Event("level.changed", now, row.person_id, key=key, facts=facts, once=f"level.changed:{key}")], now=now
    )


def _save(
    conn: Connection,
    person_id: int,
    account: Account,
    key: str,
    now: datetime,
    *,
    by: str = "",
    note: str = "",
    number: int | None = None,
) -> list[tuple[str, Movement]]:
    def key_of(place: int) -> str:
        move = account.moved[place]
        if move.reason == "expired" and not key.startswith("expired:"):
            return f"expired:{person_id}:{int(now.timestamp() * 1000)}"
        if number is None:
            return key
        return f"{key}:{number + sum(one.reason != 'expired' for one in account.moved[:place])}"

    told = store.save_account(conn, person_id, account, key_of=key_of, by=by, note=note, now=now)
    publish(conn, [_event(person_id, one, move, now) for one, move in told], now=now)
    return told


def _event(person_id: int, key: str, move: Movement, now: datetime) -> Event:
    facts = {
        "title": f"{REASONS[move.reason]} {move.available or move.frozen:+d}{'' if move.available else '（冻结）'}",
        "reason": move.reason,
        "points": move.available,
        "frozen": move.frozen,
        "balance": move.available_after,
    }
    return Event("points.changed", now, person_id, key=key[:160], facts=facts, once=f"points.changed:{key}"[:200])


def move(
    conn: Connection,
    person_id: int,
    amount: int,
    reason: str,
    *,
    business_key: str,
    by: str,
    note: str = "",
    now: datetime,
) -> Row[Any]:
    """Give (or, below 0, take) points once for each business key; the ledger's line, also of the first time.

    Raises Invalid for a wrong amount or reason, Conflict when there are too few or the key moved something else.
    """
    if reason not in GIVEN:
        raise Invalid(f"reason：没有原因 {reason[:40]}，可用的有 {'、'.join(GIVEN)}")
    if amount == 0 or abs(amount) > MOST:
        raise Invalid(f"points：应为 1 到 {MOST} 的整数，扣减用负数，收到 {amount}")
    key = f"given:{business_key}"
    row = store.lock_account(conn, person_id)
    person_id = row.person_id
    done = store.find_movement(conn, key)
    if done is not None:
        if (done.person_id, done.available) != (person_id, amount):
            raise Conflict(f"业务编号 {business_key[:80]} 已经用于另一笔积分变动，请换一个编号")
        return done
    rules, account = store.load_rules(conn), store.load_account(conn, row)
    account.expire(now)
    if amount > 0:
        expires_at = lives_until(now, rules)
        account.earn(amount, reason, expires_at=expires_at, tell_at=told_at(now, expires_at, rules))
    else:
        try:
            account.spend(-amount, reason, now=now)
        except NotEnough:
            can = account.spendable(now)
            raise Conflict(f"可用积分只有 {can}，不够扣 {-amount}", available=can) from None
    _save(conn, person_id, account, key, now, by=by, note=note)
    audit.changed(conn, "points", person_id, None, {"points": amount, "reason": reason, "note": note})
    moved = store.find_movement(conn, key)
    assert moved is not None  # noqa: S101 - just written
    return moved


def adjust(
    conn: Connection,
    person_id: int,
    amount: int,
    note: str,
    *,
    by: str,
    may_approve: bool,
    form_key: str,
    now: datetime,
) -> str:
    """A manager's adjustment: "done", or "waiting" for somebody who may approve when it is above the limit."""
    if not note.strip():
        raise Invalid("请写明调整的原因")
    if amount == 0 or abs(amount) > MOST:
        raise Invalid(f"积分应为不等于 0 的整数，最多 {MOST}")
    if abs(amount) > store.load_rules(conn).approval_limit and not may_approve:
        person_id = store.lock_account(conn, person_id).person_id
        store.add_request(conn, person_id, amount, "manual", note.strip()[:200], by=by, now=now)
        audit.changed(conn, "points", person_id, None, {"points": amount, "note": note, "state": "待审批"})
        return "waiting"
    move(conn, person_id, amount, "manual", business_key=f"manual:{form_key}", by=by, note=note.strip()[:200], now=now)
    return "done"


def decide_request(conn: Connection, request_id: int, *, approve: bool, by: str, now: datetime) -> None:
    """An administrator's yes or no; raises Conflict for one's own request and for one that is decided."""
    row = store.decide_request(conn, request_id, "approved" if approve else "refused", by=by, now=now)
    if approve:
        move(
            conn,
            row.person_id,
            row.amount,
            row.reason,
            business_key=f"request:{request_id}",
            by=row.asked_by,
            note=f"{row.note}（{by} 批准）"[:200],
            now=now,
        )


def expire_due(conn: Connection, now: datetime) -> int:
    """Let go of points that have ended; returns how many persons it was about, at most 100."""
    persons = store.list_ended(conn, now, _BATCH)
    for person_id in persons:
        row = store.lock_account(conn, person_id)
        account = store.load_account(conn, row)
        account.expire(now)
        _save(conn, row.person_id, account, f"expired:{person_id}:{int(now.timestamp() * 1000)}", now)
    return len(persons)


def tell_ending(conn: Connection, now: datetime) -> int:
    """Tell of points that will end, once for each person and tick; returns how many lots it was about."""
    rows = store.take_ending(conn, now, 5 * _BATCH)
    by_person: dict[int, list[Row[Any]]] = {}
    for row in rows:
        if row.remaining:
            by_person.setdefault(row.person_id, []).append(row)
    publish(conn, [_ending(person_id, lots, now) for person_id, lots in sorted(by_person.items())], now=now)
    return len(rows)


def _ending(person_id: int, lots: list[Row[Any]], now: datetime) -> Event:
    points, first = sum(lot.remaining for lot in lots), min(lot.expires_at for lot in lots)
    key = f"points:{person_id}:{min(lot.id for lot in lots)}"
    facts = {"points": points, "expires_at": first.isoformat(), "title": f"{points} 积分"}
    return Event("points.expiring", now, person_id, key=key, facts=facts, once=f"points.expiring:{key}")


def decide_due(conn: Connection, now: datetime) -> int:
    """Decide levels whose period is over; returns how many, at most 100."""
    persons = store.list_undecided(conn, now, _BATCH)
    rules, levels = store.load_rules(conn), store.list_levels(conn)
    for person_id in persons:
        decide(conn, store.lock_account(conn, person_id), levels, rules, now)
    return len(persons)


def recount(conn: Connection, person_id: int, *, now: datetime) -> None:
    """Write an account anew from its ledgers, after two persons became one or parted; the level follows."""
    if store.find_account(conn, person_id) is None and not store.has_ledger(conn, person_id):
        return
    row = store.lock_account(conn, person_id)
    store.write_balances(conn, row.person_id, store.recount(conn, row.person_id))
    decide(conn, row, store.list_levels(conn), store.load_rules(conn), now)


async def tick(services: Services) -> None:
    """What time does: points end and are spoken of before, levels are kept or lost."""
    for act in (expire_due, tell_ending, decide_due):
        while await services.db.write(act, services.clock.now()) >= _BATCH:
            pass
