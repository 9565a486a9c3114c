"""Compares what WeCom says about many relations with what we keep, and writes only what differs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, select, update

from scrm.db.bulk import among, insert_rows, new_ids
from scrm.db.vault import Vault, mask_phone
from scrm.profiles.models import corp_tag, external_contact, follow_user, follow_user_tag, identity, member, person
from scrm.profiles.phones import normalise_phone
from scrm.wecom.contacts import ExternalContact, FollowInfo, Relation

PERSONAL = 2  # tags that only the member sees; batch/get_by_user leaves them out (doc 92994)
Pair = tuple[str, str]


@dataclass(slots=True)
class Difference:
    """What of one relation is not as WeCom says; `follow` is None when the relation is new to us."""

    relation: Relation
    userid: str
    follow: Row[Any] | None
    values: dict[str, Any] = field(default_factory=dict)
    comes_back: bool = False
    new_tags: set[str] = field(default_factory=set)
    gone_tags: set[str] = field(default_factory=set)
    new_phones: list[str] = field(default_factory=list)
    contact_values: dict[str, Any] = field(default_factory=dict)
    is_new_contact: bool = False

    def __bool__(self) -> bool:
        return (
            self.is_added
            or self.is_new_contact
            or any((self.values, self.new_tags, self.gone_tags, self.new_phones, self.contact_values))
        )

    @property
    def is_added(self) -> bool:
        """We did not know that this relation lives."""
        return self.follow is None or self.comes_back


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it: persons by external_userid, and the phones and unionids that are theirs since now."""

    differences: Sequence[Difference]
    persons: Mapping[str, int]
    unionids: Mapping[str, int]
    phones: Mapping[str, int]  # by keyed hash


@dataclass(frozen=True, slots=True)
class _Kept:
    contacts: Mapping[str, Row[Any]]
    follows: Mapping[Pair, Row[Any]]
    tags: Mapping[Pair, set[str]]
    phones: set[str]


def differences(conn: Connection, relations: Sequence[Relation], vault: Vault) -> list[Difference]:
    """The relations that are not as WeCom says; an unchanged one is not among them."""
    kept = _load(conn, relations, vault)
    return [found for found in (_compare(relation, kept, vault) for relation in relations) if found]


def write(conn: Connection, relations: Sequence[Relation], *, vault: Vault, now: datetime) -> Written:
    """Make ours what WeCom says: compared again in this transaction, for a callback may have been faster."""
    found = differences(conn, relations, vault)
    persons = _write_contacts(conn, found, now)
    _write_follows(conn, found, persons, now)
    _write_tags(conn, found)
    return Written(
        found, persons, _write_unionids(conn, found, persons, now), _write_phones(conn, found, persons, vault, now)
    )


# Comparing ------------------------------------------------------------------------------------------------------------


def _load(conn: Connection, relations: Sequence[Relation], vault: Vault) -> _Kept:
    ids = list({relation.external_contact.external_userid for relation in relations})
    contacts = conn.execute(select(external_contact).where(among(conn, external_contact.c.external_userid, ids)))
    follows = conn.execute(select(follow_user).where(among(conn, follow_user.c.external_userid, ids)))
    tags: dict[Pair, set[str]] = {}
    for row in conn.execute(
        select(follow_user_tag.c.userid, follow_user_tag.c.external_userid, follow_user_tag.c.tag_id).where(
            among(conn, follow_user_tag.c.external_userid, ids), follow_user_tag.c.type != PERSONAL
        )
    ):
        tags.setdefault((row.userid, row.external_userid), set()).add(row.tag_id)
    lookups = {vault.lookup(phone) for relation in relations for phone in _phones(relation.follow_info)}
    return _Kept(
        {row.external_userid: row for row in contacts},
        {(row.userid.lower(), row.external_userid): row for row in follows},
        tags,
        set(_owned(conn, "mobile_e164", lookups)),
    )


def _owned(conn: Connection, kind: str, values: Iterable[str]) -> dict[str, int]:
    """Whose these identities are."""
    wanted = list(values)
    if not wanted:
        return {}
    asked = select(identity.c.value, identity.c.person_id).where(
        identity.c.kind == kind, identity.c.scope == "", among(conn, identity.c.value, wanted)
    )
    return {row.value: row.person_id for row in conn.execute(asked)}


def _phones(told: FollowInfo) -> list[str]:
    return [phone for phone in map(normalise_phone, told.remark_mobiles) if phone]


