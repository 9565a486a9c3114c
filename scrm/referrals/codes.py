"""A customer's own code: a channel code of WeCom's, made when the customer's page is first opened."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.contact_ways import ways
from scrm.contact_ways.models import contact_way
from scrm.contact_ways.plan import plan_of
from scrm.contact_ways.registry import new_state
from scrm.profiles.erased import erased_identity
from scrm.profiles.models import person

# What playbooks choose by: channel.kind.
KIND = "老带新"


def find(conn: Connection, person_id: int) -> Row[Any] | None:
    """The living code of a customer; None when there is none."""
    c = contact_way.c
    return conn.execute(
        select(contact_way).where(c.inviter_id == person_id, c.deleted_at.is_(None)).order_by(c.created_at, c.state)
    ).first()


def list_living(conn: Connection, after: str = "", limit: int = 500) -> list[Row[Any]]:
    """(state, inviter_id, userids) of codes that can be scanned, by state."""
    c = contact_way.c
    query = select(c.state, c.inviter_id, c.userids).where(c.inviter_id.is_not(None), c.deleted_at.is_(None))
    return list(conn.execute(query.where(c.state > after).order_by(c.state).limit(limit)))


def leads_to(row: Row[Any], userid: str) -> bool:
    """Whether friends who scan this code add that member and nobody else."""
    return [one.lower() for one in row.userids] == [userid.lower()]


def list_of_erased(conn: Connection, limit: int = 500) -> list[Row[Any]]:
    """(state,) of living codes whose customers' data was deleted."""
    c = contact_way.c
    is_erased = c.inviter_id.in_(select(erased_identity.c.person_id))
    return list(conn.execute(select(c.state).where(is_erased, c.deleted_at.is_(None)).limit(limit)))


def ensure(conn: Connection, person_id: int, userid: str, *, now: datetime) -> Row[Any] | None:
    """The code of a customer, made if there is none, by which friends add this member; None for an unknown person."""
    # Two who open the page at once make one code.
    if conn.execute(select(person.c.id).where(person.c.id == person_id).with_for_update()).first() is None:
        return None
    row = find(conn, person_id)
    if row is None:
        # The title names nobody: it stands in WeCom's own lists too.
        title = f"{KIND} {person_id}"
        ways.make(
            conn,
            title=title,
            kind=KIND,
            userids=[userid],
            state=new_state("i"),
            inviter_id=person_id,
            now=now,
        )
        return find(conn, person_id)
    if not leads_to(row, userid):
        ways.change(
            conn,
            row.state,
            title=row.title,
            kind=row.kind,
            userids=[userid],
            skip_verify=row.skip_verify,
            plan=plan_of(row.plan),
            now=now,
        )
        return find(conn, person_id)
    return row
