"""Where a list goes on, as text for an address: `milliseconds.number`, or `-.number` for what has no time."""

from datetime import datetime

from scrm.db.tables import from_millis, to_millis
from scrm.errors import Invalid
from web.texts import _

_LARGEST = 2**63


def write_place(at: datetime | None, number: int) -> str:
    return f"{'-' if at is None else to_millis(at)}.{number}"


def read_place(text: str) -> tuple[datetime | None, int] | None:
    """None for no text; raises Invalid for what `write_place` never wrote."""
    if not text:
        return None
    at, dot, number = text.partition(".")
    try:
        moment, rank = None if at == "-" else from_millis(int(at)), int(number)
    except (ValueError, OverflowError):
        raise _unread() from None
    if abs(rank) >= _LARGEST or not dot:
        raise _unread()
    return moment, rank


def _unread() -> Invalid:
    return Invalid(_("页码不对，请刷新页面。"))
