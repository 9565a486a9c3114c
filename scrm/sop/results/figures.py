"""What a playbook achieved in a span of days: per step, per member, per variant, and against those left alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Float,
    and_,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)

from scrm.access.scope import EVERYONE, Scope, reaches
from scrm.commerce.models import orders
from scrm.profiles.members import member_names
from scrm.sop.models import enrolment, step_run
from scrm.sop.results import tally
from scrm.sop.results.tables import conversion, tally_cursor, tally_open
from scrm.sop.results.tables import tally as tally_table
from scrm.sop.results.tally import Key
from scrm.sop.results.uplift import Group, Uplift, compare
from scrm.sop.schema import Playbook

# Rows that are not in the tally yet and are counted while the page is read; beyond these the figures lag behind.
MOST_LIVE = 20_000
# How many step runs a list of people looks through.
LOOKED_AT = 200_000
WINDOWS = (timedelta(days=1), timedelta(days=3), timedelta(days=7), timedelta(days=30))


@dataclass(slots=True)
class Figures:
    """Counts by name (scrm.sop.results.tally), with the shares that people quote."""

    counts: Counter[str] = field(default_factory=Counter)

    def __getitem__(self, name: str) -> int:
        return self.counts[name]

    @property
    def assigned(self) -> int:
        """What was released and did not die before anybody could act: what execution is measured by."""
        return self.counts["released"] - self.counts["withdrawn"] - self.counts["waiting"]

    @property
    def confirm_rate(self) -> float | None:
        """执行率: confirmed of all that were due and not taken back; None while there is nothing to measure."""
        return self.counts["confirmed"] / self.assigned if self.assigned > 0 else None

    @property
    def in_time_rate(self) -> float | None:
        """及时率."""
        return self.counts["in_time"] / self.assigned if self.assigned > 0 else None

    @property
    def annoyance(self) -> float | None:
        """骚扰代价: deletions and refusals within 24 hours per 1,000 that arrived."""
        arrived = self.counts["delivered"]
        return 1000 * (self.counts["lost"] + self.counts["refused"]) / arrived if arrived else None

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why it did not go out, the most frequent first."""
        told = [(name.removeprefix("why:"), n) for name, n in self.counts.items() if name.startswith("why:") and n]
        return sorted(told, key=lambda one: (-one[1], one[0]))

    @property
    def median_minutes(self) -> float | None:
        """Half of the members took no longer; read from bounds a third apart, so good to about that."""
        delays = {int(name.removeprefix("delay:")): n for name, n in self.counts.items() if name.startswith("delay:")}
        total, below, lower = sum(delays.values()), 0, 0
        for bound in tally.DELAYS:
            here = delays.get(bound, 0)
            if here and 2 * (below + here) >= total:
                return lower + (bound - lower) * (total / 2 - below) / here
            below, lower = below + here, bound
        return None


@dataclass(slots=True)
class StepResult:
    """One step, or one variant of it; money is that of the goals credited to it, in fen."""

    step_id: str
    title: str
    channel: str
    figures: Figures = field(default_factory=Figures)
    goals: int = 0
    net_fen: int = 0
    waiting: int = 0
    variants: dict[str, "StepResult"] = field(default_factory=dict)


@dataclass(slots=True)
class MemberResult:
    """One member: all steps together, and each."""

    userid: str
    name: str
    figures: Figures = field(default_factory=Figures)
    steps: dict[str, Figures] = field(default_factory=dict)


@dataclass(slots=True)
class ArmResult:
    """One arm of a split or branch: the goals of the runs that took it."""

    goals: int = 0
    net_fen: int = 0


@dataclass(slots=True)
class Results:
    """`runs` by state, without those left alone; `goals_within` counts goals by days since entry."""

    since: date
    until: date
    runs: Counter[str]
    held_out: Counter[str]
    steps: list[StepResult]
    members: list[MemberResult]
    goals: int = 0
    net_fen: int = 0
    credited: int = 0
    goals_within: dict[int, int] = field(default_factory=dict)
    arms: dict[tuple[str, str], ArmResult] = field(default_factory=dict)
    uplift: Uplift | None = None
    is_cut: bool = False
    is_order_goal: bool = False

    @property
    def living(self) -> int:
        """Runs of these days that are not over."""
        return self.runs["entered"] - sum(n for name, n in self.runs.items() if name != "entered")


