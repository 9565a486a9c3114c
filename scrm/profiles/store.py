"""All SQL about persons, contacts and the members who follow them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, or_, select, update

from scrm.db import insert_for, upsert
from scrm.db.bulk import among, among_given, insert_rows, listed, new_ids
from scrm.db.ready import Ready
from scrm.db.vault import Vault, mask_phone
from scrm.errors import Forbidden
from scrm.profiles.models import (
    corp_tag,
    external_contact,
    follow_user,
    follow_user_tag,
    identity,
    member,
    person,
    person_field,
    person_stat,
    remark_wish,
    tag_wish,
)
from scrm.profiles.own_fields.fields import Change, set_values
from scrm.profiles.own_fields.fields import find_field as find_custom_field
from scrm.profiles.own_fields.values import compared
from web.texts import _

# Contacts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contact:
    """An external contact as far as we know it."""

    external_userid: str
    person_id: int
    name: str
    is_new: bool = False


# A welcome waits for these: statements that are built once run five times as fast as those built for each use.
_FIND_CONTACT = select(external_contact.c.external_userid, external_contact.c.person_id, external_contact.c.name).where(
    external_contact.c.external_userid == bindparam("external_userid")
)
_FIND_FOLLOW_USER = select(follow_user).where(
    func.lower(follow_user.c.userid) == bindparam("folded"), follow_user.c.external_userid == bindparam("contact")
)
_FIND_MEMBER = select(member).where(member.c.folded == bindparam("folded"))


@cache
def _add_identity(dialect: str) -> Any:
    return insert_for(dialect, identity).on_conflict_do_nothing().returning(identity.c.id)


@cache
def _renew_follow_user(dialect: str, is_half: bool, has_state: bool) -> Any:
    """An add that was overtaken by a later deletion or a later add changes nothing: order is not guaranteed."""
    insert = insert_for(dialect, follow_user)
    is_over = follow_user.c.ended_at > insert.excluded.followed_at
    # A deletion that came before every add stands for the add as well, until one comes.
    is_first = follow_user.c.followed_at == follow_user.c.ended_at
    is_newest = or_(is_first, insert.excluded.followed_at >= follow_user.c.followed_at)
    changes: dict[str, Any] = {
        "ended_by": case((is_over, follow_user.c.ended_by), else_=""),
        "ended_at": case((is_over, follow_user.c.ended_at), else_=None),
        "followed_at": case((is_newest, insert.excluded.followed_at), else_=follow_user.c.followed_at),
    }
    # The add that stands decides; of a half and a full one in the same second the full one.
    is_newer = or_(is_first, insert.excluded.followed_at > follow_user.c.followed_at)
    changes["is_half"] = case((is_newer if is_half else is_newest, is_half), else_=follow_user.c.is_half)
    if has_state:
        is_wanted = or_(is_newest, follow_user.c.state == "")
        changes["state"] = case((is_wanted, insert.excluded.state), else_=follow_user.c.state)
    return insert.on_conflict_do_update(index_elements=["userid", "external_userid"], set_=changes)


def find_contact(conn: Connection, external_userid: str) -> Contact | None:
    row = conn.execute(_FIND_CONTACT, {"external_userid": external_userid}).one_or_none()
    return None if row is None else Contact(row.external_userid, row.person_id, row.name)


def ensure_contact(conn: Connection, external_userid: str, *, now: datetime) -> Contact:
    """The contact, made with a person of its own when WeCom names it for the first time."""
    known = find_contact(conn, external_userid)
    return known or _add_contacts(conn, [external_userid], now)[external_userid]


def ensure_contacts(conn: Connection, external_userids: Iterable[str], *, now: datetime) -> dict[str, Contact]:
    """`ensure_contact` for many, in a handful of statements; by external_userid."""
    wanted = sorted(set(external_userids))
    known = _find_contacts(conn, wanted)
    new = [external_userid for external_userid in wanted if external_userid not in known]
    return known | _add_contacts(conn, new, now) if new else known


def _find_contacts(conn: Connection, external_userids: Sequence[str]) -> dict[str, Contact]:
    rows = conn.execute(_contacts_of(conn.dialect.name), {"contacts": listed(conn, external_userids)})
    return {row.external_userid: Contact(row.external_userid, row.person_id, row.name) for row in rows}


@cache
def _contacts_of(dialect: str) -> Any:
    return select(external_contact.c.external_userid, external_contact.c.person_id, external_contact.c.name).where(
        among_given(dialect, external_contact.c.external_userid, "contacts")
    )


def _add_contacts(conn: Connection, external_userids: Sequence[str], now: datetime) -> dict[str, Contact]:
    persons = dict(zip(external_userids, new_ids(conn, person, len(external_userids)), strict=True))
    insert_rows(conn, person, [{"id": person_id, "created_at": now} for person_id in persons.values()])
    contacts = [
        {"external_userid": external_userid, "person_id": person_id, "created_at": now}
        for external_userid, person_id in persons.items()
    ]
    insert_rows(conn, external_contact, contacts, skip_known=True)
    made = _find_contacts(conn, external_userids)
    unused = [person_id for name, person_id in persons.items() if made[name].person_id != person_id]
    if unused:  # another process was faster
        conn.execute(delete(person).where(person.c.id.in_(unused)))
    added = {name: replace(made[name], is_new=True) for name in persons if made[name].person_id == persons[name]}
    identities = [
        {
            "person_id": contact.person_id,
            "kind": "wecom_external_userid",
            "value": name,
            "source": "auto",
            "created_at": now,
        }
        for name, contact in added.items()
    ]
    insert_rows(conn, identity, identities, skip_known=True)
    return made | added


@dataclass(frozen=True, slots=True)
class Relation:
    """A member following a contact, as the event of an add tells it."""

    userid: str
    external_userid: str
    person_id: int
    state: str
    is_half: bool
    followed_at: datetime


def ensure_follow_users(conn: Connection, relations: Iterable[Relation]) -> None:
    """The relations live (again); what WeCom tells in detail comes with `save_follow_users`.

    A full add after a half one confirms it; a half add never turns a full relation back.
    """
    kinds: dict[tuple[bool, bool], list[dict[str, Any]]] = {}
    for relation in sorted(relations, key=lambda one: (one.external_userid, one.userid, one.followed_at)):
        kinds.setdefault((relation.is_half, bool(relation.state)), []).append(asdict(relation))
    for (is_half, has_state), rows in sorted(kinds.items()):
        conn.execute(_renew_follow_user(conn.dialect.name, is_half, has_state), rows)


def end_follow_user(
    conn: Connection, userid: str, external_userid: str, person_id: int, *, ended_by: str, ended_at: datetime
) -> None:
    """Mark the relation as ended by 'customer' or 'member'; also one whose add has not come yet.

    Whatever order they come in, the latest deletion stands; of two in one second the member's.
    """
    relation = {"userid": userid, "external_userid": external_userid, "person_id": person_id, "followed_at": ended_at}
    over = {"ended_by": ended_by, "ended_at": ended_at}
    conn.execute(_end_relation(conn.dialect.name, ended_by == "member"), {**relation, **over})


@cache
def _end_relation(dialect: str, is_by_member: bool) -> Any:
    insert = insert_for(dialect, follow_user)
    told, known = insert.excluded, follow_user.c
    is_later = or_(known.ended_by == "", known.ended_at < told.ended_at)
    if is_by_member:  # one-way relations (the customer deleted the member) can still be deleted by the member
        is_later = or_(is_later, and_(known.ended_by == "customer", known.ended_at == told.ended_at))
    return insert.on_conflict_do_update(
        index_elements=["userid", "external_userid"],
        set_={"ended_by": told.ended_by, "ended_at": told.ended_at},
        where=is_later,
    )


def find_refreshed_at(conn: Connection, external_userid: str) -> datetime | None:
    """When WeCom was last asked about the contact; None when it never was."""
    row = conn.execute(_FIND_REFRESHED_AT, {"external_userid": external_userid}).one_or_none()
    return None if row is None else row.refreshed_at


_FIND_REFRESHED_AT = select(external_contact.c.refreshed_at).where(
    external_contact.c.external_userid == bindparam("external_userid")
)


def find_follow_user(conn: Connection, userid: str, external_userid: str) -> Row[Any] | None:
    """The relation, however the userid is spelt: WeCom does not tell apart upper and lower case."""
    return conn.execute(_FIND_FOLLOW_USER, {"folded": userid.lower(), "contact": external_userid}).one_or_none()


@dataclass(frozen=True, slots=True)
class Standing:
    """How a relation stands: the userid as it is spelt here, and whether it lives but waits for the member's yes."""

    userid: str
    is_half: bool


