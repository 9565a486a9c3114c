"""Who waits where: how many runs stand before each part of a playbook, and which; whoever is behind another run."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, literal_column, select, union_all

from scrm.access.scope import EVERYONE, Scope, reaches
from scrm.sop.guards.arbitration import QUEUE_WORDS
from scrm.sop.life.published import Published
from scrm.sop.models import enrolment, playbook_version
from scrm.sop.reasons import explain
from scrm.sop.schema import Fork, Jump, Playbook
from scrm.sop.shelf import find_version

# Older versions have long run out.
_VERSIONS = 60
STATES = ("active", "paused", "queued")
# Where runs stand whose steps are over.
END = "~end"

# A literal, so that the partial index is found.
_LIVING: ColumnElement[bool] = literal_column("enrolment.state IN ('active', 'paused', 'queued')")


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many runs stand before this part of the playbook; `step_id` is END when its parts are over."""

    step_id: str
    title: str
    count: int


@dataclass(frozen=True, slots=True)
class Living:
    """Runs under way: by state, and where those that are active wait."""

    states: Counter[str] = field(default_factory=Counter)
    places: list[Waiting] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of runs; `after` goes on with the list."""

    runs: Sequence[Row[Any]]
    after: int | None = None


def find_living(conn: Connection, playbook: Playbook, published: Published) -> Living:
    """Where runs under way stand, each in its own version."""
    e = enrolment.c
    # In the order of the index, which has all that is asked for.
    place = (e.playbook_key, e.state, e.is_holdout, e.version, e.step)
    grouped = select(*place[1:], func.count()).where(_LIVING, e.playbook_key == playbook.key).group_by(*place)
    states: Counter[str] = Counter()
    at: Counter[tuple[int, int]] = Counter()
    for state, is_holdout, version, step, count in conn.execute(grouped).all():
        states["holdout" if is_holdout else state] += count
        if state == "active" and not is_holdout:
            at[version, step] += count
    versions = {version: find_version(conn, published, playbook.key, version) for version, _ in at}
    return Living(states, _places(playbook, versions, at))


def _places(newest: Playbook, versions: Mapping[int, Playbook | None], at: Counter[tuple[int, int]]) -> list[Waiting]:
    """In the order of the newest text; what only older ones have comes last."""
    counts: Counter[str] = Counter()
    titles: dict[str, str] = {}
    for (version, step), count in at.items():
        of_run = versions[version] or newest
        place = place_at(of_run, step)
        counts[place] += count
        titles.setdefault(place, title_of(newest, place) or f"{title_of(of_run, place)}（旧版本）")
    order = [place_at(newest, index) for index in range(len(newest.program))]
    rank = {place: number for number, place in enumerate(order)}
    ranked = sorted(counts, key=lambda place: (place == END, rank.get(place, len(order)), place))
    return [Waiting(place, titles[place], counts[place]) for place in ranked]


def place_at(playbook: Playbook, index: int) -> str:
    """The name of the part that a run with this index stands before."""
    node = playbook.node(index)
    while isinstance(node, Jump):
        node = playbook.node(node.target)
    if node is None:
        return END
    return node.part.id if isinstance(node, Fork) else node.id


def title_of(playbook: Playbook, place: str) -> str:
    """What a part is called, empty for one that the playbook does not have."""
    if place == END:
        return "步骤已走完，等待目标"
    node = next((node for node in playbook.program if _is(node, place)), None)
    return explain.title_of(node) if node is not None else ""


def _is(node: Any, place: str) -> bool:
    return not isinstance(node, Jump) and (node.part.id if isinstance(node, Fork) else node.id) == place


# Lists ----------------------------------------------------------------------------------------------------------------


def list_waiting(
    conn: Connection,
    published: Published,
    key: str,
    *,
    state: str,
    place: str = "",
    after: int = 0,
    limit: int = 50,
    scope: Scope = EVERYONE,
) -> Found:
    """Runs within the scope that are in this state, at this part if one is named; who came first stands first."""
    e = enrolment.c
    fits = [_LIVING, e.playbook_key == key, e.state == state, e.is_holdout.is_(False), e.id > after]
    if not scope.is_whole:
        fits.append(reaches(scope, e.person_id))
    query = select(enrolment).where(*fits)
    if place:
        first = [
            select(e.id).where(*fits, e.version == version, e.step == step).order_by(e.id).limit(limit + 1).subquery()
            for version, step in _spots(conn, published, key, place)
        ]
        if not first:
            return Found(())
        query = select(enrolment).where(e.id.in_(union_all(*(select(each.c.id) for each in first))))
    runs = conn.execute(query.order_by(e.id).limit(limit + 1)).all()
    return Found(runs[:limit], runs[limit - 1].id if len(runs) > limit else None)


def _spots(conn: Connection, published: Published, key: str, place: str) -> list[tuple[int, int]]:
    """(version, step) of the part, which may have another number in each version."""
    numbers = select(playbook_version.c.version).where(playbook_version.c.playbook_key == key)
    found: list[tuple[int, int]] = []
    for version in conn.scalars(numbers.order_by(playbook_version.c.version.desc()).limit(_VERSIONS)).all():
        playbook = find_version(conn, published, key, version)
        ends = range(len(playbook.program) + 1) if playbook is not None else ()
        found += [(version, index) for index in ends if playbook is not None and place_at(playbook, index) == place]
    return found


# Queues ---------------------------------------------------------------------------------------------------------------


def find_ahead(conn: Connection, queued: Collection[Row[Any]]) -> dict[int, Row[Any]]:
    """By run that waits for its turn: the run of the same person that is before it."""
    persons = {row.person_id for row in queued}
    if not persons:
        return {}
    e = enrolment.c
    query: Select[Any] = select(e.id, e.person_id, e.playbook_key, e.version, e.state, e.step, e.due_at).where(
        e.person_id.in_(persons), e.is_journey, e.is_holdout.is_(False), e.state.in_(STATES)
    )
    # Who speaks or is held comes before all that queue; those in the order in which they get their turn.
    order = (e.state == "queued", e.priority, e.enrolled_at, e.id)
    lines: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in conn.execute(query.order_by(*order)):
        lines[row.person_id].append(row)
    ahead = {}
    for row in queued:
        line = lines[row.person_id]
        place = next((number for number, other in enumerate(line) if other.id == row.id), 0)
        if place:
            ahead[row.id] = line[place - 1]
    return ahead


def why_queued(conn: Connection, published: Published, run: Row[Any], ahead: Row[Any] | None = None) -> str:
    """Whose turn is before, by name; a case that is open comes before everybody's turn."""
    if run.held_reason not in ("", QUEUE_WORDS):
        return str(run.held_reason)
    ahead = ahead if ahead is not None else find_ahead(conn, [run]).get(run.id)
    if ahead is None:
        return run.ended_reason or run.held_reason or "等待其他流程结束"
    return _say_ahead(conn, published, ahead)


def _say_ahead(conn: Connection, published: Published, ahead: Row[Any]) -> str:
    """「排在“新客欢迎与首单”后面，它下一步是“问问用得怎么样”」"""
    playbook = find_version(conn, published, ahead.playbook_key, ahead.version)
    title = playbook.title if playbook is not None else ahead.playbook_key
    if ahead.state == "queued":
        return f"排在“{title}”后面，它也在排队"
    if ahead.state == "paused":
        return f"排在“{title}”后面，它现在暂停"
    place = place_at(playbook, ahead.step) if playbook is not None else END
    if playbook is None or place == END:
        return f"排在“{title}”后面，它的步骤快走完了"
    return f"排在“{title}”后面，它下一步是“{title_of(playbook, place)}”"