def load(conn: Connection, playbook: Playbook, *, since: date, until: date, zone: ZoneInfo, now: datetime) -> Results:
    """The figures of the days from `since` to `until`, both included; steps by the day they were decided."""
    counts, is_cut = load_counts(conn, playbook.key, since, until, zone, now)
    runs, held_out = _runs(counts)
    results = Results(
        since,
        until,
        runs,
        held_out,
        steps=_steps(playbook, counts),
        members=_members(conn, playbook, counts),
        is_cut=is_cut,
        is_order_goal=playbook.goal is not None and playbook.goal.event.startswith("order."),
    )
    results.uplift = _credit(conn, playbook, results, zone, now)
    return results


# Counts ---------------------------------------------------------------------------------------------------------------


def load_counts(
    conn: Connection, key: str, since: date, until: date, zone: ZoneInfo, now: datetime
) -> tuple[Counter[Key], bool]:
    """What is tallied and what came since; True when there was too much of the latter."""
    counts = _tallied(conn, key, since, until)
    is_cut = False
    for live in (_live_steps, _live_runs):
        rows, cut = live(conn, key, zone)
        is_cut = is_cut or cut
        for one, count in rows.items():
            if since.isoformat() <= one.day <= until.isoformat():
                counts[one] += count
    return counts, is_cut


def _tallied(conn: Connection, key: str, since: date, until: date, *which: Any) -> Counter[Key]:
    """All days and versions together: these keys have none."""
    columns = tally_table.c.step_id, tally_table.c.variant, tally_table.c.userid, tally_table.c.what
    mine = tally_table.c.playbook_key == key, tally_table.c.day.between(since.isoformat(), until.isoformat())
    query = select(*columns, func.sum(tally_table.c.count)).where(*mine, *which).group_by(*columns)
    counts: Counter[Key] = Counter()
    for step_id, variant, userid, what, count in conn.execute(query):
        counts[Key(key, "", 0, step_id, variant, userid, what)] = int(count)
    return counts


def _counted(conn: Connection) -> dict[str, Any]:
    return {row.name: row for row in conn.execute(select(tally_cursor))}


def _live_steps(conn: Connection, key: str, zone: ZoneInfo) -> tuple[Counter[Key], bool]:
    """Steps behind no cursor yet, and those that wait for their outcome."""
    cursor = _counted(conn).get("step_run")
    behind = select(step_run.c.id).where(step_run.c.id > (cursor.counted_id if cursor else 0))
    counts: Counter[Key] = Counter()
    total = 0
    for ids in (behind, select(tally_open.c.step_run_id)):
        query = tally.select_steps().where(step_run.c.id.in_(ids), enrolment.c.playbook_key == key)
        for row in conn.execute(query.order_by(step_run.c.id.desc()).limit(MOST_LIVE)):
            counts.update(tally.count_step(row, zone))
            total += 1
    return counts, total >= MOST_LIVE


def _live_runs(conn: Connection, key: str, zone: ZoneInfo) -> tuple[Counter[Key], bool]:
    cursors = _counted(conn)
    counted_id = cursors["enrolment"].counted_id if "enrolment" in cursors else 0
    ending = cursors.get("ending")
    columns = (
        enrolment.c.id,
        enrolment.c.playbook_key,
        enrolment.c.version,
        enrolment.c.enrolled_at,
        enrolment.c.state,
        tally.is_holdout().label("is_holdout"),
    )
    entered = select(*columns).where(enrolment.c.playbook_key == key, enrolment.c.id > counted_id)
    ended = select(*columns).where(enrolment.c.playbook_key == key, enrolment.c.ended_at.is_not(None))
    if ending is not None:
        at, of_id = enrolment.c.ended_at, enrolment.c.id
        later = or_(at > ending.counted_at, and_(at == ending.counted_at, of_id > ending.counted_id))
        ended = ended.where(later, at >= ending.counted_at)
    counts: Counter[Key] = Counter()
    total = 0
    for row in conn.execute(entered.order_by(enrolment.c.id.desc()).limit(MOST_LIVE)):
        counts[tally.run_key_of(row, "entered", zone)] += 1
        total += 1
    for row in conn.execute(ended.limit(MOST_LIVE)):
        counts[tally.run_key_of(row, row.state, zone)] += 1
        total += 1
    return counts, total >= MOST_LIVE


# What they come to ----------------------------------------------------------------------------------------------------


