"""All SQL of runs, their parts, and the callbacks they found missing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from scrm.callbacks.models import inbox_event
from scrm.commerce.models import orders
from scrm.contact_ways.models import contact_way
from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.events import event
from scrm.profiles.models import external_contact, member
from scrm.sync.models import missed_callback, sync_night, sync_part, sync_run
from scrm.work.progress import Progress

RUNNING, DONE, FAILED = "running", "done", "failed"

# A process that does not renew it within this time has died, and another one may go on.
LEASE = timedelta(seconds=45)
# What was cut off longer ago than this is not worth going on with: too much may have changed.
LONGEST_RUN = timedelta(hours=12)


# Runs -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """A run that is ours; `is_resumed` when it goes on where another process was cut off."""

    id: int
    is_full: bool
    is_resumed: bool


def take_run(
    conn: Connection,
    source: str,
    *,
    full: bool,
    asked_at: datetime,
    holder: str,
    is_gone: Callable[[str], bool],
    now: datetime,
) -> Taken | None:
    """The open run of a source, or a new one; None while another process works on it.

    `full` does not go on with a run that began before it was asked for; `is_gone` knows holders that have died.
    """
    row = _open_run(conn, source)
    if row is not None:
        is_held = row.holder not in ("", holder) and row.lease_until is not None and row.lease_until > now
        if is_held and not is_gone(row.holder):
            return None
        if now - row.started_at < LONGEST_RUN and not (full and row.started_at < asked_at):
            taken = conn.execute(
                update(sync_run)
                .where(sync_run.c.id == row.id, sync_run.c.holder == row.holder)
                .values(holder=holder, lease_until=now + LEASE)
                .returning(sync_run.c.id)
            ).one_or_none()
            return None if taken is None else Taken(row.id, row.is_full, True)
        finish_run(conn, row.id, FAILED, error="中断后重新开始", now=now)
    added = conn.execute(
        upsert(sync_run, conn)
        .values(source=source, is_full=full, state=RUNNING, started_at=now, holder=holder, lease_until=now + LEASE)
        .on_conflict_do_nothing()
        .returning(sync_run.c.id)
    ).scalar_one_or_none()
    return None if added is None else Taken(added, full, False)


def _open_run(conn: Connection, source: str) -> Row[Any] | None:
    return conn.execute(select(sync_run).where(sync_run.c.source == source, sync_run.c.state == RUNNING)).one_or_none()


def save_progress(conn: Connection, run_id: int, progress: Progress, *, now: datetime) -> None:
    """Where the run stands; renews its lease."""
    conn.execute(update(sync_run).where(sync_run.c.id == run_id).values(lease_until=now + LEASE, **_counts(progress)))


def leave_run(conn: Connection, run_id: int, progress: Progress, *, error: str, now: datetime) -> None:
    """Let go of a run that can go on later."""
    conn.execute(
        update(sync_run)
        .where(sync_run.c.id == run_id)
        .values(holder="", lease_until=None, error=error[:1000], **_counts(progress))
    )


def finish_run(
    conn: Connection, run_id: int, state: str, *, now: datetime, error: str = "", progress: Progress | None = None
) -> None:
    """Over, done or failed."""
    conn.execute(
        update(sync_run)
        .where(sync_run.c.id == run_id)
        .values(
            state=state,
            finished_at=now,
            holder="",
            lease_until=None,
            error=error[:1000],
            **(_counts(progress) if progress else {}),
        )
    )


def _counts(progress: Progress) -> dict[str, Any]:
    return {
        "total": progress.total,
        "done": progress.done,
        "added": progress.added,
        "changed": progress.changed,
        "ended": progress.ended,
        "notes": list(progress.notes),
    }


def counts_of(conn: Connection, run_id: int) -> Progress:
    """What the run had come to when it was cut off."""
    row = conn.execute(select(sync_run).where(sync_run.c.id == run_id)).one()
    return Progress(row.total, row.done, row.added, row.changed, row.ended, list(row.notes))


def last_runs(conn: Connection) -> dict[str, Row[Any]]:
    """The newest run of each source."""
    newest = select(func.max(sync_run.c.id)).group_by(sync_run.c.source)
    return {row.source: row for row in conn.execute(select(sync_run).where(sync_run.c.id.in_(newest)))}


def is_done_since(conn: Connection, source: str, moment: datetime) -> bool:
    """Whether a run of the source that began at or after `moment` is done."""
    done = select(sync_run.c.id).where(
        sync_run.c.source == source, sync_run.c.state == DONE, sync_run.c.started_at >= moment
    )
    return conn.execute(done.limit(1)).first() is not None


def begin_night(conn: Connection, night: str, *, now: datetime) -> bool:
    """True for the one process that may begin this night's run."""
    begun = conn.execute(
        upsert(sync_night, conn)
        .values(night=night, begun_at=now)
        .on_conflict_do_nothing()
        .returning(sync_night.c.night)
    )
    return begun.one_or_none() is not None


def forget_old_runs(conn: Connection, *, before: datetime) -> None:
    """Runs and nights that nobody looks at any more."""
    conn.execute(delete(sync_run).where(sync_run.c.state != RUNNING, sync_run.c.finished_at < before))
    conn.execute(delete(sync_night).where(sync_night.c.begun_at < before))


# Parts ----------------------------------------------------------------------------------------------------------------


