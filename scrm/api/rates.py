"""How often a key may ask: one bucket for all processes, and the headers that say how much is left.

A bucket is one moment: when it will be full again. A process takes a second's worth at once and spends it by itself,
so that the database is asked once a second for each busy key.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aiohttp import web
from sqlalchemy import Connection, select, update

from scrm.api.models import api_rate
from scrm.db import insert_for
from scrm.db.tables import to_millis
from scrm.errors import ScrmError
from scrm.services import Services

HEADERS = web.RequestKey("rate_limit_headers", dict[str, str])

_WINDOW_MS = 60_000
# What was taken is spent within so long, or lost.
_KEEPS = timedelta(seconds=1)
_PER_SECOND = 60
_MOST_KNOWN = 10_000


class TooOften(ScrmError):
    """`retry_after`: in how many seconds the next request may come."""

    status = 429
    code = "too_often"


@dataclass(frozen=True, slots=True)
class _Taken:
    """What this process holds of a bucket; `full_at` is when the bucket is full again, `left` what others may take."""

    count: int
    left: int
    until: datetime
    full_at: int


class _Pockets(dict[str, _Taken]):
    """By the hash of the key."""


async def take(services: Services, key: str) -> dict[str, str]:
    """The headers of the answer; raises TooOften."""
    most, now = services.settings.api.per_minute, services.clock.now()
    pockets = services.memory.setdefault(_Pockets, _Pockets())
    called = hashlib.sha256(key.encode()).hexdigest()
    mine = pockets.get(called)
    if mine is None or now >= mine.until:
        if len(pockets) >= _MOST_KNOWN:
            pockets.clear()
        wanted = max(1, most // _PER_SECOND)
        mine = await services.db.write(take_from, called, most, wanted, now)
    if not mine.count:
        pockets[called] = mine
        raise TooOften(
            f"请求太频繁：每个密钥每分钟最多 {most} 次，请 {_seconds(mine.until, now)} 秒后再试",
            retry_after=_seconds(mine.until, now),
        )
    mine = replace(mine, count=mine.count - 1)
    if mine.count:
        pockets[called] = mine
    else:
        pockets.pop(called, None)
    return headers_of(most, mine.count + mine.left, mine.full_at, now)


def headers_of(most: int, left: int, full_at: int, now: datetime) -> dict[str, str]:
    """As the draft of the IETF names them; `RateLimit-Reset` is in how many seconds everything is there again."""
    reset = max(0, math.ceil((full_at - to_millis(now)) / 1000))
    return {
        "RateLimit-Limit": str(most),
        "RateLimit-Remaining": str(left),
        "RateLimit-Reset": str(reset),
        "RateLimit-Policy": f"{most};w=60",
    }


def take_from(conn: Connection, called: str, most: int, wanted: int, now: datetime) -> _Taken:
    """As many of `wanted` as the bucket holds; with none, `until` is when the next one is there."""
    conn.execute(
        insert_for(conn.dialect.name, api_rate).on_conflict_do_nothing(), {"key_hash": called, "full_at_ms": 0}
    )
    row = api_rate.c.key_hash == called
    full_at = conn.execute(select(api_rate.c.full_at_ms).where(row).with_for_update()).scalar_one()
    at, each = to_millis(now), _WINDOW_MS / most
    # A clock that went back would leave a bucket empty for as long.
    full_at = min(max(full_at, at), at + _WINDOW_MS)
    room = int((at + _WINDOW_MS - full_at) / each + 1e-6)
    if not room:
        waits = timedelta(milliseconds=math.ceil(full_at + each - at - _WINDOW_MS))
        return _Taken(0, 0, now + waits, full_at)
    count = min(wanted, room)
    after = min(full_at + math.ceil(count * each), at + _WINDOW_MS)
    conn.execute(update(api_rate).where(row).values(full_at_ms=after))
    return _Taken(count, room - count, now + _KEEPS, after)


def _seconds(until: datetime, now: datetime) -> int:
    return max(1, math.ceil((until - now).total_seconds()))


async def tell(request: web.Request, response: web.StreamResponse) -> None:
    """Before an answer goes out: the limits stand on refusals too."""
    response.headers.update(request.get(HEADERS, {}))
