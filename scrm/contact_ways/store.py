"""All SQL about channel codes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, bindparam, select, update

from scrm import audit
from scrm.contact_ways import registry
from scrm.contact_ways.models import contact_way, qr_logo
from scrm.contact_ways.plan import Plan, plan_of
from scrm.contact_ways.registry import Owner
from scrm.db import upsert
from scrm.errors import Conflict
from scrm.profiles.models import department, external_contact, follow_user, member

_FIND = select(contact_way).where(contact_way.c.state == bindparam("state"))

# A check whose work died is made again after this.
_CHECK_AGAIN = timedelta(minutes=10)


def find_contact_way(conn: Connection, state: str) -> Row[Any] | None:
    return conn.execute(_FIND, {"state": state}).one_or_none()


def list_contact_ways(conn: Connection) -> list[Row[Any]]:
    """The shop's own codes that can be scanned, the oldest first."""
    return list(
        conn.execute(
            select(contact_way)
            .where(contact_way.c.deleted_at.is_(None), contact_way.c.link_id == "", contact_way.c.inviter_id.is_(None))
            .order_by(contact_way.c.created_at, contact_way.c.state)
        )
    )


def list_channels_of_links(conn: Connection) -> list[Row[Any]]:
    """The channels that acquisition links carry, the oldest first."""
    return list(
        conn.execute(
            select(contact_way)
            .where(contact_way.c.deleted_at.is_(None), contact_way.c.link_id != "")
            .order_by(contact_way.c.created_at, contact_way.c.state)
        )
    )


def save_contact_way(
    conn: Connection,
    state: str,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    config_id: str = "",
    qr_code: str = "",
    skip_verify: bool = True,
    now: datetime,
) -> None:
    """`state` (<= 30 characters) comes back in the event of everyone who scans the code."""
    values = {
        "title": title,
        "kind": kind,
        "userids": list(userids),
        "config_id": config_id,
        "qr_code": qr_code,
        "skip_verify": skip_verify,
    }
    conn.execute(
        upsert(contact_way, conn)
        .values(state=state, created_at=now, **values)
        .on_conflict_do_update(index_elements=["state"], set_=values)
    )


@audit.keeps("contact_way", contact_way.c.state, of=("state",))
def add_way(
    conn: Connection,
    state: str,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    skip_verify: bool,
    plan: Plan,
    link_id: str = "",
    inviter_id: int | None = None,
    now: datetime,
) -> None:
    """A channel of ours before WeCom knows of it; raises Conflict when the state is taken."""
    owner = Owner("acquisition", link_id) if link_id else Owner("contact_way", state)
    if registry.find_owner(conn, state) is not None:
        raise Conflict(f"渠道标识“{state}”已经被使用，请换一个")
    registry.claim(conn, state, owner, now=now)
    conn.execute(
        contact_way.insert().values(
            state=state,
            title=title,
            kind=kind,
            userids=list(userids),
            skip_verify=skip_verify,
            plan=msgspec.to_builtins(plan),
            link_id=link_id,
            inviter_id=inviter_id,
            created_at=now,
            updated_at=now,
        )
    )


@audit.keeps("contact_way", contact_way.c.state, of=("state",))
def change_way(
    conn: Connection,
    state: str,
    *,
    title: str,
    kind: str,
    userids: Sequence[str],
    skip_verify: bool,
    plan: Plan,
    now: datetime,
) -> bool:
    """What the shop decides anew; False when there is no such channel any more."""
    changed = conn.execute(
        update(contact_way)
        .where(contact_way.c.state == state, contact_way.c.deleted_at.is_(None))
        .values(
            title=title,
            kind=kind,
            userids=list(userids),
            skip_verify=skip_verify,
            plan=msgspec.to_builtins(plan),
            updated_at=now,
            problem="",
        )
    )
    return changed.rowcount > 0


@audit.keeps("contact_way", contact_way.c.state, of=("state",))
def delete_way(conn: Connection, state: str, *, now: datetime) -> bool:
    """The row stays: customers who came by it still say so. False when it was deleted before."""
    gone = conn.execute(
        update(contact_way)
        .where(contact_way.c.state == state, contact_way.c.deleted_at.is_(None))
        .values(deleted_at=now, check_at=None, problem="")
    )
    return gone.rowcount > 0


def note_call(conn: Connection, state: str, now: datetime) -> None:
    """Before WeCom is asked for a code: if we die before the answer, it is looked for and not made twice."""
    conn.execute(update(contact_way).where(contact_way.c.state == state).values(live={"asked_at": now.isoformat()}))


