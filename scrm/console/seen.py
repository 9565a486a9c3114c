"""Two who change one thing: a form says what it was filled from, and what changed since is not overwritten unawares."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from scrm.errors import Conflict, ScrmError

FIELD = "seen"


class Changed(Conflict):
    """Somebody has saved it since the form was filled; sent once more, the form means it."""

    def __init__(self) -> None:
        super().__init__(
            "你打开之后，这里又被保存过一次（同事，或你的另一个页面），所以没有保存。你填的都还在：先在新标签页里看看现在的内容，"
            "确定要用你填的代替，就再保存一次"
        )


def mark(*values: object) -> str:
    """What a form carries of the values it was filled from: the same for the same, 12 characters."""
    return sha256(repr(values).encode()).hexdigest()[:12]


def require_unchanged(form: Mapping[str, Any], now: str) -> None:
    """Raises Changed when the form was filled from other values than `now` marks; one that says nothing passes."""
    if (given := str(form.get(FIELD, ""))) and given != now:
        raise Changed


def mark_again(form: Mapping[str, Any], now: str, problem: ScrmError) -> str:
    """For a form that is shown once more: who has been told of a change may send it, else it is as old as it was."""
    return now if isinstance(problem, Changed) else str(form.get(FIELD, ""))
