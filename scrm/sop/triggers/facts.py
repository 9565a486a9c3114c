"""Does what is known about an event fit what a trigger asks for?"""

from collections.abc import Iterable, Mapping
from typing import Any


def fits(where: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Every named fact has one of the wanted values; a fact nobody knows fits nothing."""
    return all(_one_of(find_fact(facts, path), wanted) for path, wanted in where.items())


def find_fact(facts: Mapping[str, Any], path: str) -> Any:
    """`channel.kind` is looked up as it stands, then level by level; None when it is not there."""
    if path in facts:
        return facts[path]
    found: Any = facts
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _one_of(found: Any, wanted: Any) -> bool:
    if found is None:
        return False
    # 1 == True in Python, but not to an author.
    return any(found == value and isinstance(found, bool) == isinstance(value, bool) for value in wanted_values(wanted))


def wanted_values(wanted: Any) -> Iterable[Any]:
    """The values of which a fact must be one."""
    return wanted if isinstance(wanted, tuple | list | set | frozenset) else (wanted,)
