"""Values of the shop's own fields: read as people, files and programs write them, kept, compared and shown."""

import hashlib
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from scrm.db.vault import mask_phone
from scrm.profiles.own_fields.tables import MOST_TEXT
from scrm.profiles.phones import normalise_phone

MAX_NUMBER = 10**15
_EPOCH = date(1970, 1, 1).toordinal()
SEPARATORS = "、，,；;|\n"
_SPLIT = re.compile(f"[{re.escape(SEPARATORS)}]")
_DATE = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?(?:[ T]\d{1,2}:\d{2}(?::\d{2})?)?", re.ASCII
)
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_FULL_WIDTH = str.maketrans("０１２３４５６７８９．－＋，￥", "0123456789.-+,¥")


class Type(StrEnum):
    """What a field holds."""

    TEXT = "text"
    NUMBER = "number"
    MONEY = "money"  # kept in fen, written in yuan
    DATE = "date"  # kept as YYYY-MM-DD
    SELECT = "select"
    MULTI_SELECT = "multi_select"
    PHONE = "phone"  # kept sealed, shown masked
    MEMBER = "member"  # kept as the userid
    URL = "url"
    FORMULA = "formula"  # kept nowhere: reckoned when asked for


TYPE_TITLES = {
    Type.TEXT: "文本",
    Type.NUMBER: "数字",
    Type.MONEY: "金额（元）",
    Type.DATE: "日期",
    Type.SELECT: "单选",
    Type.MULTI_SELECT: "多选",
    Type.PHONE: "手机号",
    Type.MEMBER: "员工",
    Type.URL: "网址",
    Type.FORMULA: "公式",
}


class Entity(StrEnum):
    """Whose field it is."""

    PERSON = "person"
    ORDER = "order"
    RELATION = "relation"


ENTITY_TITLES = {Entity.PERSON: "客户", Entity.ORDER: "订单", Entity.RELATION: "好友关系"}


@dataclass(frozen=True, slots=True)
class CustomField:
    """One field of the shop's own; `least`, `most` and `default_text` are as a form shows them."""

    entity: Entity
    key: str
    title: str
    type: Type
    hint: str = ""
    is_required: bool = False
    is_unique: bool = False
    options: tuple[str, ...] = ()
    default_text: str = ""
    least: str = ""
    most: str = ""
    formula: str = ""
    position: int = 0
    archived_at: datetime | None = None


def read(field: CustomField, given: Any) -> Any:
    """A value as it is kept, from a form, a file or a program; None for an empty one.

    Money is fen when given as a whole number and yuan when given as text. Phones come back clear, as +86 and 11
    digits. Raises ValueError with one line for the reader.
    """
    if isinstance(given, str):
        given = given.strip()
    if given is None or given == "" or given == []:
        return None
    value = _READERS[field.type](field, given)
    if value is not None:
        _check_bounds(field, value)
    return value


def read_bound(field: CustomField, given: str) -> Any:
    """A field's own least or most as a value; None for none."""
    return _READERS[field.type](field, given) if given else None


def write(field: CustomField, value: Any) -> str:
    """A kept value as text that `read` takes back; sealed phones are written masked."""
    if value is None:
        return ""
    if field.type is Type.MONEY and isinstance(value, int):
        sign, fen = "-" if value < 0 else "", abs(value)
        return f"{sign}{fen // 100}" + (f".{fen % 100:02d}" if fen % 100 else "")
    if field.type is Type.PHONE:
        return str(value.get("mask", "")) if isinstance(value, dict) else str(value)
    if isinstance(value, list):
        return "、".join(str(each) for each in value)
    if isinstance(value, bool):
        return "是" if value else "否"
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def compared(field: CustomField | None, value: Any) -> tuple[str | None, float | None]:
    """What conditions compare, as text and as number: money in yuan, dates in days since 1970.

    Values of fields that nobody has defined compare as what they are.
    """
    if value is None:
        return None, None
    if field is None:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        return _plain_text(value)[:MOST_TEXT], number
    if field.type is Type.MULTI_SELECT:
        return f"|{'|'.join(value)}|", None
    if field.type is Type.MONEY:
        return write(field, value), value / 100
    if field.type is Type.DATE:
        return value, float(days_of(date.fromisoformat(value)))
    return write(field, value), float(value) if field.type is Type.NUMBER else None


def claim_of(field: CustomField, value: Any) -> str | None:
    """What only one owner of a unique field may have: equal for values that readers take for the same."""
    if value is None:
        return None
    return hashlib.sha256(write(field, value).casefold().encode()).hexdigest()


def plain(value: Any) -> str:
    """A value of a field that nobody has defined, for readers."""
    if isinstance(value, list):
        return "、".join(str(each) for each in value)
    return ("是" if value else "否") if isinstance(value, bool) else str(value)


def _plain_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"|{'|'.join(str(each) for each in value)}|"
    return str(value)


def days_of(day: date) -> int:
    """Days since 1970."""
    return day.toordinal() - _EPOCH


def mask_of(value: str) -> str:
    return mask_phone(value)


def _refuse(field: CustomField, given: Any, expected: str) -> ValueError:
    shown = str(given) if field.type is not Type.PHONE else "这个内容"
    return ValueError(
        f"“{field.title}”应为{expected}，填的是“{shown[:40]}”" if shown else f"“{field.title}”应为{expected}"
    )


