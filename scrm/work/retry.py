"""Pure: after an error, when to try again, or that it is no use (docs/wecom-contacts 4.4)."""

from datetime import datetime, timedelta

from scrm.errors import ScrmError
from scrm.wecom.errors import RetryClass, WeComError

# Seconds before the second, third ... try; when they run out the item becomes a dead letter.
_DELAYS: dict[RetryClass, tuple[float, ...]] = {
    RetryClass.TRANSIENT: (1, 2, 4, 15, 60, 300, 900, 3600),
    RetryClass.TOKEN: (5, 60, 600),
    RetryClass.WINDOW: (60, 60, 3600, 3600, 86400),
    RetryClass.CONFLICT: (1, 1, 2, 4, 8),
    RetryClass.LATER: (10, 30, 60, 300),
    # An administrator must act; what waits goes on by itself when that is done within a day.
    RetryClass.CONFIGURATION: (60, 600, 3600, 3600, 3600, 21600, 43200),
    RetryClass.MEDIA: (1,),
    RetryClass.RELATION: (),
    RetryClass.PARAMETER: (),
}
_BUG_DELAYS = (1, 5, 30, 300)


def next_try(error: Exception, attempts: int, now: datetime, give_up_at: datetime | None) -> datetime | None:
    """None when the item should be buried; `attempts` counts those already made."""
    if isinstance(error, WeComError):
        delays = _DELAYS[error.retry_class]
    elif isinstance(error, ScrmError):
        delays = ()
    else:
        delays = _BUG_DELAYS
    if attempts > len(delays):
        return None
    due_at = now + timedelta(seconds=delays[attempts - 1])
    return None if give_up_at is not None and due_at > give_up_at else due_at
