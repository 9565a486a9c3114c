"""What the guards must know of a batch of persons: a constant number of statements, however many they are."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, case, func, literal_column, or_, select, true

from scrm.commerce.merge import REFUND_OPEN
from scrm.commerce.models import orders, refund
from scrm.db.bulk import among, among_given, listed
from scrm.db.nested import nested
from scrm.events import event
from scrm.profiles.models import external_contact, follow_user_tag, person_stat
from scrm.profiles.stop_list import stop_entry
from scrm.sop.facts import Due
from scrm.sop.guards.answers import COUNTED, MARKETING, PUSHES, STOP_KINDS, GuardFacts, House, Touch
from scrm.sop.models import enrolment, send, step_run
from scrm.sop.placing import next_step
from scrm.sop.schema import Playbook

# Imported orders may keep a refund open for ever; an older one stops nobody.
_REFUND_LIVES = timedelta(days=60)
# An unanswered message is answered elsewhere or forgotten by then.
_ANSWERED_WITHIN = timedelta(hours=48)

SPOKE = frozenset({"kf.message", "oa.message", "talk.noted"})
ANSWERED = frozenset({"talk.answered", "task.sent"})
CASE_OPENED = frozenset({"refund.opened", "case.opened"})
CASE_CLOSED = frozenset({"refund.closed", "case.closed"})
_TOLD = SPOKE | ANSWERED | CASE_OPENED | CASE_CLOSED | {"mass_message.sent"}

Find = Callable[[str, int], Playbook | None]


@dataclass(slots=True)
class _Person:
    """What was found out about one person."""

    touches: list[Touch] = field(default_factory=list)
    spoke_at: datetime | None = None
    answered_at: datetime | None = None
    leaves_open: bool = False
    cases: dict[str, str] = field(default_factory=dict)
    closed_at: datetime | None = None
    recovering: list[Any] = field(default_factory=list)
    open_refunds: int = 0
    stop: str = ""


def load(
    conn: Connection, due: Sequence[Due], now: datetime, house: House, find: Find | None = None
) -> dict[int, GuardFacts]:
    """By enrolment, for those that stand at a step that reaches the customer.

    `find` looks a version up, to see whether a more important run speaks today; without it none is looked for.
    """
    speaking = [one for one in due if one.step is not None and one.step.channel.speaks]
    held = {one.row.id: GuardFacts(is_holdout=True) for one in due if one.row.is_holdout}
    if not speaking:
        return held
    known = _learn(conn, {one.row.person_id for one in speaking}, now, house)
    tagged = _tagged(conn, speaking, house)
    rivals = _rivals(conn, speaking, now, house, find) if find is not None else {}
    return held | {
        one.row.id: _facts_of(one.row, known[one.row.person_id], tagged, rivals.get(one.row.id, ""), now, house)
        for one in speaking
    }


def load_person(conn: Connection, one: Due, now: datetime, house: House, *, besides: int | None = None) -> GuardFacts:
    """For one run, at a member's tap; the step run `besides` is the one that is about to be sent."""
    known = _learn(conn, {one.row.person_id}, now, house, besides)
    return _facts_of(one.row, known[one.row.person_id], _tagged(conn, [one], house), "", now, house)


def load_cases(
    conn: Connection, rows: Sequence[Row[Any]], now: datetime, house: House
) -> dict[int, tuple[str, datetime | None]]:
    """By enrolment: why a case leaves no room for marketing, and until when (None: until it is closed)."""
    if not rows:
        return {}
    known = _learn(conn, {row.person_id for row in rows}, now, house)
    return {row.id: _case(known[row.person_id], row, now, house) for row in rows}


def _facts_of(
    row: Row[Any], known: _Person, tagged: Mapping[str, str], rival: str, now: datetime, house: House
) -> GuardFacts:
    case_words, until = _case(known, row, now, house)
    spoke_at = known.spoke_at
    is_answered = spoke_at is None or (known.answered_at is not None and known.answered_at >= spoke_at)
    stop = known.stop or tagged.get(row.external_userid, "")
    return GuardFacts(
        is_holdout=row.is_holdout,
        stopped=stop,
        is_black=stop == STOP_KINDS["black"],
        case=case_words,
        case_until=until,
        spoke_at=spoke_at,
        is_waiting=known.leaves_open and not is_answered,
        touches=tuple(sorted(known.touches, key=lambda touch: touch.at)),
        rival=rival,
    )


def _learn(
    conn: Connection, person_ids: Collection[int], now: datetime, house: House, besides: int | None = None
) -> dict[int, _Person]:
    known: dict[int, _Person] = defaultdict(_Person)
    asked = {
        "persons": listed(conn, sorted(person_ids)),
        "since": now - COUNTED,
        "refunds_since": now - _REFUND_LIVES,
        "cases_since": now - house.after_sale,
        "besides": besides,
    }
    # At a tap only what went out counts: others that wait as well must not block each other.
    ask = _ask_at_once if len(person_ids) == 1 else _ask_one_by_one
    told, steps, handmade, refunds, recovering, stopped = ask(conn, asked, only_sent=besides is not None)
    for row in told:
        _hear(known[row.person_id], row, now)
    for person_id, at, state in steps:
        what = "一条待员工确认的消息" if state == "waiting" else "一条营销消息"
        known[person_id].touches.append(Touch(at, what))
    for person_id, sent_at in handmade:
        known[person_id].touches.append(Touch(sent_at or now, "员工从侧边栏发的消息"))
    for person_id, count in refunds:
        known[person_id].open_refunds = count
    for row in recovering:
        known[row.person_id].recovering.append(row)
    for person_id, kind in stopped:
        known[person_id].stop = STOP_KINDS.get(kind, "停发名单")
    return known


