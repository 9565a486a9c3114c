"""What a welcome is from the add to its outcome."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scrm.content import attachments as content
from scrm.content.media.store import Living
from scrm.sop.schema import Playbook, Step


@dataclass(frozen=True, slots=True)
class Added:
    """A customer added a member: what the callback says, and when it came."""

    userid: str
    external_userid: str
    state: str
    welcome_code: str
    is_half: bool
    created_at: datetime
    received_at: datetime
    digest: bytes
    correlation: str
    # The customer agrees to the archiving of a chat that has begun: the relation is what WeCom says when asked.
    is_consent: bool = False
    # Other apps are told of the same adds, each with a code of its own (doc 92137).
    may_be_copy: bool = False

    @property
    def once(self) -> str:
        """What the ledger knows this welcome by: its code, of which only a hash is kept."""
        if not self.welcome_code:
            return f"welcome:event:{self.digest.hex()[:40]}"
        return f"welcome:{hashlib.sha256(self.welcome_code.encode()).hexdigest()[:40]}"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A welcome step and its playbook; without one the words are the channel's own."""

    playbook: Playbook | None
    step: Step

    @property
    def playbook_key(self) -> str:
        return self.playbook.key if self.playbook else ""

    @property
    def playbook_title(self) -> str:
        return self.playbook.title if self.playbook else "渠道欢迎语"


@dataclass(frozen=True, slots=True)
class Prepared:
    """The intent as it stands in the ledger; `chosen` is None when nothing is to be sent."""

    send_id: int
    person_id: int
    # The event's name for playbooks and timeline: a half add that is confirmed is no second add.
    tells: str
    facts: Mapping[str, Any]
    chosen: Chosen | None = None
    is_settled: bool = False
    # A try before this one may have reached WeCom: we were killed before its outcome was written.
    was_begun: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    coupons: Mapping[str, content.CouponCard] = field(default_factory=dict)
    media: Mapping[str, Living] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended: sent, done_by_other, too_late, failed; errcode is WeCom's last."""

    send_id: int
    outcome: str
    sent_at: datetime | None = None
    errcode: int = 0
    reason: str = ""
    content: Mapping[str, Any] = field(default_factory=dict)
