"""All SQL about customer groups, the people in them and their history."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.group_chats.models import (
    group_chat,
    group_chat_change,
    group_chat_hint,
    group_chat_member,
    group_chat_tag,
    group_join_code,
    group_join_slot,
    group_welcome,
)
from scrm.profiles.models import external_contact, identity, member

CUSTOMER = 2
# The event and the member list need not give a join the same second.
SAME_JOIN = timedelta(seconds=10)
PAGE = 50
MOST_TAGS = 20

# State ----------------------------------------------------------------------------------------------------------------


def find_group(conn: Connection, chat_id: str) -> Row[Any] | None:
    return conn.execute(select(group_chat).where(group_chat.c.chat_id == chat_id)).one_or_none()


def ensure_group(conn: Connection, chat_id: str, *, created_at: datetime) -> bool:
    """True when the group is new to us."""
    added = conn.execute(
        upsert(group_chat, conn)
        .values(chat_id=chat_id, created_at=created_at)
        .on_conflict_do_nothing(index_elements=["chat_id"])
        .returning(group_chat.c.id)
    )
    return added.scalar_one_or_none() is not None


def set_group(conn: Connection, chat_id: str, values: Mapping[str, Any]) -> None:
    conn.execute(update(group_chat).where(group_chat.c.chat_id == chat_id).values(**values))


def list_members(conn: Connection, chat_id: str) -> list[Row[Any]]:
    """Everybody in the group, those who came first ahead."""
    query = select(group_chat_member).where(group_chat_member.c.chat_id == chat_id)
    return list(conn.execute(query.order_by(group_chat_member.c.joined_at, group_chat_member.c.userid)))


def remove_members(conn: Connection, chat_id: str, userids: Collection[str]) -> None:
    conn.execute(
        delete(group_chat_member).where(
            group_chat_member.c.chat_id == chat_id, among(conn, group_chat_member.c.userid, userids)
        )
    )


def add_members(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(conn, group_chat_member, rows)


def add_changes(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """The history keeps each join and each leave once."""
    insert_rows(conn, group_chat_change, rows, skip_known=True)


def take_hint(
    conn: Connection, chat_id: str, userid: str, kind: str, *, at: datetime, scene: int, member_type: int, now: datetime
) -> None:
    """What an event said of a join or a leave goes into the history, unless a fetch has put it there.

    A leave that a fetch noticed gets the moment and the manner that the event knows.
    """
    change = group_chat_change
    same = and_(change.c.chat_id == chat_id, change.c.userid == userid, change.c.kind == kind)
    found = conn.execute(select(change.c.id).where(same, change.c.at == at)).scalar_one_or_none()
    values: dict[str, Any] = {"is_told": True}
    if found is None:
        untold = select(change.c.id).where(same, change.c.is_told.is_(False)).order_by(change.c.at).limit(1)
        if kind == "left":
            untold = untold.where(change.c.noticed_at >= at)
            values |= {"at": at, "scene": scene}
        else:
            untold = untold.where(change.c.at >= at - SAME_JOIN, change.c.at <= at + SAME_JOIN)
        found = conn.execute(untold).scalar_one_or_none()
    if found is not None:
        conn.execute(update(change).where(change.c.id == found).values(**values))
        return
    if kind == "joined":
        scene = {0: 1, 3: 3}.get(scene, -1)  # the event counts otherwise than groupchat/get
    row = {"chat_id": chat_id, "userid": userid, "type": member_type, "kind": kind, "at": at, "scene": scene}
    add_changes(conn, [{**row, "is_told": True, "noticed_at": now}])


def list_hints(conn: Connection, chat_id: str) -> list[Row[Any]]:
    query = select(group_chat_hint).where(group_chat_hint.c.chat_id == chat_id)
    return list(conn.execute(query.order_by(group_chat_hint.c.at, group_chat_hint.c.id)))


def add_hints(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(conn, group_chat_hint, rows)


def drop_hints(conn: Connection, ids: Collection[int]) -> None:
    if ids:
        conn.execute(delete(group_chat_hint).where(among(conn, group_chat_hint.c.id, ids)))


def list_living(conn: Connection) -> list[Row[Any]]:
    """`chat_id` and `owner` of every group that was not dismissed."""
    query = select(group_chat.c.chat_id, group_chat.c.owner).where(group_chat.c.dismissed_at.is_(None))
    return list(conn.execute(query.order_by(group_chat.c.id)))


def persons_of(conn: Connection, people: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Person ids by external_userid of those we know, by that id or else by their unionid: (userid, unionid)."""
    unionids = dict(people)
    known = conn.execute(
        select(external_contact.c.external_userid, external_contact.c.person_id).where(
            among(conn, external_contact.c.external_userid, list(unionids))
        )
    )
    found = {row.external_userid: int(row.person_id) for row in known}
    strangers = {unionid: userid for userid, unionid in unionids.items() if unionid and userid not in found}
    if strangers:
        owners = conn.execute(
            select(identity.c.value, identity.c.person_id).where(
                identity.c.kind == "wx_unionid",
                identity.c.scope == "",
                among(conn, identity.c.value, list(strangers)),
            )
        )
        found |= {strangers[row.value]: int(row.person_id) for row in owners}
    return found


