"""What waits for members to confirm it: mass messages and moments."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

REMINDERS = 3
REMINDED_WITHIN = timedelta(hours=24)

Json = dict[str, Any]


@dataclass
class Delivery:
    """One customer or group of a mass message; status 0 not sent, 1 sent, 2 no friend, 3 had too many."""

    target: str
    userid: str
    status: int = 0
    sent_at: datetime | None = None


@dataclass
class MassMessage:
    """A task for one or more members; `creator` is empty when the API made it."""

    msgid: str
    chat_type: str
    created_at: datetime
    text: str
    attachments: list[Json]
    deliveries: list[Delivery] = field(default_factory=list)
    userids: list[str] = field(default_factory=list)
    confirmed: dict[str, datetime] = field(default_factory=dict)
    reminded: list[datetime] = field(default_factory=list)
    creator: str = ""
    is_cancelled: bool = False


@dataclass
class Moment:
    """A moment of the corp, and which members have published it."""

    moment_id: str
    created_at: datetime
    text: str
    attachments: list[Json]
    userids: list[str]
    audiences: dict[str, list[str]] = field(default_factory=dict)  # userid: external_userids
    published: dict[str, datetime] = field(default_factory=dict)
    comments: list[tuple[str, str, datetime]] = field(default_factory=list)  # userid, external_userid, at
    likes: list[tuple[str, str, datetime]] = field(default_factory=list)
    is_public: bool = True
    is_cancelled: bool = False


@dataclass
class Sending:
    """The state of this family; the figures are switches for tests and the demo."""

    mass_messages: dict[str, MassMessage] = field(default_factory=dict)
    moments: dict[str, Moment] = field(default_factory=dict)
    moment_jobs: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # jobid: (moment_id, begun at)
    url_jobs: dict[str, tuple[str, int]] = field(default_factory=dict)  # jobid: (media_id, errcode)
    received: dict[str, list[datetime]] = field(default_factory=dict)  # what each customer or group got
    pictures: list[datetime] = field(default_factory=list)  # uploads of media/uploadimg
    per_month: int | None = None  # None: as many as the month has days (doc 92135, 2025-11-17)
    creating_seconds: float = 0.0  # for so long records answer 41063
    no_moments: bool = False  # 41211

    def mass_messages_of(self, userid: str) -> list[MassMessage]:
        """What waits for a member, or was sent by him; stopped ones are gone."""
        return [made for made in self.mass_messages.values() if userid in made.userids and not made.is_cancelled]

    def moments_of(self, userid: str) -> list[Moment]:
        """What a member is to publish, or has."""
        return [moment for moment in self.moments.values() if userid in moment.userids and not moment.is_cancelled]

    def has_room(self, target: str, now: datetime) -> bool:
        """Whether a customer or group may receive one more this month."""
        month = [at for at in self.received.get(target, []) if (at.year, at.month) == (now.year, now.month)]
        most = self.per_month if self.per_month is not None else _days_of_month(now)
        return len(month) < most

    def receive(self, target: str, now: datetime) -> None:
        self.received.setdefault(target, []).append(now)


def _days_of_month(now: datetime) -> int:
    first_of_next = (now.replace(day=28) + timedelta(days=4)).replace(day=1)
    return (first_of_next - timedelta(days=1)).day
