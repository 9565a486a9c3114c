"""All SQL of dates and schedules: whose date falls on a day, how far they were told, who is in a segment."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, literal_column, or_, select, update

from scrm.db import upsert
from scrm.events import event
from scrm.membership.models import points_account
from scrm.profiles.conditions import tree as conditions
from scrm.profiles.models import follow_user, person, person_field, person_stat
from scrm.profiles.own_fields.tables import custom_field
from scrm.sop import exits
from scrm.sop.calendar import dates
from scrm.sop.calendar.tables import date_watch, schedule_fire
from scrm.sop.guards.answers import PUSHES
from scrm.sop.members import task_store
from scrm.sop.models import enrolment, playbook_version, step_run

PAGE = 500
# As the partial index has it, letter for letter: SQLite compares the terms.
_LIVING: ColumnElement[bool] = literal_column("enrolment.state IN ('active', 'paused', 'queued')")

# Dates ----------------------------------------------------------------------------------------------------------------


def list_watches(conn: Connection) -> dict[tuple[str, bool, bool, int], Row[Any]]:
    """How far each date was told, by (date, lunar, yearly, lead)."""
    return {(row.date, row.lunar, row.yearly, row.lead): row for row in conn.execute(select(date_watch))}


def save_watch(conn: Connection, told_of: tuple[str, bool, bool, int], told_until: date, looked_at: datetime) -> None:
    name, lunar, yearly, lead = told_of
    values = {"told_until": told_until.isoformat(), "looked_at": looked_at}
    conn.execute(
        upsert(date_watch, conn)
        .values(date=name, lunar=lunar, yearly=yearly, lead=lead, **values)
        .on_conflict_do_update(index_elements=["date", "lunar", "yearly", "lead"], set_=values)
    )


def forget_watches(conn: Connection, told_of: Iterable[tuple[str, bool, bool, int]]) -> None:
    """Dates that no playbook waits for any more: when one does again, it begins with that day."""
    for name, lunar, yearly, lead in told_of:
        here = date_watch.c
        conn.execute(
            delete(date_watch).where(
                here.date == name, here.lunar.is_(lunar), here.yearly.is_(yearly), here.lead == lead
            )
        )


def list_field_persons(
    conn: Connection, kind: dates.Kind, texts: Sequence[str], *, after: int = 0, since: datetime | None = None
) -> list[int]:
    """Persons whose field means the day, by id, at most PAGE; with `since` only values that were changed after it.

    Values of a field that was archived mean nothing any more.
    """
    archived = select(custom_field.c.key).where(
        custom_field.c.entity == "person", custom_field.c.archived_at.is_not(None), custom_field.c.key.in_(kind.fields)
    )
    found = person_field.c
    # As a sum, so that neither planner walks the primary key from person to person for the sake of the order.
    person_id = (found.person_id + 0).label("person_id")
    query = (
        select(person_id)
        .where(
            found.key.in_(kind.fields),
            found.text_value.in_(list(texts)),
            person_id > after,
            found.key.not_in(archived),
        )
        .distinct()
        .order_by(person_id)
        .limit(PAGE)
    )
    if since is not None:
        query = query.where(found.changed_at > since)
    return list(conn.scalars(query))


def list_added_persons(conn: Connection, days: Sequence[date], zone: ZoneInfo, *, after: int = 0) -> list[int]:
    """Persons who became a contact on one of these days, and of nobody earlier; their friendship lives."""
    here, earlier = follow_user, follow_user.alias("earlier")
    before = select(earlier.c.userid).where(
        earlier.c.person_id == here.c.person_id, earlier.c.followed_at < here.c.followed_at, earlier.c.ended_by == ""
    )
    query = select(here.c.person_id).where(
        _within(here.c.followed_at, days, zone), here.c.ended_by == "", here.c.person_id > after, ~before.exists()
    )
    return list(conn.scalars(query.distinct().order_by(here.c.person_id).limit(PAGE)))


def list_first_paid_persons(conn: Connection, days: Sequence[date], zone: ZoneInfo, *, after: int = 0) -> list[int]:
    """Persons who paid their first order on one of these days."""
    known: ColumnElement[bool] = literal_column("person_stat.first_paid_at IS NOT NULL")
    query = select(person_stat.c.person_id).where(
        known, _within(person_stat.c.first_paid_at, days, zone), person_stat.c.person_id > after
    )
    return list(conn.scalars(query.order_by(person_stat.c.person_id).limit(PAGE)))


def list_level_ends(conn: Connection, days: Sequence[date], zone: ZoneInfo, *, after: int = 0) -> list[int]:
    """Persons whose level is decided anew on one of these days."""
    known: ColumnElement[bool] = literal_column("points_account.level_until IS NOT NULL")
    query = select(points_account.c.person_id).where(
        known, _within(points_account.c.level_until, days, zone), points_account.c.person_id > after
    )
    return list(conn.scalars(query.order_by(points_account.c.person_id).limit(PAGE)))


def list_runs_of_changed(conn: Connection, kind: dates.Kind, keys: Sequence[str], since: datetime) -> list[Row[Any]]:
    """The runs that a date began and that go on though their person's was changed since: with its `text_value`.

    None is one that was taken away.
    """
    mine = and_(person_field.c.person_id == enrolment.c.person_id, person_field.c.key.in_(kind.fields))
    query = (
        select(
            enrolment.c.id,
            enrolment.c.run_key,
            enrolment.c.anchor_at,
            enrolment.c.event_id,
            person_field.c.text_value,
        )
        .join(event, and_(event.c.id == enrolment.c.event_id, event.c.name == dates.EVENT))
        .outerjoin(person_field, mine)
        .where(
            enrolment.c.playbook_key.in_(list(keys)),
            _LIVING,
            or_(person_field.c.person_id.is_(None), person_field.c.changed_at > since),
        )
    )
    return list(conn.execute(query))


# What reached the customer, or may have; a call of another system is under way as soon as it is decided.
_SAID: ColumnElement[bool] = and_(
    step_run.c.channel.in_(sorted(PUSHES)),
    or_(step_run.c.state.in_(("done", "unknown")), and_(step_run.c.channel == "K", step_run.c.state == "intent")),
)


def end_moved_runs(conn: Connection, runs: Sequence[Row[Any]], reason: str, now: datetime) -> None:
    """End them and take their tasks back; one that has said nothing yet may begin anew, on the same day too."""
    ids = [run.id for run in runs]
    if not ids:
        return
    greeted = set(conn.scalars(select(step_run.c.enrolment_id).where(step_run.c.enrolment_id.in_(ids), _SAID)))
    told = {run.event_id for run in runs if run.id not in greeted}
    conn.execute(update(event).where(event.c.id.in_(told)).values(once=None))
    for run in runs:
        values: dict[str, Any] = {"state": "exited", "ended_reason": reason, "ended_at": now, "due_at": None}
        if run.id not in greeted:
            values["run_key"] = f"{run.run_key}~{run.id}"
        conn.execute(update(enrolment).where(enrolment.c.id == run.id).values(**values))
    task_store.withdraw_tasks(conn, ids, exits.withdrawn_words(reason), now=now)


def _within(column: Any, days: Sequence[date], zone: ZoneInfo) -> ColumnElement[bool]:
    spans = [dates.span_of(day, zone) for day in days]
    return or_(*(and_(column >= start, column < end) for start, end in spans))


# Schedules ------------------------------------------------------------------------------------------------------------


def find_last_fire(conn: Connection, cron: str, segment: str) -> datetime | None:
    """When this schedule fired last."""
    query: Select[Any] = (
        select(schedule_fire.c.fire_at)
        .where(schedule_fire.c.cron == cron, schedule_fire.c.segment == segment)
        .order_by(schedule_fire.c.fire_at.desc())
        .limit(1)
    )
    return conn.execute(query).scalar_one_or_none()


def claim_fire(conn: Connection, cron: str, segment: str, fire_at: datetime) -> None:
    """The fire's row; whoever comes second finds it there."""
    row = {"cron": cron, "segment": segment, "fire_at": fire_at}
    conn.execute(upsert(schedule_fire, conn).values(**row).on_conflict_do_nothing())


