"""What an author may compare a field with: read by its kind, each mistake in the author's words."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from scrm.db.tables import to_millis
from scrm.profiles.conditions.fields import MONTHS, Field, Kind

MAX_NUMBER = 10**15


def read_value(known: Field, value: Any) -> Any:
    """A condition's value as it is compared (yuan become fen, moments milliseconds); raises ValueError in words."""
    if known.choices and isinstance(value, str):
        if value not in known.choices:
            raise ValueError(f"“{known.title}”没有“{value}”，可用的值：{'、'.join(known.choices)}")
        return known.choices[value]
    return _READERS[known.kind](known, value)


def read_month(known: Field, value: Any) -> int | str:
    """1 to 12, or `this` and `next` month; raises ValueError in words."""
    if isinstance(value, str) and value in MONTHS:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 12:
        return value
    raise ValueError(f"“{known.title}”的月份要写 1 到 12、this（本月）或 next（下月），写的是“{value}”")


def _read_number(known: Field, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"“{known.title}”要和数字比较，写的是“{value}”")
    if not abs(value) < MAX_NUMBER:
        raise ValueError(f"“{known.title}”的数字太大：“{value}”")
    return value


def _read_yuan(known: Field, value: Any) -> int:
    try:
        fen = Decimal(str(_read_number(known, value))) * 100
        if fen != int(fen):
            raise ValueError(f"“{known.title}”的金额“{value}”最多两位小数")
    except (InvalidOperation, OverflowError):
        raise ValueError(f"“{known.title}”要和数字比较，写的是“{value}”") from None
    return int(fen)


def _read_text(known: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"“{known.title}”要和文字比较，写的是“{value}”，请加上引号")
    return value


def _read_moment(known: Field, value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
        return to_millis(moment)
    except (TypeError, ValueError):
        raise ValueError(f"“{known.title}”要和带时区的时间比较，如 2026-03-01T00:00+08:00，写的是“{value}”") from None


_RELATIVE = re.compile(r"today\s*(?:([+-])\s*(\d{1,4})d)?", re.ASCII)


def _read_date(known: Field, value: Any) -> int | timedelta:
    """Days since 1970, or how far from today."""
    if isinstance(value, str) and (found := _RELATIVE.fullmatch(value.strip())):
        days = timedelta(days=int(found[2] or 0))
        return -days if found[1] == "-" else days
    try:
        day = date.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"“{known.title}”要和日期比较，如 2026-03-01、today、today+7d，写的是“{value}”") from None
    return day.toordinal() - date(1970, 1, 1).toordinal()


def _read_choice(known: Field, value: Any) -> str:
    raise ValueError(f"“{known.title}”没有“{value}”，可用的值：{'、'.join(known.choices)}")


def _read_sealed(known: Field, value: Any) -> str:
    raise ValueError(f"“{known.title}”是加密保存的，只能比较有值或没有值")


def is_date(value: Any) -> bool:
    """Whether a text is a day, which later and earlier mean something for."""
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return isinstance(value, str) and _RELATIVE.fullmatch(value.strip()) is not None


def _read_any(known: Field, value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float):
        raise ValueError(f"“{known.title}”要和文字、数字或 true/false 比较，写的是“{value}”")
    return float(_read_number(known, value))


_READERS: dict[Kind, Callable[[Field, Any], Any]] = {
    Kind.NUMBER: _read_number,
    Kind.YUAN: _read_yuan,
    Kind.TEXT: _read_text,
    Kind.MOMENT: _read_moment,
    Kind.DATE: _read_date,
    Kind.CHOICE: _read_choice,
    Kind.CHOICES: _read_choice,
    Kind.SEALED: _read_sealed,
    Kind.ANY: _read_any,
}
