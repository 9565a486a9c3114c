"""SQL of work on many customers: the jobs, and what became of each person in them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, or_, select, tuple_, update

from scrm import audit, events
from scrm.customer_lists.models import bulk_item, bulk_job
from scrm.db import upsert
from scrm.db.bulk import among, insert_rows
from scrm.errors import NotFound
from scrm.profiles.models import external_contact, follow_user, person, tag_wish
from scrm.sop.models import enrolment
from scrm.work import queue

KIND = "customers.bulk"
# A file of orders is a job without persons: nothing is gathered, its pages are those of the orders.
ORDERS = "orders"
OPEN = ("gathering", "running")
_KEPT = timedelta(days=90)
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants done with whom; `reach` is how far their role goes."""

    kind: str
    selection: dict[str, Any]
    choice: dict[str, Any]
    by: str
    by_name: str
    reach: str
    once: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one person; `reason` says why not, or what there is to know."""

    person_id: int
    is_done: bool
    reason: str = ""
    userid: str = ""


def add_job(conn: Connection, draft: Draft, *, now: datetime) -> int:
    """Keep the job with its work; the same form sent twice is one job. Returns its id."""
    values = {
        "kind": draft.kind,
        "selection": draft.selection,
        "choice": draft.choice,
        "state": "running" if draft.kind == ORDERS else "gathering",
        "by": draft.by,
        "by_name": draft.by_name[:80],
        "reach": draft.reach,
        "once": draft.once,
        "created_at": now,
    }
    put = upsert(bulk_job, conn).values(values).on_conflict_do_nothing().returning(bulk_job.c.id)
    job_id = conn.execute(put).scalar_one_or_none()
    if job_id is None:
        return int(conn.execute(select(bulk_job.c.id).where(bulk_job.c.once == draft.once)).scalar_one())
    # Jobs of one kind run one after the other; an export need not wait for tags.
    item = queue.Item("bulk", KIND, {"job_id": job_id}, order_key=f"bulk:{draft.kind}", dedupe_key=f"bulk:{job_id}")
    queue.add(conn, item, now=now)
    if draft.kind == ORDERS:
        audit.changed(conn, "order_file", job_id, None, {**draft.choice, "query": draft.selection["query"]})
    else:
        audit.changed(conn, "bulk_job", job_id, None, {"kind": draft.kind, "choice": draft.choice})
    return int(job_id)


def get_job(conn: Connection, job_id: int) -> Row[Any]:
    """Raises NotFound."""
    row = conn.execute(select(bulk_job).where(bulk_job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound("没有这次批量操作，可能已超过 90 天")
    return row


def lock_job(conn: Connection, job_id: int) -> Row[Any]:
    """As it is until the transaction ends: a cancellation waits for the chunk that runs."""
    query = select(bulk_job).where(bulk_job.c.id == job_id)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one()


def list_jobs(
    conn: Connection, by: str, *, of_orders: bool = False, before: int | None = None, limit: int = 50
) -> list[Row[Any]]:
    """The newest first; of one person, or of everybody where `by` is empty."""
    kind = bulk_job.c.kind == ORDERS if of_orders else bulk_job.c.kind != ORDERS
    query = select(bulk_job).where(kind).order_by(bulk_job.c.id.desc()).limit(limit)
    if by:
        query = query.where(bulk_job.c.by == by)
    if before is not None:
        query = query.where(bulk_job.c.id < before)
    return list(conn.execute(query))


def change(conn: Connection, /, job_id: int, **values: Any) -> None:
    """Set columns of a job."""
    conn.execute(update(bulk_job).where(bulk_job.c.id == job_id).values(**values))


@audit.keeps("bulk_job", bulk_job.c.id, of=("job_id",))
def cancel(conn: Connection, job_id: int, *, now: datetime) -> bool:
    """Stop it before the next chunk; what is done stays done. False when it was over already."""
    mine = update(bulk_job).where(bulk_job.c.id == job_id, bulk_job.c.state.in_(OPEN))
    return conn.execute(mine.values(state="cancelled", finished_at=now)).rowcount == 1


# Whom it is about -----------------------------------------------------------------------------------------------------


def add_items(conn: Connection, job_id: int, person_ids: Collection[int]) -> None:
    """Persons whom it has already are not taken twice."""
    rows = [{"job_id": job_id, "person_id": each} for each in person_ids]
    insert_rows(conn, bulk_item, rows, skip_known=True)


def count_items(conn: Connection, job_id: int) -> int:
    return int(conn.scalar(select(func.count()).select_from(bulk_item).where(bulk_item.c.job_id == job_id)) or 0)


def list_waiting(conn: Connection, job_id: int, limit: int) -> list[int]:
    """The next persons, in the order of their ids."""
    mine = bulk_item.c.job_id == job_id, bulk_item.c.state == "waiting"
    return list(conn.scalars(select(bulk_item.c.person_id).where(*mine).order_by(bulk_item.c.person_id).limit(limit)))


def save_outcomes(conn: Connection, job_id: int, outcomes: Sequence[Outcome]) -> None:
    """Each person's, and the job's figures."""
    if not outcomes:
        return
    conn.execute(
        update(bulk_item)
        .where(bulk_item.c.job_id == job_id, bulk_item.c.person_id == bindparam("of_person"))
        .values(state=bindparam("is_now"), reason=bindparam("because"), userid=bindparam("through")),
        [
            {
                "of_person": each.person_id,
                "is_now": "done" if each.is_done else "refused",
                "because": each.reason[:200],
                "through": each.userid,
            }
            for each in outcomes
        ],
    )
    done = sum(each.is_done for each in outcomes)
    change(conn, job_id, done=bulk_job.c.done + done, refused=bulk_job.c.refused + len(outcomes) - done)


# What comes of it later -----------------------------------------------------------------------------------------------


def once_of(job_id: int, person_id: int) -> str:
    """The job's own number for the start of a playbook with one person."""
    return f"bulk:{job_id}:{person_id}"


