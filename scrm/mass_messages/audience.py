"""Whom a mass message is for: the choice, its SQL, and what it would come to before anything is made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, false, func, or_, select, true

from scrm.db.json_text import json_text
from scrm.errors import Invalid
from scrm.mass_messages.models import mass_message_target
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaves_tags import with_tags
from scrm.profiles.conditions.tree import compile_asked, with_definitions
from scrm.profiles.models import external_contact, follow_user, follow_user_tag, member, person
from scrm.profiles.stop_list import stop_entry
from scrm.settings import MassMessages

K = TypeVar("K")

# States in which a customer's place is taken: it was sent, or still may be.
COUNTED = ("planned", "waiting", "sent")
SHOWN = 50
# Who has had this many messages in a week and gets one more has had too many: as the shipped segment counts them.
TIRED_FROM, TIRED_WITHIN = 3, "7d"


@dataclass(frozen=True, slots=True)
class Audience:
    """Customers of any of these members who have any of these tags, came by any of these channels, are in the segment.

    What is left empty does not narrow; with nothing chosen at all nobody is meant. Left out is who is in the segment
    `without`, and who had a message in the last `rested` days.
    """

    userids: tuple[str, ...] = ()
    tag_ids: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    segment: str = ""
    without: str = ""
    rested: int = 0
    # Of a group mass message: these groups, each with its owner.
    chats: tuple[tuple[str, str], ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.userids or self.tag_ids or self.states or self.segment or self.chats)

    @property
    def condition(self) -> dict[str, Any] | None:
        """What each person must fulfil besides; None when nothing."""
        parts: list[dict[str, Any]] = [{"segment": self.segment}] if self.segment else []
        if self.without:
            parts.append({"not": {"segment": self.without}})
        if self.rested:
            parts.append({"not": {"pushed": {"gte": 1}, "within": f"{self.rested}d"}})
        return {"all": parts} if parts else None

    def as_json(self) -> dict[str, Any]:
        lists = {"userids": self.userids, "tag_ids": self.tag_ids, "states": self.states, "chats": self.chats}
        listed = {
            key: [list(each) if isinstance(each, tuple) else each for each in value] for key, value in lists.items()
        }
        more = {"segment": self.segment, "without": self.without, "rested": self.rested}
        return {**listed, **{key: value for key, value in more.items() if value}}


def read_audience(value: Mapping[str, Any]) -> Audience:
    """What was kept in the row."""
    return Audience(
        userids=tuple(value.get("userids") or ()),
        tag_ids=tuple(value.get("tag_ids") or ()),
        states=tuple(value.get("states") or ()),
        segment=str(value.get("segment") or ""),
        without=str(value.get("without") or ""),
        rested=int(value.get("rested") or 0),
        chats=tuple((str(chat), str(owner)) for chat, owner in value.get("chats") or ()),
    )


@dataclass(frozen=True, slots=True)
class Quota:
    """How many a customer may get: (since when, how many), ours and WeCom's own."""

    limits: tuple[tuple[datetime, int], ...]

    @property
    def least(self) -> int:
        """What is left to somebody who had none."""
        return min(most for _, most in self.limits)


def quota_at(now: datetime, house: MassMessages, zone: ZoneInfo) -> Quota:
    """Ours by rolling days; WeCom's as many in a calendar month as it has days (doc 92135, 2025-11-17). Pure."""
    local = now.astimezone(zone)
    month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    days = ((month + timedelta(days=32)).replace(day=1) - month).days
    ours = ((1, house.per_day), (7, house.per_week), (30, house.per_month))
    limits = [(now - timedelta(days=span), most) for span, most in ours if most]
    return Quota((*limits, (month, days)))


def is_over(quota: Quota, target: ColumnElement[str], besides: int | None = None) -> ColumnElement[bool]:
    """Whether a customer or group may get no more; `besides` is a message whose own places do not count."""
    taken = mass_message_target.alias("taken")
    conditions = []
    for since, most in quota.limits:
        query = (
            select(func.count())
            .select_from(taken)
            .where(taken.c.target == target, taken.c.state.in_(COUNTED), taken.c.counted_at > since)
        )
        if besides is not None:
            query = query.where(taken.c.mass_message_id != besides)
        conditions.append(query.correlate_except(taken).scalar_subquery() >= most)
    return or_(*conditions) if conditions else false()


