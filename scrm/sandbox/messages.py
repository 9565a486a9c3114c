"""What stands in a chat: of two people or of a group."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True)
class Message:
    """One bubble of a chat; `content` has the fields of its kind."""

    number: int
    at: datetime
    sender: Literal["member", "customer", "system"]
    kind: str
    content: Json
    via: Literal["typed", "welcome", "sidebar", "system"] = "typed"
    is_delivered: bool = True
