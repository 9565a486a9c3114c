"""Cursors of lists: opaque to the caller, and good for a while only (50100)."""

import base64
import binascii

from .call import Call
from .errors import Refusal


def make_cursor(call: Call, *places: int) -> str:
    """Where the next page begins; it says when it was made, in the sandbox's own time."""
    text = ":".join(map(str, ("after", int(call.now.timestamp()), *places)))
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_cursor(call: Call, count: int = 1) -> tuple[int, ...]:
    """The places it was made of, zeros without one; too old is 50100, and what nobody made is 40058."""
    text = call.text("cursor")
    if not text:
        return (0,) * count
    try:
        word, made_at, *places = base64.b64decode(text, altchars=b"-_", validate=True).decode().split(":")
        numbers = tuple(int(place) for place in places)
        age = call.now.timestamp() - int(made_at)
    except (binascii.Error, ValueError):
        raise Refusal(40058, "invalid Request Parameter, invalid cursor") from None
    if word != "after" or len(numbers) != count or min(numbers) < 0:
        raise Refusal(40058, "invalid Request Parameter, invalid cursor")
    if age >= call.faults.cursor_life_seconds:
        raise Refusal(50100)
    return numbers


def next_cursor(call: Call, place: int, total: int) -> str:
    """Empty behind the last item."""
    return make_cursor(call, place) if place < total else ""
