"""SQL of the relations that work on many customers goes through: whose it is, what it wears, whether its member left."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, tuple_

from scrm.access.scope import Scope, reaches_member
from scrm.db.bulk import among
from scrm.profiles.models import follow_user, follow_user_tag, person
from scrm.transfers.models import transfer_customer, unassigned_contact

Pair = tuple[str, str]
ON_THE_WAY = "这位客户正在转接中，等这一次有结果后再试"


@dataclass(frozen=True, slots=True)
class Relation:
    """One member and one contact of a person."""

    person_id: int
    userid: str
    external_userid: str

    @property
    def pair(self) -> Pair:
        return self.userid, self.external_userid


def choose(conn: Connection, person_ids: Collection[int], scope: Scope, *, only: str = "") -> dict[int, Relation]:
    """By person: the living relation with whoever is in charge, else the earliest; `only` with this member."""
    f = follow_user.c
    query = (
        select(f.person_id, f.userid, f.external_userid)
        .join(person, person.c.id == f.person_id)
        .where(among(conn, f.person_id, list(person_ids)), f.ended_by == "", reaches_member(scope, f.userid))
        .order_by(
            f.person_id, (func.lower(f.userid) == func.lower(person.c.owner_userid)).desc(), f.is_half, f.followed_at
        )
    )
    if only:
        query = query.where(func.lower(f.userid) == only.lower())
    found: dict[int, Relation] = {}
    for row in conn.execute(query):
        found.setdefault(row.person_id, Relation(row.person_id, row.userid, row.external_userid))
    return found


def list_worn(conn: Connection, chosen: Sequence[Relation], names: Sequence[str]) -> dict[Pair, set[str]]:
    """Which of these tags each relation wears."""
    t = follow_user_tag.c
    found: dict[Pair, set[str]] = {}
    pairs = [each.pair for each in chosen]
    if pairs:
        query = select(t.userid, t.external_userid, t.tag_name).where(
            tuple_(t.userid, t.external_userid).in_(pairs), t.tag_name.in_(names), t.type == 1
        )
        for row in conn.execute(query):
            found.setdefault((row.userid, row.external_userid), set()).add(row.tag_name)
    return found


def list_wearing(
    conn: Connection, person_ids: Collection[int], names: Sequence[str], scope: Scope
) -> dict[int, list[Pair]]:
    """By person: the living relations that wear one of these tags."""
    f, t = follow_user.c, follow_user_tag.c
    query = (
        select(f.person_id, f.userid, f.external_userid)
        .join(follow_user_tag, (t.userid == f.userid) & (t.external_userid == f.external_userid))
        .where(
            among(conn, f.person_id, list(person_ids)),
            f.ended_by == "",
            t.tag_name.in_(names),
            t.type == 1,
            reaches_member(scope, f.userid),
        )
        .distinct()
        .order_by(f.person_id, f.userid)
    )
    found: dict[int, list[Pair]] = {}
    for row in conn.execute(query):
        found.setdefault(row.person_id, []).append((row.userid, row.external_userid))
    return found


def list_left(conn: Connection, chosen: Sequence[Relation]) -> set[Pair]:
    """Those whose member has left the corp, as WeCom lists them."""
    u = unassigned_contact.c
    pairs = [each.pair for each in chosen]
    if not pairs:
        return set()
    query = select(u.handover_userid, u.external_userid).where(tuple_(u.handover_userid, u.external_userid).in_(pairs))
    return {(row.handover_userid, row.external_userid) for row in conn.execute(query)}


def list_handed(conn: Connection, transfer_id: int) -> dict[str, str]:
    """Whom a transfer took, by contact: empty, or why it failed at once."""
    t = transfer_customer.c
    query = select(t.external_userid, t.state, t.reason).where(t.transfer_id == transfer_id)
    return {row.external_userid: row.reason if row.state == "failed" else "" for row in conn.execute(query)}