def find_standings(conn: Connection, external_userids: Collection[str]) -> dict[tuple[str, str], Standing]:
    """Every relation of these contacts, by the folded userid and the external_userid."""
    rows = conn.execute(_standings_of(conn.dialect.name), {"contacts": listed(conn, external_userids)})
    return {
        (row.userid.lower(), row.external_userid): Standing(row.userid, row.is_half and not row.ended_by)
        for row in rows
    }


@cache
def _standings_of(dialect: str) -> Any:
    columns = (follow_user.c.userid, follow_user.c.external_userid, follow_user.c.is_half, follow_user.c.ended_by)
    return select(*columns).where(among_given(dialect, follow_user.c.external_userid, "contacts"))


def access_contact(conn: Connection, userid: str, external_userid: str) -> Any:
    """The one door through which a member's page reaches a contact: only a member who follows it may.

    The row is the relation joined with the contact and the person; raises Forbidden otherwise.
    """
    rows = _ACCESS.rows(conn, {"folded": userid.lower(), "contact": external_userid})
    if not rows:
        raise Forbidden(_("这位客户不在你的跟进列表里。只有添加了该客户的员工才能查看，如刚添加请稍候再试。"))
    return rows[0]


_ACCESS = Ready(
    lambda _dialect: (
        select(
            follow_user,
            external_contact.c.name.label("contact_name"),
            external_contact.c.avatar,
            external_contact.c.type,
            external_contact.c.gender,
            external_contact.c.corp_name,
            person.c.stage,
            person.c.optout,
            # How many wishes about this relation's tags WeCom has not been told, or has refused.
            select(func.count())
            .where(
                tag_wish.c.userid == follow_user.c.userid, tag_wish.c.external_userid == follow_user.c.external_userid
            )
            .scalar_subquery()
            .label("tag_wishes"),
            # Whether words about it wait for WeCom, or were refused.
            select(func.count())
            .where(
                remark_wish.c.userid == follow_user.c.userid,
                remark_wish.c.external_userid == follow_user.c.external_userid,
            )
            .scalar_subquery()
            .label("remark_wishes"),
        )
        .join(external_contact, external_contact.c.external_userid == follow_user.c.external_userid)
        .join(person, person.c.id == follow_user.c.person_id)
        .where(
            func.lower(follow_user.c.userid) == bindparam("folded"),
            follow_user.c.external_userid == bindparam("contact"),
            follow_user.c.ended_by != "member",
        )
    )
)


