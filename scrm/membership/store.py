"""All SQL of membership: rules, levels, accounts under a lock, ledgers, requests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, select, update

from scrm import audit
from scrm.commerce.models import orders
from scrm.commerce.totals import is_purchase
from scrm.db import upsert
from scrm.errors import Conflict, Invalid, NotFound
from scrm.membership import rules as how
from scrm.membership.ledger import Account, Lot, Movement
from scrm.membership.models import (
    growth_movement,
    member_level,
    membership_rules,
    points_account,
    points_lot,
    points_movement,
    points_request,
)
from scrm.membership.rules import Level, Purchase, Rules, Standing
from scrm.profiles.models import person
from scrm.profiles.redirects import follow

# Rules and levels -----------------------------------------------------------------------------------------------------


def load_rules(conn: Connection) -> Rules:
    values = conn.execute(select(membership_rules.c.rules)).scalar_one_or_none()
    return Rules() if values is None else how.decode(values)


@audit.keeps("membership_rules", membership_rules.c.id, of=(1,))
def save_rules(conn: Connection, rules: Rules, *, by: str, now: datetime) -> None:
    values = {"rules": how.encode(rules), "changed_by": by, "changed_at": now}
    conn.execute(
        upsert(membership_rules, conn).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values)
    )


def list_levels(conn: Connection) -> list[Level]:
    """From the lowest to the highest."""
    table = member_level.c
    rows = conn.execute(select(member_level).order_by(table.growth_from, table.key))
    return [Level(row.key, row.title, row.growth_from, row.growth_keep, row.points_rate, row.benefits) for row in rows]


@audit.keeps("level", member_level.c.key, of=("level.key",))
def save_level(conn: Connection, level: Level) -> None:
    values = {
        "title": level.title,
        "growth_from": level.reach,
        "growth_keep": level.keep,
        "points_rate": level.points_rate,
        "benefits": level.benefits,
    }
    conn.execute(
        upsert(member_level, conn)
        .values(key=level.key, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )


@audit.keeps("level", member_level.c.key, of=("key",))
def delete_level(conn: Connection, key: str) -> None:
    """Raises Conflict while members hold it."""
    holds = conn.execute(
        select(func.count()).select_from(points_account).where(points_account.c.level_key == key)
    ).scalar_one()
    if holds:
        raise Conflict(f"还有 {holds} 位会员是这个等级，不能删除；可以修改名称和门槛")
    conn.execute(member_level.delete().where(member_level.c.key == key))


def count_members(conn: Connection) -> dict[str, int]:
    """Members by level; "" for those of none."""
    rows = conn.execute(
        select(points_account.c.level_key, func.count().label("members")).group_by(points_account.c.level_key)
    )
    return {row.level_key: row.members for row in rows}


# Accounts -------------------------------------------------------------------------------------------------------------


def lock_account(conn: Connection, person_id: int) -> Row[Any]:
    """The person's row, made if need be, ours until the end of the transaction; raises NotFound for nobody.

    Of somebody who became one with another it is the other's row: go on with its `person_id`.
    """
    person_id = follow(conn, person_id)
    mine = select(points_account).where(points_account.c.person_id == person_id).with_for_update()
    row = conn.execute(mine).one_or_none()
    if row is None:
        if conn.execute(select(person.c.id).where(person.c.id == person_id)).first() is None:
            if follow(conn, person_id) != person_id:  # became one with another a moment ago
                return lock_account(conn, person_id)
            raise NotFound("没有这位客户，可能已被删除或合并")
        conn.execute(upsert(points_account, conn).values(person_id=person_id).on_conflict_do_nothing())
        row = conn.execute(mine).one()
    return row


def find_account(conn: Connection, person_id: int) -> Row[Any] | None:
    return conn.execute(select(points_account).where(points_account.c.person_id == person_id)).one_or_none()


@dataclass(frozen=True, slots=True)
class Summary:
    """A member in a few figures; `level` is the title, "" for none."""

    available: int = 0
    frozen: int = 0
    growth: int = 0
    level: str = ""


def summarise(conn: Connection, person_id: int) -> Summary:
    """All nought for somebody without an account."""
    table = points_account.c
    row = conn.execute(
        select(table.available, table.frozen, table.growth, func.coalesce(member_level.c.title, ""))
        .outerjoin(member_level, member_level.c.key == table.level_key)
        .where(table.person_id == person_id)
    ).one_or_none()
    return Summary() if row is None else Summary(*row)


def load_account(conn: Connection, row: Row[Any], order_id: int | None = None) -> Account:
    """The account of a locked row with the lots that count, and those of `order_id` whatever became of them."""
    counts: ColumnElement[bool] = points_lot.c.state.in_(("open", "frozen"))
    if order_id is not None:
        counts |= points_lot.c.order_id == order_id
    lots = conn.execute(
        select(points_lot).where(points_lot.c.person_id == row.person_id, counts).order_by(points_lot.c.id)
    )
    return Account(row.available, row.frozen, [_lot(lot) for lot in lots])


def _lot(row: Row[Any]) -> Lot:
    return Lot(row.amount, row.remaining, row.state, row.order_id, row.expires_at, row.tell_at, row.rate, row.id)


def save_account(
    conn: Connection,
    person_id: int,
    account: Account,
    *,
    key_of: Callable[[int], str],
    by: str,
    note: str,
    now: datetime,
) -> list[tuple[str, Movement]]:
    """Write what moved; `key_of` names the business of the n-th movement. Returns them with their business keys."""
    for lot in account.lots:
        values = {
            "state": lot.state,
            "amount": lot.amount,
            "remaining": lot.remaining,
            "order_id": lot.order_id,
            "expires_at": lot.expires_at,
            "tell_at": lot.tell_at,
            "rate": lot.rate,
        }
        if lot.id:
            conn.execute(update(points_lot).where(points_lot.c.id == lot.id).values(**values))
        else:
            conn.execute(insert(points_lot).values(person_id=person_id, created_at=now, **values))
    told = [(key_of(number), move) for number, move in enumerate(account.moved)]
    for key, move in told:
        conn.execute(
            insert(points_movement).values(
                person_id=person_id,
                business_key=key,
                reason=move.reason,
                available=move.available,
                frozen=move.frozen,
                available_after=move.available_after,
                frozen_after=move.frozen_after,
                order_id=move.order_id,
                by=by,
                note=note,
                moved_at=now,
            )
        )
    if told:
        conn.execute(
            update(points_account)
            .where(points_account.c.person_id == person_id)
            .values(available=account.available, frozen=account.frozen)
        )
    return told


def find_movement(conn: Connection, business_key: str) -> Row[Any] | None:
    return conn.execute(select(points_movement).where(points_movement.c.business_key == business_key)).one_or_none()


def count_movements_of(conn: Connection, order_id: int, person_id: int) -> int:
    mine = (points_movement.c.order_id == order_id, points_movement.c.person_id == person_id)
    return int(conn.execute(select(func.count()).select_from(points_movement).where(*mine)).scalar_one())


def list_movements(conn: Connection, person_id: int, *, before: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """The newest first; `before` is the id of the last one already seen."""
    query = select(points_movement).where(points_movement.c.person_id == person_id)
    if before is not None:
        query = query.where(points_movement.c.id < before)
    return list(conn.execute(query.order_by(points_movement.c.id.desc()).limit(limit)))


def next_end(conn: Connection, person_id: int) -> tuple[int, datetime] | None:
    """How many points end next, and when."""
    mine = (points_lot.c.person_id == person_id, points_lot.c.state == "open", points_lot.c.expires_at.is_not(None))
    row = conn.execute(
        select(points_lot.c.expires_at, func.sum(points_lot.c.remaining).label("points"))
        .where(*mine)
        .group_by(points_lot.c.expires_at)
        .order_by(points_lot.c.expires_at)
        .limit(1)
    ).first()
    return None if row is None else (int(row.points), row.expires_at)


def list_ended(conn: Connection, now: datetime, limit: int) -> list[int]:
    """Persons with points whose time is over."""
    ended = (points_lot.c.state == "open", points_lot.c.expires_at.is_not(None), points_lot.c.expires_at <= now)
    return sorted(conn.execute(select(points_lot.c.person_id).where(*ended).distinct().limit(limit)).scalars())


def take_ending(conn: Connection, now: datetime, limit: int) -> list[Row[Any]]:
    """Lots that will end soon and of which nobody has been told; claimed by this."""
    due = (
        select(points_lot)
        .where(points_lot.c.state == "open", points_lot.c.tell_at.is_not(None), points_lot.c.tell_at <= now)
        .order_by(points_lot.c.tell_at, points_lot.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = list(conn.execute(due))
    if rows:
        ids = [row.id for row in rows]
        conn.execute(update(points_lot).where(points_lot.c.id.in_(ids)).values(tell_at=None))
    return rows


# Growth and levels ----------------------------------------------------------------------------------------------------


def add_growth(
    conn: Connection,
    account: Row[Any],
    amount: int,
    *,
    business_key: str,
    reason: str,
    order_id: int | None,
    by: str = "",
    note: str = "",
    now: datetime,
) -> None:
    """Of a locked account."""
    after = account.growth + amount
    conn.execute(
        insert(growth_movement).values(
            person_id=account.person_id,
            business_key=business_key,
            reason=reason,
            amount=amount,
            growth_after=after,
            order_id=order_id,
            by=by,
            note=note,
            moved_at=now,
        )
    )
    conn.execute(update(points_account).where(points_account.c.person_id == account.person_id).values(growth=after))


def growth_of_order(conn: Connection, order_id: int, person_id: int) -> tuple[int, int]:
    """What an order has brought so far, and in how many movements."""
    mine = (growth_movement.c.order_id == order_id, growth_movement.c.person_id == person_id)
    row = conn.execute(select(func.coalesce(func.sum(growth_movement.c.amount), 0), func.count()).where(*mine)).one()
    return int(row[0]), int(row[1])


def growth_since(conn: Connection, person_id: int, since: datetime | None) -> int:
    """Growth within the period, at least 0; a refund takes nothing but what its own order brought within it."""
    growth = func.sum(growth_movement.c.amount).label("growth")
    by_order = select(growth_movement.c.order_id, growth).where(growth_movement.c.person_id == person_id)
    if since is not None:
        by_order = by_order.where(growth_movement.c.moved_at > since)
    found = conn.execute(by_order.group_by(growth_movement.c.order_id))
    return max(0, sum(int(row.growth) for row in found if row.growth > 0 or row.order_id is None))


def standing_of(row: Row[Any]) -> Standing:
    return Standing(row.level_key, row.level_before, row.level_since, row.level_until)


def save_standing(conn: Connection, person_id: int, standing: Standing) -> None:
    conn.execute(
        update(points_account)
        .where(points_account.c.person_id == person_id)
        .values(
            level_key=standing.key,
            level_before=standing.before,
            level_since=standing.since,
            level_until=standing.until,
        )
    )


def list_undecided(conn: Connection, now: datetime, limit: int) -> list[int]:
    """Persons whose level's period is over."""
    over = (points_account.c.level_until.is_not(None), points_account.c.level_until <= now)
    return sorted(conn.execute(select(points_account.c.person_id).where(*over).limit(limit)).scalars())


