"""Pure: after an error, when to try again, or that it is no use (docs/wecom-contacts 4.4)."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from scrm.errors import ScrmError
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.stops import stops_work

# Seconds before the second, third ... try; when they run out the item becomes a dead letter.
_DELAYS: dict[RetryClass, tuple[float, ...]] = {
    RetryClass.TRANSIENT: (1, 2, 4, 15, 60, 300, 900, 3600),
    RetryClass.TOKEN: (5, 60, 600),
    RetryClass.WINDOW: (60, 60, 3600, 3600, 86400),
    RetryClass.CONFLICT: (1, 1, 2, 4, 8),
    RetryClass.LATER: (10, 30, 60, 300),
    # Nothing helps until an administrator has acted; what is held goes on then (scrm.stops).
    RetryClass.CONFIGURATION: (),
    RetryClass.MEDIA: (1,),
    RetryClass.RESTART: (60, 600),
    RetryClass.RELATION: (),
    RetryClass.PARAMETER: (),
}
# WeCom asks for no more than three tries of what it answers with -1.
_BUSY_DELAYS = (1, 2)
# Those who were refused together must not all come back in the same moment: up to a quarter earlier.
_JITTERED = frozenset({RetryClass.TRANSIENT, RetryClass.CONFLICT})
_EARLIER = 0.25
_BUG_DELAYS = (1, 5, 30, 300)


class TryAgain(Exception):
    """Something outside WeCom failed in a way that passes; `delays` are seconds before the second, third ... try.

    `retry_after` is what the other side asked for, in seconds.
    """

    def __init__(self, text: str, *, delays: Sequence[float], retry_after: float | None = None) -> None:
        self.delays, self.retry_after = tuple(delays), retry_after
        super().__init__(text)


def next_try(
    error: Exception, attempts: int, now: datetime, give_up_at: datetime | None, *, jitter: float = 0.0
) -> datetime | None:
    """None when the item should be buried; `attempts` counts those already made, `jitter` is from 0 to 1."""
    delays = _delays(error)
    if attempts > len(delays):
        return None
    seconds = delays[attempts - 1]
    if isinstance(error, WeComError) and error.retry_class in _JITTERED:
        seconds *= 1 - _EARLIER * jitter
    if isinstance(error, WeComError | TryAgain) and error.retry_after is not None:
        seconds = error.retry_after
    due_at = now + timedelta(seconds=seconds)
    return None if give_up_at is not None and due_at > give_up_at else due_at


# What is nobody's fault and over some time: the same call may well go through in an hour.
_PASSES = frozenset(
    {
        RetryClass.TRANSIENT,
        RetryClass.TOKEN,
        RetryClass.WINDOW,
        RetryClass.CONFLICT,
        RetryClass.LATER,
        RetryClass.RESTART,
    }
)


def is_held(error: Exception, give_up_at: datetime | None = None) -> bool:
    """Whether what was buried goes on by itself: when somebody has set WeCom up well, or an hour later.

    What had a deadline has missed it.
    """
    if stops_work(error) or (isinstance(error, WeComError) and error.is_busy):
        return True
    return give_up_at is None and isinstance(error, WeComError) and error.retry_class in _PASSES


def _delays(error: Exception) -> tuple[float, ...]:
    if isinstance(error, WeComError):
        if error.is_spent:
            return ()
        return _BUSY_DELAYS if error.is_busy else _DELAYS[error.retry_class]
    if isinstance(error, TryAgain):
        return error.delays
    return () if isinstance(error, ScrmError) else _BUG_DELAYS
