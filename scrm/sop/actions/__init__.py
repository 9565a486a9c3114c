"""What a step can do: one module and one line for each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from scrm.sop.actions import (
    add_tag,
    assign,
    issue_coupon,
    points,
    remove_tag,
    set_values,
    start_playbook,
    stop_playbook,
)
from scrm.sop.actions.effects import Act, Actor, Effects, Field


class Action(Protocol):
    """What an action module offers; `name` is what authors write and what is stored."""

    name: str
    title: str

    @property
    def fields(self) -> tuple[Field, ...]: ...

    needs_relation: bool

    def problem(self, value: Any) -> str:
        """What is wrong with the author's value, in his words; empty when nothing is."""
        ...

    def act(self, conn: Connection, acts: Sequence[Act], now: datetime) -> None:
        """Do it for a whole batch with a few statements; what could not be done goes to `effects.failures`."""
        ...


ACTIONS: tuple[Action, ...] = (
    add_tag,
    remove_tag,
    set_values,
    issue_coupon,
    points,
    assign,
    stop_playbook,
    start_playbook,
)

_BY_NAME = {action.name: action for action in ACTIONS}


def find_action(name: str) -> Action | None:
    return _BY_NAME.get(name)


__all__ = ["ACTIONS", "Act", "Action", "Actor", "Effects", "Field", "find_action"]