def _runs(counts: Mapping[Key, int]) -> tuple[Counter[str], Counter[str]]:
    runs: Counter[str] = Counter()
    held_out: Counter[str] = Counter()
    for key, count in counts.items():
        if key.step_id == "":
            name = key.what.removeprefix("holdout:")
            (held_out if name != key.what else runs)[name] += count
    return runs, held_out


def _steps(playbook: Playbook, counts: Mapping[Key, int]) -> list[StepResult]:
    """In the order of the text; a step that only older versions had comes last."""
    found = {step.id: StepResult(step.id, step.title or step.id, step.channel.value) for step in playbook.steps}
    for key, count in counts.items():
        if not key.step_id:
            continue
        step = found.setdefault(key.step_id, StepResult(key.step_id, f"{key.step_id}（旧版本）", ""))
        step.figures.counts[key.what] += count
        if key.variant:
            of_variant = step.variants.setdefault(key.variant, StepResult(step.step_id, key.variant, step.channel))
            of_variant.figures.counts[key.what] += count
    return list(found.values())


def _members(conn: Connection, playbook: Playbook, counts: Mapping[Key, int]) -> list[MemberResult]:
    """What members were asked to do themselves; only those to whom something was released, the one with most first."""
    theirs = {step.id for step in playbook.steps if step.channel.value in tally.BY_HAND}
    found: dict[str, MemberResult] = {}
    for key, count in counts.items():
        if key.step_id not in theirs or not key.userid:
            continue
        member = found.setdefault(key.userid, MemberResult(key.userid, key.userid))
        member.figures.counts[key.what] += count
        member.steps.setdefault(key.step_id, Figures()).counts[key.what] += count
    asked = [member for member in found.values() if member.figures["released"]]
    names = member_names(conn, [member.userid for member in asked])
    for member in asked:
        member.name = names.get(member.userid.lower(), member.userid)
    return sorted(asked, key=lambda member: (-member.figures["released"], member.userid))


def _credit(conn: Connection, playbook: Playbook, results: Results, zone: ZoneInfo, now: datetime) -> Uplift | None:
    """Goals and money to steps, variants, arms and windows; returns the comparison with those left alone."""
    last = _last_ripe_day(playbook, results.until, zone, now)
    rows = _conversions(conn, playbook.key, results, last, zone)
    by_id = {step.step_id: step for step in results.steps}
    results.goals_within = {window.days: 0 for window in WINDOWS}
    for row in rows:
        if row.is_holdout:
            continue
        goals, net = int(row.goals), int(row.net_fen)
        results.goals, results.net_fen = results.goals + goals, results.net_fen + net
        for window in WINDOWS:
            results.goals_within[window.days] += int(getattr(row, f"within_{window.days}"))
        for fork, arm in dict(row.arms or {}).items():
            of_arm = results.arms.setdefault((fork, str(arm)), ArmResult())
            of_arm.goals, of_arm.net_fen = of_arm.goals + goals, of_arm.net_fen + net
        if row.step_id in by_id:
            results.credited += goals
            step = by_id[row.step_id]
            for one in (step, step.variants.get(row.variant)):
                if one is not None:
                    one.goals, one.net_fen = one.goals + goals, one.net_fen + net
    return _compare(conn, playbook, results, [row for row in rows if row.is_ripe], last, zone)


