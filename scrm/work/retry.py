"""Pure: after an error, when to try again, or that it is no use (docs/wecom-contacts 4.4)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scrm.errors import ScrmError
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable

# Seconds before the second, third ... try; when they run out the item becomes a dead letter.
_DELAYS: dict[RetryClass, tuple[float, ...]] = {
    RetryClass.TRANSIENT: (1, 2, 4, 15, 60, 300, 900, 3600),
    RetryClass.TOKEN: (5, 60, 600),
    RetryClass.WINDOW: (60, 60, 3600, 3600, 86400),
    RetryClass.CONFLICT: (1, 1, 2, 4, 8),
    RetryClass.LATER: (10, 30, 60, 300),
    # Nothing helps until an administrator has acted; what waits goes on by itself when that is done within a day.
    # While a secret is refused the client asks WeCom at most once a minute, however much work waits.
    RetryClass.CONFIGURATION: (60, 600, 3600, 3600, 3600, 21600, 43200),
    RetryClass.MEDIA: (1,),
    RetryClass.RESTART: (60, 600),
    RetryClass.RELATION: (),
    RetryClass.PARAMETER: (),
}
# WeCom asks for no more than three tries of what it answers with -1; after a rest it may be asked anew.
_BUSY_DELAYS = (1, 2, 300, 900, 3600)
_BUG_DELAYS = (1, 5, 30, 300)


class TryAgain(Exception):
    """Something outside WeCom failed in a way that passes; `delays` are seconds before the second, third ... try.

    `retry_after` is what the other side asked for, in seconds.
    """

    def __init__(self, text: str, *, delays: Sequence[float], retry_after: float | None = None) -> None:
        self.delays, self.retry_after = tuple(delays), retry_after
        super().__init__(text)


def next_try(error: Exception, attempts: int, now: datetime, give_up_at: datetime | None) -> datetime | None:
    """None when the item should be buried; `attempts` counts those already made."""
    delays = _delays(error)
    if attempts > len(delays):
        return None
    seconds = delays[attempts - 1]
    if isinstance(error, WeComError | TryAgain) and error.retry_after is not None:
        seconds = error.retry_after
    due_at = now + timedelta(seconds=seconds)
    return None if give_up_at is not None and due_at > give_up_at else due_at


def _delays(error: Exception) -> tuple[float, ...]:
    if isinstance(error, WeComError):
        is_busy = error.errcode == -1 and not isinstance(error, WeComUnreachable)
        return _BUSY_DELAYS if is_busy else _DELAYS[error.retry_class]
    if isinstance(error, TryAgain):
        return error.delays
    return () if isinstance(error, ScrmError) else _BUG_DELAYS
