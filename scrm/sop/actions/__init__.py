"""What a step can do: one module and one line for each."""

from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection

from scrm.sop.actions import add_tag, issue_coupon, remove_tag, set_values, task
from scrm.sop.actions.effects import Actor, Effects, Field


class Action(Protocol):
    """What an action module offers; `name` is what authors write and what is stored."""

    name: str
    title: str

    @property
    def fields(self) -> tuple[Field, ...]: ...

    needs_relation: bool

    def problem(self, value: Any) -> str: ...

    def act(self, conn: Connection, value: Any, actor: Actor, effects: Effects, now: datetime) -> None: ...


ACTIONS: tuple[Action, ...] = (task, add_tag, remove_tag, set_values, issue_coupon)

_BY_NAME = {action.name: action for action in ACTIONS}


def find_action(name: str) -> Action | None:
    return _BY_NAME.get(name)


__all__ = ["ACTIONS", "Action", "Actor", "Effects", "Field", "find_action"]
