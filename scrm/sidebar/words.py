"""The lines of the timeline, as a member reads them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from scrm.commerce.words import channel
from scrm.profiles import timeline
from scrm.profiles.timeline import Line


def tell(name: str, facts: Mapping[str, Any], who: str, own: Any = None) -> Line:
    """A domain event as a line; `who` is the member it speaks of, or empty (the words: scrm.profiles.timeline)."""
    return timeline.tell(name, facts, who, channel=channel, own=own)


_WELCOMES = {
    "sent": Line("chat", "发出欢迎语"),
    "done_by_other": Line("chat", "欢迎语由其他方式发出"),
    "intent": Line("chat", "欢迎语发送中"),
}


def tell_welcome(outcome: str, text: str, reason: str) -> Line:
    """A welcome of the send ledger: what was said, or why nothing was."""
    line = _WELCOMES.get(outcome) or Line("alert", "欢迎语没有发出")
    return line._replace(detail=text if outcome == "sent" else reason)


def days_since(moment: datetime, now: datetime) -> int:
    """Whole days, the first day counting as one."""
    return max(0, (now - moment) // timedelta(days=1)) + 1