def _read_text(field: CustomField, given: Any) -> str:
    if not isinstance(given, str | int | float) or isinstance(given, bool):
        raise _refuse(field, given, "文字")
    text = str(given).replace("\r\n", "\n")
    if len(text) > MOST_TEXT:
        raise ValueError(f"“{field.title}”最多 {MOST_TEXT} 个字，填了 {len(text)} 个")
    if _CONTROL.search(text):
        raise ValueError(f"“{field.title}”里有无法保存的字符，请删去后再填")
    return text


def _decimal(field: CustomField, given: Any, expected: str) -> Decimal:
    if isinstance(given, bool) or not isinstance(given, str | int | float | Decimal):
        raise _refuse(field, given, expected)
    text = str(given).translate(_FULL_WIDTH).replace(",", "").removeprefix("¥").removesuffix("元").strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise _refuse(field, given, expected) from None
    if not number.is_finite():
        raise _refuse(field, given, expected)
    if abs(number) >= MAX_NUMBER:
        raise ValueError(f"“{field.title}”的数字太大，应小于 1000 万亿")
    return number


def _read_number(field: CustomField, given: Any) -> int | float:
    number = _decimal(field, given, "数字")
    if number == number.to_integral_value():
        return int(number)
    if number != round(number, 6):
        raise ValueError(f"“{field.title}”最多 6 位小数，填的是“{str(given)[:40]}”")
    return float(number)


def _read_money(field: CustomField, given: Any) -> int:
    if isinstance(given, int) and not isinstance(given, bool):
        _decimal(field, given, "金额")
        return given
    if isinstance(given, float):
        raise ValueError(f'“{field.title}”是金额：数字按分写成整数，或按元写成文字，如 "199.90"')
    fen = _decimal(field, given, "以元为单位的金额，如 199.90") * 100
    if fen != fen.to_integral_value():
        raise ValueError(f"“{field.title}”的金额最多两位小数，填的是“{str(given)[:40]}”")
    return int(fen)


def _read_date(field: CustomField, given: Any) -> str:
    if isinstance(given, date):
        return (given.date() if isinstance(given, datetime) else given).isoformat()
    found = _DATE.fullmatch(given) if isinstance(given, str) else None
    try:
        if found is None:
            raise ValueError
        return date(*(int(part) for part in found.groups())).isoformat()
    except ValueError:
        raise _refuse(field, given, "日期，如 2026-03-01") from None


def _read_option(field: CustomField, given: Any) -> str:
    text = str(given).strip()
    if text not in field.options:
        raise ValueError(f"“{field.title}”没有选项“{text[:40]}”，可选：{'、'.join(field.options)}")
    return text


def _read_options(field: CustomField, given: Any) -> list[str] | None:
    parts = _SPLIT.split(given) if isinstance(given, str) else given
    if not isinstance(parts, list | tuple):
        raise _refuse(field, given, f"选项的列表，可选：{'、'.join(field.options)}")
    chosen = {_read_option(field, part) for part in parts if str(part).strip()}
    return [option for option in field.options if option in chosen] or None


def _read_phone(field: CustomField, given: Any) -> str:
    phone = normalise_phone(str(given))
    if phone is None:
        raise ValueError(f"“{field.title}”应为 11 位大陆手机号，不能带星号或分机号")
    return phone


def _read_member(field: CustomField, given: Any) -> str:
    if not isinstance(given, str) or len(given) > 64 or _CONTROL.search(given):
        raise _refuse(field, given, "员工账号（userid）")
    return given


def _read_url(field: CustomField, given: Any) -> str:
    expected = "以 http:// 或 https:// 开头的网址"
    if not isinstance(given, str) or len(given) > MOST_TEXT or re.search(r"[\s<>\"']", given) or _CONTROL.search(given):
        raise _refuse(field, given, expected)
    try:
        parts = urlsplit(given)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise _refuse(field, given, expected)
    return given


def _refuse_formula(field: CustomField, given: Any) -> Any:
    raise ValueError(f"“{field.title}”是公式，由系统计算，不能填写")


def _check_bounds(field: CustomField, value: Any) -> None:
    if field.type not in (Type.NUMBER, Type.MONEY, Type.DATE):
        return
    for bound, words, wrong in ((field.least, "不能小于", operator.lt), (field.most, "不能大于", operator.gt)):
        if bound and wrong(value, _READERS[field.type](field, bound)):
            words = words.replace("小于", "早于").replace("大于", "晚于") if field.type is Type.DATE else words
            raise ValueError(f"“{field.title}”{words} {bound}，填的是“{write(field, value)}”")


_READERS: dict[Type, Callable[[CustomField, Any], Any]] = {
    Type.TEXT: _read_text,
    Type.NUMBER: _read_number,
    Type.MONEY: _read_money,
    Type.DATE: _read_date,
    Type.SELECT: _read_option,
    Type.MULTI_SELECT: _read_options,
    Type.PHONE: _read_phone,
    Type.MEMBER: _read_member,
    Type.URL: _read_url,
    Type.FORMULA: _refuse_formula,
}