@dataclass(frozen=True, slots=True)
class Details:
    """What `externalcontact/get` said (doc 92114)."""

    external_contact: dict[str, Any]
    follow_users: Sequence[dict[str, Any]]


def save_contact(conn: Connection, details: Details, *, vault: Vault, now: datetime) -> list[str]:
    """Write what WeCom says about a contact, its follow users and their tags; an unchanged row is left alone.

    Returns the phone numbers the members noted, normalised, that now belong to the person.
    """
    from scrm.profiles.phones import normalise_phone

    told = details.external_contact
    contact = ensure_contact(conn, told["external_userid"], now=now)
    values = {
        "name": str(told.get("name", ""))[:120],
        "avatar": str(told.get("avatar", ""))[:512],
        "type": int(told.get("type") or 0),
        "gender": int(told.get("gender") or 0),
        "corp_name": str(told.get("corp_name", ""))[:120],
        "refreshed_at": now,
    }
    if told.get("unionid"):
        values["unionid"] = told["unionid"]
    conn.execute(
        update(external_contact).where(external_contact.c.external_userid == contact.external_userid).values(**values)
    )
    # A name that came from WeCom follows WeCom; one that somebody gave stays.
    followed = person.c.name.in_(["", contact.name])
    conn.execute(update(person).where(person.c.id == contact.person_id, followed).values(name=values["name"]))
    if told.get("unionid"):
        add_identity(conn, contact.person_id, "wx_unionid", told["unionid"], source="auto", now=now)
    for follow in details.follow_users:
        _save_follow_user(conn, contact, follow, now=now)
    phones = []
    for noted in {number for follow in details.follow_users for number in follow.get("remark_mobiles") or []}:
        phone = normalise_phone(noted)
        if phone and add_phone(conn, contact.person_id, phone, vault=vault, source="remark", now=now):
            phones.append(phone)
    return phones


