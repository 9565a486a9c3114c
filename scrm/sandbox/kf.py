"""WeChat customer service as WeCom keeps it: accounts, what was said, sessions, codes and the five answers."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]
CODE_LIFE = timedelta(seconds=20)
WINDOW = timedelta(hours=48)
HISTORY = timedelta(days=3)
TOKEN_LIFE = timedelta(minutes=10)
MOST_SENT = 5
NEW, ROBOT, POOL, HUMAN, ENDED = range(5)


@dataclass
class Line:
    """One bubble of a chat; `sender` is customer, account or system."""

    at: datetime
    sender: str
    text: str


@dataclass
class Session:
    """One customer at one account."""

    external_userid: str
    state: int = NEW
    servicer_userid: str = ""
    last_customer_at: datetime | None = None
    sent_since: int = 0
    last_welcome_at: datetime | None = None
    lines: list[Line] = field(default_factory=list)

    def window_is_open(self, now: datetime) -> bool:
        return self.last_customer_at is not None and now - self.last_customer_at <= WINDOW


@dataclass
class KfAccount:
    """One account with all that happened at it, in the order of sync_msg."""

    open_kfid: str
    name: str
    servicers: list[str] = field(default_factory=list)
    messages: list[tuple[datetime, Json]] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)
    msgids: set[str] = field(default_factory=set)

    def session(self, external_userid: str) -> Session:
        return self.sessions.setdefault(external_userid, Session(external_userid))


@dataclass
class Code:
    """What one event may be answered with: once, within its life (doc 95122)."""

    open_kfid: str
    external_userid: str
    made_at: datetime
    life: timedelta
    is_used: bool = False


@dataclass
class KfState:
    """All accounts; `tokens` are those of the events, with when they were made."""

    accounts: dict[str, KfAccount] = field(default_factory=dict)
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[str, datetime] = field(default_factory=dict)
