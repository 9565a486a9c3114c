"""Persons with what a list shows of them: contacts, relations, tags, totals."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.contact_ways.models import contact_way
from scrm.profiles.models import external_contact, follow_user, follow_user_tag, member, person, person_stat


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with what a list shows; `contact` is the first external contact, `follows` the relations."""

    person: Row[Any]
    contact: Row[Any] | None
    follows: Sequence[Row[Any]]
    tags: Sequence[str] = ()
    # Of members, by their folded userids.
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str((self.contact.name if self.contact is not None else "") or self.person.name or "未知昵称")

    @property
    def remark(self) -> str:
        return next((str(follow.remark) for follow in self.follows if follow.remark), "")

    @property
    def added_at(self) -> datetime | None:
        return max((follow.followed_at for follow in self.follows), default=None)

    @property
    def owner(self) -> str:
        """负责人, empty where nobody was chosen."""
        userid = str(self.person.owner_userid)
        return self.names.get(userid.lower(), userid)


def list_these(conn: Connection, ids: Sequence[int]) -> list[Customer]:
    """In the order of the ids; five statements."""
    if not ids:
        return []
    stats = [column for column in person_stat.c if column.name != "person_id"]
    persons = {
        row.id: row
        for row in conn.execute(
            select(person, *stats)
            .outerjoin(person_stat, person_stat.c.person_id == person.c.id)
            .where(person.c.id.in_(ids))
        )
    }
    contacts: dict[int, Row[Any]] = {}
    of_persons = external_contact.c.person_id.in_(ids)
    for contact in conn.execute(select(external_contact).where(of_persons).order_by(external_contact.c.created_at)):
        contacts.setdefault(contact.person_id, contact)
    follows: dict[int, list[Row[Any]]] = {}
    for follow in list_follows(conn, ids):
        follows.setdefault(follow.person_id, []).append(follow)
    tags, names = _list_tags(conn, ids), _list_owners(conn, persons.values())
    return [
        Customer(persons[i], contacts.get(i), follows.get(i, ()), tags.get(i, ()), names) for i in ids if i in persons
    ]


def list_follows(conn: Connection, person_ids: Collection[int]) -> list[Row[Any]]:
    """Relations with the member's and the channel's name, living ones first."""
    return list(
        conn.execute(
            select(
                follow_user,
                member.c.name.label("member_name"),
                contact_way.c.title.label("channel_title"),
                contact_way.c.kind.label("channel_kind"),
            )
            .outerjoin(member, member.c.userid == follow_user.c.userid)
            .outerjoin(contact_way, contact_way.c.state == follow_user.c.state)
            .where(follow_user.c.person_id.in_(person_ids))
            .order_by(follow_user.c.ended_by != "", follow_user.c.followed_at)
        )
    )


def _list_tags(conn: Connection, ids: Sequence[int]) -> dict[int, list[str]]:
    """By person: what the living relations carry, each once."""
    worn = (
        select(follow_user.c.person_id, follow_user_tag.c.tag_name)
        .join(
            follow_user_tag,
            (follow_user_tag.c.userid == follow_user.c.userid)
            & (follow_user_tag.c.external_userid == follow_user.c.external_userid),
        )
        .where(follow_user.c.person_id.in_(ids), follow_user.c.ended_by == "")
        .distinct()
        .order_by(follow_user.c.person_id, follow_user_tag.c.tag_name)
    )
    found: dict[int, list[str]] = {}
    for row in conn.execute(worn):
        found.setdefault(row.person_id, []).append(row.tag_name)
    return found


def _list_owners(conn: Connection, persons: Collection[Row[Any]]) -> dict[str, str]:
    owners = sorted({str(row.owner_userid).lower() for row in persons if row.owner_userid})
    if not owners:
        return {}
    named = select(member.c.folded, member.c.name).where(member.c.folded.in_(owners))
    return {row.folded: row.name for row in conn.execute(named) if row.name}