def list_runs_begun(conn: Connection, playbook_key: str, job_id: int, person_ids: Collection[int]) -> dict[int, int]:
    """By person: the run that a job has begun."""
    e = events.event.c
    told = {f"manual:{playbook_key}:{once_of(job_id, each)}"[:200]: each for each in person_ids}
    query = (
        select(e.once, enrolment.c.id)
        .join(enrolment, and_(enrolment.c.event_id == e.id, enrolment.c.person_id == e.person_id))
        .where(among(conn, e.once, list(told)), enrolment.c.playbook_key == playbook_key)
    )
    return {told[row.once]: row.id for row in conn.execute(query)}


def list_refusals(conn: Connection, since: datetime) -> dict[int, dict[int, str]]:
    """By job of tags begun since then, by person: why WeCom would not have what the job counts as done."""
    job, item, wish, f = bulk_job.c, bulk_item.c, tag_wish.c, follow_user.c
    query = (
        select(job.id, job.choice, item.person_id, wish.tag, wish.problem)
        .join(follow_user, and_(f.userid == wish.userid, f.external_userid == wish.external_userid))
        .join(bulk_item, and_(item.person_id == f.person_id, item.userid == wish.userid, item.state == "done"))
        .join(bulk_job, job.id == item.job_id)
        .where(wish.wanted_at >= since, wish.problem != "", job.created_at >= since, job.created_at <= wish.wanted_at)
        .where(or_(job.finished_at.is_(None), job.finished_at >= wish.wanted_at))
        .where(or_(and_(job.kind == "tag", wish.is_wanted), and_(job.kind == "untag", wish.is_wanted.is_(False))))
        .order_by(job.id, item.person_id, wish.tag)
        .limit(_AT_ONCE)
    )
    found: dict[int, dict[int, str]] = {}
    for row in conn.execute(query):
        if row.tag in row.choice["tags"]:
            found.setdefault(row.id, {})[row.person_id] = row.problem
    return found


def refuse_later(conn: Connection, job_id: int, reasons: Mapping[int, str]) -> None:
    """What was done is not: the person's line and the job's figures say so. Who was refused already counts once."""
    mine = bulk_item.c.job_id == job_id, bulk_item.c.state == "done"
    taken = sum(
        conn.execute(
            update(bulk_item)
            .where(*mine, bulk_item.c.person_id == person_id)
            .values(state="refused", reason=reason[:200])
        ).rowcount
        for person_id, reason in reasons.items()
    )
    change(conn, job_id, done=bulk_job.c.done - taken, refused=bulk_job.c.refused + taken)


