"""Take a corp tag (企业标签) off the customer, for the member of the run."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from scrm.sop.actions.add_tag import tag_names
from scrm.sop.actions.effects import Act, Field

name = "remove_tag"
title = "去标签"
fields = (Field("remove_tag", "标签", "tag"),)
needs_relation = True


def problem(value: Any) -> str:
    """What is wrong with the author's value; empty when nothing is."""
    return "" if tag_names(value) else "remove_tag 要写标签名，例如 remove_tag: 新客"


def act(conn: Connection, acts: Sequence[Act], now: datetime) -> None:
    """The step tells WeCom of all its tags in one call."""
    for one in acts:
        one.effects.remove_tags += tag_names(one.value)
