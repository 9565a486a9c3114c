"""Condition trees: checked, compiled to SQL for one person or a whole audience, and explained leaf by leaf.

`{all: [...]}`, `{any: [...]}`, `{not: ...}` and leaves. No condition admits everyone; an empty group and a leaf about
something unknown or deleted admit nobody, wherever in the tree they stand, even below a `not`.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnClause,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    String,
    Text,
    and_,
    bindparam,
    cast,
    column,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine

from scrm import events
from scrm.db.tables import to_millis
from scrm.profiles import models
from scrm.profiles.conditions import leaves_tags as conditions_tags
from scrm.profiles.conditions import leaves_trigger as conditions_trigger
from scrm.profiles.conditions.fields import Asked, PersonId, Since
from scrm.profiles.conditions.leaf import Leaf
from scrm.profiles.conditions.leaves_events import EVENT, EVENTS, NO_REPLY, OWN_EVENT, PUSHES, RADAR_OPENS
from scrm.profiles.conditions.leaves_fields import FIELD
from scrm.profiles.conditions.leaves_own_fields import with_definitions as with_own_fields
from scrm.profiles.conditions.leaves_tags import FLAGS

__all__ = [
    "EVENTS",
    "FLAGS",
    "LEAVES",
    "OWN_EVENT",
    "Asked",
    "Compared",
    "Leaf",
    "Problem",
    "Whom",
    "check_condition",
    "compile_condition",
    "explain",
    "find_missing",
    "holding",
    "holding_for",
    "holds",
    "holds_for",
    "judge",
    "list_leaves",
    "with_definitions",
    "words_of",
]

Tree = Mapping[str, Any]
Path = tuple[str | int, ...]

MAX_DEPTH = 20
MAX_LEAVES = 200
_GROUPS = ("all", "any", "not")
_PIECE = 1000

# The kinds of leaves; rooms above this one add theirs (scrm.segments.conditions).
LEAVES: dict[str, Leaf] = {
    "field": FIELD,
    "event": EVENT,
    "flag": conditions_tags.FLAG,
    "tag": conditions_tags.TAG,
    "trigger": conditions_trigger.TRIGGER,
    "no_reply": NO_REPLY,
    "radar_opens_gte": RADAR_OPENS,
    "pushed": PUSHES,
}
# What looks up in the database what a tree names; each leaves alone what it does not know.
DEFINERS: list[Callable[[Connection, Any], Any]] = [with_own_fields]


class Problem(NamedTuple):
    """What is wrong, in the author's words, and where in the tree."""

    path: Path
    text: str


class Compared(NamedTuple):
    """One leaf in words, what was found, and whether it holds (as the tree asks: a `not` above is counted in)."""

    words: str
    found: str
    holds: bool


class Whom(NamedTuple):
    """Somebody with the run that asks: `key` is what the caller knows the run by.

    `facts` are those of the event that began it; with an `event_id` alone they are looked up. `anchor_at` is when the
    run began.
    """

    key: int
    person_id: int
    userid: str = ""
    external_userid: str = ""
    event_id: int = 0
    facts: Mapping[str, Any] | None = None
    anchor_at: datetime | None = None


# Checking -------------------------------------------------------------------------------------------------------------


def check_condition(tree: Any) -> list[Problem]:
    """Everything that is wrong with a tree; empty for a good one and for None."""
    if tree is None:
        return []
    problems = list(_problems(tree, (), 0))
    if not problems and (count := sum(1 for _ in list_leaves(tree))) > MAX_LEAVES:
        problems.append(Problem((), f"条件太多：{count} 个，最多 {MAX_LEAVES} 个"))
    return problems


def list_leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """All leaves of a checked tree with their places."""
    if not isinstance(tree, Mapping):
        return
    for group in ("all", "any"):
        if isinstance(tree.get(group), list):
            for number, part in enumerate(tree[group]):
                yield from list_leaves(part, (*path, group, number))
            return
    if "not" in tree:
        yield from list_leaves(tree["not"], (*path, "not"))
    else:
        yield path, tree