def _save_follow_user(conn: Connection, contact: Contact, follow: dict[str, Any], *, now: datetime) -> None:
    userid = follow["userid"]
    values: dict[str, Any] = {
        "remark": str(follow.get("remark", ""))[:120],
        "description": str(follow.get("description", ""))[:400],
        "remark_company": str(follow.get("remark_corp_name", ""))[:80],
        "add_way": int(follow.get("add_way") or 0),
        "oper_userid": str(follow.get("oper_userid", ""))[:64],
        "ended_by": "",
        "ended_at": None,
    }
    if follow.get("state"):
        values["state"] = str(follow["state"])[:64]
    if follow.get("createtime"):
        values["followed_at"] = datetime.fromtimestamp(int(follow["createtime"]), UTC)
    insert = upsert(follow_user, conn).values(
        **{
            "userid": userid,
            "external_userid": contact.external_userid,
            "person_id": contact.person_id,
            "followed_at": now,
            **values,
        }
    )
    # A customer who deleted the member is still in the member's list: only a new add makes the relation whole again.
    kept = {key: value for key, value in values.items() if key not in ("ended_by", "ended_at")}
    conn.execute(insert.on_conflict_do_update(index_elements=["userid", "external_userid"], set_=kept))
    _save_tags(conn, userid, contact.external_userid, follow.get("tags") or [])


def note_archiving_agreed(conn: Connection, userid: str, external_userid: str, at: datetime) -> None:
    """The first consent stands, however often and in whatever order it is told."""
    mine = and_(
        follow_user.c.external_userid == external_userid,
        func.lower(follow_user.c.userid) == userid.lower(),
        or_(follow_user.c.archive_agreed_at.is_(None), follow_user.c.archive_agreed_at > at),
    )
    conn.execute(update(follow_user).where(mine).values(archive_agreed_at=at))


def _save_tags(conn: Connection, userid: str, external_userid: str, tags: Iterable[dict[str, Any]]) -> None:
    pair = and_(follow_user_tag.c.userid == userid, follow_user_tag.c.external_userid == external_userid)
    told: dict[str, dict[str, Any]] = {}
    for tag in tags:
        # Personal tags have no id: their name stands for it.
        tag_id = tag.get("tag_id") or f"personal:{tag.get('tag_name', '')}"
        told[tag_id[:80]] = {
            "userid": userid,
            "external_userid": external_userid,
            "tag_id": tag_id[:80],
            "group_name": str(tag.get("group_name", ""))[:80],
            "tag_name": str(tag.get("tag_name", ""))[:80],
            "type": int(tag.get("type") or 1),
        }
    _as_in_library(conn, told)
    known = set(conn.scalars(select(follow_user_tag.c.tag_id).where(pair)))
    if gone := known - told.keys():
        conn.execute(delete(follow_user_tag).where(pair, follow_user_tag.c.tag_id.in_(gone)))
    if new := [row for tag_id, row in told.items() if tag_id not in known]:
        conn.execute(upsert(follow_user_tag, conn).on_conflict_do_nothing(), new)


