"""Customers on their way from one member to another, and members who have left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY = timedelta(hours=24)
QUARTER = timedelta(days=90)
MOST_IN_QUARTER = 2
DONE, WAITING, REFUSED, TAKER_FULL = 1, 2, 3, 4


@dataclass
class Transfer:
    """One customer on the way; `status` is transfer_result's."""

    handover_userid: str
    takeover_userid: str
    external_userid: str
    begun_at: datetime
    resigned: bool
    message: str = ""
    status: int = WAITING
    ended_at: datetime | None = None

    @property
    def due_at(self) -> datetime:
        return self.begun_at + DAY

    @property
    def takeover_time(self) -> int:
        """Planned while waiting, 0 after a refusal (doc 94088)."""
        if self.status in (REFUSED, TAKER_FULL):
            return 0
        return int((self.ended_at or self.due_at).timestamp())


@dataclass
class TransferState:
    """`on_begun` is told of each transfer, so that somebody waits for its end."""

    rows: list[Transfer] = field(default_factory=list)
    left: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # folded userid: (userid, when)
    unassigned: dict[tuple[str, str], datetime] = field(default_factory=dict)  # (userid, external_userid): left at
    full: set[str] = field(default_factory=set)  # folded userids of members who can take nobody any more
    groups_today: dict[tuple[str, str], int] = field(default_factory=dict)  # (owner, day): groups handed over
    on_begun: Callable[[Transfer], None] = lambda transfer: None

    def find_waiting(self, external_userid: str, handover_userid: str = "") -> Transfer | None:
        """The transfer a customer is on now."""
        return next(
            (
                row
                for row in self.rows
                if row.external_userid == external_userid
                and row.status == WAITING
                and handover_userid in ("", row.handover_userid)
            ),
            None,
        )

    def count_recent(self, external_userid: str, now: datetime) -> int:
        """On-job transfers of a customer that were done within 90 days."""
        return sum(
            1
            for row in self.rows
            if row.external_userid == external_userid
            and row.status == DONE
            and not row.resigned
            and now - row.begun_at < QUARTER
        )