def find_purchase(conn: Connection, order_id: int) -> tuple[int | None, Purchase] | None:
    """An order's person and what matters of it."""
    row = conn.execute(select(orders).where(orders.c.id == order_id)).mappings().one_or_none()
    if row is None:
        return None
    is_over = row["status"] in ("cancelled", "closed") or row["payment_status"] == "refunded"
    purchase = Purchase(
        order_id,
        row["paid_fen"],
        row["refunded_fen"],
        is_purchase(dict(row)),
        row["status"] == "completed",
        is_over,
        row["paid_at"],
    )
    return row["person_id"], purchase


# Requests -------------------------------------------------------------------------------------------------------------


def add_request(
    conn: Connection, person_id: int, amount: int, reason: str, note: str, *, by: str, now: datetime
) -> int:
    values = {"person_id": person_id, "amount": amount, "reason": reason, "note": note, "asked_by": by, "asked_at": now}
    return int(conn.execute(insert(points_request).values(**values).returning(points_request.c.id)).scalar_one())


def list_requests(conn: Connection, limit: int = 100) -> list[Row[Any]]:
    """Waiting ones first, then the latest decided."""
    waits = case((points_request.c.state == "waiting", 0), else_=1)
    return list(
        conn.execute(
            select(points_request, person.c.name.label("person_name"))
            .join(person, person.c.id == points_request.c.person_id)
            .order_by(waits, points_request.c.id.desc())
            .limit(limit)
        )
    )


