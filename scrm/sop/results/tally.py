"""Counts what steps and runs came to, once each: from cursors, in slices, so that no page has to count for long.

A step is counted when it has its outcome; until then its id waits in `tally_open`. What is younger than the cursor is
counted when a page is read (scrm.sop.results.figures). `recount` begins anew and comes to the same.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, delete, func, or_, select, update

from scrm.db import Database, Priority, upsert
from scrm.db.bulk import among
from scrm.events import Event, event, event_of
from scrm.services import Services
from scrm.sop import exits
from scrm.sop.facts import run_of
from scrm.sop.life.published import Published
from scrm.sop.mass.results import EXPIRED_SENT
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.results.tables import conversion, tally, tally_cursor, tally_open
from scrm.sop.schema import Channel
from scrm.sop.shelf import playbooks_of

TICK_SECONDS = 30.0
# So many rows at a time: the one writer of SQLite is free again in between.
SLICE = 500
# A row with a lower id may be committed later than one with a higher; no transaction takes that long.
BEHIND = timedelta(minutes=2)
# A member may take back what he skipped, and a run ended by that lives again; after this it stays.
SETTLED = timedelta(minutes=15)
# A goal is credited to the last step that arrived within this time before it.
CREDIT = timedelta(days=3)
# A deletion or refusal within this time after a message is laid to that message, an opening within this.
ANNOYED, READ = timedelta(hours=24), timedelta(days=3)

# Channels that reach the customer.
SPEAKING = tuple(channel.value for channel in Channel if channel.speaks)
# Channels that do nothing until a member confirms.
BY_HAND = ("T", "M", "G", "P")
# Upper bounds of delays in minutes: each a good third above the one before.
DELAYS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440, 2880, 10080)
_OPENED, _LOST, _REFUSED = "message.radar_opened", "contact.lost_by_customer", "optout.changed"
_START = datetime(1970, 1, 1, tzinfo=UTC)


# The "day" under which runs are counted over all days together.
ALL_DAYS = ""


class Key(NamedTuple):
    """What a count is about; `step_id` is empty for runs, `what` is the count's name."""

    playbook_key: str
    day: str
    version: int
    step_id: str
    variant: str
    userid: str
    what: str


Counts = Counter[Key]


async def tick(services: Services) -> int:
    """Count what has come since; returns how many rows that were."""
    published, zone, total = playbooks_of(services), services.settings.shop.zone, 0
    for count in _COUNTS:
        while done := await services.db.write_as(Priority.IMPORT, count, published, zone, services.clock.now()):
            total += done
            if done < SLICE:
                break
    return total


async def recount(db: Database, published: Published, zone: ZoneInfo, now: datetime) -> dict[str, tuple[int, int]]:
    """Forget every count and count all there is again, in slices; by playbook whose counts changed: before, after.

    A server may go on beside it: it counts on from the same cursors.
    """
    before = await db.read(_totals)
    await db.write_as(Priority.IMPORT, _forget, now)
    for count in _COUNTS:
        while await db.write_as(Priority.IMPORT, count, published, zone, now):
            pass
    after = await db.read(_totals)
    keys = sorted(before.keys() | after.keys())
    both = {key: (before.get(key, Counter()), after.get(key, Counter())) for key in keys}
    return {key: (old.total(), new.total()) for key, (old, new) in both.items() if old != new}