# Lists ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows and the key to go on from; `is_cut` is for the pages' common part."""

    rows: Sequence[Any]
    before: int | None = None
    is_cut: bool = False


def list_groups(
    conn: Connection,
    *,
    text: str = "",
    tag: str = "",
    owner: str = "",
    is_dismissed: bool | None = None,
    before: int | None = None,
    limit: int = PAGE,
) -> Found:
    """The newest first, with the owner's name; `text` is part of a name or of the owner's name, or a whole chat_id."""
    query = (
        select(group_chat, member.c.name.label("owner_name"))
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .order_by(group_chat.c.id.desc())
    )
    if text:
        query = query.where(
            or_(
                group_chat.c.name.contains(text, autoescape=True),
                member.c.name.contains(text, autoescape=True),
                group_chat.c.chat_id == text,
            )
        )
    if owner:
        query = query.where(func.lower(group_chat.c.owner) == owner.lower())
    if tag:
        tagged = select(group_chat_tag.c.chat_id).where(group_chat_tag.c.name == tag)
        query = query.where(group_chat.c.chat_id.in_(tagged))
    if is_dismissed is not None:
        query = query.where(group_chat.c.dismissed_at.is_not(None) if is_dismissed else _IS_LIVING)
    if before is not None:
        query = query.where(group_chat.c.id < before)
    rows = conn.execute(query.limit(limit + 1)).all()
    return Found(rows[:limit], int(rows[limit - 1].id) if len(rows) > limit else None)


_IS_LIVING: ColumnElement[bool] = group_chat.c.dismissed_at.is_(None)


def get_group(conn: Connection, chat_id: str) -> Row[Any] | None:
    """The group with its owner's name."""
    return conn.execute(
        select(group_chat, member.c.name.label("owner_name"))
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(group_chat.c.chat_id == chat_id)
    ).one_or_none()


def count_changes(
    conn: Connection, chat_ids: Collection[str], since: datetime, until: datetime
) -> dict[str, tuple[int, int]]:
    """(joined, left) of customers per group within [since, until)."""
    change = group_chat_change
    rows = conn.execute(
        select(change.c.chat_id, change.c.kind, func.count().label("times"))
        .where(among(conn, change.c.chat_id, chat_ids), change.c.type == CUSTOMER)
        .where(change.c.at >= since, change.c.at < until)
        .group_by(change.c.chat_id, change.c.kind)
    )
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        joined, left = found.get(row.chat_id, (0, 0))
        found[row.chat_id] = (joined + row.times, left) if row.kind == "joined" else (joined, left + row.times)
    return found


def customers_within(conn: Connection, chat_id: str) -> list[Row[Any]]:
    """Members of a group with `person_id`, the contact's name and avatar when we know them, and the member's name."""
    row = group_chat_member
    known = external_contact
    by_unionid = (
        select(identity.c.person_id)
        .where(identity.c.kind == "wx_unionid", identity.c.scope == "", identity.c.value == row.c.unionid)
        .where(row.c.unionid != "")
        .scalar_subquery()
    )
    inviting = member.alias("inviting")
    query = (
        select(
            row,
            func.coalesce(known.c.person_id, by_unionid).label("person_id"),
            known.c.name.label("contact_name"),
            known.c.avatar,
            member.c.name.label("member_name"),
            inviting.c.name.label("invitor_name"),
        )
        .outerjoin(known, known.c.external_userid == row.c.userid)
        .outerjoin(member, and_(row.c.type != CUSTOMER, member.c.folded == func.lower(row.c.userid)))
        .outerjoin(inviting, and_(row.c.invitor != "", inviting.c.folded == func.lower(row.c.invitor)))
        .where(row.c.chat_id == chat_id)
        .order_by(row.c.type, row.c.joined_at.desc(), row.c.userid)
    )
    return list(conn.execute(query))


