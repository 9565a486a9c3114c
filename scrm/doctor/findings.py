"""What a check says: a state, what was found, and where to mend it."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Only `bad` makes the command fail.

    `unused` is a function of WeCom that this shop may do without; `later` could not be looked at before another
    trouble is mended.
    """

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    UNUSED = "unused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Finding:
    """`found` is one sentence for people; `mend` says where to click, empty when there is nothing to do."""

    state: State
    found: str = ""
    mend: str = ""
    errcode: int = 0


def good(found: str = "") -> Finding:
    return Finding(State.GOOD, found)


def warn(found: str, mend: str, errcode: int = 0) -> Finding:
    return Finding(State.WARN, found, mend, errcode)


def bad(found: str, mend: str, errcode: int = 0) -> Finding:
    return Finding(State.BAD, found, mend, errcode)


def unused(found: str, mend: str = "", errcode: int = 0) -> Finding:
    return Finding(State.UNUSED, found, mend, errcode)
