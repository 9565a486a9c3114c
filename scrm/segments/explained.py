"""A condition as people read it: the tree in words, and for one person what holds at each place of it."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection

from scrm.segments.conditions import Compared, check_condition, explain, list_leaves

_NOBODYS = ("不存在或已删除", "是空的")
_NOBODY_FITS = "有一条说的不存在、已删除或是空的，整个条件谁也不满足"
JOINTS = {"all": "同时满足", "any": "满足任意一条"}


class Place(NamedTuple):
    """A leaf with what was found, or a group with its parts; `holds` counts its own `not` in."""

    words: str
    holds: bool
    found: str = ""
    is_not: bool = False
    parts: "tuple[Place, ...]" = ()


def explain_tree(conn: Connection, tree: Any, person_id: int, now: datetime) -> Place:
    """What holds for one person, place by place; a tree that is wrong has its mistakes as parts."""
    told = explain(conn, tree, person_id, now)
    if check_condition(tree) or len(told) != sum(1 for _ in list_leaves(tree)):
        return Place("条件有问题，谁也不会满足", False, parts=tuple(Place(each.words, False) for each in told))
    place = _place(tree, iter(told), is_below_not=False)
    if place.parts and any(leaf.found in _NOBODYS for leaf in told):
        return place._replace(holds=False, found=_NOBODY_FITS)
    return place


def _place(tree: Any, told: Iterator[Compared], *, is_below_not: bool) -> Place:
    if "not" in tree:
        inner = _place(tree["not"], told, is_below_not=not is_below_not)
        return inner._replace(is_not=not inner.is_not, holds=not inner.holds and inner.found not in _NOBODYS)
    joint = next((name for name in JOINTS if isinstance(tree.get(name), list)), "")
    if not joint:
        leaf = next(told)
        # `explain` counts the `not`s above in; here each place has its own.
        holds = leaf.holds is not is_below_not if leaf.found not in _NOBODYS else False
        return Place(leaf.words.removeprefix("并非："), holds, leaf.found)
    parts = tuple(_place(part, told, is_below_not=is_below_not) for part in tree[joint])
    combine = all if joint == "all" else any
    return Place(JOINTS[joint], combine(part.holds for part in parts), parts=parts)
