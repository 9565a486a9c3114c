"""Who may post how often, and who is no person at all."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from urllib.parse import urlsplit

from scrm.tracking.radar import is_own_host

_MOST_KNOWN = 20_000
# Programs that say themselves that they are no customer; chats fetch links for their previews.
_BOT = re.compile(
    r"bot\b|bot/|spider|crawl|slurp|preview|facebookexternalhit|mediapartners|lighthouse|pingdom|uptime|monitor"
    r"|bytespider|yisou|sogou web|baiduspider|360spider",
    re.IGNORECASE,
)


def is_bot(user_agent: str) -> bool:
    return _BOT.search(user_agent) is not None


def is_own_page(origin: str, domains: Iterable[str], public_url: str) -> bool:
    """Whether a page of this Origin may post: one of the shop's domains, or ours."""
    try:
        parts = urlsplit(origin)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host:
        return False
    return parts.netloc == urlsplit(public_url).netloc or is_own_host(host, port, domains)


class Limiter:
    """A bucket of `per_minute` for each sender, in this process; forgets who was not seen for longest."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, sender: str, now: float) -> float:
        """0 when the request may come in, else after how many seconds the next may; `now` in seconds, monotonic."""
        level, since = self._buckets.pop(sender, (float(self._per_minute), now))
        level = min(float(self._per_minute), level + max(0.0, now - since) * self._per_minute / 60)
        waits = 0.0 if level >= 1 else (1 - level) * 60 / self._per_minute
        self._buckets[sender] = (level if waits else level - 1, now)
        while len(self._buckets) > _MOST_KNOWN:
            self._buckets.popitem(last=False)
        return waits