def _conversions(conn: Connection, key: str, results: Results, last: date, zone: ZoneInfo) -> Sequence[Any]:
    """The goals of runs that began in these days, summed up by what they are credited to."""
    start, end = _midnight(results.since, zone), _midnight(results.until + timedelta(days=1), zone)
    net = func.coalesce(orders.c.paid_fen - orders.c.refunded_fen, 0)
    took = type_coerce(conversion.c.reached_at, BigInteger) - type_coerce(conversion.c.entered_at, BigInteger)
    is_ripe = case((conversion.c.entered_at < _midnight(last + timedelta(days=1), zone), 1), else_=0)
    columns = (
        conversion.c.step_id,
        conversion.c.variant,
        conversion.c.is_holdout,
        conversion.c.arms,
        is_ripe.label("is_ripe"),
    )
    milliseconds = [(window.days, window // timedelta(milliseconds=1)) for window in WINDOWS]
    within = [func.sum(case((took <= most, 1), else_=0)).label(f"within_{days}") for days, most in milliseconds]
    sums = func.sum(net).label("net_fen"), func.sum(net * literal(1.0, Float) * net).label("squares")
    # By their number: the database would not know an expression with parameters again.
    grouped: list[ColumnElement[Any]] = [literal_column(str(number)) for number in range(1, len(columns) + 1)]
    return conn.execute(
        select(*columns, func.count().label("goals"), *sums, *within)
        .select_from(conversion.outerjoin(orders, orders.c.id == conversion.c.order_id))
        .where(conversion.c.playbook_key == key, conversion.c.entered_at >= start, conversion.c.entered_at < end)
        .group_by(*grouped)
    ).all()


def _last_ripe_day(playbook: Playbook, until: date, zone: ZoneInfo, now: datetime) -> date:
    """Who began on this day has had his whole time for the goal."""
    within = (playbook.goal.within if playbook.goal else None) or timedelta()
    return min(until, (now - within).astimezone(zone).date() - timedelta(days=1))


def _compare(
    conn: Connection, playbook: Playbook, results: Results, ripe: Sequence[Any], last: date, zone: ZoneInfo
) -> Uplift | None:
    """Only runs that had their whole time for the goal count, on both sides; those are tallied long ago."""
    if playbook.goal is None or not results.held_out["entered"]:
        return None
    runs, held_out = _runs(_tallied(conn, playbook.key, results.since, last, tally_table.c.step_id == ""))
    persons = count_holdout_persons(
        conn, playbook.key, _midnight(results.since, zone), _midnight(last + timedelta(days=1), zone)
    )
    treated = _group(runs, [row for row in ripe if not row.is_holdout])
    return compare(treated, _group(held_out, [row for row in ripe if row.is_holdout]), persons)


def _group(runs: Counter[str], rows: Sequence[Any]) -> Group:
    money, squares = sum(int(row.net_fen) for row in rows), sum(float(row.squares) for row in rows)
    return Group(runs["entered"], min(runs["goal"], runs["entered"]), money, squares)


def count_holdout_persons(conn: Connection, key: str, since: datetime, until: datetime) -> int:
    """Persons, not runs: somebody who is left alone with ten orders is one."""
    return int(
        conn.execute(
            select(func.count(enrolment.c.person_id.distinct())).where(
                enrolment.c.playbook_key == key,
                tally.is_holdout(),
                enrolment.c.enrolled_at >= since,
                enrolment.c.enrolled_at < until,
            )
        ).scalar_one()
    )


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


# People behind a number -----------------------------------------------------------------------------------------------


def list_people(
    conn: Connection,
    key: str,
    *,
    step_id: str,
    what: str,
    userid: str = "",
    before: int | None = None,
    limit: int = 50,
    scope: Scope = EVERYONE,
) -> list[Any]:
    """Those within the scope whom a count is about, the newest first: rows of (step_run id, person_id, state, reason, ...).

    Looks through the newest LOOKED_AT step runs of all playbooks; `before` is the last step run's id already seen.
    """
    newest = before or (conn.execute(select(func.max(step_run.c.id))).scalar_one() or 0) + 1
    query = (
        tally.select_steps()
        .add_columns(enrolment.c.person_id, enrolment.c.external_userid, enrolment.c.id.label("enrolment_id"))
        .where(
            enrolment.c.playbook_key == key,
            step_run.c.step_id == step_id,
            step_run.c.id < newest,
            step_run.c.id >= newest - LOOKED_AT,
            reaches(scope, enrolment.c.person_id),
        )
        .order_by(step_run.c.id.desc())
    )
    if what in _STATES:
        query = query.where(step_run.c.state.in_(_STATES[what]))
    found = []
    for row in conn.execute(query.limit(MOST_LIVE)):
        names = {one.what for one in tally.count_step(row, _UTC)}
        if (not what or what in names) and (not userid or row.userid.casefold() == userid.casefold()):
            found.append(row)
            if len(found) == limit:
                break
    return found


_UTC = ZoneInfo("UTC")
# In which states of a step run a count can be found.
_STATES = {
    "delivered": ("done",),
    "waiting": ("intent", "waiting"),
    "skipped": ("skipped",),
    "withdrawn": ("skipped",),
    "left_out": ("skipped",),
    "expired": ("dropped",),
    "missed": ("dropped",),
    "failed": ("failed",),
    "failed_before": ("failed",),
    "unknown": ("unknown",),
}
