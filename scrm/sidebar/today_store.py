"""What the workbench reads and remembers: a member's open tasks, what came of the day, missed welcomes, lost customers.

To build such a statement costs several times as much as to run it: each is built once.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, bindparam, delete, func, literal_column, or_, select

from scrm.commerce.models import orders
from scrm.customer_lists.models import pool_rule
from scrm.db import UtcDateTime, upsert
from scrm.db.bulk import among
from scrm.db.nested import nested
from scrm.profiles.models import customer_contact_member, external_contact, follow_user, person_stat
from scrm.sidebar.models import today_mark
from scrm.sop.models import enrolment, send, task

# More than anybody does in a week; what lies deeper comes up when the rest is done.
MOST = 2000
FEW = 100
KINDS = ("send", "promise")
# Adds that no welcome belongs to: colleagues share a customer or hand one over (doc 92114).
_NO_WELCOME = (201, 202)


_ME: Any = bindparam("me")
EVERYTHING = ("open", "ended", "sales", "failed", "unheard", "lost", "pool")
# What an act changes.
TASKS = ("open", "ended", "sales")


def read_day(conn: Connection, userid: str, parts: Sequence[str], **since: datetime) -> Row[Any]:
    """These parts of a member's day in one statement, each a list of rows: open, ended, sales, failed, unheard, lost,
    pool (one row while customers may be picked).

    `since` is given by name: today (ended, sales), welcomes (failed, unheard), lost.
    """
    values = {"me": userid, "folded": userid.lower()} | {f"since_{name}": moment for name, moment in since.items()}
    return conn.execute(_day(conn.dialect.name, tuple(parts)), values).one()


@cache
def _day(dialect: str, parts: tuple[str, ...]) -> Select[Any]:
    return select(*(nested(dialect, _PARTS[name](), name) for name in parts))


def _since(name: str) -> Any:
    return bindparam(f"since_{name}", type_=UtcDateTime)


def _open() -> Select[Any]:
    """All open tasks, also those put off and those that ran out, with what the ranking needs."""
    return (
        select(
            task.c.id,
            task.c.external_userid,
            task.c.kind,
            task.c.open_at,
            task.c.due_at,
            task.c.expires_at,
            task.c.released_at,
            task.c.reminder,
            enrolment.c.priority,
            (person_stat.c.paid_fen - person_stat.c.refunded_fen).label("worth_fen"),
        )
        .outerjoin(enrolment, enrolment.c.id == task.c.enrolment_id)
        .outerjoin(person_stat, person_stat.c.person_id == task.c.person_id)
        .where(task.c.userid == _ME, literal_column("task.state = 'open'"), task.c.kind.in_(KINDS))
        .order_by(task.c.open_at, task.c.id)
        .limit(MOST)
    )


def _ended() -> Select[Any]:
    """The latest first."""
    return (
        select(task.c.id, task.c.state)
        .where(task.c.userid == _ME, task.c.ended_at >= _since("today"), task.c.kind.in_(KINDS))
        .order_by(task.c.ended_at.desc(), task.c.id.desc())
        .limit(MOST)
    )


def _sales() -> Select[Any]:
    """One row: orders that were paid after the member had written to their buyers."""
    paid = (
        select(orders.c.id, orders.c.person_id, orders.c.paid_fen)
        .join(task, task.c.person_id == orders.c.person_id)
        .where(
            task.c.userid == _ME,
            task.c.ended_at >= _since("today"),
            task.c.state == "sent",
            orders.c.paid_at >= task.c.ended_at,
        )
        .distinct()
        .subquery()
    )
    paid_fen = func.coalesce(func.sum(paid.c.paid_fen), 0).label("paid_fen")
    return select(func.count(paid.c.person_id.distinct()).label("customers"), paid_fen)


def list_worth(conn: Connection, external_userids: Collection[str]) -> dict[str, int]:
    """What each contact's person paid, less refunds."""
    rows = conn.execute(
        select(external_contact.c.external_userid, (person_stat.c.paid_fen - person_stat.c.refunded_fen).label("fen"))
        .join(person_stat, person_stat.c.person_id == external_contact.c.person_id)
        .where(among(conn, external_contact.c.external_userid, list(external_userids)))
    )
    return {row.external_userid: int(row.fen) for row in rows}


# Missed welcomes ------------------------------------------------------------------------------------------------------


def missed_welcomes(day: Row[Any]) -> list[Any]:
    """Friends of the member who were not welcomed, and whom nobody has written to: the latest first. Pure.

    `content` is what the welcome would have said, `reason` why it did not come; both empty when we never heard of the
    add.
    """
    rows = {row.external_userid: row for row in (*day.unheard, *reversed(day.failed))}
    return sorted(rows.values(), key=lambda row: (row.at, row.external_userid), reverse=True)[:FEW]