def decide_request(conn: Connection, request_id: int, state: str, *, by: str, now: datetime) -> Row[Any]:
    """Claim the decision; raises NotFound, or Conflict when somebody has decided or asks themselves."""
    row = conn.execute(select(points_request).where(points_request.c.id == request_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound("没有这个申请")
    if row.state != "waiting":
        raise Conflict("这个申请已经处理过了")
    if state == "approved" and row.asked_by == by:
        raise Conflict("不能批准自己提出的调整，请另一位管理员处理")
    conn.execute(
        update(points_request)
        .where(points_request.c.id == request_id)
        .values(state=state, decided_by=by, decided_at=now)
    )
    return row


def recount(conn: Connection, person_id: int) -> dict[str, int]:
    """What an account must say: the sums of its ledgers."""
    points = conn.execute(
        select(
            func.coalesce(func.sum(points_movement.c.available), 0),
            func.coalesce(func.sum(points_movement.c.frozen), 0),
        ).where(points_movement.c.person_id == person_id)
    ).one()
    growth = conn.execute(
        select(func.coalesce(func.sum(growth_movement.c.amount), 0)).where(growth_movement.c.person_id == person_id)
    ).scalar_one()
    return {"available": int(points[0]), "frozen": int(points[1]), "growth": int(growth)}


def has_ledger(conn: Connection, person_id: int) -> bool:
    """Whether the person ever had points or growth."""
    mine = [
        select(table.c.id).where(table.c.person_id == person_id).limit(1)
        for table in (points_movement, growth_movement)
    ]
    return any(conn.execute(query).first() is not None for query in mine)


def write_balances(conn: Connection, person_id: int, balances: dict[str, int]) -> None:
    conn.execute(update(points_account).where(points_account.c.person_id == person_id).values(**balances))


def require_levels(levels: Sequence[Level]) -> None:
    """Raises Invalid when a higher level is reached with no more growth than a lower one."""
    marks = [level.reach for level in levels]
    if len(set(marks)) != len(marks):
        raise Invalid("两个等级的门槛相同；请让每个等级需要的成长值不同")
