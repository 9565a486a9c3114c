"""JSON as platforms and shops really write it: one buyer's broken name is no reason to lose the whole page."""

import json
from math import isfinite
from typing import Any

import msgspec


def decode(body: bytes | str) -> Any:
    """Plain values; raises ValueError for what is no JSON, or is nested too deeply.

    A byte order mark, half an emoji and control characters in texts are mended: half a character becomes U+FFFD, and
    a number that is none becomes null.
    """
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise ValueError("嵌套太深") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        strict = error
    try:
        text = body.decode("utf-8-sig", "replace") if isinstance(body, bytes) else body
        return _whole(json.loads(text, strict=False, parse_constant=lambda _: None))
    except (ValueError, RecursionError):
        raise ValueError(str(strict)) from None


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value