def _compare(relation: Relation, kept: _Kept, vault: Vault) -> Difference:
    contact, told = relation.external_contact, relation.follow_info
    follow = kept.follows.get((told.userid.lower(), contact.external_userid))
    found = Difference(relation, follow.userid if follow is not None else told.userid, follow)
    _compare_contact(found, kept.contacts.get(contact.external_userid))
    if follow is not None:
        found.comes_back = bool(follow.ended_by) and created_at(told) > follow.ended_at
        if follow.ended_by == "member" and not found.comes_back:
            return Difference(relation, found.userid, follow)  # a page from before the deletion we know of
        found.values = _changes(follow, _follow_values(told))
    tags = kept.tags.get((found.userid, contact.external_userid), set())
    said = {tag_id[:80] for tag_id in told.tag_id if tag_id}
    found.new_tags, found.gone_tags = said - tags, tags - said
    found.new_phones = [phone for phone in _phones(told) if vault.lookup(phone) not in kept.phones]
    return found


def _compare_contact(found: Difference, row: Row[Any] | None) -> None:
    values = _contact_values(found.relation.external_contact)
    found.is_new_contact = row is None
    found.contact_values = values if row is None else _changes(row, values)


def _changes(row: Row[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if getattr(row, name) != value}


def _contact_values(told: ExternalContact) -> dict[str, Any]:
    values = {
        "name": told.name[:120],
        "avatar": told.avatar[:512],
        "type": told.type,
        "gender": told.gender,
        "corp_name": told.corp_name[:120],
    }
    return values | ({"unionid": told.unionid[:64]} if told.unionid else {})


def _follow_values(told: FollowInfo) -> dict[str, Any]:
    values: dict[str, Any] = {
        "remark": told.remark[:120],
        "description": told.description[:400],
        "remark_company": told.remark_corp_name[:80],
        "add_way": told.add_way,
        "oper_userid": told.oper_userid[:64],
    }
    if told.state:
        values["state"] = told.state[:64]
    if told.createtime:
        values["followed_at"] = created_at(told)
    return values


def created_at(told: FollowInfo) -> datetime:
    """When the relation began, by WeCom's clock."""
    return datetime.fromtimestamp(told.createtime, UTC)


# Writing --------------------------------------------------------------------------------------------------------------


def _write_contacts(conn: Connection, found: Sequence[Difference], now: datetime) -> dict[str, int]:
    """The person behind each contact; those we did not know get one of their own."""
    new = {one.relation.external_contact.external_userid: one for one in found if one.is_new_contact}
    _add_contacts(conn, list(new.values()), now)
    for one in found:
        if one.contact_values and not one.is_new_contact:
            _change_contact(conn, one, now)
    ids = [one.relation.external_contact.external_userid for one in found]
    rows = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.person_id).where(
            among(conn, external_contact.c.external_userid, ids)
        )
    )
    return {row.external_userid: row.person_id for row in rows}


def _add_contacts(conn: Connection, new: Sequence[Difference], now: datetime) -> None:
    if not new:
        return
    told = [one.relation.external_contact for one in new]
    ids = list(new_ids(conn, person, len(new)))
    insert_rows(
        conn,
        person,
        [{"id": id_, "name": one.name[:120], "created_at": now} for id_, one in zip(ids, told, strict=True)],
    )
    rows = [
        {"unionid": "", **_contact_values(one), "external_userid": one.external_userid, "person_id": id_}
        | {"created_at": now, "refreshed_at": now}
        for id_, one in zip(ids, told, strict=True)
    ]
    insert_rows(conn, external_contact, rows, skip_known=True)
    taken = set(
        conn.scalars(select(external_contact.c.person_id).where(among(conn, external_contact.c.person_id, ids)))
    )
    if late := [id_ for id_ in ids if id_ not in taken]:  # another process was faster
        conn.execute(delete(person).where(among(conn, person.c.id, late)))
    _add_identities(
        conn, {row["external_userid"]: row["person_id"] for row in rows if row["person_id"] in taken},
        "wecom_external_userid", "auto", now,
    )  # fmt: skip


def _change_contact(conn: Connection, one: Difference, now: datetime) -> None:
    external_userid, values = one.relation.external_contact.external_userid, one.contact_values
    if "name" in values:
        # A name that came from WeCom follows WeCom; one that somebody gave stays.
        before = select(external_contact.c.person_id, external_contact.c.name).where(
            external_contact.c.external_userid == external_userid
        )
        row = conn.execute(before).one()
        followed = person.c.name.in_(["", row.name])
        conn.execute(update(person).where(person.c.id == row.person_id, followed).values(name=values["name"]))
    conn.execute(
        update(external_contact)
        .where(external_contact.c.external_userid == external_userid)
        .values(**values, refreshed_at=now)
    )