def list_open_fires(conn: Connection) -> list[Row[Any]]:
    return list(conn.execute(select(schedule_fire).where(schedule_fire.c.ended_at.is_(None))))


def lock_fire(conn: Connection, fire: Row[Any]) -> Row[Any] | None:
    """The fire as it stands, ours until the transaction ends; None when another process is at it or it is over."""
    query = select(schedule_fire).where(_this(fire), schedule_fire.c.ended_at.is_(None))
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True)
    return conn.execute(query).one_or_none()


def save_fire(conn: Connection, fire: Row[Any], **values: Any) -> None:
    conn.execute(update(schedule_fire).where(_this(fire)).values(**values))


def clear_fires(conn: Connection, before: datetime) -> None:
    """Fires so old that they can no longer be due again."""
    here = schedule_fire.c
    conn.execute(delete(schedule_fire).where(here.fire_at < before, here.ended_at.is_not(None)))


def _this(fire: Row[Any]) -> ColumnElement[bool]:
    here = schedule_fire.c
    return and_(here.cron == fire.cron, here.segment == fire.segment, here.fire_at == fire.fire_at)


def list_members(conn: Connection, segment: str, now: datetime, *, after: int) -> list[int]:
    """The segment's persons by id, at most PAGE; of one that is unknown or empty nobody."""
    tree = conditions.with_definitions(conn, {"segment": segment})
    fits = conditions.compile_condition(tree, person.c.id, now)
    query = select(person.c.id).where(person.c.id > after, fits).order_by(person.c.id).limit(PAGE)
    return list(conn.scalars(query))


def open_since(conn: Connection, playbook_keys: Sequence[str]) -> dict[str, datetime]:
    """When each playbook was first published: what fired before was not meant for it."""
    query = (
        select(playbook_version.c.playbook_key, func.min(playbook_version.c.published_at).label("at"))
        .where(playbook_version.c.playbook_key.in_(list(playbook_keys)))
        .group_by(playbook_version.c.playbook_key)
    )
    return {row.playbook_key: row.at for row in conn.execute(query)}
