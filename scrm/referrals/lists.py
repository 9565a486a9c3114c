"""The ledger of 老带新 as pages and other programs read it: rows with their names, and what campaigns and customers brought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, case, exists, func, select

from scrm.commerce.models import orders
from scrm.profiles.models import member
from scrm.profiles.words import Word
from scrm.referrals.ledger import names_of
from scrm.referrals.models import referral, referral_campaign
from scrm.referrals.rules import reason_text
from web.texts import N_

_c = referral.c

STATES: Mapping[str, Word] = {
    "pending": Word(N_("待生效"), "info"),
    "review": Word(N_("待核对"), "warn"),
    "valid": Word(N_("有效"), "good"),
    "void": Word(N_("无效")),
}
# Those who were no new customers at all: what they buy is nobody's merit.
NO_FRIENDS = ("self", "not_new", "stopped", "inviter_stopped")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What narrows the ledger; '' and None narrow nothing."""

    state: str = ""
    reason: str = ""
    campaign_id: int | None = None
    inviter_id: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One friend. `inviter` and `friend` are names, '' when unknown; `order_no` is the order that made them count."""

    id: int
    campaign_id: int
    campaign: str
    inviter_id: int
    inviter: str
    friend_id: int
    friend: str
    userid: str
    staff: str
    added_at: datetime
    state: str
    reason: str
    order_no: str
    decided_at: datetime | None
    decided_by: str

    @property
    def why(self) -> str:
        """The reason in words; of a decision by hand without one, that it was one."""
        return reason_text(self.reason) or (N_("人工核对") if self.decided_by else "")


class Brought(NamedTuple):
    """How many friends of each state, and how many of them bought."""

    pending: int = 0
    review: int = 0
    valid: int = 0
    void: int = 0
    bought: int = 0

    @property
    def friends(self) -> int:
        return self.pending + self.review + self.valid + self.void


def list_lines(conn: Connection, wanted: Wanted, *, before: int | None = None, limit: int) -> list[Line]:
    """The newest first, below the number `before`."""
    query = (
        select(
            referral,
            referral_campaign.c.title.label("campaign"),
            member.c.name.label("staff"),
            orders.c.order_no,
        )
        .join(referral_campaign, referral_campaign.c.id == _c.campaign_id)
        .outerjoin(member, member.c.folded == func.lower(_c.userid))
        .outerjoin(orders, orders.c.id == _c.order_id)
        .order_by(_c.id.desc())
        .limit(limit)
    )
    asked = {"state": wanted.state, "reason": wanted.reason} | {
        "campaign_id": wanted.campaign_id,
        "inviter_id": wanted.inviter_id,
    }
    for name, value in asked.items():
        if value not in ("", None):
            query = query.where(_c[name] == value)
    if before is not None:
        query = query.where(_c.id < before)
    rows = conn.execute(query).all()
    names = names_of(conn, {row.inviter_id for row in rows} | {row.person_id for row in rows})
    return [_line(row, names) for row in rows]


def _line(row: Row[Any], names: Mapping[int, str]) -> Line:
    return Line(
        id=row.id,
        campaign_id=row.campaign_id,
        campaign=row.campaign,
        inviter_id=row.inviter_id,
        inviter=names.get(row.inviter_id, ""),
        friend_id=row.person_id,
        friend=names.get(row.person_id, ""),
        userid=row.userid,
        staff=row.staff or row.userid,
        added_at=row.added_at,
        state=row.state,
        reason=row.reason,
        order_no=row.order_no or "",
        decided_at=row.decided_at,
        decided_by=row.decided_by,
    )


def count_waiting(conn: Connection) -> int:
    """Friends who wait for a manager's look."""
    return int(conn.execute(select(func.count()).where(_c.state == "review")).scalar_one())


def count_by_campaign(conn: Connection) -> dict[int, Brought]:
    """By campaign; those without friends are left out."""
    query = select(_c.campaign_id, *_counts()).group_by(_c.campaign_id)
    return {row.campaign_id: _brought(row) for row in conn.execute(query)}


def list_inviters(conn: Connection, limit: int) -> list[tuple[int, str, Brought]]:
    """Customers (number, name) with what they brought, those with the most friends that count first."""
    valid = func.sum(case((_c.state == "valid", 1), else_=0))
    query = (
        select(_c.inviter_id, *_counts())
        .group_by(_c.inviter_id)
        .order_by(valid.desc(), func.count().desc(), _c.inviter_id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    names = names_of(conn, [row.inviter_id for row in rows])
    return [(row.inviter_id, names.get(row.inviter_id, ""), _brought(row)) for row in rows]


def count_leading(conn: Connection, campaign_id: int, limit: int = 3) -> tuple[int, list[int]]:
    """Friends of a campaign that count, and how many the customers with the most of them brought: nobody is named."""
    is_valid = (_c.campaign_id == campaign_id) & (_c.state == "valid")
    each = select(func.count().label("friends")).where(is_valid).group_by(_c.inviter_id)
    leading = conn.execute(each.order_by(func.count().desc()).limit(limit)).scalars()
    return int(conn.execute(select(func.count()).where(is_valid)).scalar_one()), list(leading)


def _counts() -> Sequence[Any]:
    """Columns of Brought."""
    o = orders.c
    has_bought = exists().where(
        o.person_id == _c.person_id, o.paid_at >= _c.added_at, o.paid_fen > o.refunded_fen, ~o.is_test
    )
    is_friend = _c.reason.not_in(NO_FRIENDS)
    counted = {name: _c.state == name for name in STATES} | {"bought": is_friend & has_bought}
    return [func.sum(case((condition, 1), else_=0)).label(name) for name, condition in counted.items()]


def _brought(row: Row[Any]) -> Brought:
    return Brought(*(int(row._mapping[name] or 0) for name in Brought._fields))


def total(every: Sequence[Brought]) -> Brought:
    """All of them together; pure."""
    return Brought(*(sum(numbers) for numbers in zip(Brought(), *every, strict=True)))


def of_person(conn: Connection, person_id: int) -> tuple[Line | None, Brought]:
    """Who brought this customer, if anybody, and whom he brought."""
    came = conn.execute(select(_c.id).where(_c.person_id == person_id)).scalar_one_or_none()
    line = next(iter(list_lines(conn, Wanted(), before=came + 1, limit=1)), None) if came is not None else None
    row = conn.execute(select(*_counts()).where(_c.inviter_id == person_id)).one()
    return line, _brought(row)