def _totals(conn: Connection) -> dict[str, Counter[tuple[Any, ...]]]:
    """By playbook: its counts over all days."""
    c = tally.c
    query = select(c.playbook_key, c.version, c.step_id, c.what, func.sum(c.count))
    found: dict[str, Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for key, version, step_id, what, count in conn.execute(
        query.group_by(c.playbook_key, c.version, c.step_id, c.what)
    ):
        found[key][version, step_id, what] = int(count)
    return found


def _forget(conn: Connection, now: datetime) -> None:
    for table in (tally, tally_open, tally_cursor, conversion):
        conn.execute(delete(table))
    for name, table in (("step_run", step_run), ("enrolment", enrolment), ("event", event)):
        newest = conn.execute(select(func.max(table.c.id))).scalar_one() or 0
        _start(conn, name, newest, now - BEHIND)


# Steps ----------------------------------------------------------------------------------------------------------------


def select_steps() -> Select[Any]:
    """Step runs with their run and their task, as `count_step` reads them."""
    return (
        select(
            step_run.c.id,
            step_run.c.step_id,
            step_run.c.channel,
            step_run.c.state,
            step_run.c.reason,
            step_run.c.facts,
            step_run.c.intent_at,
            step_run.c.outcome_at,
            enrolment.c.playbook_key,
            enrolment.c.version,
            func.coalesce(task.c.userid, enrolment.c.userid).label("userid"),
            task.c.state.label("task_state"),
            task.c.open_at,
            task.c.expires_at,
        )
        .join(enrolment, enrolment.c.id == step_run.c.enrolment_id)
        .outerjoin(task, task.c.step_run_id == step_run.c.id)
    )


def count_steps(conn: Connection, published: Published, zone: ZoneInfo, now: datetime) -> int:
    """The next slice of step runs behind the newest; those without an outcome are put aside."""
    cursor = _turn(conn, "step_run", step_run, now)
    if cursor is None:
        return 0
    between = step_run.c.id > cursor.counted_id, step_run.c.id <= cursor.bound
    rows = conn.execute(select_steps().where(*between).order_by(step_run.c.id).limit(SLICE)).all()
    settled = [row for row in rows if is_settled(row, now)]
    counts: Counts = Counter()
    for row in settled:
        counts.update(count_step(row, zone))
    _add(conn, counts)
    ids = {row.id for row in rows} - {row.id for row in settled}
    if ids:
        conn.execute(tally_open.insert(), [{"step_run_id": of_id} for of_id in sorted(ids)])
    _advance(conn, cursor, rows[-1].id if len(rows) == SLICE else cursor.bound, now)
    return len(rows)


def count_open(conn: Connection, published: Published, zone: ZoneInfo, now: datetime) -> int:
    """Those put aside that have their outcome by now; two processes do not count them at the same moment."""
    _cursor(conn, "step_run", now)
    query = (
        select_steps()
        .join(tally_open, tally_open.c.step_run_id == step_run.c.id)
        .where(step_run.c.state.not_in(_OPEN), step_run.c.outcome_at <= now - SETTLED)
        .limit(SLICE)
    )
    rows = conn.execute(query).all()
    counts: Counts = Counter()
    for row in rows:
        counts.update(count_step(row, zone))
    _add(conn, counts)
    if rows:
        conn.execute(delete(tally_open).where(among(conn, tally_open.c.step_run_id, [row.id for row in rows])))
    return len(rows)


_OPEN = ("intent", "waiting", "unknown")


def is_settled(row: Row[Any], now: datetime) -> bool:
    return row.state not in _OPEN and row.outcome_at is not None and row.outcome_at <= now - SETTLED


def count_step(row: Row[Any], zone: ZoneInfo) -> Counts:
    """What one step run adds: who was meant, what became of it, why, and how long the member took."""
    outcome = outcome_of(row)
    facts = row.facts or {}
    names = ["targeted", outcome]
    if outcome not in _BEFORE_RELEASE:
        names.append("released")
    if outcome == "delivered" or _was_confirmed(row):
        names.append("confirmed")
    if outcome == "delivered" and row.channel in BY_HAND and row.outcome_at is not None:
        if row.expires_at is None or row.outcome_at <= row.expires_at:
            names.append("in_time")
        names.append(f"delay:{delay_of(row.outcome_at - (row.open_at or row.intent_at))}")
    if row.reason and outcome not in ("delivered", "waiting"):
        names.append(f"why:{reason_of(row.reason)}")
    day = day_of(row.intent_at, zone)
    variant = str(facts.get("variant") or "")[:40]
    return Counter(
        {Key(row.playbook_key, day, row.version, row.step_id, variant, row.userid, name): 1 for name in names}
    )


def _was_confirmed(row: Row[Any]) -> bool:
    """The member did his part although it counts for nothing: WeCom could not deliver it, or it was too late."""
    reason = str(row.reason)
    is_undelivered = row.state == "failed" and reason.startswith("发送失败")
    return row.channel == "M" and (is_undelivered or reason == EXPIRED_SENT)


_BEFORE_RELEASE = ("left_out", "missed", "failed_before")


def outcome_of(row: Row[Any]) -> str:
    """waiting, unknown, delivered; after release skipped, withdrawn, expired, failed; before it left_out, missed,
    failed_before."""
    was_released = row.task_state is not None or (row.outcome_at is not None and row.outcome_at > row.intent_at)
    match row.state:
        case "intent" | "waiting":
            return "waiting"
        case "done":
            return "delivered"
        case "failed":
            return "failed" if was_released else "failed_before"
        case "dropped":
            return "expired" if was_released else "missed"
        case "skipped" if was_released:
            is_withdrawn = row.task_state == "withdrawn" or (row.task_state is None and "撤回" in row.reason)
            return "withdrawn" if is_withdrawn else "skipped"
        case "skipped":
            return "left_out"
    return str(row.state)


_ASIDE = re.compile(r"[（(][^（()）]*[)）]")
_MOMENT = re.compile(r"\d+\s*月\s*\d+\s*日|\d{1,2}:\d{2}|\d{4}-\d{2}-\d{2}")
_LATE = re.compile(r"^晚了 .*?，")


def reason_of(reason: str) -> str:
    """A reason without what differs from person to person, so that equal ones are counted together."""
    text = _MOMENT.sub("…", _ASIDE.sub("", _LATE.sub("", reason)))
    return re.split("[；。，\n]", text.strip(), maxsplit=1)[0].strip()[:40] or "其他"


def delay_of(delay: timedelta) -> int:
    """The bound in minutes below which it lies; what is longer than any is counted with the longest."""
    minutes = delay / timedelta(minutes=1)
    return next((bound for bound in DELAYS if minutes <= bound), DELAYS[-1])


def day_of(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).date().isoformat()


# Runs -----------------------------------------------------------------------------------------------------------------


def is_holdout() -> ColumnElement[bool]:
    """Whether a run is left alone to compare with."""
    return enrolment.c.is_holdout


def run_key_of(row: Any, what: str, zone: ZoneInfo) -> Key:
    """Runs are counted on the day they began, so that what became of them stands beside how many they were."""
    name = f"holdout:{what}" if row.is_holdout else what
    return Key(row.playbook_key, day_of(row.enrolled_at, zone), row.version, "", "", "", name)


def count_entries(conn: Connection, published: Published, zone: ZoneInfo, now: datetime) -> int:
    cursor = _turn(conn, "enrolment", enrolment, now)
    if cursor is None:
        return 0
    between = enrolment.c.id > cursor.counted_id, enrolment.c.id <= cursor.bound
    columns = enrolment.c.id, enrolment.c.playbook_key, enrolment.c.version, enrolment.c.enrolled_at
    query = select(*columns, is_holdout().label("is_holdout")).where(*between).order_by(enrolment.c.id).limit(SLICE)
    rows = conn.execute(query).all()
    _add(conn, Counter(run_key_of(row, "entered", zone) for row in rows))
    _advance(conn, cursor, rows[-1].id if len(rows) == SLICE else cursor.bound, now)
    return len(rows)


def count_endings(conn: Connection, published: Published, zone: ZoneInfo, now: datetime) -> int:
    """Runs that ended, in the order of their ends; a goal is credited to the last step before it."""
    cursor = _cursor(conn, "ending", now)
    after = or_(
        enrolment.c.ended_at > cursor.counted_at,
        and_(enrolment.c.ended_at == cursor.counted_at, enrolment.c.id > cursor.counted_id),
    )
    query = (
        select(enrolment, is_holdout().label("is_held_out"))
        .where(after, enrolment.c.ended_at >= cursor.counted_at, enrolment.c.ended_at <= now - SETTLED)
        .order_by(enrolment.c.ended_at, enrolment.c.id)
        .limit(SLICE)
    )
    rows = conn.execute(query).all()
    if not rows:
        return 0
    counts: Counts = Counter()
    for row in rows:
        name = f"holdout:{row.state}" if row.is_held_out else row.state
        counts[Key(row.playbook_key, day_of(row.enrolled_at, zone), row.version, "", "", "", name)] += 1
    _add(conn, counts)
    _convert(conn, [row for row in rows if row.state == "goal"], published)
    last = rows[-1]
    conn.execute(
        update(tally_cursor)
        .where(tally_cursor.c.name == "ending")
        .values(counted_at=last.ended_at, counted_id=last.id, seen_at=now)
    )
    return len(rows)


def _convert(conn: Connection, rows: Sequence[Row[Any]], published: Published) -> None:
    if not rows:
        return
    reached = {row.id: _goal_event(row, events) for row, events in _goal_events(conn, rows, published)}
    moments = {row.id: told.occurred_at if (told := reached[row.id]) else row.ended_at for row in rows}
    credited = _last_touches(conn, moments, _credit_of(rows, published))
    values = []
    for row in rows:
        told, touch = reached[row.id], credited.get(row.id)
        order_id = told.facts.get("order_id") if told else None
        values.append(
            {
                "enrolment_id": row.id,
                "playbook_key": row.playbook_key,
                "version": row.version,
                "is_holdout": bool(row.is_held_out),
                "step_id": touch.step_id if touch else "",
                "variant": str((touch.facts or {}).get("variant") or "")[:40] if touch else "",
                "userid": touch.userid if touch else "",
                "arms": dict(getattr(row, "arms", None) or {}),
                "order_id": order_id if isinstance(order_id, int) else None,
                "entered_at": row.enrolled_at,
                "reached_at": moments[row.id],
            }
        )
    conn.execute(upsert(conversion, conn).on_conflict_do_nothing(), values)


def _goal_events(
    conn: Connection, rows: Sequence[Row[Any]], published: Published
) -> list[tuple[Row[Any], list[tuple[Any, Event]]]]:
    """Each run with the events that may have been its goal, together with the playbook that says so."""
    books = {row.id: published.version(row.playbook_key, row.version) for row in rows}
    names = {book.goal.event for book in books.values() if book is not None and book.goal is not None}
    found: dict[int, list[Event]] = defaultdict(list)
    if names:
        mine = among(conn, event.c.person_id, sorted({row.person_id for row in rows}))
        after = min(row.event_id or 0 for row in rows)
        query = select(event).where(mine, event.c.name.in_(sorted(names)), event.c.id > after).order_by(event.c.id)
        for told in conn.execute(query):
            found[told.person_id].append(event_of(told))
    return [(row, [(books[row.id], told) for told in found[row.person_id]]) for row in rows]


def _goal_event(row: Row[Any], told: Iterable[tuple[Any, Event]]) -> Event | None:
    run = run_of(row)
    for playbook, each in told:
        if playbook is None or not exits.concerns(playbook, run, each):
            continue
        if exits.goal_reached(playbook.goal, run, [each]) is not None:
            return each
    return None


def _credit_of(rows: Iterable[Row[Any]], published: Published) -> dict[int, timedelta]:
    books = {row.id: published.version(row.playbook_key, row.version) for row in rows}
    return {key: (book.goal.credit if book and book.goal else None) or CREDIT for key, book in books.items()}


def _last_touches(conn: Connection, moments: Mapping[int, datetime], credit: Mapping[int, timedelta]) -> dict[int, Any]:
    """By run: its last step that had arrived by that moment, and not too long before."""
    query = (
        select(
            step_run.c.enrolment_id,
            step_run.c.step_id,
            step_run.c.facts,
            step_run.c.outcome_at,
            func.coalesce(task.c.userid, enrolment.c.userid).label("userid"),
        )
        .join(enrolment, enrolment.c.id == step_run.c.enrolment_id)
        .outerjoin(task, task.c.step_run_id == step_run.c.id)
        .where(
            among(conn, step_run.c.enrolment_id, sorted(moments)),
            step_run.c.state == "done",
            step_run.c.channel.in_(SPEAKING),
        )
        .order_by(step_run.c.outcome_at, step_run.c.id)
    )
    last: dict[int, Any] = {}
    for row in conn.execute(query):
        moment = moments[row.enrolment_id]
        if row.outcome_at is not None and moment - credit[row.enrolment_id] <= row.outcome_at <= moment:
            last[row.enrolment_id] = row
    return last


# What customers did -----------------------------------------------------------------------------------------------------


def count_events(conn: Connection, published: Published, zone: ZoneInfo, now: datetime) -> int:
    """Openings, deletions and refusals, laid to the last message that had arrived before."""
    cursor = _turn(conn, "event", event, now)
    if cursor is None:
        return 0
    bound = min(cursor.bound, cursor.counted_id + SLICE * 20)
    query = select(event).where(
        event.c.id > cursor.counted_id,
        event.c.id <= bound,
        event.c.name.in_((_OPENED, _LOST, _REFUSED)),
        event.c.person_id.is_not(None),
    )
    told = [event_of(row) for row in conn.execute(query.order_by(event.c.id))]
    _add(conn, _lay(conn, told, zone))
    _advance(conn, cursor, bound, now)
    return SLICE if bound < cursor.bound else len(told)


_SPANS = {_OPENED: READ, _LOST: ANNOYED, _REFUSED: ANNOYED}
_NAMES = {_OPENED: "opened", _LOST: "lost", _REFUSED: "refused"}


def _lay(conn: Connection, told: Sequence[Event], zone: ZoneInfo) -> Counts:
    counts: Counts = Counter()
    if not told:
        return counts
    touches = _touches(conn, {each.person_id for each in told if each.person_id is not None}, told)
    openings = _openings(conn, told)
    for each in told:
        touch = _blamed(each, touches.get(each.person_id or 0, ()))
        if touch is None or (each.name == _REFUSED and not each.facts.get("optout")):
            continue
        if each.name == _OPENED and any(
            touch.outcome_at <= at <= each.occurred_at for of_id, at in openings[each.person_id or 0] if of_id < each.id
        ):
            continue  # opened before
        variant = str((touch.facts or {}).get("variant") or "")[:40]
        day = day_of(touch.intent_at, zone)
        key = Key(touch.playbook_key, day, touch.version, touch.step_id, variant, touch.userid, _NAMES[each.name])
        counts[key] += 1
    return counts


def _touches(conn: Connection, person_ids: Collection[int], told: Sequence[Event]) -> dict[int, list[Row[Any]]]:
    """By person, the newest first: the steps that had arrived in the days before the first of these events or since."""
    since = min(each.occurred_at for each in told) - READ
    rows = conn.execute(
        select_steps()
        .add_columns(enrolment.c.person_id, enrolment.c.external_userid)
        .where(
            among(conn, enrolment.c.person_id, sorted(person_ids)),
            step_run.c.state == "done",
            step_run.c.channel.in_(SPEAKING),
            step_run.c.outcome_at >= since,
        )
        .order_by(step_run.c.outcome_at.desc(), step_run.c.id.desc())
    )
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.person_id].append(row)
    return found