def list_changes(conn: Connection, chat_id: str, *, limit: int = 30) -> list[Row[Any]]:
    """The newest joins and leaves of a group, with the person behind each when known."""
    change = group_chat_change
    return list(
        conn.execute(
            select(
                change,
                external_contact.c.person_id,
                external_contact.c.name.label("contact_name"),
                member.c.name.label("member_name"),
            )
            .outerjoin(external_contact, external_contact.c.external_userid == change.c.userid)
            .outerjoin(member, and_(change.c.type != CUSTOMER, member.c.folded == func.lower(change.c.userid)))
            .where(change.c.chat_id == chat_id)
            .order_by(change.c.at.desc(), change.c.id.desc())
            .limit(limit)
        )
    )


def list_missed(conn: Connection, *, since: datetime, limit: int = 50) -> list[Row[Any]]:
    """Joins and leaves that no event told us of, the newest first; `at` is when, `noticed_at` when we found it."""
    change = group_chat_change
    return list(
        conn.execute(
            select(change, group_chat.c.name.label("group_name"))
            .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
            .where(change.c.is_told.is_(False), change.c.at >= since)
            .order_by(change.c.at.desc(), change.c.id.desc())
            .limit(limit)
        )
    )


def take_missed(conn: Connection, *, before: datetime, limit: int = 1000) -> list[Row[Any]]:
    """Customers' joins and leaves that happened before then and that no event ever told; each is given once.

    With the group's name and owner, and the person when known.
    """
    change = group_chat_change
    rows = list(
        conn.execute(
            select(change, group_chat.c.name.label("group_name"), group_chat.c.owner, external_contact.c.person_id)
            .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
            .outerjoin(external_contact, external_contact.c.external_userid == change.c.userid)
            .where(literal_column("NOT group_chat_change.is_told"), change.c.is_reported.is_(False))
            .where(change.c.type == CUSTOMER, change.c.at < before)
            .order_by(change.c.at)
            .limit(limit)
        )
    )
    if rows:
        ids = [row.id for row in rows]
        conn.execute(update(change).where(among(conn, change.c.id, ids)).values(is_reported=True))
    return rows


# Tags -----------------------------------------------------------------------------------------------------------------


def list_tags(conn: Connection, chat_ids: Collection[str]) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    query = select(group_chat_tag).where(among(conn, group_chat_tag.c.chat_id, chat_ids))
    for row in conn.execute(query.order_by(group_chat_tag.c.name)):
        tags.setdefault(row.chat_id, []).append(row.name)
    return tags


def list_known_tags(conn: Connection) -> list[tuple[str, int]]:
    """Every tag with the number of its groups, the most used first."""
    groups = func.count().label("groups")
    query = select(group_chat_tag.c.name, groups).group_by(group_chat_tag.c.name)
    return [(row.name, row.groups) for row in conn.execute(query.order_by(groups.desc(), group_chat_tag.c.name))]


def set_tags(conn: Connection, chat_id: str, names: Iterable[str]) -> list[str]:
    """Replace the tags of a group; returns what was kept: trimmed, <= 30 characters each, at most twenty."""
    cleaned = dict.fromkeys(" ".join(name.split())[:30] for name in names)
    kept = [name for name in cleaned if name][:MOST_TAGS]
    conn.execute(delete(group_chat_tag).where(group_chat_tag.c.chat_id == chat_id))
    insert_rows(conn, group_chat_tag, [{"chat_id": chat_id, "name": name} for name in kept])
    return kept


# People in several groups ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InSeveral:
    """A customer who is in more than one living group."""

    userid: str
    name: str
    person_id: int | None
    groups: Sequence[Row[Any]]


def list_duplicates(
    conn: Connection, *, tag: str = "", after: tuple[int, str] | None = None, limit: int = PAGE
) -> tuple[list[InSeveral], tuple[int, str] | None]:
    """Those in the most groups first, and the key to go on from; `tag` looks only at the groups that carry it."""
    times = func.count().label("times")
    row = group_chat_member
    query = _living_members(tag).with_only_columns(row.c.userid, times).group_by(row.c.userid).having(times > 1)
    if after is not None:
        many, userid = after
        query = query.having(or_(times < many, and_(times == many, row.c.userid > userid)))
    found = conn.execute(query.order_by(times.desc(), row.c.userid).limit(limit + 1)).all()
    shown = found[:limit]
    following = (int(shown[-1].times), str(shown[-1].userid)) if len(found) > limit else None
    userids = [one.userid for one in shown]
    details = conn.execute(
        _living_members(tag)
        .with_only_columns(
            row.c.userid,
            row.c.name,
            row.c.unionid,
            row.c.joined_at,
            group_chat.c.chat_id,
            group_chat.c.name.label("group_name"),
            group_chat.c.owner,
            member.c.name.label("owner_name"),
        )
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(among(conn, row.c.userid, userids))
        .order_by(row.c.joined_at, group_chat.c.chat_id)
    ).all()
    persons = persons_of(conn, {one.userid: one.unionid for one in details}.items())
    groups: dict[str, list[Any]] = {}
    for one in details:
        groups.setdefault(one.userid, []).append(one)
    names = {one.userid: one.name for one in details if one.name}
    return [InSeveral(u, names.get(u, ""), persons.get(u), groups.get(u, [])) for u in userids], following


