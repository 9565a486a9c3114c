"""The sandbox's acquisition links, their customers and what the corp has bought (docs 97297-97375)."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class LinkedCustomer:
    """Somebody who came through a link; chat_status 0 no message, 1 wrote."""

    external_userid: str
    userid: str
    state: str
    added_at: datetime
    chat_status: int = 0


@dataclass
class Link:
    """One link; `clicks` are moments at which somebody opened it."""

    link_id: str
    name: str
    url: str
    created_at: datetime
    userids: list[str] = field(default_factory=list)
    party: list[int] = field(default_factory=list)
    skip_verify: bool = True
    customers: list[LinkedCustomer] = field(default_factory=list)
    clicks: list[datetime] = field(default_factory=list)


@dataclass
class AcquisitionState:
    """All links, and the uses that are left: one is spent for each customer added."""

    links: dict[str, Link] = field(default_factory=dict)
    total: int = 100
    balance: int = 100
    expires_at: datetime | None = None
    chat_keys: dict[str, tuple[datetime, str, str, str]] = field(default_factory=dict)
