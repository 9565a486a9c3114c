"""A condition as the builder of the page posts it. Pure."""

import json
from typing import Any

from scrm.errors import Invalid
from scrm.sop.board.said import Said

_MOST = 60_000


def read_tree(said: Said, prefix: str) -> Any:
    """The tree that a form says, None for no condition; raises Invalid for what no builder makes."""
    text = said.one(f"{prefix}.tree")
    if not text:
        return None
    try:
        tree = json.loads(text) if len(text) <= _MOST else ""
    except (ValueError, RecursionError):
        tree = ""
    if tree is not None and not isinstance(tree, dict):
        raise Invalid("条件没有完整地传过来，请刷新页面再试")
    return tree