def _living_members(tag: str) -> Select[Any]:
    row = group_chat_member
    query = (
        select(row).join(group_chat, group_chat.c.chat_id == row.c.chat_id).where(row.c.type == CUSTOMER, _IS_LIVING)
    )
    if tag:
        query = query.where(
            group_chat.c.chat_id.in_(select(group_chat_tag.c.chat_id).where(group_chat_tag.c.name == tag))
        )
    return query


@dataclass(frozen=True, slots=True)
class Reach:
    """How many seats customers hold in living groups, and how many customers that really are."""

    groups: int
    seats: int
    customers: int
    in_several: int


def count_reach(conn: Connection) -> Reach:
    row = group_chat_member
    per_customer = (
        _living_members("")
        .with_only_columns(row.c.userid, func.count().label("times"))
        .group_by(row.c.userid)
        .subquery()
    )
    counted = conn.execute(
        select(
            func.coalesce(func.sum(per_customer.c.times), 0).label("seats"),
            func.count().label("customers"),
            func.coalesce(func.sum(case((per_customer.c.times > 1, 1), else_=0)), 0).label("in_several"),
        )
    ).one()
    groups = conn.execute(select(func.count()).select_from(group_chat).where(_IS_LIVING)).scalar_one()
    return Reach(int(groups), int(counted.seats), int(counted.customers), int(counted.in_several))


# Figures --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Day:
    """Joins and leaves of customers on one day of the shop."""

    day: date
    joined: int = 0
    left: int = 0


def count_days(
    conn: Connection, now: datetime, zone: ZoneInfo, *, days: int = 30, chat_id: str = "", state: str = ""
) -> list[Day]:
    """One entry for each of the last `days` days, today at the end; counted from the history."""
    today = now.astimezone(zone).date()
    first = today - timedelta(days=days - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=zone)
    change = group_chat_change
    query = select(change.c.kind, change.c.at).where(change.c.type == CUSTOMER, change.c.at >= since)
    if chat_id:
        query = query.where(change.c.chat_id == chat_id)
    if state:
        query = query.where(change.c.state == state)
    counted: dict[tuple[str, date], int] = {}
    for row in conn.execute(query):
        key = row.kind, row.at.astimezone(zone).date()
        counted[key] = counted.get(key, 0) + 1
    every = [first + timedelta(days=number) for number in range(days)]
    return [Day(day, counted.get(("joined", day), 0), counted.get(("left", day), 0)) for day in every]


@dataclass(frozen=True, slots=True)
class OwnerFigures:
    """An owner's groups and the customers in them, from our own ledger."""

    owner: str
    name: str
    groups: int
    members: int
    customers: int
    joined: int
    left: int


def count_owners(conn: Connection, since: datetime) -> list[OwnerFigures]:
    """Owners of living groups, those with the most customers first; joins and leaves since then."""
    totals = conn.execute(
        select(
            group_chat.c.owner,
            func.max(member.c.name).label("name"),
            func.count().label("groups"),
            func.sum(group_chat.c.members).label("members"),
            func.sum(group_chat.c.customers).label("customers"),
        )
        .outerjoin(member, member.c.folded == func.lower(group_chat.c.owner))
        .where(_IS_LIVING)
        .group_by(group_chat.c.owner)
    ).all()
    change = group_chat_change
    moves = conn.execute(
        select(group_chat.c.owner, change.c.kind, func.count().label("times"))
        .join(group_chat, group_chat.c.chat_id == change.c.chat_id)
        .where(change.c.type == CUSTOMER, change.c.at >= since, _IS_LIVING)
        .group_by(group_chat.c.owner, change.c.kind)
    )
    counted = {(row.owner, row.kind): int(row.times) for row in moves}
    figures = [
        OwnerFigures(
            owner=row.owner,
            name=row.name or row.owner,
            groups=int(row.groups),
            members=int(row.members or 0),
            customers=int(row.customers or 0),
            joined=counted.get((row.owner, "joined"), 0),
            left=counted.get((row.owner, "left"), 0),
        )
        for row in totals
    ]
    return sorted(figures, key=lambda figure: (-figure.customers, figure.owner))