def find_missing(conn: Connection, tree: Tree | None, *, kinds: Collection[str] = ()) -> list[Problem]:
    """What a sound tree names that does not exist, is deleted, or is empty below a `not`: it would admit nobody.

    With `kinds` only leaves of these kinds are looked at.
    """
    if tree is None:
        return []
    tree = with_definitions(conn, tree)
    if problems := check_condition(tree):
        return problems
    missing = []
    for path, spec in list_leaves(tree):
        leaf = LEAVES[_kind(spec)]
        if kinds and _kind(spec) not in kinds:
            continue
        if leaf.guard is not None and not conn.execute(select(leaf.guard(spec))).scalar_one():
            missing.append(Problem(path, f"“{leaf.words(spec)}”里说的不存在或已删除，这样谁也不会满足"))
        elif not all(conn.execute(select(guard)).scalar_one() for guard in _guards_of_not(path, spec)):
            missing.append(Problem(path, f"“{leaf.words(spec)}”现在是空的，它的反面谁也不会满足"))
    return missing


def with_definitions(conn: Connection, tree: Any) -> Any:
    """The tree with what it names (own fields, segments) looked up; unknown things are marked as nobody's."""
    for define in DEFINERS:
        tree = define(conn, tree)
    return tree


def _kind(spec: Mapping[str, Any]) -> str:
    return next((kind for kind in LEAVES if kind in spec), "")


def _problems(tree: Any, path: Path, depth: int) -> Iterator[Problem]:
    if not isinstance(tree, Mapping) or not tree:
        yield Problem(path, "条件是空的，这样谁也不会满足；请写 all、any、not 或一个具体条件，不需要条件就整行删掉")
    elif depth > MAX_DEPTH:
        yield Problem(path, f"条件套得太深，最多 {MAX_DEPTH} 层")
    elif group := next((group for group in _GROUPS if group in tree), None):
        yield from _group_problems(tree, group, path, depth)
    else:
        yield from (Problem(path, text) for text in _leaf_problems(tree))


def _group_problems(tree: Mapping[str, Any], group: str, path: Path, depth: int) -> Iterator[Problem]:
    if len(tree) > 1:
        others = "、".join(str(key) for key in tree if key != group)
        yield Problem(path, f"{group} 旁边不能再写 {others}，请把它放进 {group} 里面")
    elif group == "not":
        yield from _problems(tree["not"], (*path, "not"), depth + 1)
    elif not isinstance(tree[group], list) or not tree[group]:
        yield Problem(path, f"{group} 里面是空的，这样谁也不会满足；请写成列表，至少一个条件")
    else:
        for number, part in enumerate(tree[group]):
            yield from _problems(part, (*path, group, number), depth + 1)


def _leaf_problems(spec: Mapping[str, Any]) -> list[str]:
    if kind := _kind(spec):
        return LEAVES[kind].check(spec)
    written = "、".join(str(key) for key in spec)
    return [f"不认识的条件“{written}”，可用的有 all、any、not、{'、'.join(LEAVES)}"]


# Compiling ------------------------------------------------------------------------------------------------------------


def compile_condition(
    tree: Tree | None, person_id: PersonId, now: datetime, *, since: Since = None
) -> ColumnElement[bool]:
    """The tree as SQL that is true or false, never NULL; `person_id` may be a column, for an audience.

    Fields of the shop's own and segments are as defined only in a tree that went through `with_definitions`.
    """
    return compile_asked(tree, Asked(person_id, now, since))


def compile_asked(tree: Tree | None, asked: Asked) -> ColumnElement[bool]:
    """The same for a run with its relation, or for an audience whose query has joined person_stat."""
    if tree is None:
        return true()
    if check_condition(tree) or _lacks(tree, asked):
        return false()
    return and_(true(), *guards_of(tree), _compile(tree, asked))


def guards_of(tree: Tree) -> list[ColumnElement[bool]]:
    """What must be true for anybody to be admitted by a checked tree, whoever is asked about."""
    leaves = [(path, spec, LEAVES[_kind(spec)]) for path, spec in list_leaves(tree)]
    guards = [leaf.guard(spec) for _, spec, leaf in leaves if leaf.guard is not None]
    return guards + [guard for path, spec, _ in leaves for guard in _guards_of_not(path, spec)]


