"""The Official Account's side of WeChat: who follows, what was said, and the tokens of its API."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class OaLine:
    """One bubble of a chat with the account; `sender` is customer, account or system."""

    at: datetime
    sender: str
    text: str


@dataclass
class OfficialAccountState:
    """`followers` are keys of WeChat users; the chats are by key too."""

    followers: set[str] = field(default_factory=set)
    chats: dict[str, list[OaLine]] = field(default_factory=dict)
    tokens: dict[str, datetime] = field(default_factory=dict)  # token: when it ends

    def say(self, key: str, at: datetime, sender: str, text: str) -> None:
        self.chats.setdefault(key, []).append(OaLine(at, sender, text))
