"""What this database knows of the last days, read for a rehearsal and never written."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Connection, func, select

from scrm.db.bulk import among
from scrm.events import Event, event, event_of
from scrm.profiles.conditions.tree import words_of
from scrm.profiles.models import follow_user, person
from scrm.profiles.stop_list import stop_entry
from scrm.segments import conditions
from scrm.segments.conditions import Whom
from scrm.sop import exits
from scrm.sop.guards.answers import COUNTED, MARKETING, PUSHES, STOP_KINDS
from scrm.sop.guards.facts import ANSWERED, CASE_CLOSED, CASE_OPENED, SPOKE
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.rehearsal.answers import Answers, asked_events, is_of_today, key_of, leaves_of, trees_of
from scrm.sop.rehearsal.simulation import TOUCHED, waited_for
from scrm.sop.rehearsal.terms import USUAL, Behaviour, Member
from scrm.sop.rehearsal.walks import Person
from scrm.sop.schema import Playbook
from scrm.sop.triggers import starts

_GUARDED = frozenset(SPOKE | ANSWERED | CASE_OPENED | CASE_CLOSED | {"mass_message.sent"})
_PIECE = 2000
# A member's own figures count from so many tasks on; below that he is taken to be like everybody.
_ENOUGH = 10
_BEHAVED = timedelta(days=60)
MOST_EVENTS = 1_000_000


@dataclass(slots=True)
class Recorded:
    """Events, oldest first, of persons who come to the playbook, with what else is known of them."""

    events: list[Event]
    persons: dict[int, Person]
    answers: Answers
    is_cut: bool = False
    others: dict[str, int] = field(default_factory=dict)


def read_recorded(conn: Connection, playbook: Playbook, since: datetime, until: datetime) -> Recorded:
    """What happened between these moments to those whom the playbook's own event concerns."""
    begun, is_cut = _beginnings(conn, playbook, since, until)
    ids = {each.person_id for each in begun if each.person_id is not None}
    names = asked_events(playbook) | exits.watched(playbook) | _GUARDED | waited_for(playbook)
    events = [*begun, *_events(conn, ids, names - {playbook.trigger.event}, since - COUNTED, until)]
    events += _touches(conn, playbook, ids, since - COUNTED, until)
    if playbook.trigger.event in names:
        known = {each.id for each in begun}
        more = _events(conn, ids, {playbook.trigger.event}, since - COUNTED, until)
        events += [each for each in more if each.id not in known]
    events.sort(key=lambda each: (each.occurred_at, each.id))
    persons = _persons(conn, ids)
    _add_keys(conn, playbook, persons, since)
    return Recorded(events, persons, _answers(conn, playbook, persons, until), is_cut)


