"""One look of one member at one contact."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Row

from scrm.db.tables import to_millis
from scrm.settings import Settings
from scrm.sidebar.words import refusals
from scrm.sop.guards.recheck import Rules


@dataclass(slots=True)
class Visit:
    """What every card may know; `task_id` is the task the member came for."""

    userid: str
    external_userid: str
    now: datetime
    zone: ZoneInfo
    settings: Settings
    rules: Rules
    task_id: int | None = None
    # The relation with contact and person; set when the door has opened.
    relation: Row[Any] | None = None
    # All that a whole page reads of the person (scrm.sidebar.store.read_picture).
    picture: Row[Any] | None = None
    # The picture's orders put together (scrm.sidebar.cards.orders.of_picture).
    orders: list[Any] | None = None

    @property
    def public_url(self) -> str:
        return self.settings.server.public_url

    @property
    def since(self) -> int:
        """The moment in milliseconds, as an address tells it."""
        return to_millis(self.now)

    @property
    def refusals(self) -> list[str]:
        """What the customer refused, in words; nothing while the door is closed."""
        return refusals(self.relation.optout) if self.relation is not None else []

    @property
    def person_id(self) -> int:
        assert self.relation is not None  # noqa: S101 - cards are loaded behind the door
        return int(self.relation.person_id)