def _blamed(told: Event, touches: Iterable[Row[Any]]) -> Row[Any] | None:
    for touch in touches:
        if not told.occurred_at - _SPANS[told.name] <= touch.outcome_at <= told.occurred_at:
            continue
        if told.name == _REFUSED or not told.userid or told.userid.casefold() == touch.userid.casefold():
            return touch
    return None


def _openings(conn: Connection, told: Sequence[Event]) -> dict[int, list[tuple[int, datetime]]]:
    found: dict[int, list[tuple[int, datetime]]] = defaultdict(list)
    opened = [each for each in told if each.name == _OPENED]
    if opened:
        since = min(each.occurred_at for each in opened) - READ
        mine = among(conn, event.c.person_id, sorted({each.person_id or 0 for each in opened}))
        query = select(event.c.person_id, event.c.id, event.c.occurred_at)
        for row in conn.execute(query.where(mine, event.c.name == _OPENED, event.c.occurred_at >= since)):
            found[row.person_id].append((row.id, row.occurred_at))
    return found


# Cursors --------------------------------------------------------------------------------------------------------------


class Cursor(NamedTuple):
    """How far a table has been counted, and how far it may be now."""

    name: str
    counted_id: int
    counted_at: datetime
    bound: int


def _start(conn: Connection, name: str, seen_id: int, seen_at: datetime) -> None:
    values = {"name": name, "counted_id": 0, "counted_at": _START, "seen_id": seen_id, "seen_at": seen_at}
    conn.execute(upsert(tally_cursor, conn).values(values).on_conflict_do_nothing())


