"""Access tokens, JS-API tickets and login codes, each with its life time."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .errors import Refusal
from .faults import Faults

LIFE = timedelta(seconds=7200)
CODE_LIFE = timedelta(minutes=5)


@dataclass
class Identity:
    """What the sandbox has given out to the app; times are the sandbox clock's."""

    faults: Faults
    tokens: dict[str, datetime] = field(default_factory=dict)  # token: dies at
    tickets: dict[str, tuple[str, datetime]] = field(default_factory=dict)  # kind: (ticket, dies at)
    codes: dict[str, tuple[str, str, datetime]] = field(default_factory=dict)  # code: (kind, id, dies at)

    def token(self, now: datetime) -> tuple[str, int]:
        """The living access token and its remaining seconds, or a new one (doc 91039)."""
        if self.faults.rotate_tokens:
            self.expire_tokens(now)
        for text, dies_at in self.tokens.items():
            if dies_at > now:
                return text, int((dies_at - now).total_seconds())
        text = secrets.token_urlsafe(128)
        self.tokens[text] = now + LIFE
        return text, int(LIFE.total_seconds())

    def check_token(self, text: str, now: datetime) -> None:
        """Refuse a missing (41001), unknown (40014) or expired (42001) token."""
        if not text:
            raise Refusal(41001)
        dies_at = self.tokens.get(text)
        if dies_at is None:
            raise Refusal(40014)
        if dies_at <= now:
            raise Refusal(self.faults.expired_token_errcode)

    def expire_tokens(self, now: datetime) -> None:
        """WeCom may end a token early."""
        for text, dies_at in self.tokens.items():
            self.tokens[text] = min(dies_at, now)

    def ticket(self, kind: str, now: datetime) -> tuple[str, int]:
        """The living ticket of a kind (`jsapi` or `agent_config`) and its remaining seconds."""
        text, dies_at = self.tickets.get(kind, ("", now))
        if dies_at <= now:
            text, dies_at = secrets.token_urlsafe(48), now + LIFE
            self.tickets[kind] = (text, dies_at)
        return text, int((dies_at - now).total_seconds())

    def ticket_that_signed(self, nonce: str, timestamp: str, url: str, signature: str, now: datetime) -> str | None:
        """The kind of the living ticket that gives this JS-API signature (doc 90506)."""
        for kind, (ticket, dies_at) in self.tickets.items():
            text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url}"
            digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            if dies_at > now and secrets.compare_digest(digest.encode(), signature.encode()):
                return kind
        return None

    def login_code(self, kind: str, name: str, now: datetime) -> str:
        """A code for the browser that a member (`member`, userid) or customer (`customer`, key) holds."""
        code = secrets.token_urlsafe(32)
        self.codes[code] = (kind, name, now + CODE_LIFE)
        return code

    def take_code(self, code: str, now: datetime) -> tuple[str, str]:
        """Who logged in; a code works once and for five minutes (40029)."""
        kind, name, dies_at = self.codes.pop(code, ("", "", now))
        if dies_at <= now:
            raise Refusal(40029)
        return kind, name