def _as_in_library(conn: Connection, told: dict[str, dict[str, Any]]) -> None:
    """Corp tags are called as the library calls them: an answer may be older than a renaming or a deletion."""
    of_corp = [tag_id for tag_id, row in told.items() if row["type"] == 1]
    if not of_corp:
        return
    kept = {row.tag_id: row for row in conn.execute(select(corp_tag).where(corp_tag.c.tag_id.in_(of_corp)))}
    for tag_id in of_corp:
        if tag_id not in kept:
            remember_tag(conn, tag_id, told[tag_id]["tag_name"], told[tag_id]["group_name"])
        elif kept[tag_id].is_deleted:
            del told[tag_id]
        else:
            told[tag_id] |= {"tag_name": kept[tag_id].tag_name, "group_name": kept[tag_id].group_name}


def remember_tag(conn: Connection, tag_id: str, tag_name: str, group_name: str, group_id: str = "") -> None:
    """A tag that the library lacks; one that it has stays as it is."""
    insert = upsert(corp_tag, conn).values(tag_id=tag_id, tag_name=tag_name, group_name=group_name, group_id=group_id)
    conn.execute(insert.on_conflict_do_nothing(index_elements=["tag_id"]))


# Identities -----------------------------------------------------------------------------------------------------------


def add_identity(
    conn: Connection,
    person_id: int,
    kind: str,
    value: str,
    *,
    source: str,
    now: datetime,
    sealed: str = "",
    mask: str = "",
) -> bool:
    """False when the value belongs to somebody already: a value has one owner, and nothing is taken away here."""
    row = {
        "person_id": person_id,
        "kind": kind,
        "value": value,
        "sealed": sealed,
        "mask": mask,
        "source": source,
        "created_at": now,
    }
    added = conn.execute(_add_identity(conn.dialect.name), row)
    return added.scalar_one_or_none() is not None


def add_phone(conn: Connection, person_id: int, phone: str, *, vault: Vault, source: str, now: datetime) -> bool:
    """`phone` is +86...; kept sealed, found by its keyed hash, shown masked. True when it is the person's now."""
    lookup = vault.lookup(phone)
    add_identity(
        conn,
        person_id,
        "mobile_e164",
        lookup,
        source=source,
        now=now,
        sealed=vault.seal(phone),
        mask=mask_phone(phone),
    )
    return find_person_by_identity(conn, "mobile_e164", lookup) == person_id


def find_person_by_identity(conn: Connection, kind: str, value: str) -> int | None:
    return conn.execute(
        select(identity.c.person_id).where(identity.c.kind == kind, identity.c.scope == "", identity.c.value == value)
    ).scalar_one_or_none()


def list_identities(conn: Connection, person_id: int) -> list[Row[Any]]:
    """Without clear private values: `mask` is what may be shown."""
    return list(
        conn.execute(
            select(
                identity.c.kind,
                identity.c.value,
                identity.c.mask,
                identity.c.source,
                identity.c.confidence,
                identity.c.created_at,
            )
            .where(identity.c.person_id == person_id)
            .order_by(identity.c.id)
        )
    )


# Persons --------------------------------------------------------------------------------------------------------------


def set_stage(conn: Connection, person_id: int, stage: str) -> None:
    conn.execute(update(person).where(person.c.id == person_id).values(stage=stage[:40]))


def set_field(conn: Connection, person_id: int, key: str, value: object, *, source: str, now: datetime) -> None:
    """A field of the shop's own, as its definition says (raises Invalid, Conflict); undefined ones hold anything."""
    if find_custom_field(conn, "person", key) is not None:
        set_values(conn, "person", (person_id,), {key: value}, Change(source, "", now))
        return
    text, number = compared(None, value)
    values = {"value": value, "text_value": text, "number_value": number, "source": source, "changed_at": now}
    conn.execute(
        upsert(person_field, conn)
        .values(person_id=person_id, key=key, **values)
        .on_conflict_do_update(index_elements=["person_id", "key"], set_=values)
    )


