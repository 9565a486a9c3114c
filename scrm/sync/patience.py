"""Tries a call again while WeCom is only busy."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from scrm.clock import Clock
from scrm.wecom.errors import RetryClass, WeComError

T = TypeVar("T")

# Seconds before the second, third ... try (wecom-contacts 4.4, classes A and D).
PAUSES = (1.0, 2.0, 4.0)
MOST_WHEN_BUSY = 3


async def patiently(clock: Clock, call: Callable[[], Awaitable[T]]) -> T:
    """What `call` answers; raises its last error when it stays busy, and any other error at once.

    An answer of -1 is the last after three tries, also for the work around the call.
    """
    for number, pause in enumerate(PAUSES, start=1):
        try:
            return await call()
        except WeComError as error:
            error.is_spent = error.is_busy and number == MOST_WHEN_BUSY
            if error.is_spent or error.retry_class not in (RetryClass.TRANSIENT, RetryClass.CONFLICT):
                raise
        await clock.sleep(pause)
    return await call()
