"""All SQL of plans: their versions, their targets, who got what, days off."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from scrm import audit
from scrm.db import upsert
from scrm.group_chats.models import group_chat, group_chat_member, group_chat_tag
from scrm.mass_messages.models import mass_message_target
from scrm.moments.models import moment, moment_publisher
from scrm.profiles.models import member
from scrm.sop.members.notice_tables import notice
from scrm.sop.plans.calendar import Target
from scrm.sop.plans.models import plan, plan_claim, plan_day_off
from scrm.sop.plans.schema import Plan, To

_RELEASED: ColumnElement[bool] = literal_column("plan_claim.state = 'released'")


# Plans ----------------------------------------------------------------------------------------------------------------


@audit.keeps("plan", plan.c.key, of=("one.key",))
def publish(conn: Connection, one: Plan, *, by: str, now: datetime) -> bool:
    """False when this text is the current one already. What fell due before is never made up for."""
    before = find_plan(conn, one.key)
    if before is not None and before.digest == one.digest:
        return False
    values = {
        "title": one.title,
        "kind": one.kind,
        "version": 1 if before is None else before.version + 1,
        "source": one.source,
        "digest": one.digest,
        "changed_by": by[:64],
        "changed_at": now,
    }
    conn.execute(
        upsert(plan, conn)
        .values(key=one.key, looked_until=now, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )
    return True


def find_plan(conn: Connection, key: str) -> Row[Any] | None:
    return conn.execute(select(plan).where(plan.c.key == key)).one_or_none()


def lock_published(conn: Connection, key: str) -> Row[Any] | None:
    """The plan while it is carried out; ours until the transaction ends, None while another process has it."""
    query = select(plan).where(plan.c.key == key, plan.c.state == "published")
    return conn.execute(
        query.with_for_update(skip_locked=True) if conn.dialect.name == "postgresql" else query
    ).one_or_none()


def list_plans(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(plan).order_by(plan.c.state, plan.c.kind, plan.c.key)))


def list_published_keys(conn: Connection) -> list[str]:
    return list(conn.scalars(select(plan.c.key).where(plan.c.state == "published").order_by(plan.c.key)))


@audit.keeps("plan", plan.c.key, of=("key",))
def set_state(conn: Connection, key: str, state: str, *, by: str, now: datetime) -> bool:
    """published, paused or retired; what fell due while it stood still is not made up for."""
    values: dict[str, Any] = {"state": state, "changed_by": by[:64], "changed_at": now}
    if state == "published":
        values["looked_until"] = now
    return conn.execute(update(plan).where(plan.c.key == key, plan.c.state != state).values(**values)).rowcount > 0


def note_looked(conn: Connection, key: str, until: datetime) -> None:
    conn.execute(update(plan).where(plan.c.key == key).values(looked_until=until))


# Targets --------------------------------------------------------------------------------------------------------------


def list_groups(conn: Connection, to: To) -> list[Target]:
    """The living groups that are meant, the oldest first."""
    g = group_chat.c
    query = select(g.chat_id, g.owner, g.name, g.created_at).where(g.dismissed_at.is_(None))
    chosen: list[ColumnElement[bool]] = []
    if to.tags:
        tagged = select(group_chat_tag.c.chat_id).where(group_chat_tag.c.name.in_(to.tags))
        chosen.append(g.chat_id.in_(tagged))
    if to.members:
        chosen.append(func.lower(g.owner).in_([each.lower() for each in to.members]))
    if to.names:
        chosen.append(or_(*(g.name.contains(each, autoescape=True) for each in to.names)))
    if not chosen and not to.everybody:
        return []
    rows = conn.execute(query.where(and_(True, *chosen)).order_by(g.created_at, g.chat_id))
    return [Target(row.chat_id, row.owner, row.name, row.created_at) for row in rows]


def list_gone_owners(conn: Connection, userids: Collection[str]) -> set[str]:
    """Folded userids of owners who have left: nobody can confirm for them."""
    folded = {userid.lower() for userid in userids}
    query = select(member.c.folded).where(member.c.folded.in_(folded), member.c.is_active.is_(False))
    return set(conn.scalars(query))


def customers_of(conn: Connection, chat_ids: Collection[str]) -> dict[str, set[str]]:
    """By group: the customers in it."""
    rows = conn.execute(
        select(group_chat_member.c.chat_id, group_chat_member.c.userid).where(
            group_chat_member.c.chat_id.in_(list(chat_ids)), group_chat_member.c.type == 2
        )
    )
    people: dict[str, set[str]] = {}
    for row in rows:
        people.setdefault(row.chat_id, set()).add(row.userid)
    return people


# Claims ---------------------------------------------------------------------------------------------------------------


def claim(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str, str], int]:
    """Ids by (item, occurrence, target) of what nobody had claimed before."""
    if not rows:
        return {}
    insert = upsert(plan_claim, conn).on_conflict_do_nothing(
        index_elements=["plan_key", "item_id", "occurrence", "target"]
    )
    c = plan_claim.c
    made = conn.execute(insert.returning(c.id, c.item_id, c.occurrence, c.target), list(rows))
    return {(row.item_id, row.occurrence, row.target): row.id for row in made}


def served_by(conn: Connection, plan_key: str, item_id: str, occurrence: str) -> list[str]:
    """The groups that have the item, or are about to get it."""
    return list(
        conn.scalars(
            select(plan_claim.c.target).where(
                plan_claim.c.plan_key == plan_key,
                plan_claim.c.item_id == item_id,
                plan_claim.c.occurrence == occurrence,
                plan_claim.c.state.in_(("released", "done")),
            )
        )
    )


def change_claims(conn: Connection, ids: Collection[int], /, **values: Any) -> None:
    if ids:
        conn.execute(update(plan_claim).where(plan_claim.c.id.in_(list(ids))).values(**values))


def once_of(claim_id: int) -> str:
    """The key of the notice that asks a deputy to step in."""
    return f"{_ASKED}{claim_id}"


_ASKED = "deputy:"


def list_unasked(conn: Connection, plan_key: str, limit: int = 200) -> list[Row[Any]]:
    """Claims on groups that wait for their owners, and no deputy was asked to step in; the oldest first."""
    asked = select(notice.c.id).where(notice.c.once == literal(_ASKED) + cast(plan_claim.c.id, String))
    query = select(plan_claim).where(
        _RELEASED, plan_claim.c.plan_key == plan_key, plan_claim.c.target != "", ~asked.exists()
    )
    return list(conn.execute(query.order_by(plan_claim.c.due_at, plan_claim.c.id).limit(limit)))


def list_claims_of(conn: Connection, ids: Collection[int]) -> list[Row[Any]]:
    return list(conn.execute(select(plan_claim).where(plan_claim.c.id.in_(list(ids))).order_by(plan_claim.c.id)))


def names_of(conn: Connection, chat_ids: Collection[str]) -> dict[str, str]:
    """By chat_id: what the groups are called."""
    query = select(group_chat.c.chat_id, group_chat.c.name).where(group_chat.c.chat_id.in_(list(chat_ids)))
    return {row.chat_id: row.name for row in conn.execute(query)}


def has_released(conn: Connection) -> bool:
    return conn.execute(select(plan_claim.c.id).where(_RELEASED).limit(1)).first() is not None


# What became of a group in a mass message, as the state of its claim.
ENDS = {
    "sent": ("done", ""),
    "over_quota": ("failed", "本群今天或本月已收满"),
    "capped": ("failed", "企业微信：本群已收满"),
    "unreachable": ("failed", "企业微信：无法送达"),
    "not_friend": ("failed", "企业微信：群主已不在群里"),
    "failed": ("failed", "没能创建群发"),
    "unsent": ("expired", "群主没有确认"),
    "cancelled": ("expired", "已停止，不再发送"),
}


def settle(conn: Connection, now: datetime) -> int:
    """Bring results of mass messages and moments to the claims that wait; returns how many ended."""
    ended = 0
    target = mass_message_target.c
    rows = conn.execute(
        select(plan_claim.c.id, target.state)
        .join(
            mass_message_target,
            and_(target.mass_message_id == plan_claim.c.mass_message_id, target.target == plan_claim.c.target),
        )
        .where(_RELEASED, target.state.in_(list(ENDS)))
    )
    by_end: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        by_end.setdefault(ENDS[row.state], []).append(row.id)
    published = select(func.count()).where(moment_publisher.c.moment == moment.c.id, moment_publisher.c.is_published)
    made = conn.execute(
        select(plan_claim.c.id, moment.c.state, moment.c.reason, published.scalar_subquery().label("published"))
        .join(moment, moment.c.id == plan_claim.c.moment_id)
        .where(_RELEASED, moment.c.state.in_(("done", "failed", "cancelled")))
    )
    for one in made:
        end = ("failed", one.reason[:200]) if one.state == "failed" else ("expired", "没有员工发表")
        by_end.setdefault(("done", f"{one.published} 位员工已发表") if one.published else end, []).append(one.id)
    for (state, reason), ids in by_end.items():
        change_claims(conn, ids, state=state, reason=reason, ended_at=now)
        ended += len(ids)
    return ended


def list_expired(conn: Connection, now: datetime, limit: int = 200) -> list[Row[Any]]:
    query = select(plan_claim).where(_RELEASED, plan_claim.c.expires_at <= now).order_by(plan_claim.c.expires_at)
    return list(conn.execute(query.limit(limit)))


def list_claims(conn: Connection, plan_key: str, *, limit: int = 200) -> list[Row[Any]]:
    """The newest first, with the group's name and the owner's."""
    query = (
        select(plan_claim, group_chat.c.name.label("group_name"), member.c.name.label("owner_name"))
        .outerjoin(group_chat, group_chat.c.chat_id == plan_claim.c.target)
        .outerjoin(member, member.c.folded == func.lower(plan_claim.c.owner))
        .where(plan_claim.c.plan_key == plan_key)
        .order_by(plan_claim.c.due_at.desc(), plan_claim.c.id.desc())
        .limit(limit)
    )
    return list(conn.execute(query))


def count_claims(conn: Connection, plan_key: str | None = None) -> dict[tuple[str, str], dict[str, int]]:
    """By (plan, item): how many are in each state."""
    c = plan_claim.c
    query = select(c.plan_key, c.item_id, c.state, func.count().label("claims")).group_by(
        c.plan_key, c.item_id, c.state
    )
    if plan_key is not None:
        query = query.where(c.plan_key == plan_key)
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in conn.execute(query):
        counts.setdefault((row.plan_key, row.item_id), {})[row.state] = row.claims
    return counts


# Days off -------------------------------------------------------------------------------------------------------------


def days_off(conn: Connection) -> dict[date, str]:
    return {date.fromisoformat(row.day): row.reason for row in conn.execute(select(plan_day_off))}


def set_day_off(conn: Connection, day: date, reason: str, *, by: str, now: datetime) -> None:
    values = {"reason": reason.strip()[:80], "set_by": by[:64], "set_at": now}
    with audit.watched(conn, "day_off", day, _day_off(day)):
        conn.execute(
            upsert(plan_day_off, conn)
            .values(day=day.isoformat(), **values)
            .on_conflict_do_update(index_elements=["day"], set_=values)
        )


def drop_day_off(conn: Connection, day: date) -> None:
    with audit.watched(conn, "day_off", day, _day_off(day)):
        conn.execute(plan_day_off.delete().where(plan_day_off.c.day == day.isoformat()))


def _day_off(day: date) -> Select[Any]:
    return select(plan_day_off.c.day, plan_day_off.c.reason).where(plan_day_off.c.day == day.isoformat())
