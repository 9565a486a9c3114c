"""Leaves about a segment: `{segment: key}`; a dynamic one by its condition as it is now, a static one by its list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, false, or_, select, true

from scrm.profiles.conditions import tree as conditions
from scrm.profiles.conditions.fields import Asked
from scrm.profiles.conditions.leaf import Leaf, Spec, is_among, other_keys
from scrm.profiles.conditions.leaves_own_fields import with_definitions as with_own_fields
from scrm.profiles.stop_list import stop_entry
from scrm.segments.models import segment, segment_member

member = segment_member.alias("asked_segment")

STOP_LIST = "停发名单"


def _is_stopped(asked: Asked) -> ColumnElement[bool]:
    if asked.is_audience:
        return is_among(asked, select(stop_entry.c.person_id))
    return exists(select(1).where(stop_entry.c.person_id == asked.person_id))


# Segments that are kept elsewhere: key -> the SQL of being in it. They are there to leave people out.
KEPT_ELSEWHERE: dict[str, Callable[[Asked], ColumnElement[bool]]] = {STOP_LIST: _is_stopped}


@dataclass(frozen=True, slots=True)
class Definition:
    """What a segment is; `condition` has its own names looked up."""

    key: str
    title: str
    condition: Mapping[str, Any] | None = None
    is_exclusion: bool = False


class DefinedSegment(str):
    """A segment's name with what it is; None when that is unknown, deleted, or leads back to itself."""

    __slots__ = ("known",)
    known: Definition | None

    def __new__(cls, name: str, known: Definition | None) -> "DefinedSegment":
        defined = super().__new__(cls, name)
        defined.known = known
        return defined


def with_segments(conn: Connection, tree: Any, above: frozenset[str] = frozenset()) -> Any:
    """The tree with its segments looked up, and theirs; one that is part of itself is unknown."""
    names = _names(tree)
    return _defined(tree, _find(conn, names, above)) if names else tree


def _names(tree: Any) -> set[str]:
    if isinstance(tree, list):
        return set().union(*(_names(part) for part in tree))
    if not isinstance(tree, Mapping):
        return set()
    own = {tree["segment"]} if _is_open(tree) else set()
    return own.union(*(_names(tree[group]) for group in ("all", "any", "not") if group in tree))


def _is_open(tree: Mapping[str, Any]) -> bool:
    """A leaf that nobody has looked up yet."""
    return isinstance(tree.get("segment"), str) and not isinstance(tree["segment"], DefinedSegment)


def _find(conn: Connection, names: set[str], above: frozenset[str]) -> dict[str, Definition]:
    """By key, or by title where nothing has that key."""
    named = or_(segment.c.key.in_(names), segment.c.title.in_(names))
    found: dict[str, Definition] = {}
    for row in conn.execute(select(segment).where(named, segment.c.deleted_at.is_(None)).order_by(segment.c.key)):
        if row.key in above:
            continue
        condition = row.condition
        if row.kind == "dynamic":
            condition = with_segments(conn, with_own_fields(conn, condition or {}), above | {row.key})
        known = Definition(row.key, row.title, condition, row.is_exclusion)
        found.setdefault(row.title, known)
        found[row.key] = known
    for key in names & set(KEPT_ELSEWHERE):
        found.setdefault(key, Definition(key, key, None, True))
    return found


def _defined(tree: Any, known: Mapping[str, Definition]) -> Any:
    if isinstance(tree, list):
        return [_defined(part, known) for part in tree]
    if not isinstance(tree, Mapping):
        return tree
    if _is_open(tree):
        return {**tree, "segment": DefinedSegment(tree["segment"], known.get(tree["segment"]))}
    return {name: _defined(part, known) if name in ("all", "any", "not") else part for name, part in tree.items()}


def _check(spec: Spec) -> list[str]:
    name = spec["segment"]
    if not isinstance(name, str) or not name.strip():
        return ["segment 后面要写一个人群包的编号或名称"]
    if isinstance(name, DefinedSegment):
        if name.known is None:
            return [f"人群包“{name}”不存在"]
        if name.known.condition is not None and conditions.check_condition(name.known.condition):
            return [f"人群包“{name}”的条件有问题，这样谁也不会满足"]
    return other_keys(spec, "segment")


def _known(spec: Spec) -> Definition | None:
    return spec["segment"].known if isinstance(spec["segment"], DefinedSegment) else None


def _compile(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    known = _known(spec)
    if known is None:
        return false()
    if known.condition is not None:
        return conditions.compile_asked(known.condition, _plain(asked))
    if known.key in KEPT_ELSEWHERE:
        return KEPT_ELSEWHERE[known.key](asked)
    listed = member.c.segment_key == known.key
    if asked.is_audience:
        return is_among(asked, select(member.c.person_id).where(listed))
    return exists(select(1).where(listed, member.c.person_id == asked.person_id))


def _plain(asked: Asked) -> Asked:
    """A segment is about persons: what a run knows beside them does not count."""
    return replace(asked, since=None, userid=None, external_userid=None, anchor=None)


def _guard(spec: Spec) -> ColumnElement[bool]:
    known = _known(spec)
    if known is None:
        return false()
    return true() if known.condition is None else and_(true(), *conditions.guards_of(known.condition))


def _is_filled(spec: Spec) -> ColumnElement[bool]:
    """Not in an empty segment would be everybody: only of one that is there to leave people out."""
    known = _known(spec)
    if known is None:
        return false()
    return true() if known.is_exclusion else exists(select(1).where(member.c.segment_key == known.key))


def _words(spec: Spec) -> str:
    known = _known(spec)
    return f"在人群包“{known.title if known else spec['segment']}”里"


def _explain(conn: Connection, spec: Spec, asked: Asked) -> str:
    """What of the segment's own condition holds and what does not, leaf by leaf."""
    known = _known(spec)
    if known is None:
        return "不存在或已删除"
    if known.condition is None:
        return ""
    told = conditions.explain_asked(conn, known.condition, _plain(asked))
    return "；".join(
        f"{'符合' if leaf.holds else '不符合'} {leaf.words}" + (f"（现为 {leaf.found}）" if leaf.found else "")
        for leaf in told
    )


SEGMENT = Leaf(
    _check,
    _compile,
    _words,
    guard=_guard,
    guard_of_not=_is_filled,
    explain=_explain,
    schema={
        "type": "object",
        "properties": {"segment": {"type": "string", "minLength": 1}},
        "required": ["segment"],
        "additionalProperties": False,
    },
)