def quota_left(conn: Connection, quota: Quota) -> Select[Any]:
    """(target, how many more he may get) of everybody who counts at all, in one go; never above `quota.least`."""
    taken = mass_message_target
    oldest = min(since for since, _ in quota.limits)
    left = [most - func.count(case((taken.c.counted_at > since, 1))) for since, most in quota.limits]
    smallest = func.least if conn.dialect.name == "postgresql" else func.min
    return (
        select(taken.c.target, smallest(quota.least, *left).label("left"))
        .where(taken.c.state.in_(COUNTED), taken.c.counted_at > oldest)
        .group_by(taken.c.target)
    )


def refuses() -> ColumnElement[bool]:
    """The person wants no messages, no promotions, or no mass messages."""
    flags = [json_text(person.c.optout, key) == "true" for key in ("all", "promo", "mass")]
    # Relatives, colleagues of other shops and the blacklisted are on the stop list: nobody advertises to them.
    stopped = exists().where(stop_entry.c.person_id == person.c.id).correlate(person)
    return or_(func.coalesce(or_(*(func.coalesce(flag, false()) for flag in flags)), false()), stopped)


def fits(
    conn: Connection, condition: dict[str, Any] | None, person_id: ColumnElement[int], now: datetime, *, as_set: bool
) -> ColumnElement[bool]:
    """Whether persons fulfil a condition; `as_set` for all at once, else asked of each row that is read."""
    tree = with_tags(conn, with_definitions(conn, condition))
    joins = as_set and conn.dialect.name == "postgresql"
    return compile_asked(tree, Asked(person_id, now, is_audience=as_set, joins=joins))


def contacts(audience: Audience, who: ColumnElement[bool]) -> Select[Any]:
    """Rows (target, userid, person_id, is_refused) of living relations; one customer may stand there several times.

    `who` is the audience's condition (`fits`) of the relation's person.
    """
    f = follow_user
    query = (
        select(
            f.c.external_userid.label("target"),
            f.c.userid,
            f.c.person_id,
            f.c.followed_at,
            refuses().label("is_refused"),
        )
        .join(person, person.c.id == f.c.person_id)
        .where(f.c.ended_by == "", f.c.is_half.is_(False), _is_meant(audience), who)
    )
    gone = exists().where(member.c.folded == func.lower(f.c.userid), member.c.is_active.is_(False))
    return query.where(~gone)