def read_behaviour(conn: Connection, now: datetime, usual: Member = USUAL) -> Behaviour:
    """How each member dealt with his tasks of the last 60 days, where there were enough of them."""
    t = task.c
    rows = conn.execute(
        select(t.userid, t.state, t.created_at, t.ended_at).where(
            t.created_at > now - _BEHAVED, t.state.in_(("sent", "expired")), t.ended_at.is_not(None)
        )
    )
    minutes: dict[str, list[int]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.userid.casefold()] += 1
        if row.state == "sent":
            minutes[row.userid.casefold()].append(int((row.ended_at - row.created_at).total_seconds() // 60))
    members = {
        userid: Member(round(len(minutes[userid]) / count, 3), max(1, int(median(minutes[userid] or [usual.minutes]))))
        for userid, count in counts.items()
        if count >= _ENOUGH
    }
    return Behaviour(usual, members)


def count_entrants(conn: Connection, playbook: Playbook, since: datetime, until: datetime) -> int:
    """How often the playbook's own event happened, before `where` is asked; for a page that offers a rehearsal."""
    query = select(func.count()).select_from(event).where(*_between(playbook.trigger.event, since, until))
    return int(conn.execute(query).scalar_one())


def _between(name: str, since: datetime, until: datetime) -> list[Any]:
    return [event.c.name == name, event.c.occurred_at >= since, event.c.occurred_at < until]


def _beginnings(conn: Connection, playbook: Playbook, since: datetime, until: datetime) -> tuple[list[Event], bool]:
    query = select(event).where(*_between(playbook.trigger.event, since, until), event.c.person_id.is_not(None))
    rows = conn.execute(query.order_by(event.c.occurred_at, event.c.id).limit(MOST_EVENTS + 1))
    events = [each for each in map(event_of, rows) if _may_start(playbook, each)]
    return events[:MOST_EVENTS], len(events) > MOST_EVENTS


def _may_start(playbook: Playbook, told: Event) -> bool:
    if told.name == "manual.started" and told.facts.get("playbook") != playbook.key:
        return False
    return starts(playbook.trigger, told)


def _pieces(ids: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), _PIECE):
        yield ordered[start : start + _PIECE]


def _events(
    conn: Connection, ids: Collection[int], names: Collection[str], since: datetime, until: datetime
) -> list[Event]:
    found: list[Event] = []
    for piece in _pieces(ids):
        query = select(event).where(
            among(conn, event.c.person_id, piece),
            event.c.occurred_at >= since,
            event.c.occurred_at < until,
            event.c.name.in_(sorted(names)),
        )
        found += map(event_of, conn.execute(query))
    return found


def _touches(
    conn: Connection, playbook: Playbook, ids: Collection[int], since: datetime, until: datetime
) -> list[Event]:
    """Marketing that other playbooks sent to these persons, as it counts against the caps."""
    found = []
    for piece in _pieces(ids):
        rows = conn.execute(
            select(enrolment.c.person_id, step_run.c.intent_at)
            .join(step_run, step_run.c.enrolment_id == enrolment.c.id)
            .where(
                among(conn, enrolment.c.person_id, piece),
                enrolment.c.playbook_key != playbook.key,
                enrolment.c.priority.in_(sorted(MARKETING)),
                step_run.c.channel.in_(sorted(PUSHES)),
                step_run.c.state.in_(("intent", "waiting", "done", "unknown")),
                step_run.c.intent_at >= since,
                step_run.c.intent_at < until,
            )
        )
        found += [Event(TOUCHED, row.intent_at, row.person_id) for row in rows]
    return found


def _persons(conn: Connection, ids: Collection[int]) -> dict[int, Person]:
    found: dict[int, Person] = {}
    for piece in _pieces(ids):
        rows = conn.execute(select(person.c.id, person.c.optout).where(among(conn, person.c.id, piece)))
        found |= {row.id: Person(row.id, optout=dict(row.optout or {})) for row in rows}
        f = follow_user.c
        pairs = conn.execute(
            select(f.person_id, f.userid, f.external_userid)
            .where(among(conn, f.person_id, piece))
            .order_by(f.ended_by != "", f.is_half, f.followed_at, f.userid)
        )
        for pair in pairs:
            who = found.get(pair.person_id)
            if who is not None and not who.external_userid:
                who.userid, who.external_userid = pair.userid, pair.external_userid
        stops = select(stop_entry.c.person_id, stop_entry.c.kind).where(among(conn, stop_entry.c.person_id, piece))
        for stop in conn.execute(stops):
            if (who := found.get(stop.person_id)) is not None:
                who.stopped = STOP_KINDS.get(stop.kind, "停发名单")
                who.is_black = stop.kind == "black"
    return found


def _add_keys(conn: Connection, playbook: Playbook, persons: Mapping[int, Person], since: datetime) -> None:
    """Who went through this playbook before the rehearsal begins."""
    for piece in _pieces(persons):
        rows = conn.execute(
            select(enrolment.c.person_id, enrolment.c.run_key, enrolment.c.enrolled_at).where(
                among(conn, enrolment.c.person_id, piece),
                enrolment.c.playbook_key == playbook.key,
                enrolment.c.enrolled_at < since,
            )
        )
        for row in rows:
            persons[row.person_id].keys[row.run_key] = row.enrolled_at


def _answers(conn: Connection, playbook: Playbook, persons: Mapping[int, Person], now: datetime) -> Answers:
    """For every leaf that only the data can answer: for whom it holds today.

    What the playbook itself changes as it goes (its coupons) is not asked: today's answer would be about something else.
    """
    today: dict[str, set[int]] = {}
    whom = [Whom(each.id, each.id, each.userid, each.external_userid) for each in persons.values()]
    for tree in trees_of(playbook):
        for leaf in leaves_of(tree):
            if is_of_today(leaf) and "coupon" not in leaf:
                today[key_of(leaf)] = conditions.holding_for(conn, leaf, whom, now)
    return Answers(today, leaf_words(playbook))


def leaf_words(playbook: Playbook) -> dict[str, str]:
    """Every leaf in words, by its key."""
    return {key_of(leaf): words_of(leaf) for tree in trees_of(playbook) for leaf in leaves_of(tree)}
