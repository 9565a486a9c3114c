"""How platforms write money, times and numbers in JSON; every function raises Unreadable with the field's name."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from scrm.commerce.connectors.hook import Plain, Unreadable
from scrm.commerce.connectors.reader import without_thousands

_PICTURE = re.compile(r"https?://\S{1,490}\Z")
CHINA = timezone(timedelta(hours=8))


def pick(value: Any, *path: str) -> Any:
    """What stands at a path of names; None where the path ends before."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def dicts(value: Any) -> list[Plain]:
    """The objects of a list; anything else is none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def word(value: Any, limit: int | None = None) -> str:
    """Text or a number as text; '' for null, objects and lists."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()[:limit]


def picture(value: Any) -> str:
    """Address of a picture; '' for what is none: an order without its picture is better than no order."""
    address = word(value)
    address = f"https:{address}" if address.startswith("//") else address
    return address if _PICTURE.match(address) else ""


def yuan(name: str, value: Any) -> int | None:
    """Decimal money in fen, rounded half up; None for what is not there."""
    text = without_thousands(word(value))
    if not text:
        return None
    try:
        amount = Decimal(text)
        if amount.is_finite() and abs(amount) < 10**11:
            return int((amount * 100).quantize(Decimal(1), rounding="ROUND_HALF_UP"))
    except InvalidOperation:
        pass
    raise Unreadable(f"{name}：应为金额，收到 {text[:30]}")


# Currencies of no or three decimals, which `yuan` would misread (ISO 4217).
_WHOLE = frozenset(("JPY", "KRW", "VND", "CLP", "ISK", "XAF", "XOF", "XPF", "PYG", "UGX", "RWF"))


def minor(name: str, value: Any, currency: str) -> int | None:
    """Decimal money in the currency's smallest unit, as far as two decimals go."""
    amount = yuan(name, value)
    return amount // 100 if amount is not None and currency in _WHOLE else amount


def fen(name: str, value: Any) -> int | None:
    """Whole fen, as a number or as text."""
    text = word(value)
    if not text:
        return None
    if text.removeprefix("-").isdecimal() and len(text) <= 15:
        return int(text)
    raise Unreadable(f"{name}：应为以分为单位的整数，收到 {text[:30]}")


def epoch(name: str, value: Any) -> datetime | None:
    """Seconds or milliseconds since 1970; None for 0 and for what is not there."""
    text = word(value)
    if text in ("", "0"):
        return None
    if not text.isdecimal() or len(text) > 13:
        raise Unreadable(f"{name}：应为 Unix 时间，收到 {text[:30]}")
    number = int(text)
    return datetime.fromtimestamp(number / 1000 if number > 10**11 else number, UTC)


def moment(name: str, value: Any, zone: timezone = CHINA) -> datetime | None:
    """ISO 8601 or `2026-01-01 08:00:00`; without an offset it is in `zone`. None for what is not there.

    Not there is also what databases keep for it: the years 0 and 1.
    """
    text = word(value)
    if text in ("", "0") or text.startswith(("0000-", "0001-")):
        return None
    if text.isdecimal():
        return epoch(name, value)
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Unreadable(f"{name}：应为时间，收到 {text[:30]}") from None


def count(name: str, value: Any, otherwise: int = 1) -> int:
    """A whole number of pieces; `otherwise` where nothing is said."""
    text = word(value)
    if not text:
        return otherwise
    try:
        number = Decimal(text)
        if number.is_finite() and abs(number) < 10**9:
            return int(number)
    except InvalidOperation:
        pass
    raise Unreadable(f"{name}：应为数量，收到 {text[:30]}")


def total(amounts: Iterator[int | None]) -> int | None:
    """The sum of what is known; None when nothing is."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def raw_case(status: str, said_state: str) -> Plain:
    """What the platform calls the state of an after-sale case, where we do not know it."""
    return {"raw_status": said_state} if status == "unknown" else {}


def said(values: Plain) -> Plain:
    """Without what says nothing: null and empty text."""
    return {name: value for name, value in values.items() if value not in (None, "")}