def _ask_one_by_one(conn: Connection, asked: Mapping[str, Any], *, only_sent: bool) -> Sequence[Sequence[Any]]:
    return [conn.execute(query, asked).all() for query in _questions(conn.dialect.name, only_sent=only_sent)]


def _ask_at_once(conn: Connection, asked: Mapping[str, Any], *, only_sent: bool) -> Sequence[Sequence[Any]]:
    """About one person, at a member's tap: what each statement costs beside its rows is paid once."""
    return conn.execute(_all_in_one(conn.dialect.name, only_sent=only_sent), asked).one()


@cache
def _all_in_one(dialect: str, *, only_sent: bool) -> Select[Any]:
    questions = _questions(dialect, only_sent=only_sent)
    return select(*(nested(dialect, query, f"answer_{place}") for place, query in enumerate(questions)))


def _questions(dialect: str, *, only_sent: bool) -> tuple[Select[Any], ...]:
    return (
        _told(dialect),
        _steps(dialect, only_sent=only_sent),
        _handmade(dialect),
        _open_refunds(dialect),
        _recovering(dialect),
        _stopped(dialect),
    )


# The statements are built once: to build one costs as much as to run it. Each takes of `asked` what it needs.


@cache
def _told(dialect: str) -> Select[Any]:
    """What others sent, what the customer said, and how his cases went."""
    e = event.c
    return (
        select(e.person_id, e.name, e.occurred_at, e.key, e.facts)
        .where(
            among_given(dialect, e.person_id, "persons"),
            e.occurred_at > bindparam("since"),
            e.name.in_(sorted(_TOLD)),
        )
        .order_by(e.occurred_at, e.id)
    )


def _hear(who: _Person, row: Row[Any], now: datetime) -> None:
    if row.name == "mass_message.sent":
        if row.facts.get("origin") != "playbook":  # those of a step are counted with their step
            who.touches.append(Touch(row.occurred_at, "一条群发" + _quoted(row.facts.get("title"))))
    elif row.name in SPOKE:
        if row.occurred_at > now - _ANSWERED_WITHIN:
            who.spoke_at = row.occurred_at
            who.leaves_open = row.name == "talk.noted" or row.facts.get("answered") is False
    elif row.name in ANSWERED:
        who.answered_at = row.occurred_at
    elif row.name in CASE_OPENED:
        if not row.facts.get("historic"):
            who.cases[row.key] = row.name
    else:
        who.cases.pop(row.key, None)
        who.closed_at = row.occurred_at


def _quoted(title: Any) -> str:
    return f"「{title}」" if title else ""


@cache
def _steps(dialect: str, *, only_sent: bool) -> Select[Any]:
    """Marketing steps of every playbook that went out or wait for their member; after a join they are the kept one's.

    `only_sent` leaves out what waits, and the step `besides`.
    """
    r, s = enrolment.c, step_run.c
    at = func.coalesce(case((s.state == "done", s.outcome_at)), s.intent_at).label("at")
    of_runs = (
        among_given(dialect, r.person_id, "persons"),
        r.priority.in_(sorted(MARKETING)),
        or_(r.ended_at.is_(None), r.ended_at > bindparam("since")),
    )
    of_steps = (
        s.channel.in_(sorted(PUSHES)),
        s.state == "done" if only_sent else s.state.in_(("intent", "waiting", "done", "unknown")),
        s.intent_at > bindparam("since"),
        *((s.id != bindparam("besides"),) if only_sent else ()),
    )
    if dialect != "postgresql":
        return select(r.person_id, at, s.state).join(step_run, s.enrolment_id == r.id).where(*of_runs, *of_steps)
    # Steps grow faster than they are analysed, so the planner takes them for few and would read them all: it is told
    # to look up each run's.
    fence: ColumnElement[int] = literal_column("0")
    runs = select(r.id, r.person_id).where(*of_runs).offset(fence).subquery("runs")
    steps = select(at, s.state).where(s.enrolment_id == runs.c.id, *of_steps).offset(fence).lateral("steps")
    return select(runs.c.person_id, steps.c.at, steps.c.state).join(steps, true())


@cache
def _handmade(dialect: str) -> Select[Any]:
    """What members sent from the sidebar by their own decision, a coupon for example.

    A customer's own order is no marketing: who asks where his parcel is gets a notice (P1).
    """
    return (
        select(external_contact.c.person_id, send.c.sent_at)
        .join(send, send.c.external_userid == external_contact.c.external_userid)
        .where(
            among_given(dialect, external_contact.c.person_id, "persons"),
            send.c.kind == "chat",
            send.c.task_id.is_(None),
            send.c.outcome == "sent",
            func.coalesce(send.c.once, "").not_like("card:orders:%"),
            send.c.decided_at > bindparam("since"),
        )
    )


