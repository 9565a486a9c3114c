"""Coupons: batches, one issue per person and reason, redeemed once."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, literal, or_, select, update

from scrm import audit
from scrm.commerce.models import coupon_batch, coupon_code, coupon_issue
from scrm.commerce.words import COUPON_STATES
from scrm.content.attachments import CouponCard
from scrm.db import UtcDateTime, upsert
from scrm.db.bulk import among, insert_rows, new_ids, update_rows
from scrm.errors import Conflict, NotFound, ScrmError
from scrm.events import Event, publish

# Without 0/O, 1/I/L: codes are read aloud and typed at counters. 31^10 of them cannot be guessed.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
_CODE_LENGTH = 10


class SoldOut(ScrmError):
    """The batch has no code left, or its budget is used up."""

    status = 409
    code = "sold_out"


class Expired(ScrmError):
    """The coupon's time is over."""

    status = 410
    code = "expired"


@dataclass(frozen=True, slots=True)
class Issue:
    """One customer's coupon together with its batch."""

    id: int
    batch_key: str
    person_id: int
    code: str
    token: str
    state: str
    issued_at: datetime
    expires_at: datetime | None
    opened_at: datetime | None
    redeemed_at: datetime | None
    redemption: dict[str, Any] | None
    title: str
    benefit: str
    face_fen: int
    percent_off: int
    threshold_fen: int
    rules: str
    url: str
    delivered_at: datetime | None = None
    order_no: str = ""
    order_id: int | None = None
    discount_fen: int = 0
    restored: int = 0

    def state_at(self, now: datetime) -> str:
        """issued, redeemed, void, released, or expired when its time is over."""
        if self.state == "issued" and self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return self.state

    def word_at(self, now: datetime) -> str:
        """The one word people read."""
        return COUPON_STATES[self.state_at(now)].text