def _is_meant(audience: Audience) -> ColumnElement[bool]:
    if audience.is_empty or audience.chats:
        return false()
    f = follow_user
    conditions: list[ColumnElement[bool]] = []
    if audience.userids:
        conditions.append(func.lower(f.c.userid).in_([userid.lower() for userid in audience.userids]))
    if audience.states:
        conditions.append(f.c.state.in_(audience.states))
    if audience.tag_ids:
        has_tag = exists().where(
            follow_user_tag.c.external_userid == f.c.external_userid,
            follow_user_tag.c.tag_id.in_(audience.tag_ids),
        )
        conditions.append(has_tag)
    return and_(true(), *conditions)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a message would come to; `over` shows the first fifty who had enough already."""

    customers: int
    refused: int
    over_quota: int
    by_member: dict[str, int] = field(default_factory=dict)
    over: Sequence[Any] = ()
    # By member: who had enough already, and whom this message makes tired.
    over_by_member: dict[str, int] = field(default_factory=dict)
    tired_by_member: dict[str, int] = field(default_factory=dict)
    # How many of those who refuse nothing may get how many more, before this one: the most first.
    quota_left: dict[int, int] = field(default_factory=dict)

    @property
    def tired(self) -> int:
        return sum(self.tired_by_member.values())

    @property
    def reachable(self) -> int:
        return sum(self.by_member.values())


def forecast(conn: Connection, audience: Audience, quota: Quota, now: datetime) -> Forecast:
    """Counted in the database, before anything is written; the customer goes to who followed him first."""
    if audience.chats:
        return _forecast_chats(conn, audience, quota)
    who = fits(conn, audience.condition, follow_user.c.person_id, now, as_set=True)
    rows = contacts(audience, who).subquery()
    rank = func.row_number().over(partition_by=rows.c.target, order_by=(rows.c.followed_at, rows.c.userid))
    ranked = select(rows, rank.label("rank")).subquery()
    had = quota_left(conn, quota).subquery()
    had_most = {"pushed": {"gte": TIRED_FROM - 1}, "within": TIRED_WITHIN}
    tired = fits(conn, had_most, ranked.c.person_id, now, as_set=True)
    each = select(
        ranked.c.target,
        ranked.c.userid,
        ranked.c.person_id,
        ranked.c.is_refused,
        func.coalesce(had.c.left, quota.least).label("left"),
        tired.label("is_tired"),
    ).where(ranked.c.rank == 1)
    one = each.select_from(ranked.outerjoin(had, had.c.target == ranked.c.target)).subquery()
    groups = (one.c.is_refused, one.c.left, one.c.userid)
    counts = conn.execute(
        select(*groups, func.count().label("customers"), func.count(case((one.c.is_tired, 1))).label("tired")).group_by(
            *groups
        )
    ).all()
    reached = [row for row in counts if row.left > 0 and not row.is_refused]
    full = [row for row in counts if row.left <= 0 and not row.is_refused]
    names = (
        select(one.c.target, one.c.person_id, external_contact.c.name)
        .outerjoin(external_contact, external_contact.c.external_userid == one.c.target)
        .where(one.c.left <= 0, ~one.c.is_refused)
        .order_by(one.c.target)
        .limit(SHOWN)
    )
    return Forecast(
        customers=sum(row.customers for row in counts),
        refused=sum(row.customers for row in counts if row.is_refused),
        over_quota=sum(row.customers for row in full),
        by_member=_summed((row.userid, row.customers) for row in reached),
        over=list(conn.execute(names)),
        over_by_member=_summed((row.userid, row.customers) for row in full),
        tired_by_member=_summed((row.userid, row.tired) for row in reached if row.tired),
        quota_left=_by_left((row.left, row.customers) for row in (*reached, *full)),
    )


def _summed(pairs: Iterable[tuple[K, int]]) -> dict[K, int]:
    sums: dict[K, int] = {}
    for key, many in pairs:
        sums[key] = sums.get(key, 0) + many
    return sums


def _by_left(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Who had more than allowed has none left."""
    return dict(sorted(_summed((max(left, 0), many) for left, many in pairs).items(), reverse=True))


def _forecast_chats(conn: Connection, audience: Audience, quota: Quota) -> Forecast:
    chats = [chat for chat, _ in audience.chats]
    had = {
        row.target: row.left
        for row in conn.execute(quota_left(conn, quota).where(mass_message_target.c.target.in_(chats)))
    }
    left = {chat: had.get(chat, quota.least) for chat in chats}
    by_member = _summed((owner, 1) for chat, owner in audience.chats if left[chat] > 0)
    full = sum(each <= 0 for each in left.values())
    return Forecast(len(chats), 0, full, by_member, quota_left=_by_left((each, 1) for each in left.values()))


def full_targets(conn: Connection, targets: Sequence[str], quota: Quota) -> set[str]:
    """Those of the targets that may get no more."""
    full: set[str] = set()
    taken = mass_message_target
    for since, most in quota.limits:
        rows = conn.execute(
            select(taken.c.target)
            .where(taken.c.target.in_(targets), taken.c.state.in_(COUNTED), taken.c.counted_at > since)
            .group_by(taken.c.target)
            .having(func.count() >= most)
        )
        full |= {row.target for row in rows}
    return full


def check_audience(audience: Audience) -> None:
    """Raises Invalid when nobody was chosen: an empty choice never means everybody."""
    if audience.is_empty:
        raise Invalid("还没有选择发给谁，请至少选一个人群包、一位员工、一个标签或一个渠道。")