def _guards_of_not(path: Path, spec: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    guard = LEAVES[_kind(spec)].guard_of_not
    return [guard(spec)] if guard is not None and "not" in path else []


def _lacks(tree: Tree, asked: Asked) -> bool:
    """Whether some leaf needs a run, or its event, and nobody has said which."""
    needs = {LEAVES[_kind(spec)].needs(spec) for _, spec in list_leaves(tree)}
    return "trigger" in needs or ("run" in needs and asked.userid is None)


def needs_run(spec: Mapping[str, Any]) -> bool:
    """Whether only a run can answer this leaf: with its relation or its event."""
    return LEAVES[_kind(spec)].needs(spec) in ("run", "trigger")


def _compile(tree: Tree, asked: Asked) -> ColumnElement[bool]:
    if "all" in tree:
        return and_(*(_compile(part, asked) for part in tree["all"]))
    if "any" in tree:
        return or_(*(_compile(part, asked) for part in tree["any"]))
    if "not" in tree:
        return not_(_compile(tree["not"], asked))
    return LEAVES[_kind(tree)].compile(tree, asked)


# Asking ---------------------------------------------------------------------------------------------------------------


def holds(conn: Connection, tree: Tree | None, person_id: int, now: datetime, *, since: Since = None) -> bool:
    """Whether one person fits; id 0 is somebody we know nothing of yet."""
    if tree is None:
        return True
    fits = compile_condition(with_definitions(conn, tree), literal(person_id, BigInteger), now, since=since)
    return bool(conn.execute(select(fits)).scalar_one())


def holds_for(conn: Connection, tree: Tree | None, whom: Whom, now: datetime) -> bool:
    """Whether a person fits in the run that asks: with its relation, its event and its beginning."""
    if tree is None:
        return True
    answered = conditions_trigger.answer(with_definitions(conn, tree), _facts_of(conn, [whom]).get(whom.key))
    return bool(conn.execute(select(compile_asked(answered, _asked(whom, now)))).scalar_one())


def judge(conn: Connection, tree: Tree | None, whom: Whom, now: datetime) -> tuple[bool, list[Compared]]:
    """`holds_for`, and for whoever fits what each leaf compared, as `explain` tells it: every leaf is asked once."""
    if tree is None:
        return True, []
    tree = conditions_trigger.answer(with_definitions(conn, tree), _facts_of(conn, [whom]).get(whom.key))
    asked = Asked(_PERSON, now, None, _USERID, _EXTERNAL, _ANCHOR if whom.anchor_at else None)
    if check_condition(tree) or _lacks(tree, asked):
        return False, []
    leaves = list(list_leaves(tree))
    held = [LEAVES[_kind(spec)].compile(spec, asked) for _, spec in leaves]
    is_sound, *answers = conn.execute(_columns([and_(true(), *guards_of(tree)), *held]), _given_one(whom)).one()
    if not is_sound or not _decide(tree, iter(map(bool, answers))):
        return False, []
    found = _find_all(conn, [spec for _, spec in leaves], asked, whom)
    told = zip(leaves, answers, found, strict=True)
    return True, [
        Compared(_leaf_words(path, spec), each, bool(held) is not _is_negated(path))
        for (path, spec), held, each in told
    ]


def _columns(columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
    return select(*(each.label(f"c{number}") for number, each in enumerate(columns)))


def _decide(tree: Tree, answers: Iterator[bool]) -> bool:
    """The tree with its leaves answered, in the order of `list_leaves`."""
    if "not" in tree:
        return not _decide(tree["not"], answers)
    for group, combine in (("all", all), ("any", any)):
        if group in tree:
            return combine([_decide(part, answers) for part in tree[group]])
    return next(answers)


# One object for whomever it is: SQL about it is built and read by SQLAlchemy once.
_PERSON, _USERID, _EXTERNAL, _ANCHOR = (
    bindparam("whom_person", type_=BigInteger()),
    bindparam("whom_userid", type_=String()),
    bindparam("whom_external", type_=String()),
    bindparam("whom_anchor", type_=BigInteger()),
)


def _given_one(whom: Whom) -> dict[str, Any]:
    anchor = {} if whom.anchor_at is None else {"whom_anchor": to_millis(whom.anchor_at)}
    pair = {"whom_userid": whom.userid, "whom_external": whom.external_userid}
    return {"whom_person": whom.person_id, **pair, **anchor}


def _find_all(conn: Connection, specs: Sequence[Mapping[str, Any]], asked: Asked, whom: Whom) -> list[str]:
    """What `_found` tells of each leaf, with one statement for all whose value is SQL."""
    by_sql = [spec for spec in specs if _is_sql(spec)]
    values: Iterator[Any] = iter(())
    if by_sql:
        wanted = [LEAVES[_kind(spec)].found(spec, asked) for spec in by_sql]  # type: ignore[misc]
        values = iter(conn.execute(_columns(wanted), _given_one(whom)).one())
    return [
        _tell(spec, [next(values)]) if _is_sql(spec) else _found(conn, spec, _asked(whom, asked.now)) for spec in specs
    ]


def _is_sql(spec: Mapping[str, Any]) -> bool:
    leaf = LEAVES[_kind(spec)]
    return leaf.found is not None and leaf.explain is None and not isinstance(spec, conditions_trigger.Answered)


def holding(
    conn: Connection, tree: Tree | None, person_ids: Iterable[int], now: datetime, *, since: Since = None
) -> set[int]:
    """Those of many persons who fit, in one statement for each thousand."""
    wanted = sorted(set(person_ids))
    if tree is None:
        return set(wanted)
    fits = compile_condition(with_definitions(conn, tree), models.person.c.id, now, since=since)
    found: set[int] = set()
    for start in range(0, len(wanted), _PIECE):
        query = select(models.person.c.id).where(models.person.c.id.in_(wanted[start : start + _PIECE]), fits)
        found.update(conn.execute(query).scalars())
    return found


def holding_for(conn: Connection, tree: Tree | None, whom: Sequence[Whom], now: datetime) -> set[int]:
    """The keys of those runs whose person fits, in one statement for each thousand.

    Leaves about the runs' events are answered before: runs whose events say the same are asked for together.
    """
    if tree is None or not whom:
        return {one.key for one in whom}
    tree = with_definitions(conn, tree)
    if check_condition(tree):
        return set()
    if not conditions_trigger.names_trigger(tree):
        return set(_holding(conn, tree, whom, now))
    facts = _facts_of(conn, whom)
    alike: dict[tuple[bool, ...], list[Whom]] = defaultdict(list)
    trees: dict[tuple[bool, ...], Tree] = {}
    for one in whom:
        answered = conditions_trigger.answer(tree, facts.get(one.key))
        said = tuple(spec.holds for _, spec in list_leaves(answered) if isinstance(spec, conditions_trigger.Answered))
        alike[said].append(one)
        trees[said] = answered
    return {key for said, group in alike.items() for key in _holding(conn, trees[said], group, now)}


def _holding(conn: Connection, tree: Tree, whom: Sequence[Whom], now: datetime) -> Iterator[int]:
    given = _given(conn.dialect.name)
    asked = Asked(given.c.person_id, now, None, given.c.userid, given.c.external_userid, given.c.anchor)
    query = select(given.c.key).where(compile_asked(tree, asked))
    for start in range(0, len(whom), _PIECE):
        yield from conn.execute(query, _rows(conn.dialect.name, whom[start : start + _PIECE])).scalars()


_COLUMNS: dict[str, TypeEngine[Any]] = {
    "key": BigInteger(),
    "person_id": BigInteger(),
    "userid": Text(),
    "external_userid": Text(),
    "anchor": BigInteger(),
}


@cache
def _given(dialect: str) -> FromClause:
    """The rows of `_rows` as a table with `_COLUMNS`, in one parameter for each column or for all."""
    if dialect == "postgresql":
        lists = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in _COLUMNS.items()]
        columns: list[ColumnClause[Any]] = [column(name, kind) for name, kind in _COLUMNS.items()]
        return func.unnest(*lists).table_valued(*columns, name="given").render_derived()
    each = func.json_each(bindparam("given_rows", type_=Text())).table_valued("value", name="given_each")
    parts = [
        cast(func.json_extract(each.c.value, literal_column(f"'$[{number}]'")), kind).label(name)
        for number, (name, kind) in enumerate(_COLUMNS.items())
    ]
    return select(*parts).subquery("given")


def _rows(dialect: str, whom: Sequence[Whom]) -> dict[str, Any]:
    rows = [
        (one.key, one.person_id, one.userid, one.external_userid, to_millis(one.anchor_at) if one.anchor_at else 0)
        for one in whom
    ]
    if dialect == "postgresql":
        return {f"given_{name}": list(values) for name, values in zip(_COLUMNS, zip(*rows, strict=True), strict=True)}
    return {"given_rows": msgspec.json.encode(rows).decode()}


def _facts_of(conn: Connection, whom: Iterable[Whom]) -> dict[int, Mapping[str, Any]]:
    """By key: what the events say that began the runs."""
    told = {one.key: one.facts for one in whom if one.facts is not None}
    asked = {one.key: one.event_id for one in whom if one.facts is None and one.event_id}
    if asked:
        kept = events.list_facts(conn, set(asked.values()))
        told |= {key: kept[event_id] for key, event_id in asked.items() if event_id in kept}
    return told


def _asked(whom: Whom, now: datetime) -> Asked:
    anchor = None if whom.anchor_at is None else literal(to_millis(whom.anchor_at), BigInteger)
    pair = literal(whom.userid, String), literal(whom.external_userid, String)
    return Asked(literal(whom.person_id, BigInteger), now, None, *pair, anchor)


# Explaining -----------------------------------------------------------------------------------------------------------


def explain(
    conn: Connection,
    tree: Tree | None,
    person_id: int,
    now: datetime,
    *,
    since: Since = None,
    whom: Whom | None = None,
) -> list[Compared]:
    """What each leaf asked, what was found, whether it held; for a tree that admits nobody, why it does not."""
    if tree is None:
        return []
    tree = with_definitions(conn, tree)
    if problems := check_condition(tree):
        return [Compared(problem.text, "", False) for problem in problems]
    asked = Asked(literal(person_id, BigInteger), now, since)
    if whom is not None:
        asked = _asked(whom, now)
        tree = conditions_trigger.answer(tree, _facts_of(conn, [whom]).get(whom.key))
    return explain_asked(conn, tree, asked)


def explain_asked(conn: Connection, tree: Tree, asked: Asked) -> list[Compared]:
    """The leaves of a checked tree whose names are looked up."""
    return [_compared(conn, path, spec, asked) for path, spec in list_leaves(tree)]


def words_of(spec: Mapping[str, Any]) -> str:
    """One leaf in words: 「已付款订单数 等于 0」."""
    return LEAVES[_kind(spec)].words(spec)


def _compared(conn: Connection, path: Path, spec: Mapping[str, Any], asked: Asked) -> Compared:
    leaf, words = LEAVES[_kind(spec)], _leaf_words(path, spec)
    if leaf.guard is not None and not conn.execute(select(leaf.guard(spec))).scalar_one():
        return Compared(leaf.words(spec), "不存在或已删除", False)
    if not all(conn.execute(select(guard)).scalar_one() for guard in _guards_of_not(path, spec)):
        return Compared(words, "是空的", False)
    if lack := _lack(spec, asked):
        return Compared(words, lack, False)
    held = bool(conn.execute(select(leaf.compile(spec, asked))).scalar_one())
    return Compared(words, _found(conn, spec, asked), held is not _is_negated(path))


def _is_negated(path: Path) -> bool:
    return path.count("not") % 2 == 1


def _leaf_words(path: Path, spec: Mapping[str, Any]) -> str:
    words = LEAVES[_kind(spec)].words(spec)
    return f"并非：{words}" if _is_negated(path) else words


def _lack(spec: Mapping[str, Any], asked: Asked) -> str:
    needs = LEAVES[_kind(spec)].needs(spec)
    if needs == "trigger":
        return "没有触发事件，无法比较"
    return "没有指定跟进的员工，无法比较" if needs == "run" and asked.userid is None else ""


def _found(conn: Connection, spec: Mapping[str, Any], asked: Asked) -> str:
    leaf = LEAVES[_kind(spec)]
    if isinstance(spec, conditions_trigger.Answered):
        return "没有值" if spec.found is None else str(spec.found)
    if leaf.explain is not None:
        return leaf.explain(conn, spec, asked)
    if leaf.found is None:
        return ""
    return _tell(spec, conn.execute(select(leaf.found(spec, asked))).scalars().all())


def _tell(spec: Mapping[str, Any], values: Iterable[Any]) -> str:
    leaf = LEAVES[_kind(spec)]
    known = [leaf.tell(spec, value) for value in values if value is not None and value != ""]
    return "、".join(known[:5]) or "没有值"
