"""One look of one member at one contact."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row


@dataclass(slots=True)
class Visit:
    """What every card may know; `task_id` is the task the member came for."""

    userid: str
    external_userid: str
    now: datetime
    zone: ZoneInfo
    public_url: str
    task_id: int | None = None
    # The relation with contact and person; set when the door has opened.
    relation: Row[Any] | None = None

    @property
    def person_id(self) -> int:
        assert self.relation is not None  # noqa: S101 - cards are loaded behind the door
        return int(self.relation.person_id)