def _write_follows(conn: Connection, found: Sequence[Difference], persons: Mapping[str, int], now: datetime) -> None:
    rows = [
        {"state": "", "followed_at": now, **_follow_values(one.relation.follow_info)}
        | {"userid": one.userid, "external_userid": one.relation.external_contact.external_userid}
        | {"person_id": persons[one.relation.external_contact.external_userid]}
        for one in found
        if one.follow is None
    ]
    insert_rows(conn, follow_user, rows, skip_known=True)
    for one in found:
        if one.follow is None or not (one.values or one.comes_back):
            continue
        alive = {"ended_by": "", "ended_at": None, "is_half": False} if one.comes_back else {}
        conn.execute(
            update(follow_user)
            .where(
                follow_user.c.userid == one.userid,
                follow_user.c.external_userid == one.relation.external_contact.external_userid,
            )
            .values(**one.values, **alive)
        )


def _write_tags(conn: Connection, found: Sequence[Difference]) -> None:
    for one in found:
        if one.gone_tags:
            pair = and_(
                follow_user_tag.c.userid == one.userid,
                follow_user_tag.c.external_userid == one.relation.external_contact.external_userid,
            )
            conn.execute(delete(follow_user_tag).where(pair, follow_user_tag.c.tag_id.in_(one.gone_tags)))
    wanted = {tag_id for one in found for tag_id in one.new_tags}
    if not wanted:
        return
    library = {row.tag_id: row for row in conn.execute(select(corp_tag).where(among(conn, corp_tag.c.tag_id, wanted)))}
    rows = [
        {
            "userid": one.userid,
            "external_userid": one.relation.external_contact.external_userid,
            "tag_id": tag_id,
            "group_name": library[tag_id].group_name if tag_id in library else "",
            "tag_name": library[tag_id].tag_name if tag_id in library else "",
            "type": 3 if tag_id.startswith("st") else 1,
        }
        for one in found
        for tag_id in sorted(one.new_tags)
    ]
    insert_rows(conn, follow_user_tag, rows, skip_known=True)


def _write_unionids(
    conn: Connection, found: Sequence[Difference], persons: Mapping[str, int], now: datetime
) -> dict[str, int]:
    told = {
        one.contact_values["unionid"]: persons[one.relation.external_contact.external_userid]
        for one in found
        if one.contact_values.get("unionid")
    }
    _add_identities(conn, told, "wx_unionid", "auto", now)
    return told


def _write_phones(
    conn: Connection, found: Sequence[Difference], persons: Mapping[str, int], vault: Vault, now: datetime
) -> dict[str, int]:
    """Numbers that members noted, by their keyed hash, where they are this person's now."""
    noted = {
        vault.lookup(phone): (phone, persons[one.relation.external_contact.external_userid])
        for one in found
        for phone in one.new_phones
    }
    rows = [
        _identity("mobile_e164", lookup, person_id, "remark", now)
        | {"sealed": vault.seal(phone), "mask": mask_phone(phone)}
        for lookup, (phone, person_id) in noted.items()
    ]
    insert_rows(conn, identity, rows, skip_known=True)
    owners = _owned(conn, "mobile_e164", noted)
    return {lookup: owner for lookup, owner in owners.items() if noted[lookup][1] == owner}


def _add_identities(conn: Connection, values: Mapping[str, int], kind: str, source: str, now: datetime) -> None:
    rows = [_identity(kind, value, person_id, source, now) for value, person_id in values.items()]
    insert_rows(conn, identity, rows, skip_known=True)


def _identity(kind: str, value: str, person_id: int, source: str, now: datetime) -> dict[str, Any]:
    return {
        "person_id": person_id,
        "kind": kind,
        "scope": "",
        "value": value,
        "source": source,
        "created_at": now,
    }


# What WeCom does not list any more ------------------------------------------------------------------------------------


def living_of_member(conn: Connection, userid: str) -> dict[str, Row[Any]]:
    """The member's relations that a list of WeCom's must name, by external_userid: not those half added."""
    living: Select[Any] = select(
        follow_user.c.userid, follow_user.c.external_userid, follow_user.c.person_id, follow_user.c.followed_at
    )
    mine = among(conn, follow_user.c.userid, _spellings(conn, [userid]))
    rows = conn.execute(living.where(mine, follow_user.c.ended_by != "member", follow_user.c.is_half.is_(False)))
    return {row.external_userid: row for row in rows}


def count_living(conn: Connection, userids: Iterable[str]) -> int:
    """How many relations of these members we keep that are not over."""
    living = select(func.count()).select_from(follow_user).where(follow_user.c.ended_by != "member")
    return int(conn.execute(living.where(among(conn, follow_user.c.userid, _spellings(conn, userids)))).scalar_one())


def _spellings(conn: Connection, userids: Iterable[str]) -> set[str]:
    """As WeCom spells them here, and as we keep them: it does not tell apart upper and lower case."""
    told = set(userids)
    folded = {userid.lower() for userid in told}
    return told | set(conn.scalars(select(member.c.userid).where(among(conn, member.c.folded, folded))))
