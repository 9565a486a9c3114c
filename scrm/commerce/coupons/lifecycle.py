"""What becomes of a coupon after its issue: confirmed or released, spoken of before its end, given back."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, func, select, update

from scrm import audit
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch, coupon_code, coupon_issue
from scrm.db.bulk import among
from scrm.events import publish
from scrm.services import Services

# A message that failed may be tried again meanwhile, and a member may still send it by hand.
RESERVED = timedelta(hours=2)
BATCH = 500


def confirm(conn: Connection, issue_ids: Collection[int], *, now: datetime) -> None:
    """These coupons have reached their customers, or must be taken to have."""
    if issue_ids:
        conn.execute(
            update(coupon_issue)
            .where(among(conn, coupon_issue.c.id, sorted(issue_ids)), coupon_issue.c.delivered_at.is_(None))
            .values(delivered_at=now)
        )


def list_reserved(conn: Connection, *, before: datetime, after: int = 0, limit: int = BATCH) -> list[Row[Any]]:
    """Coupons issued before this moment of which nobody knows whether they reached their customers, the oldest first."""
    return list(
        conn.execute(
            select(coupon_issue.c.id, coupon_issue.c.person_id, coupon_issue.c.token, coupon_issue.c.code)
            .add_columns(coupon_issue.c.issued_at, coupon_issue.c.batch_key, coupon_issue.c.reason_key)
            .where(
                coupon_issue.c.state == "issued",
                coupon_issue.c.delivered_at.is_(None),
                coupon_issue.c.issued_at <= before,
                coupon_issue.c.id > after,
            )
            .order_by(coupon_issue.c.id)
            .limit(limit)
        )
    )


def release(conn: Connection, issue_ids: Collection[int], *, now: datetime) -> int:
    """Take back coupons that never reached anybody: code and budget are free again, and so is the reason.

    Those confirmed, opened or used in the meantime stay; returns how many were taken back.
    """
    rows = conn.execute(
        select(coupon_issue.c.id, coupon_issue.c.batch_key).where(among(conn, coupon_issue.c.id, sorted(issue_ids)))
    ).all()
    by_batch: dict[str, list[int]] = {}
    for row in rows:
        by_batch.setdefault(row.batch_key, []).append(row.id)
    # Batches in the order of their keys and before their issues, as everybody locks them.
    return sum(_release(conn, key, sorted(by_batch[key]), now) for key in sorted(by_batch))


def _release(conn: Connection, batch_key: str, issue_ids: list[int], now: datetime) -> int:
    conn.execute(select(coupon_batch.c.key).where(coupon_batch.c.key == batch_key).with_for_update())
    held = [
        coupons.Issue(**row._mapping)
        for row in conn.execute(
            coupons.ISSUES.where(
                among(conn, coupon_issue.c.id, issue_ids),
                coupon_issue.c.state == "issued",
                coupon_issue.c.delivered_at.is_(None),
                coupon_issue.c.opened_at.is_(None),
            )
            .order_by(coupon_issue.c.id)
            .with_for_update(of=coupon_issue)
        )
    ]
    if not held:
        return 0
    # The row stays for those who ask; what is unique about it goes back.
    for coupon in held:
        conn.execute(
            update(coupon_issue)
            .where(coupon_issue.c.id == coupon.id)
            .values(state="released", code=f"~{coupon.id}", reason_key=f"~{coupon.id}", tell_at=None, delivered_at=None)
        )
    conn.execute(
        update(coupon_code)
        .where(coupon_code.c.batch_key == batch_key, among(conn, coupon_code.c.issue_id, [one.id for one in held]))
        .values(issue_id=None)
    )
    conn.execute(
        update(coupon_batch)
        .where(coupon_batch.c.key == batch_key)
        .values(issued_count=coupon_batch.c.issued_count - len(held))
    )
    publish(conn, [coupons.event_of("coupon.released", one, now, code_tail=one.code[-4:]) for one in held], now=now)
    return len(held)


def give_back(conn: Connection, issue_ids: Collection[int], *, now: datetime, reason: str) -> int:
    """Coupons whose order came to nothing can be used again, until the end they always had; returns how many.

    Those that had been withdrawn before the order used them are withdrawn again.
    """
    used = conn.execute(
        select(coupon_issue.c.id, coupon_issue.c.redemption)
        .where(among(conn, coupon_issue.c.id, sorted(issue_ids)), coupon_issue.c.state == "redeemed")
        .order_by(coupon_issue.c.id)
        .with_for_update()
    ).all()
    ids = []
    for row in used:
        withdrawn = (row.redemption or {}).get("void")
        again: dict[str, Any] = {"state": "void", "redemption": withdrawn}
        if withdrawn is None:
            ids.append(row.id)
            tell_at = case((coupon_issue.c.expires_at > now, coupon_issue.c.expires_at), else_=None)
            again = {"state": "issued", "redemption": None, "restored": coupon_issue.c.restored + 1, "tell_at": tell_at}
        conn.execute(
            update(coupon_issue)
            .where(coupon_issue.c.id == row.id)
            .values(redeemed_at=None, order_id=None, order_no="", discount_fen=0, **again)
        )
    publish(conn, [coupons.event_of("coupon.restored", one, now, reason=reason) for one in _load(conn, ids)], now=now)
    return len(ids)


def tell_due(conn: Connection, now: datetime, limit: int = BATCH) -> int:
    """Tell of coupons that will expire soon or have expired, each once; returns how many, at most `limit`."""
    due = (
        select(coupon_issue.c.id)
        .where(coupon_issue.c.state == "issued", coupon_issue.c.tell_at.is_not(None), coupon_issue.c.tell_at <= now)
        .order_by(coupon_issue.c.tell_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(conn.execute(due).scalars())
    if not ids:
        return 0
    conn.execute(
        update(coupon_issue)
        .where(among(conn, coupon_issue.c.id, ids))
        .values(tell_at=case((coupon_issue.c.expires_at > now, coupon_issue.c.expires_at), else_=None))
    )
    publish(conn, [_end_of(one, now) for one in _load(conn, ids)], now=now)
    return len(ids)


def _end_of(coupon: coupons.Issue, now: datetime) -> Any:
    name = "coupon.expired" if coupon.state_at(now) == "expired" else "coupon.expiring"
    end = "" if coupon.expires_at is None else coupon.expires_at.isoformat()
    return coupons.event_of(name, coupon, now, expires_at=end, unopened=coupon.opened_at is None)


def _load(conn: Connection, issue_ids: Iterable[int]) -> list[coupons.Issue]:
    rows = conn.execute(
        coupons.ISSUES.where(among(conn, coupon_issue.c.id, list(issue_ids))).order_by(coupon_issue.c.id)
    )
    return [coupons.Issue(**row._mapping) for row in rows]


async def tick(services: Services) -> int:
    """Tell what is due, batch after batch; returns how many coupons were spoken of."""
    told = 0
    while (count := await services.db.write(tell_due, services.clock.now())) > 0:
        told += count
        if count < BATCH:
            break
    return told


def void(conn: Connection, code: str, *, now: datetime, by: str) -> coupons.Issue:
    """Withdraw a coupon; raises NotFound for an unknown code, Conflict for one that was used."""
    coupon = coupons.get_issue(conn, coupons.find_code(conn, code))
    if coupon.state == "void":
        return coupon
    if coupon.state != "issued":
        coupons.refuse_unusable(coupon, now)
    conn.execute(
        update(coupon_issue)
        .where(coupon_issue.c.id == coupon.id)
        .values(state="void", tell_at=None, redemption={"voided_at": now.isoformat(), "by": by})
    )
    audit.changed(conn, "coupon", coupon.id, {"state": coupon.state}, {"state": "void"})
    voided = coupons.get_issue(conn, coupon.id)
    coupons.tell(conn, "coupon.voided", voided, now, by=by)
    return voided


def count_free(conn: Connection, batch_key: str) -> int:
    """How many codes of a pool are left."""
    return int(
        conn.execute(
            select(func.count())
            .select_from(coupon_code)
            .where(coupon_code.c.batch_key == batch_key, coupon_code.c.issue_id.is_(None))
        ).scalar_one()
    )