@cache
def _open_refunds(dialect: str) -> Select[Any]:
    return (
        select(orders.c.person_id, func.count().label("refunds"))
        .join(refund, refund.c.order_id == orders.c.id)
        .join(person_stat, person_stat.c.person_id == orders.c.person_id)
        .where(
            among_given(dialect, person_stat.c.person_id, "persons"),
            person_stat.c.open_refunds > 0,
            refund.c.status.in_(sorted(REFUND_OPEN)),
            func.coalesce(refund.c.created_at, orders.c.ordered_at) > bindparam("refunds_since"),
        )
        .group_by(orders.c.person_id)
    )


@cache
def _recovering(dialect: str) -> Select[Any]:
    """Runs of P0, whose case brakes the others."""
    r = enrolment.c
    return select(r.id, r.person_id, r.state, r.anchor_at, r.ended_at).where(
        among_given(dialect, r.person_id, "persons"),
        r.priority == "P0",
        or_(r.state == "active", r.ended_at > bindparam("cases_since")),
    )


@cache
def _stopped(dialect: str) -> Select[Any]:
    return select(stop_entry.c.person_id, stop_entry.c.kind).where(
        among_given(dialect, stop_entry.c.person_id, "persons")
    )


@cache
def _due_today(dialect: str) -> Select[Any]:
    """Runs of marketing that are due before `since`."""
    r = enrolment.c
    return select(r.id, r.person_id, r.playbook_key, r.version, r.step).where(
        among_given(dialect, r.person_id, "persons"),
        r.state == "active",
        r.priority.in_(sorted(MARKETING)),
        r.is_holdout.is_(False),
        r.due_at <= bindparam("since"),
    )


def _case(known: _Person, row: Row[Any], now: datetime, house: House) -> tuple[str, datetime | None]:
    """Why only complaints and notices may go out, and until when; None: until the case is closed."""
    if known.open_refunds or "refund.opened" in known.cases.values():
        return "客户有退款在处理中，暂停营销", None
    if known.cases:
        return "客户有投诉在处理中，暂停营销", None
    ends = []
    for run in known.recovering:
        if run.id == row.id:
            continue
        closed_at = run.ended_at
        if known.closed_at is not None and known.closed_at >= run.anchor_at:
            closed_at = min(known.closed_at, closed_at or known.closed_at)
        if closed_at is None:
            return "客户的售后还没有结束，暂停营销", None
        ends.append(closed_at)
    if known.closed_at is not None:
        ends.append(known.closed_at)
    until = max(ends) + house.after_sale if ends else None
    if until is None or until <= now:
        return "", None
    local = until.astimezone(house.zone)
    return f"售后结束不久，{local.month}月{local.day}日 {local:%H:%M} 起恢复营销", until


def _tagged(conn: Connection, due: Sequence[Due], house: House) -> dict[str, str]:
    """By contact: the tag that puts somebody on the stop list."""
    contacts = sorted({one.row.external_userid for one in due if one.row.external_userid})
    if not house.stop_tags or not contacts:
        return {}
    t = follow_user_tag.c
    rows = conn.execute(
        select(t.external_userid, t.tag_name).where(
            among(conn, t.external_userid, contacts), t.tag_name.in_(sorted(house.stop_tags))
        )
    )
    return {row.external_userid: f"标签“{row.tag_name}”" for row in rows}


def _rivals(conn: Connection, due: Sequence[Due], now: datetime, house: House, find: Find) -> dict[int, str]:
    """By enrolment: the more important marketing of the same person that comes later today."""
    marketing = [one for one in due if one.playbook.priority in MARKETING]
    if not marketing:
        return {}
    persons = listed(conn, sorted({one.row.person_id for one in marketing}))
    asked = {"persons": persons, "since": _end_of_day(now, house.zone)}
    rows = conn.execute(_due_today(conn.dialect.name), asked).all()
    if len(rows) <= len({person_id for _, person_id, *_ in rows}):
        return {}  # each has only the one that is being decided
    by_person: dict[int, list[tuple[int, Playbook]]] = defaultdict(list)
    for enrolment_id, person_id, key, version, index in rows:
        playbook = find(key, version)
        step = next_step(playbook, index) if playbook is not None else None
        if playbook is not None and step is not None and step.channel in PUSHES:
            by_person[person_id].append((enrolment_id, playbook))
    rivals = {}
    for one in marketing:
        better = [
            playbook
            for other, playbook in by_person.get(one.row.person_id, ())
            if other != one.row.id and rank(playbook) < rank(one.playbook)
        ]
        if better:
            rivals[one.row.id] = f"“{min(better, key=rank).title}”"
    return rivals


def rank(playbook: Playbook) -> tuple[str, int]:
    """The smaller, the more important: priority first, then the value its author expects."""
    return playbook.priority, -playbook.guards.value


def _end_of_day(now: datetime, zone: ZoneInfo) -> datetime:
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(UTC)
