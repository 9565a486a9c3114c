"""What one file of values is: which variables it knows, and how it reads them for a whole batch."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.sop.facts import Due

Found = Iterable[tuple[int, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Shop:
    """What texts and links need of the settings."""

    name: str
    public_url: str
    zone: ZoneInfo
    # The path of a customer's own page (scrm.referrals.codes); a rehearsal has none.
    invites: Callable[[int], str] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch, the keys that its texts name, and the moment."""

    due: Sequence[Due]
    named: Collection[str]
    shop: Shop
    now: datetime

    @property
    def person_ids(self) -> set[int]:
        return {one.row.person_id for one in self.due}


@dataclass(frozen=True, slots=True)
class Source:
    """`knows` says whether it knows a variable; `load` yields (enrolment id, values by key)."""

    knows: Callable[[str], bool]
    load: Callable[[Connection, Asked], Found]