def get_person(conn: Connection, person_id: int) -> Row[Any] | None:
    """The person with its totals; the stat columns are None before the first order."""
    return conn.execute(
        select(person, *(column for column in person_stat.c if column.name != "person_id"))
        .outerjoin(person_stat, person_stat.c.person_id == person.c.id)
        .where(person.c.id == person_id)
    ).one_or_none()


def list_follow_users(conn: Connection, person_id: int) -> list[Row[Any]]:
    """All relations of a person, the oldest first, with the member's name."""
    return list(
        conn.execute(
            select(follow_user, member.c.name.label("member_name"))
            .outerjoin(member, member.c.userid == follow_user.c.userid)
            .where(follow_user.c.person_id == person_id)
            .order_by(follow_user.c.followed_at)
        )
    )


def list_tags(conn: Connection, person_id: int) -> list[Row[Any]]:
    """Tags on any of the person's relations."""
    return list(
        conn.execute(
            select(follow_user_tag)
            .join(
                follow_user,
                and_(
                    follow_user.c.userid == follow_user_tag.c.userid,
                    follow_user.c.external_userid == follow_user_tag.c.external_userid,
                ),
            )
            .where(follow_user.c.person_id == person_id)
            .order_by(follow_user_tag.c.group_name, follow_user_tag.c.tag_name)
        )
    )


# Members --------------------------------------------------------------------------------------------------------------


def save_member(
    conn: Connection,
    userid: str,
    *,
    name: str,
    alias: str = "",
    avatar: str = "",
    is_active: bool = True,
    leaders: Sequence[str] = (),
    leads: Sequence[int] = (),
    now: datetime,
) -> None:
    """What WeCom says of a member; the role is ours and stays."""
    values = {
        "leaders": list(leaders),
        "leads": list(leads),
        "name": name[:80],
        "alias": alias[:80],
        "avatar": avatar[:512],
        "is_active": is_active,
        "refreshed_at": now,
    }
    conn.execute(
        upsert(member, conn)
        .values(userid=userid, folded=userid.lower(), **values)
        .on_conflict_do_update(index_elements=["folded"], set_=values)
    )


def save_member_left(conn: Connection, userid: str, *, left_at: datetime, now: datetime) -> None:
    """The member left the company or the app's visible range; what was asked of WeCom since then stands."""
    conn.execute(
        upsert(member, conn)
        .values(userid=userid, folded=userid.lower(), name="", is_active=False, refreshed_at=now)
        .on_conflict_do_update(
            index_elements=["folded"],
            set_={"is_active": False},
            where=or_(member.c.refreshed_at.is_(None), member.c.refreshed_at <= left_at),
        )
    )


def set_role(conn: Connection, userid: str, role: str) -> None:
    """member, manager or administrator."""
    conn.execute(update(member).where(member.c.folded == userid.lower()).values(role=role))


def find_member(conn: Connection, userid: str) -> Row[Any] | None:
    """By userid, which WeCom does not compare case-sensitively."""
    return conn.execute(_FIND_MEMBER, {"folded": userid.lower()}).one_or_none()


# Names ----------------------------------------------------------------------------------------------------------------


def names_of(conn: Connection, person_ids: Iterable[int]) -> dict[int, str]:
    """What a person is called: by the contact's name, else our own."""
    wanted = sorted(set(person_ids))
    own = conn.execute(select(person.c.id, person.c.name).where(among(conn, person.c.id, wanted)))
    names = {row.id: row.name or "未知昵称" for row in own}
    contacts = select(external_contact.c.person_id, external_contact.c.name)
    contacts = contacts.where(among(conn, external_contact.c.person_id, wanted), external_contact.c.name != "")
    return names | {row.person_id: row.name for row in conn.execute(contacts)}