def note_answer(
    conn: Connection, /, state: str, live: dict[str, Any], check_at: datetime | None, **values: Any
) -> None:
    """WeCom has what we want; `check_at` is when that may change."""
    conn.execute(
        update(contact_way)
        .where(contact_way.c.state == state)
        .values(live=live, check_at=check_at, problem="", **values)
    )


def note_problem(conn: Connection, /, state: str, problem: str, **values: Any) -> None:
    conn.execute(update(contact_way).where(contact_way.c.state == state).values(problem=problem[:300], **values))


def claim_due(conn: Connection, *, now: datetime, limit: int = 200) -> list[str]:
    """Codes whose members may have to change now; each is handed out once."""
    due = (
        select(contact_way.c.state)
        .where(contact_way.c.check_at <= now, contact_way.c.deleted_at.is_(None))
        .order_by(contact_way.c.check_at)
        .limit(limit)
    )
    claimed = conn.execute(
        update(contact_way)
        .where(contact_way.c.state.in_(due), contact_way.c.check_at <= now)
        .values(check_at=now + _CHECK_AGAIN)
        .returning(contact_way.c.state)
    )
    return sorted(claimed.scalars())


def has_due(conn: Connection, *, now: datetime) -> bool:
    return conn.execute(select(1).where(contact_way.c.check_at <= now).limit(1)).first() is not None


def config_ids(conn: Connection) -> dict[str, str]:
    """The states of living codes by config_id."""
    rows = conn.execute(
        select(contact_way.c.config_id, contact_way.c.state).where(
            contact_way.c.config_id != "", contact_way.c.deleted_at.is_(None)
        )
    )
    return {row.config_id: row.state for row in rows}


def find_relation(conn: Connection, userid: str, external_userid: str) -> Any:
    """The remark, whether the add is half, and the nickname, for a living relation; None when there is none."""
    return conn.execute(
        select(follow_user.c.remark, follow_user.c.is_half, external_contact.c.name)
        .join(external_contact, external_contact.c.external_userid == follow_user.c.external_userid)
        .where(
            follow_user.c.userid == userid,
            follow_user.c.external_userid == external_userid,
            follow_user.c.ended_by == "",
        )
    ).one_or_none()


def save_remark(conn: Connection, userid: str, external_userid: str, remark: str) -> None:
    """WeCom said ok to a remark of ours; no event tells of it (doc 92115)."""
    conn.execute(
        update(follow_user)
        .where(follow_user.c.userid == userid, follow_user.c.external_userid == external_userid)
        .values(remark=remark)
    )


def plan_by_state(conn: Connection, state: str) -> Plan | None:
    """The plan of a channel, also of one that was deleted since."""
    row = find_contact_way(conn, state)
    return None if row is None else plan_of(row.plan)


def list_departments(conn: Connection) -> dict[int, str]:
    """Names by id, as WeCom orders them; the name is empty where WeCom has not told it."""
    rows = conn.execute(
        select(department.c.id, department.c.name).order_by(department.c.sort_order.desc(), department.c.id)
    )
    return {row.id: row.name for row in rows}


def list_receivers(conn: Connection, limit: int = 300) -> list[Row[Any]]:
    """Active members to choose from: userid and name, by name."""
    return list(
        conn.execute(
            select(member.c.userid, member.c.name)
            .where(member.c.is_active)
            .order_by(member.c.name, member.c.userid)
            .limit(limit)
        )
    )


# The logo of our own codes -----------------------------------------------------------------------------------------------

_LOGO = 1


def find_logo(conn: Connection) -> str:
    """The SHA-256 of the original that a manager set; '' when nobody did."""
    return conn.execute(select(qr_logo.c.sha256)).scalar_one_or_none() or ""


def set_logo(conn: Connection, sha256: str, *, by: str, now: datetime) -> None:
    values = {"sha256": sha256, "set_by": by, "set_at": now}
    with audit.watched(conn, "qr_logo", _LOGO, select(qr_logo)):
        conn.execute(
            upsert(qr_logo, conn).values(id=_LOGO, **values).on_conflict_do_update(index_elements=["id"], set_=values)
        )


def drop_logo(conn: Connection) -> None:
    """Back to the setting shop.logo; the original stays in the library."""
    with audit.watched(conn, "qr_logo", _LOGO, select(qr_logo)):
        conn.execute(qr_logo.delete())