def ensure_batch(
    conn: Connection,
    *,
    key: str,
    kind: str,
    title: str,
    benefit: str = "amount",
    face_fen: int = 0,
    percent_off: int = 0,
    threshold_fen: int = 0,
    valid: timedelta | None = None,
    valid_until: datetime | None = None,
    url: str = "",
    rules: str = "",
    budget: int | None = None,
    per_person: int | None = None,
    remind: timedelta | None = None,
    gives_back: bool = True,
    origin: str = "playbook",
    now: datetime,
) -> None:
    """Make a batch, or change what its future issues say; coupons already issued keep their expiry."""
    values = {
        "kind": kind,
        "title": title,
        "benefit": benefit,
        "face_fen": face_fen,
        "percent_off": percent_off,
        "threshold_fen": threshold_fen,
        "valid_seconds": None if valid is None else int(valid.total_seconds()),
        "valid_until": valid_until,
        "url": url,
        "rules": rules,
        "budget_count": budget,
        "per_person": per_person,
        "remind_seconds": None if remind is None else int(remind.total_seconds()),
        "gives_back": gives_back,
        "origin": origin,
    }
    conn.execute(
        upsert(coupon_batch, conn)
        .values(key=key, created_at=now, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )


def issue(conn: Connection, *, batch_key: str, person_id: int, reason_key: str, now: datetime) -> Issue:
    """The person's coupon for this reason: the one they have, or a new one; raises NotFound or SoldOut.

    The insert claims (batch, person, reason); whoever comes second, in whichever process, gets the first one's coupon.
    """
    wanted = (person_id, reason_key)
    found = issue_many(conn, batch_key, {wanted}, now=now)
    if wanted not in found:
        raise SoldOut(_why_sold_out(_get_batch(conn, batch_key), now))
    return found[wanted]


def issue_many(
    conn: Connection, batch_key: str, wanted: set[tuple[int, str]], *, now: datetime
) -> dict[tuple[int, str], Issue]:
    """`issue` for many (person_id, reason_key) of one batch; who is missing in the answer got none: sold out.

    To issue of several batches in one transaction, take them in the order of their keys: each is locked.
    """
    found = _find_issues(conn, batch_key, wanted)
    if len(found) == len(wanted):
        return found
    # The lock on the batch row makes budget and pool exact.
    batch = _get_batch(conn, batch_key)
    found = _find_issues(conn, batch_key, wanted)
    new = sorted(wanted - found.keys())
    if _is_over(batch, now):
        new = []
    if batch.per_person is not None:
        new = _within_limit(conn, batch, new)
    if batch.budget_count is not None:
        new = new[: max(0, batch.budget_count - batch.issued_count)]
    codes = _free_codes(conn, batch, len(new))
    if not codes:
        return found
    served = new[: len(codes)]
    _add_issues(conn, batch, served, codes, now)
    conn.execute(_COUNT_ISSUES, {"batch_key": batch_key, "issues": len(codes)})
    found = _find_issues(conn, batch_key, wanted)
    publish(conn, [event_of("coupon.issued", found[one], now) for one in served], now=now)
    return found


def _is_over(batch: Row[Any], now: datetime) -> bool:
    return batch.stopped_at is not None or (batch.valid_until is not None and batch.valid_until <= now)


def _within_limit(conn: Connection, batch: Row[Any], new: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those whose person does not have as many of the batch as one person may."""
    counted = conn.execute(
        select(coupon_issue.c.person_id, func.count().label("held"))
        .where(
            coupon_issue.c.batch_key == batch.key,
            coupon_issue.c.state != "released",
            among(conn, coupon_issue.c.person_id, {person_id for person_id, _ in new}),
        )
        .group_by(coupon_issue.c.person_id)
    )
    held: dict[int, int] = {row.person_id: row.held for row in counted}
    served = []
    for person_id, reason_key in new:
        if held.get(person_id, 0) < batch.per_person:
            held[person_id] = held.get(person_id, 0) + 1
            served.append((person_id, reason_key))
    return served


def _why_sold_out(batch: Row[Any], now: datetime) -> str:
    if _is_over(batch, now):
        return f"优惠券“{batch.title}”已停止发放" if batch.stopped_at else f"优惠券“{batch.title}”的有效期已过"
    if batch.budget_count is not None and batch.issued_count >= batch.budget_count:
        return f"优惠券“{batch.title}”已发完"
    if batch.per_person is not None and batch.kind != "pool":
        return f"优惠券“{batch.title}”每人限领 {batch.per_person} 张，这位客户已领满"
    return f"优惠券“{batch.title}”的券码已发完，请导入新的券码"


def _get_batch(conn: Connection, batch_key: str) -> Row[Any]:
    batch = conn.execute(_LOCK_BATCH, {"batch_key": batch_key}).one_or_none()
    if batch is None:
        raise NotFound(f"没有券批次“{batch_key}”")
    return batch


def _add_issues(
    conn: Connection, batch: Row[Any], wanted: Sequence[tuple[int, str]], codes: Sequence[str], now: datetime
) -> None:
    expires_at = _expiry(batch, now)
    tell_at = moment_to_tell(now, expires_at, batch.remind_seconds)
    rows = [
        {
            "id": issue_id,
            "batch_key": batch.key,
            "person_id": person_id,
            "reason_key": reason_key,
            "code": code,
            "token": secrets.token_urlsafe(18),
            "issued_at": now,
            "expires_at": expires_at,
            "tell_at": tell_at,
        }
        for issue_id, (person_id, reason_key), code in zip(
            new_ids(conn, coupon_issue, len(codes)), wanted, codes, strict=True
        )
    ]
    insert_rows(conn, coupon_issue, rows)
    if batch.kind == "pool":
        taken = [{"code": row["code"], "issue_id": row["id"]} for row in rows]
        update_rows(conn, coupon_code, taken, ["issue_id"], key="code")


def _free_codes(conn: Connection, batch: Row[Any], count: int) -> list[str]:
    """As many as there are, at most `count`."""
    if batch.kind != "pool":
        return ["".join(secrets.choice(_LETTERS) for _ in range(_CODE_LENGTH)) for _ in range(count)]
    codes = conn.execute(
        select(coupon_code.c.code)
        .where(coupon_code.c.batch_key == batch.key, coupon_code.c.issue_id.is_(None))
        .order_by(coupon_code.c.code)
        .limit(count)
        .with_for_update()
    )
    return list(codes.scalars())


def _expiry(batch: Row[Any], now: datetime) -> datetime | None:
    ends = [batch.valid_until] if batch.valid_until else []
    if batch.valid_seconds:
        ends.append(now + timedelta(seconds=batch.valid_seconds))
    return min(ends) if ends else None


def moment_to_tell(now: datetime, expires_at: datetime | None, remind_seconds: int | None = None) -> datetime | None:
    """When to speak of a coupon's end: three days before for a week's coupon, one day for two days', else at the end."""
    if expires_at is None:
        return None
    lives = expires_at - now
    lead = timedelta(days=3 if lives >= timedelta(days=7) else 1 if lives >= timedelta(days=2) else 0)
    if remind_seconds is not None:
        lead = timedelta(seconds=remind_seconds)
    return expires_at - lead if lead < lives else expires_at


def redeem(
    conn: Connection,
    code: str,
    *,
    now: datetime,
    by: str,
    order_no: str = "",
    store: str = "",
    amount_fen: int | None = None,
) -> Issue:
    """Use a coupon, once; raises NotFound, Expired, or Conflict with the first redemption's details.

    With `amount_fen`, what the goods cost, the threshold is checked and the discount is known.
    """
    coupon = get_issue(conn, find_code(conn, code))
    refuse_unusable(coupon, now)
    if amount_fen is not None and amount_fen < coupon.threshold_fen:
        raise Conflict(f"这张券满 {coupon.threshold_fen / 100:g} 元可用，本单只有 {amount_fen / 100:g} 元")
    redemption = {"redeemed_at": now.isoformat(), "by": by, "order_no": order_no, "store": store}
    after = {"state": "redeemed", "order_no": order_no, "store": store}
    audit.changed(conn, "coupon", coupon.id, {"state": coupon.state, "order_no": "", "store": ""}, after)
    conn.execute(
        update(coupon_issue)
        .where(coupon_issue.c.id == coupon.id)
        .values(
            state="redeemed",
            redeemed_at=now,
            redemption=redemption,
            order_no=order_no,
            discount_fen=discount_of(coupon, amount_fen),
            delivered_at=coupon.delivered_at or now,
            tell_at=None,
        )
    )
    used = get_issue(conn, coupon.id)
    tell(conn, "coupon.redeemed", used, now, order_no=order_no, store=store)
    return used


def discount_of(coupon: Issue, amount_fen: int | None) -> int:
    """What the coupon takes off, in fen; for a percentage the amount has to be known."""
    if coupon.benefit == "amount":
        return coupon.face_fen if amount_fen is None else min(coupon.face_fen, amount_fen)
    if coupon.benefit == "percent" and amount_fen is not None:
        return amount_fen * coupon.percent_off // 100
    return coupon.face_fen if coupon.benefit != "percent" else 0


def refuse_unusable(coupon: Issue, now: datetime) -> None:
    """Raises Expired, or Conflict for a coupon that was used or withdrawn."""
    state = coupon.state_at(now)
    if state == "redeemed":
        raise Conflict("这张券已经核销过了", redemption=coupon.redemption)
    if state in ("void", "released"):
        raise Conflict("这张券已作废")
    if state == "expired":
        raise Expired("这张券已过期", expires_at=coupon.expires_at.isoformat() if coupon.expires_at else None)


def find_code(conn: Connection, code: str) -> int:
    """`seek_code` that raises NotFound."""
    found = seek_code(conn, code)
    if found is None:
        raise NotFound("没有这张券：请核对券码")
    return found


def seek_code(conn: Connection, code: str) -> int | None:
    """The issue of a code as it stands, or as people type it: small letters, gaps, hyphens. Locked.

    A code of a pool that nobody was given is not looked for in another spelling: that would be another's coupon.
    """
    exact = code.strip()
    typed = "".join(mark for mark in exact.upper() if mark.isalnum())
    for written in dict.fromkeys((exact, exact.upper(), exact.lower(), typed)):
        row = conn.execute(
            select(coupon_issue.c.id).where(coupon_issue.c.code == written).with_for_update()
        ).one_or_none()
        if row is not None:
            return int(row.id)
        if conn.execute(select(coupon_code.c.code).where(coupon_code.c.code == written)).first() is not None:
            return None
    return None


def tell(conn: Connection, name: str, coupon: Issue, now: datetime, **facts: Any) -> None:
    """Publish an event about one coupon; told twice it is one event, unless the coupon came back in between."""
    publish(conn, [event_of(name, coupon, now, **facts)], now=now)


def event_of(name: str, coupon: Issue, now: datetime, **facts: Any) -> Event:
    return Event(
        name=name,
        occurred_at=now,
        person_id=coupon.person_id,
        key=str(coupon.id),
        facts={"batch": coupon.batch_key, "title": coupon.title, "face_fen": coupon.face_fen, **facts},
        once=f"{name}:{coupon.id}" + (f":{coupon.restored}" if coupon.restored else ""),
    )


def mark_opened(conn: Connection, issue_id: int, *, now: datetime) -> None:
    """The customer looked at the page for the first time."""
    opened = conn.execute(
        update(coupon_issue)
        .where(coupon_issue.c.id == issue_id, coupon_issue.c.opened_at.is_(None))
        .values(opened_at=now, delivered_at=func.coalesce(coupon_issue.c.delivered_at, literal(now, UtcDateTime)))
        .returning(coupon_issue.c.id)
    ).one_or_none()
    if opened is not None:
        tell(conn, "coupon.opened", get_issue(conn, issue_id), now)


_COLUMNS = (
    coupon_issue.c.id,
    coupon_issue.c.batch_key,
    coupon_issue.c.person_id,
    coupon_issue.c.code,
    coupon_issue.c.token,
    coupon_issue.c.state,
    coupon_issue.c.issued_at,
    coupon_issue.c.expires_at,
    coupon_issue.c.opened_at,
    coupon_issue.c.redeemed_at,
    coupon_issue.c.redemption,
    coupon_batch.c.title,
    coupon_batch.c.benefit,
    coupon_batch.c.face_fen,
    coupon_batch.c.percent_off,
    coupon_batch.c.threshold_fen,
    coupon_batch.c.rules,
    coupon_batch.c.url,
    coupon_issue.c.delivered_at,
    coupon_issue.c.order_no,
    coupon_issue.c.order_id,
    coupon_issue.c.discount_fen,
    coupon_issue.c.restored,
)
ISSUES = select(*_COLUMNS).join(coupon_batch, coupon_batch.c.key == coupon_issue.c.batch_key)

# A welcome waits for these: statements that are built once run five times as fast as those built for each use.
_ISSUE_BY_ID = ISSUES.where(coupon_issue.c.id == bindparam("issue_id"))
_LOCK_BATCH = select(coupon_batch).where(coupon_batch.c.key == bindparam("batch_key")).with_for_update()
_COUNT_ISSUES = (
    update(coupon_batch)
    .where(coupon_batch.c.key == bindparam("batch_key"))
    .values(issued_count=coupon_batch.c.issued_count + bindparam("issues"))
)


def _find_issues(conn: Connection, batch_key: str, wanted: set[tuple[int, str]]) -> dict[tuple[int, str], Issue]:
    persons = {person_id for person_id, _ in wanted}
    rows = conn.execute(
        ISSUES.add_columns(coupon_issue.c.reason_key).where(
            coupon_issue.c.batch_key == batch_key, among(conn, coupon_issue.c.person_id, persons)
        )
    )
    found = {}
    for row in rows:
        *values, reason_key = row
        if (row.person_id, reason_key) in wanted:
            found[row.person_id, reason_key] = Issue(*values)
    return found


def get_issue(conn: Connection, issue_id: int) -> Issue:
    return Issue(**conn.execute(_ISSUE_BY_ID, {"issue_id": issue_id}).one()._mapping)


def find_by_token(conn: Connection, token: str) -> Issue | None:
    row = conn.execute(ISSUES.where(coupon_issue.c.token == token)).one_or_none()
    return None if row is None else Issue(**row._mapping)


def list_coupons(
    conn: Connection, person_id: int, *, before: tuple[datetime, int] | None = None, limit: int = 50
) -> list[Issue]:
    """A person's coupons, the newest first; `before`: issued_at and id of the last one already seen."""
    query = ISSUES.where(coupon_issue.c.person_id == person_id, coupon_issue.c.state != "released")
    if before is not None:
        at, last_id = before
        query = query.where(
            or_(coupon_issue.c.issued_at < at, and_(coupon_issue.c.issued_at == at, coupon_issue.c.id < last_id))
        )
    rows = conn.execute(query.order_by(coupon_issue.c.issued_at.desc(), coupon_issue.c.id.desc()).limit(limit))
    return [Issue(**row._mapping) for row in rows]


def add_codes(conn: Connection, batch_key: str, codes: Sequence[str]) -> int:
    """Fill the pool with the codes that no batch has yet and no customer holds; returns how many were new."""
    pool = select(coupon_code.c.code).where(among(conn, coupon_code.c.code, codes))
    held = select(coupon_issue.c.code).where(among(conn, coupon_issue.c.code, codes))
    known = set(conn.execute(pool).scalars()) | set(conn.execute(held).scalars())
    new = [code for code in dict.fromkeys(codes) if code not in known]
    insert_rows(conn, coupon_code, [{"batch_key": batch_key, "code": code} for code in new], skip_known=True)
    audit.changed(conn, "coupon_batch", batch_key, {"added": 0}, {"added": len(new)})
    return len(new)


def find_batch_kind(conn: Connection, batch_key: str) -> str | None:
    """generated, pool or link; None for an unknown batch."""
    return conn.execute(select(coupon_batch.c.kind).where(coupon_batch.c.key == batch_key)).scalar_one_or_none()


def list_batch_keys(conn: Connection) -> list[str]:
    """Every batch there is."""
    return list(conn.execute(select(coupon_batch.c.key).order_by(coupon_batch.c.key)).scalars())


def card(coupon: Issue, public_url: str) -> CouponCard:
    """How a coupon is shown in a welcome or a chat; a `link` batch leads to the shop's own page."""
    page = f"{public_url}/c/{coupon.token}"
    url = coupon.url.replace("{code}", coupon.code).replace("{token}", coupon.token) if coupon.url else page
    return CouponCard(
        title=coupon.title,
        url=url,
        benefit=coupon.benefit,
        face_fen=coupon.face_fen,
        percent_off=coupon.percent_off,
        threshold_fen=coupon.threshold_fen,
        expires_at=coupon.expires_at,
    )