def recount(conn: Connection, chat_id: str) -> tuple[int, int]:
    """(members, customers) counted from the rows; what group_chat says must be equal."""
    row = group_chat_member
    counted = conn.execute(
        select(func.count().label("members"), func.coalesce(func.sum(case((row.c.type == CUSTOMER, 1), else_=0)), 0))
        .select_from(row)
        .where(row.c.chat_id == chat_id)
    ).one()
    return int(counted[0]), int(counted[1])


# Join codes -----------------------------------------------------------------------------------------------------------


def find_code(conn: Connection, state: str) -> Row[Any] | None:
    return conn.execute(select(group_join_code).where(group_join_code.c.state == state)).one_or_none()


def find_code_by_token(conn: Connection, token: str) -> Row[Any] | None:
    return conn.execute(select(group_join_code).where(group_join_code.c.token == token)).one_or_none()


def list_codes(conn: Connection) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(group_join_code).order_by(group_join_code.c.created_at.desc())))


def add_code(conn: Connection, values: Mapping[str, Any]) -> None:
    conn.execute(group_join_code.insert().values(**values))


def set_code(conn: Connection, state: str, values: Mapping[str, Any]) -> None:
    conn.execute(update(group_join_code).where(group_join_code.c.state == state).values(**values))


def drop_code(conn: Connection, state: str) -> None:
    """With its slots; the state stays taken, because customers carry it."""
    conn.execute(delete(group_join_slot).where(group_join_slot.c.state == state))
    conn.execute(delete(group_join_code).where(group_join_code.c.state == state))


def list_slots(conn: Connection, states: Collection[str]) -> list[Row[Any]]:
    """The slots of codes in their order, with the group's name, seats taken and end."""
    return list(
        conn.execute(
            select(
                group_join_slot,
                group_chat.c.name.label("group_name"),
                group_chat.c.members,
                group_chat.c.dismissed_at,
            )
            .outerjoin(group_chat, group_chat.c.chat_id == group_join_slot.c.chat_id)
            .where(among(conn, group_join_slot.c.state, states))
            .order_by(group_join_slot.c.state, group_join_slot.c.position, group_join_slot.c.id)
        )
    )


def add_slot(
    conn: Connection, state: str, *, chat_id: str, config_id: str, qr_code: str, expires_at: datetime | None
) -> bool:
    """At the end of the line; False when the group is in it already."""
    last = select(func.coalesce(func.max(group_join_slot.c.position), 0)).where(group_join_slot.c.state == state)
    added = conn.execute(
        upsert(group_join_slot, conn)
        .values(
            state=state,
            position=int(conn.execute(last).scalar_one()) + 1,
            chat_id=chat_id,
            config_id=config_id,
            qr_code=qr_code[:512],
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["state", "chat_id"])
        .returning(group_join_slot.c.id)
    )
    return added.scalar_one_or_none() is not None


def drop_slot(conn: Connection, slot_id: int) -> None:
    conn.execute(delete(group_join_slot).where(group_join_slot.c.id == slot_id))


def count_joins_by_state(conn: Connection, states: Collection[str], since: datetime) -> dict[str, tuple[int, int]]:
    """(all, since then) of customers who joined by each code, from the history."""
    change = group_chat_change
    rows = conn.execute(
        select(
            change.c.state,
            func.count().label("times"),
            func.coalesce(func.sum(case((change.c.at >= since, 1), else_=0)), 0).label("lately"),
        )
        .where(change.c.kind == "joined", change.c.type == CUSTOMER, among(conn, change.c.state, states))
        .group_by(change.c.state)
    )
    return {row.state: (int(row.times), int(row.lately)) for row in rows}


# Welcome materials ----------------------------------------------------------------------------------------------------


def list_welcomes(conn: Connection) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(group_welcome).order_by(group_welcome.c.created_at.desc())))


def find_welcome(conn: Connection, template_id: str) -> Row[Any] | None:
    return conn.execute(select(group_welcome).where(group_welcome.c.template_id == template_id)).one_or_none()


def save_welcome(conn: Connection, template_id: str, values: Mapping[str, Any], *, now: datetime) -> None:
    conn.execute(
        upsert(group_welcome, conn)
        .values(template_id=template_id, created_at=now, changed_at=now, **values)
        .on_conflict_do_update(index_elements=["template_id"], set_={**values, "changed_at": now})
    )


def drop_welcome(conn: Connection, template_id: str) -> None:
    conn.execute(delete(group_welcome).where(group_welcome.c.template_id == template_id))