def finish_export(conn: Connection, job_id: int, file: str, written: int, *, now: datetime) -> None:
    """The file is whole: everybody in it is done, who was gone by then is told so."""
    mine = bulk_item.c.job_id == job_id
    there = select(person.c.id).where(person.c.id == bulk_item.c.person_id).exists()
    conn.execute(update(bulk_item).where(mine, there).values(state="done"))
    conn.execute(update(bulk_item).where(mine, ~there).values(state="refused", reason="已被删除或合并"))
    gone = conn.scalar(select(func.count()).select_from(bulk_item).where(mine, bulk_item.c.state == "refused")) or 0
    change(conn, job_id, state="done", file=file, done=written, refused=gone, finished_at=now)


def list_people(
    conn: Connection, job_id: int, *, state: str = "", is_plain: bool = False, after: int = 0, limit: int
) -> list[int]:
    """Persons of a job in the order of their ids; of one state, or all. `is_plain`: of whom nothing is to be said."""
    query = select(bulk_item.c.person_id).where(bulk_item.c.job_id == job_id, bulk_item.c.person_id > after)
    if is_plain:
        query = query.where(bulk_item.c.reason == "")
    if state:
        query = query.where(bulk_item.c.state == state)
    return list(conn.scalars(query.order_by(bulk_item.c.person_id).limit(limit)))


def list_results(conn: Connection, job_id: int, *, state: str = "", after: int = 0, limit: int = 100) -> list[Row[Any]]:
    """What became of each, with the name."""
    contact = (
        select(external_contact.c.name)
        .where(external_contact.c.person_id == bulk_item.c.person_id)
        .order_by(external_contact.c.created_at)
        .limit(1)
        .scalar_subquery()
    )
    query = (
        select(bulk_item, func.coalesce(contact, person.c.name, "").label("name"))
        .outerjoin(person, person.c.id == bulk_item.c.person_id)
        .where(bulk_item.c.job_id == job_id, bulk_item.c.person_id > after)
    )
    if state:
        query = query.where(bulk_item.c.state == state)
    return list(conn.execute(query.order_by(bulk_item.c.person_id).limit(limit)))


def list_open_wishes(conn: Connection, rows: Sequence[Row[Any]], names: Sequence[str]) -> dict[int, str]:
    """By person: why WeCom would not mark one of these tags, empty while it has not been told."""
    pairs = [(row.person_id, row.userid) for row in rows if row.userid and row.state == "done"]
    if not pairs:
        return {}
    same = and_(tag_wish.c.userid == follow_user.c.userid, tag_wish.c.external_userid == follow_user.c.external_userid)
    query = (
        select(follow_user.c.person_id, tag_wish.c.problem)
        .join(tag_wish, same)
        .where(tuple_(follow_user.c.person_id, follow_user.c.userid).in_(pairs), tag_wish.c.tag.in_(names))
        .order_by(tag_wish.c.problem)
    )
    return {row.person_id: row.problem for row in conn.execute(query)}


def forget_old(conn: Connection, *, now: datetime, limit: int = 5) -> list[str]:
    """Jobs of long ago go, a few at a time; returns the files they leave behind."""
    old = select(bulk_job.c.id, bulk_job.c.file).where(
        bulk_job.c.created_at < now - _KEPT, bulk_job.c.state.not_in(OPEN)
    )
    rows = conn.execute(old.order_by(bulk_job.c.id).limit(limit)).all()
    ids = [row.id for row in rows]
    conn.execute(delete(bulk_item).where(bulk_item.c.job_id.in_(ids)))
    conn.execute(delete(bulk_job).where(bulk_job.c.id.in_(ids)))
    return [row.file for row in rows if row.file]


def forget_files(conn: Connection, *, before: datetime, limit: int = 50) -> list[str]:
    """Of jobs that ended before: their files are wanted no more."""
    old = select(bulk_job.c.id, bulk_job.c.file).where(bulk_job.c.file != "", bulk_job.c.finished_at < before)
    rows = conn.execute(old.order_by(bulk_job.c.id).limit(limit)).all()
    conn.execute(update(bulk_job).where(bulk_job.c.id.in_([row.id for row in rows])).values(file=""))
    return [row.file for row in rows]
