"""How often a key may ask: a bucket for each, in this process, and the headers that say how much is left."""

from collections.abc import Mapping

from scrm.clock import monotonic
from scrm.errors import ScrmError
from scrm.services import Services
from scrm.tracking.limits import Limiter


class TooOften(ScrmError):
    """`retry_after`: in how many seconds the next request may come."""

    status = 429
    code = "too_often"


class _Buckets(Limiter):
    """Those of the API's keys; senders of /track have theirs."""


def take(services: Services, key: str) -> Mapping[str, str]:
    """The headers of the answer; raises TooOften."""
    most = services.settings.api.per_minute
    buckets = services.memory.setdefault(_Buckets, _Buckets(most))
    waits = buckets.take(key, monotonic())
    headers = {"RateLimit-Limit": str(most), "RateLimit-Remaining": str(buckets.left(key))}
    if waits:
        seconds = round(waits) + 1
        raise TooOften(
            f"请求太频繁：每个密钥每分钟最多 {most} 次，请 {seconds} 秒后再试",
            retry_after=seconds,
        )
    return headers
