"""Whom a request for export or erasure is about: one person, with every id under which rows are kept."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select, union

from scrm.db import metadata


@dataclass(frozen=True, slots=True)
class Subject:
    """All ids of one person; `person_ids` also has those that were merged into it."""

    person_id: int
    person_ids: list[int]
    external_userids: list[str] = field(default_factory=list)
    unionids: list[str] = field(default_factory=list)
    phone_lookups: list[str] = field(default_factory=list)
    openids: list[str] = field(default_factory=list)
    anonymous_ids: list[str] = field(default_factory=list)
    order_ids: list[int] = field(default_factory=list)
    enrolment_ids: list[int] = field(default_factory=list)

    @property
    def stand_in(self) -> str:
        """What stands where an id of WeCom's stood and some text must: unique for the person, and tells nothing."""
        return f"erased-{self.person_id}"


def find_subject(conn: Connection, person_id: int) -> Subject:
    """Everything that leads to the person's rows; also for a number that nobody has (any more)."""
    tables = metadata.tables
    redirect = tables["person_redirect"]
    ids = [person_id]
    for one in ids:
        ids += [
            old for old in conn.scalars(select(redirect.c.old_id).where(redirect.c.new_id == one)) if old not in ids
        ]
    identity, contact, follower = tables["identity"], tables["external_contact"], tables["oa_follower"]
    known: dict[str, set[str]] = {}
    for row in conn.execute(select(identity.c.kind, identity.c.value).where(identity.c.person_id.in_(ids))):
        known.setdefault(row.kind, set()).add(row.value)
    contacts = conn.scalars(
        union(
            select(contact.c.external_userid).where(contact.c.person_id.in_(ids)),
            select(tables["follow_user"].c.external_userid).where(tables["follow_user"].c.person_id.in_(ids)),
            select(tables["kf_visitor"].c.external_userid).where(tables["kf_visitor"].c.person_id.in_(ids)),
        )
    )
    unionids = conn.scalars(select(contact.c.unionid).where(contact.c.person_id.in_(ids), contact.c.unionid != ""))
    openids = conn.scalars(select(follower.c.openid).where(follower.c.person_id.in_(ids)))
    found: dict[str, Any] = {
        "external_userids": set(contacts) | known.get("wecom_external_userid", set()),
        "unionids": set(unionids) | known.get("wx_unionid", set()),
        "phone_lookups": known.get("mobile_e164", set()),
        "openids": set(openids) | known.get("wx_openid", set()) | known.get("oa_openid", set()),
        "anonymous_ids": known.get("anonymous_id", set()),
        "order_ids": set(conn.scalars(select(tables["orders"].c.id).where(tables["orders"].c.person_id.in_(ids)))),
        "enrolment_ids": set(
            conn.scalars(select(tables["enrolment"].c.id).where(tables["enrolment"].c.person_id.in_(ids)))
        ),
    }
    return Subject(person_id, ids, **{name: sorted(values) for name, values in found.items()})
