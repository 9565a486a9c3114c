"""All SQL about transfers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from scrm.db import upsert
from scrm.db.bulk import insert_rows
from scrm.profiles.models import external_contact, follow_user
from scrm.transfers.models import transfer, transfer_customer, transfer_group, unassigned_contact

OPEN = ("pending", "asking", "waiting")

MOST_IN_90_DAYS = 2

GIVER, _TAKER = transfer_customer.c.handover_userid, transfer_customer.c.takeover_userid


@dataclass(frozen=True, slots=True)
class Plan:
    """What a manager decided. `external_userids` None means every customer the member has."""

    handover_userid: str
    takeover_userid: str
    resigned: bool
    message: str = ""
    created_by: str = ""
    external_userids: Sequence[str] | None = None
    groups: Mapping[str, str] | None = None  # name by chat_id


def add_transfer(conn: Connection, plan: Plan, *, now: datetime) -> int:
    """The transfer with a row for each customer and group; customers on the way already are left out."""
    values = {
        "resigned": plan.resigned,
        "handover_userid": plan.handover_userid,
        "takeover_userid": plan.takeover_userid,
        "message": plan.message,
        "created_by": plan.created_by,
        "created_at": now,
    }
    transfer_id = int(conn.execute(insert(transfer).values(values).returning(transfer.c.id)).scalar_one())
    _add_customers(conn, transfer_id, plan)
    rows = [
        {"transfer_id": transfer_id, "handover_userid": plan.handover_userid, "chat_id": chat_id, "name": name[:120]}
        for chat_id, name in (plan.groups or {}).items()
    ]
    insert_rows(conn, transfer_group, rows)
    return transfer_id


def _add_customers(conn: Connection, transfer_id: int, plan: Plan) -> None:
    """Straight from the table of relations: a member may have twenty thousand customers."""
    whose = unassigned_of if plan.resigned else followed_by
    chosen = whose(plan.handover_userid).subquery()
    rows = select(
        literal(transfer_id),
        literal(plan.handover_userid),
        literal(plan.takeover_userid),
        chosen.c.external_userid,
        chosen.c.person_id,
    )
    columns = ["transfer_id", "handover_userid", "takeover_userid", "external_userid", "person_id"]
    if plan.external_userids is None:
        selections = [rows.where(literal_column("1 = 1"))]  # SQLite wants a WHERE between SELECT and ON CONFLICT
    else:
        wanted = list(dict.fromkeys(plan.external_userids))
        parts = [wanted[start : start + 500] for start in range(0, len(wanted), 500)]
        selections = [rows.where(chosen.c.external_userid.in_(part)) for part in parts]
    for selection in selections:
        conn.execute(upsert(transfer_customer, conn).from_select(columns, selection).on_conflict_do_nothing())


def followed_by(userid: str) -> Select[Any]:
    """The customers a member has: those who deleted him stay with him in WeCom, but cannot be handed over."""
    return select(follow_user.c.external_userid, follow_user.c.person_id, follow_user.c.followed_at.label("at")).where(
        follow_user.c.userid == userid, follow_user.c.ended_by == ""
    )


def unassigned_of(userid: str) -> Select[Any]:
    return (
        select(
            unassigned_contact.c.external_userid,
            external_contact.c.person_id,
            unassigned_contact.c.dimission_at.label("at"),
        )
        .outerjoin(external_contact, external_contact.c.external_userid == unassigned_contact.c.external_userid)
        .where(unassigned_contact.c.handover_userid == userid)
    )


def fail_too_often(conn: Connection, transfer_id: int, reason: str, *, now: datetime) -> int:
    """End what WeCom would refuse with 40128: handed over twice in 90 days already, as far as we know."""
    earlier = transfer_customer.alias("earlier")
    often = (
        select(earlier.c.external_userid)
        .join(transfer, transfer.c.id == earlier.c.transfer_id)
        .where(
            earlier.c.state == "done",
            transfer.c.resigned.is_(False),
            earlier.c.takeover_at > now - timedelta(days=90),
            earlier.c.external_userid == transfer_customer.c.external_userid,
        )
        .group_by(earlier.c.external_userid)
        .having(func.count() >= MOST_IN_90_DAYS)
    )
    ended = conn.execute(
        update(transfer_customer)
        .where(transfer_customer.c.transfer_id == transfer_id, transfer_customer.c.state == "pending", often.exists())
        .values(state="failed", errcode=40128, reason=reason, ended_at=now)
    )
    return int(ended.rowcount)


def get_transfer(conn: Connection, transfer_id: int) -> Row[Any] | None:
    return conn.execute(select(transfer).where(transfer.c.id == transfer_id)).one_or_none()


def list_begun(conn: Connection, transfer_id: int, *, limit: int) -> list[str]:
    """Customers whose request may or may not have reached WeCom: we were stopped in between."""
    query = (
        select(transfer_customer.c.external_userid)
        .where(transfer_customer.c.transfer_id == transfer_id, transfer_customer.c.state == "asking")
        .order_by(transfer_customer.c.id)
        .limit(limit)
    )
    return list(conn.scalars(query))


def take_pending(conn: Connection, transfer_id: int, *, limit: int, now: datetime) -> list[str]:
    """The next customers, with the intent to ask for them."""
    some = (
        select(transfer_customer.c.id)
        .where(transfer_customer.c.transfer_id == transfer_id, transfer_customer.c.state == "pending")
        .order_by(transfer_customer.c.id)
        .limit(limit)
    )
    taken = conn.execute(
        update(transfer_customer)
        .where(transfer_customer.c.id.in_(some))
        .values(state="asking", asked_at=now)
        .returning(transfer_customer.c.external_userid)
    )
    return list(taken.scalars())


def save_waiting(conn: Connection, transfer_id: int, external_userids: Collection[str]) -> None:
    if external_userids:
        conn.execute(_of(transfer_id, external_userids, "asking").values(state="waiting"))


def save_planned(conn: Connection, transfer_id: int, planned: Mapping[str, datetime]) -> None:
    """When WeCom means to hand each over."""
    if planned:
        row = transfer_customer.c
        conn.execute(
            update(transfer_customer)
            .where(
                row.transfer_id == transfer_id,
                or_(row.state == "asking", row.state == "waiting"),
                row.external_userid == bindparam("contact"),
            )
            .values(state="waiting", takeover_at=bindparam("at")),
            [{"contact": external_userid, "at": at} for external_userid, at in planned.items()],
        )


def end_customers(
    conn: Connection,
    transfer_id: int,
    external_userids: Collection[str],
    state: str,
    reason: str,
    *,
    errcode: int = 0,
    now: datetime,
) -> None:
    """refused, limit or failed; what has ended already stays as it is."""
    if external_userids:
        conn.execute(
            _of(transfer_id, external_userids, *OPEN).values(
                state=state, reason=reason[:200], errcode=errcode, ended_at=now
            )
        )


def _of(transfer_id: int, external_userids: Collection[str], *states: str) -> Any:
    return update(transfer_customer).where(
        transfer_customer.c.transfer_id == transfer_id,
        transfer_customer.c.state.in_(states),
        transfer_customer.c.external_userid.in_(list(external_userids)),
    )


def list_waiting(conn: Connection, transfer_id: int) -> list[Row[Any]]:
    return list(
        conn.execute(
            select(
                transfer_customer.c.external_userid, transfer_customer.c.asked_at, transfer_customer.c.takeover_at
            ).where(transfer_customer.c.transfer_id == transfer_id, transfer_customer.c.state == "waiting")
        )
    )


def find_open(conn: Connection, transfer_id: int, external_userid: str) -> Row[Any] | None:
    return conn.execute(
        select(transfer_customer).where(
            transfer_customer.c.transfer_id == transfer_id,
            transfer_customer.c.external_userid == external_userid,
            transfer_customer.c.state.in_(OPEN),
        )
    ).one_or_none()


def find_to_taker(conn: Connection, takeover_userid: str, external_userid: str) -> Row[Any] | None:
    """The newest transfer of this customer to this member that was asked of WeCom, ended or not."""
    return conn.execute(
        _newest(external_userid).where(func.lower(_TAKER) == takeover_userid.lower()).limit(1)
    ).one_or_none()


def find_from_giver(conn: Connection, handover_userid: str, external_userid: str) -> Row[Any] | None:
    """The newest transfer of this customer away from this member that was asked of WeCom."""
    return conn.execute(
        _newest(external_userid).where(func.lower(GIVER) == handover_userid.lower()).limit(1)
    ).one_or_none()


def _newest(external_userid: str) -> Select[Any]:
    return (
        select(transfer_customer)
        .where(transfer_customer.c.external_userid == external_userid, transfer_customer.c.asked_at.is_not(None))
        .order_by(transfer_customer.c.id.desc())
    )


def has_any(conn: Connection, external_userids: Collection[str]) -> set[str]:
    """Those who were ever asked to be handed over: a cheap look before anything else."""
    return set(
        conn.scalars(
            select(transfer_customer.c.external_userid).where(
                transfer_customer.c.external_userid.in_(list(external_userids)),
                transfer_customer.c.asked_at.is_not(None),
            )
        )
    )


def mark_done(conn: Connection, row_id: int, *, at: datetime, now: datetime) -> Row[Any] | None:
    """The row when it was still open, None when somebody else has ended it."""
    return conn.execute(
        update(transfer_customer)
        .where(transfer_customer.c.id == row_id, transfer_customer.c.state.in_(OPEN))
        .values(state="done", takeover_at=at, ended_at=now, errcode=0, reason="")
        .returning(transfer_customer)
    ).one_or_none()


def forget_unassigned(conn: Connection, handover_userid: str, external_userid: str) -> None:
    conn.execute(
        delete(unassigned_contact).where(
            func.lower(unassigned_contact.c.handover_userid) == handover_userid.lower(),
            unassigned_contact.c.external_userid == external_userid,
        )
    )


def note_open(conn: Connection, transfer_id: int, of: str, reason: str) -> None:
    """Why those who have no end yet do not go on: "asked" and "waiting" are customers, "groups" groups."""
    table, states = _OPEN_ONES[of]
    still = table.c.transfer_id == transfer_id, table.c.state.in_(states)
    conn.execute(update(table).where(*still).values(reason=reason[:200]))


def end_open(conn: Connection, transfer_id: int, of: str, reason: str, now: datetime) -> None:
    """They will never be asked for, or nobody looks any more what became of them."""
    table, states = _OPEN_ONES[of]
    still = table.c.transfer_id == transfer_id, table.c.state.in_(states)
    conn.execute(update(table).where(*still).values(state="failed", reason=reason[:200], ended_at=now))


_OPEN_ONES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "asked": (transfer_customer, ("pending", "asking")),
    "waiting": (transfer_customer, ("waiting",)),
    "groups": (transfer_group, ("pending", "asking")),
}