def _failed_welcomes() -> Select[Any]:
    return (
        _of_friends(send.c.decided_at.label("at"), send.c.content, send.c.reason)
        .select_from(send)
        .join(follow_user, _pair(send.c))
        .join(external_contact, external_contact.c.external_userid == follow_user.c.external_userid)
        .outerjoin(person_stat, person_stat.c.person_id == follow_user.c.person_id)
        .where(
            send.c.userid == _ME,
            send.c.decided_at >= _since("welcomes"),
            literal_column("send.kind = 'welcome' AND send.outcome IN ('failed', 'too_late', 'unknown')"),
            follow_user.c.ended_by == "",
            ~_spoken_since(send.c.decided_at).exists(),
            ~_marked("welcome", send.c.decided_at).exists(),
        )
        .order_by(send.c.decided_at.desc())
        .limit(FEW)
    )


def _unheard() -> Select[Any]:
    """Those whose add no callback told us of: no welcome was ever decided."""
    welcome = send.alias("welcome")
    return (
        _of_friends(follow_user.c.followed_at.label("at"), literal_column("NULL").label("content"), _NOTHING)
        .select_from(follow_user)
        .join(external_contact, external_contact.c.external_userid == follow_user.c.external_userid)
        .outerjoin(person_stat, person_stat.c.person_id == follow_user.c.person_id)
        .join(customer_contact_member, customer_contact_member.c.userid == follow_user.c.userid)
        .where(
            follow_user.c.userid == _ME,
            follow_user.c.followed_at >= _since("welcomes"),
            follow_user.c.followed_at >= customer_contact_member.c.watched_since,
            follow_user.c.ended_by == "",
            follow_user.c.is_half.is_(False),
            follow_user.c.add_way.not_in(_NO_WELCOME),
            ~select(welcome.c.id)
            .where(
                welcome.c.external_userid == follow_user.c.external_userid,
                welcome.c.kind == "welcome",
                func.lower(welcome.c.userid) == bindparam("folded"),
            )
            .exists(),
            ~_spoken_since(follow_user.c.followed_at).exists(),
            ~_marked("welcome", follow_user.c.followed_at).exists(),
        )
        .order_by(follow_user.c.followed_at.desc())
        .limit(FEW)
    )


_NOTHING: Any = literal_column("''").label("reason")


def _of_friends(*more: Any) -> Select[Any]:
    return select(
        follow_user.c.external_userid,
        follow_user.c.remark,
        follow_user.c.followed_at,
        external_contact.c.name,
        external_contact.c.avatar,
        (person_stat.c.paid_fen - person_stat.c.refunded_fen).label("worth_fen"),
        *more,
    )


def _pair(columns: Any) -> Any:
    return and_(
        follow_user.c.external_userid == columns.external_userid,
        func.lower(follow_user.c.userid) == func.lower(columns.userid),
    )


def _spoken_since(moment: Any) -> Select[Any]:
    said = send.alias("said")
    return select(said.c.id).where(
        said.c.external_userid == follow_user.c.external_userid,
        said.c.decided_at >= moment,
        said.c.userid == follow_user.c.userid,
        or_(said.c.kind == "chat", said.c.kind == "welcome"),
        said.c.outcome.in_(("sent", "done_by_other")),
    )


def _marked(about: str, moment: Any) -> Select[Any]:
    return select(today_mark.c.userid).where(
        today_mark.c.userid == follow_user.c.userid,
        today_mark.c.about == about,
        today_mark.c.external_userid == follow_user.c.external_userid,
        today_mark.c.since >= moment,
    )


# Lost customers -------------------------------------------------------------------------------------------------------


def _lost() -> Select[Any]:
    """Who deleted the member and was not seen to: the latest first, with what they were worth."""
    return (
        _of_friends(
            follow_user.c.ended_at.label("at"),
            person_stat.c.paid_orders,
            person_stat.c.last_order_at,
        )
        .join(external_contact, external_contact.c.external_userid == follow_user.c.external_userid)
        .outerjoin(person_stat, person_stat.c.person_id == follow_user.c.person_id)
        .where(
            follow_user.c.userid == _ME,
            literal_column("follow_user.ended_by = 'customer'"),
            follow_user.c.ended_at >= _since("lost"),
            ~_marked("lost", follow_user.c.ended_at).exists(),
        )
        .order_by(follow_user.c.ended_at.desc(), follow_user.c.external_userid)
        .limit(FEW)
    )


def _pool() -> Select[Any]:
    return select(pool_rule.c.id).where(pool_rule.c.id == 1, pool_rule.c.is_on.is_(True))


_PARTS = {
    "open": _open,
    "ended": _ended,
    "sales": _sales,
    "failed": _failed_welcomes,
    "unheard": _unheard,
    "lost": _lost,
    "pool": _pool,
}


# Marks ----------------------------------------------------------------------------------------------------------------


def mark(conn: Connection, userid: str, about: str, external_userid: str, now: datetime) -> None:
    """The member has seen to it: it leaves his list."""
    values = {"since": now, "marked_at": now}
    conn.execute(
        upsert(today_mark, conn)
        .values(userid=userid, about=about, external_userid=external_userid, **values)
        .on_conflict_do_update(index_elements=["userid", "about", "external_userid"], set_=values)
    )


def unmark(conn: Connection, userid: str, about: str, external_userid: str) -> None:
    conn.execute(
        delete(today_mark).where(
            today_mark.c.userid == userid,
            today_mark.c.about == about,
            today_mark.c.external_userid == external_userid,
        )
    )