def _cursor(conn: Connection, name: str, now: datetime) -> Row[Any]:
    """The cursor's row, ours until the transaction ends."""
    query = select(tally_cursor).where(tally_cursor.c.name == name)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update()
    row = conn.execute(query).one_or_none()
    if row is None:
        _start(conn, name, 0, _START)
        row = conn.execute(query).one()
    return row


def _turn(conn: Connection, name: str, table: Table, now: datetime) -> Cursor | None:
    """How far may be counted: up to what was the newest row a while ago. None when there is nothing behind that."""
    row = _cursor(conn, name, now)
    bound = row.seen_id
    if bound <= row.counted_id and now - row.seen_at >= BEHIND:
        newest = conn.execute(select(func.max(table.c.id))).scalar_one() or 0
        if newest > row.seen_id:
            conn.execute(update(tally_cursor).where(tally_cursor.c.name == name).values(seen_id=newest, seen_at=now))
        return None
    if bound <= row.counted_id or now - row.seen_at < BEHIND:
        return None
    return Cursor(name, row.counted_id, row.counted_at, bound)


def _advance(conn: Connection, cursor: Cursor, counted_id: int, now: datetime) -> None:
    conn.execute(
        update(tally_cursor).where(tally_cursor.c.name == cursor.name).values(counted_id=counted_id, counted_at=now)
    )


def _add(conn: Connection, counts: Counts) -> None:
    """Add to what is kept; runs also to the total that the list of playbooks shows."""
    if not counts:
        return
    totals: Counts = Counter()
    for key, count in counts.items():
        if not key.step_id:
            totals[key._replace(day=ALL_DAYS, version=0)] += count
    counts = counts + totals
    insert = upsert(tally, conn)
    adding = insert.on_conflict_do_update(
        index_elements=[column.name for column in tally.primary_key.columns],
        set_={"count": tally.c.count + insert.excluded.count},
    )
    conn.execute(adding, [{**key._asdict(), "count": count} for key, count in sorted(counts.items())])


_COUNTS = (count_steps, count_open, count_entries, count_endings, count_events)