def load_parts(conn: Connection, source: str) -> list[Row[Any]]:
    """The parts of the open run, in order."""
    return list(conn.execute(select(sync_part).where(sync_part.c.source == source).order_by(sync_part.c.number)))


def plan_parts(conn: Connection, source: str, parts: Sequence[Sequence[str]], *, now: datetime) -> None:
    """Begin anew with these members in each part."""
    drop_parts(conn, source)
    insert_rows(
        conn,
        sync_part,
        [
            {"source": source, "number": number, "userids": list(userids), "planned_at": now, "saved_at": now}
            for number, userids in enumerate(parts)
        ],
    )


def add_parts(conn: Connection, source: str, number: int, userids: Iterable[str], *, now: datetime) -> None:
    """Replace a part by one for each of its members."""
    first = conn.execute(select(func.max(sync_part.c.number)).where(sync_part.c.source == source)).scalar_one() + 1
    conn.execute(delete(sync_part).where(sync_part.c.source == source, sync_part.c.number == number))
    rows = [
        {"source": source, "number": first + place, "userids": [userid], "planned_at": now, "saved_at": now}
        for place, userid in enumerate(userids)
    ]
    insert_rows(conn, sync_part, rows)


def save_part(
    conn: Connection, source: str, number: int, cursor: str, done: int, *, is_over: bool = False, now: datetime
) -> None:
    """Where to go on; `done` counts the relations of this part so far."""
    conn.execute(
        update(sync_part)
        .where(sync_part.c.source == source, sync_part.c.number == number)
        .values(cursor=cursor, done=done, is_over=is_over, saved_at=now)
    )


def drop_parts(conn: Connection, source: str) -> None:
    """Nothing is left to go on with."""
    conn.execute(delete(sync_part).where(sync_part.c.source == source))


# What a customer's repair needs to know -------------------------------------------------------------------------------


def first_callback_at(conn: Connection) -> datetime | None:
    """Since when WeCom tells us anything; None when it never did."""
    found: datetime | None = conn.execute(select(func.min(inbox_event.c.received_at))).scalar_one_or_none()
    return found


def channels(conn: Connection, states: Iterable[str]) -> dict[str, dict[str, str]]:
    """What playbooks choose by, by the state of a channel code."""
    rows = conn.execute(
        select(contact_way).where(among(conn, contact_way.c.state, {state for state in states if state}))
    )
    return {row.state: {"kind": row.kind, "title": row.title} for row in rows}


def was_told(conn: Connection, userid: str, external_userid: str, *, since: datetime) -> bool:
    """Whether an add of this pair has become an event since then."""
    told = select(event.c.id).where(
        event.c.name.in_(["contact.added", "contact.confirmed"]),
        event.c.external_userid == external_userid,
        event.c.userid == userid,
        event.c.occurred_at >= since,
    )
    person = select(external_contact.c.person_id).where(external_contact.c.external_userid == external_userid)
    return conn.execute(told.where(event.c.person_id.in_(person)).limit(1)).first() is not None


def waiting_orders(
    conn: Connection, unionids: Iterable[str], phone_lookups: Iterable[str]
) -> tuple[set[str], set[str]]:
    """Those of the unionids and phones that orders without a person carry."""
    found: list[set[str]] = []
    for column, values in ((orders.c.buyer_unionid, set(unionids)), (orders.c.buyer_phone_lookup, set(phone_lookups))):
        waiting = select(column).where(among(conn, column, values), orders.c.person_id.is_(None), column != "")
        found.append(set(conn.scalars(waiting.distinct())) if values else set())
    return found[0], found[1]


# Missed callbacks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missed:
    """What a callback should have told us; `happened_at` is None when WeCom does not say."""

    name: str
    source: str
    userid: str = ""
    external_userid: str = ""
    person_id: int | None = None
    happened_at: datetime | None = None
    facts: dict[str, Any] | None = None


def note_missed(conn: Connection, missed: Missed, *, now: datetime) -> None:
    """A line on the board, in the transaction that repairs what was missed."""
    conn.execute(
        insert(missed_callback).values(
            name=missed.name,
            source=missed.source,
            userid=missed.userid,
            external_userid=missed.external_userid,
            person_id=missed.person_id,
            happened_at=missed.happened_at,
            noticed_at=now,
            repaired_at=now,
            facts=missed.facts or {},
        )
    )


def list_missed(conn: Connection, *, before: int | None = None, limit: int = 50) -> list[Row[Any]]:
    """The newest first, with the names of contact and member; `before` is the id of the last one already seen."""
    query = (
        select(missed_callback, external_contact.c.name.label("contact_name"), member.c.name.label("member_name"))
        .outerjoin(external_contact, external_contact.c.external_userid == missed_callback.c.external_userid)
        .outerjoin(member, member.c.userid == missed_callback.c.userid)
    )
    if before is not None:
        query = query.where(missed_callback.c.id < before)
    return list(conn.execute(query.order_by(missed_callback.c.id.desc()).limit(limit)))


def count_missed(conn: Connection, *, since: datetime) -> dict[str, int]:
    """How many were noticed since then, by the event's name."""
    rows = conn.execute(
        select(missed_callback.c.name, func.count().label("times"))
        .where(missed_callback.c.noticed_at >= since)
        .group_by(missed_callback.c.name)
    )
    return {row.name: row.times for row in rows}
