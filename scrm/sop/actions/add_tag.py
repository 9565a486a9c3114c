"""Mark the customer with a corp tag (企业标签), for the member of the run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop.actions.effects import Act, Field

name = "add_tag"
title = "打标签"
fields = (Field("add_tag", "标签", "tag"),)
needs_relation = True


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if tag_names(value) else "add_tag 要写标签名，例如 add_tag: 新客"


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """The step tells WeCom of all its tags in one call."""
    for one in acts:
        one.effects.add_tags += tag_names(one.value)


def tag_names(value: Any) -> list[str]:
    """One name or a list of them; none when it is something else."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        return []
    return [name.strip() for name in names]
