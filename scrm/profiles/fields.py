"""What is known of a person and can be asked for: each field once, for conditions, segments and explanations."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    and_,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy import false as nothing

from scrm.db.json_text import json_number, json_text
from scrm.db.tables import to_millis
from scrm.profiles import models

PersonId = ColumnElement[int]

# Named apart, so that a condition can be asked about the persons of any query, one over these tables included.
person = models.person.alias("asked_person")
person_stat = models.person_stat.alias("asked_stat")
person_field = models.person_field.alias("asked_field")
external_contact = models.external_contact.alias("asked_contact")
follow_user = models.follow_user.alias("asked_follow")

CUSTOM = "field."  # field.skin: a field of the shop's own
UNDEFINED = ("order_field.", "follow_field.")  # the same of an order, of a relation
CUSTOM_TITLE = "自定义字段"
MAX_NUMBER = 10**15
_DAY_MILLIS = 86_400_000


class Kind(StrEnum):
    """What a field holds, and so which values and operators fit it."""

    NUMBER = "number"
    YUAN = "yuan"  # kept in fen
    TEXT = "text"
    MOMENT = "moment"
    DATE = "date"  # kept as days since 1970
    CHOICE = "choice"  # one of `choices`
    CHOICES = "choices"  # some of `choices`, kept as |a|b|
    SEALED = "sealed"  # private: only whether there is one
    ANY = "any"  # as the value in the condition says


# Operator -> how people read it.
OPERATORS = {
    "eq": "等于",
    "ne": "不等于",
    "gt": "大于",
    "gte": "不少于",
    "lt": "小于",
    "lte": "不超过",
    "in": "属于",
    "not_in": "不属于",
    "contains": "包含",
    "present": "有值",
    "missing": "没有值",
}
_EQUAL = ("eq", "ne", "in", "not_in")
_ORDER = ("gt", "gte", "lt", "lte")
_KNOWN = ("present", "missing")
OPERATORS_OF: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: (*_EQUAL, *_ORDER, *_KNOWN),
    Kind.YUAN: (*_EQUAL, *_ORDER, *_KNOWN),
    Kind.TEXT: (*_EQUAL, "contains", *_KNOWN),
    Kind.MOMENT: (*_ORDER, *_KNOWN),
    Kind.DATE: (*_EQUAL, *_ORDER, *_KNOWN),
    Kind.CHOICE: (*_EQUAL, *_KNOWN),
    Kind.CHOICES: ("contains", "in", "not_in", *_KNOWN),
    Kind.SEALED: _KNOWN,
    Kind.ANY: (*_EQUAL, *_ORDER, "contains", *_KNOWN),
}


@dataclass(frozen=True, slots=True)
class Field:
    """`value` is the SQL of it for a person; `rows` where a person may have several (any of them may fit).

    `is_single` says that the rows are one at most, `number` what numbers are compared with where `value` is text.
    """

    key: str
    title: str
    kind: Kind
    value: Callable[[PersonId, datetime], ColumnElement[Any]]
    rows: Callable[[PersonId], tuple[FromClause, ColumnElement[bool]]] | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    is_single: bool = False
    number: ColumnElement[Any] | None = None


class DefinedKey(str):
    """A field's key with what the shop has defined for it; None when that is unknown or archived."""

    __slots__ = ("known",)
    known: Field | None

    def __new__(cls, key: str, known: Field | None) -> "DefinedKey":
        defined = super().__new__(cls, key)
        defined.known = known
        return defined


def _stat(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        column = type_coerce(person_stat.c[name], BigInteger)
        found = select(column).where(person_stat.c.person_id == person_id).scalar_subquery()
        return func.coalesce(found, 0)

    return value


def _moment(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        column = type_coerce(person_stat.c[name], BigInteger)
        return select(column).where(person_stat.c.person_id == person_id).scalar_subquery()

    return value


def _days_since(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        gone = literal(to_millis(now), BigInteger) - _moment(name)(person_id, now)
        return gone // literal(_DAY_MILLIS, BigInteger)

    return value


def _person(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    def value(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
        found = select(person.c[name]).where(person.c.id == person_id).scalar_subquery()
        return func.coalesce(found, "")

    return value


def _column(column: ColumnElement[Any]) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    return lambda person_id, now: column


def _whole(column: ColumnElement[Any]) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    # As a BIGINT, so that any number an author writes may be compared with it.
    return _column(type_coerce(column, BigInteger))


def _contacts(person_id: PersonId) -> tuple[FromClause, ColumnElement[bool]]:
    return external_contact, external_contact.c.person_id == person_id


def _living(person_id: PersonId) -> tuple[FromClause, ColumnElement[bool]]:
    return follow_user, and_(follow_user.c.person_id == person_id, follow_user.c.ended_by == "")


FIELDS: tuple[Field, ...] = (
    Field("person.paid_orders", "已付款订单数", Kind.NUMBER, _stat("paid_orders")),
    Field("person.orders", "订单数", Kind.NUMBER, _stat("orders")),
    Field("person.paid", "累计实付（元）", Kind.YUAN, _stat("paid_fen")),
    Field("person.paid_fen", "累计实付（分）", Kind.NUMBER, _stat("paid_fen")),
    Field("person.refunded", "累计退款（元）", Kind.YUAN, _stat("refunded_fen")),
    Field("person.open_refunds", "进行中的售后", Kind.NUMBER, _stat("open_refunds")),
    Field("person.last_paid_days", "距上次付款天数", Kind.NUMBER, _days_since("last_paid_at")),
    Field("person.first_paid_days", "距首次付款天数", Kind.NUMBER, _days_since("first_paid_at")),
    Field("person.first_paid_at", "首次付款时间", Kind.MOMENT, _moment("first_paid_at")),
    Field("person.last_paid_at", "上次付款时间", Kind.MOMENT, _moment("last_paid_at")),
    Field("person.stage", "客户阶段", Kind.TEXT, _person("stage")),
    Field("person.name", "客户姓名", Kind.TEXT, _person("name")),
    Field(
        "contact.gender",
        "性别",
        Kind.NUMBER,
        _whole(external_contact.c.gender),
        _contacts,
        choices={"未知": 0, "男": 1, "女": 2},
    ),
    Field(
        "contact.type",
        "客户类型",
        Kind.NUMBER,
        _whole(external_contact.c.type),
        _contacts,
        choices={"微信": 1, "企业微信": 2},
    ),
    Field("follow.state", "渠道码 state", Kind.TEXT, _column(follow_user.c.state), _living),
    Field("follow.add_way", "添加方式", Kind.NUMBER, _whole(follow_user.c.add_way), _living),
    Field("follow.userid", "跟进员工", Kind.TEXT, _column(follow_user.c.userid), _living),
)

_BY_KEY = {known.key: known for known in FIELDS}


def find_field(key: str) -> Field | None:
    """A registered field, or the shop's own for `field.<key>`."""
    if isinstance(key, DefinedKey):
        return key.known
    name = key.removeprefix(CUSTOM)
    if name != key and name and '"' not in name and "\\" not in name:
        return Field(key, f"{CUSTOM_TITLE}“{name}”", Kind.ANY, _custom(name))
    if key.startswith(UNDEFINED) and key.partition(".")[2]:
        # Nobody's, until its definition is looked up.
        return Field(key, f"{CUSTOM_TITLE}“{key.partition('.')[2]}”", Kind.ANY, lambda person_id, now: null())
    return _BY_KEY.get(key)


def suggest_field(key: str) -> str | None:
    """The known field that looks most like an unknown one."""
    close = get_close_matches(key, _BY_KEY, n=1, cutoff=0.5)
    return close[0] if close else None


def read_value(known: Field, value: Any) -> Any:
    """A condition's value as it is compared (yuan become fen, moments milliseconds); raises ValueError in words."""
    if known.choices and isinstance(value, str):
        if value not in known.choices:
            raise ValueError(f"“{known.title}”没有“{value}”，可用的值：{'、'.join(known.choices)}")
        return known.choices[value]
    return _READERS[known.kind](known, value)


def compare(known: Field, op: str, value: Any, person_id: PersonId, now: datetime) -> ColumnElement[bool]:
    """Whether the field fits, never NULL: what is missing fits no comparison but `missing`.

    `value` is a value (or a list for `in` and `not_in`) that `read_value` made.
    """
    if op in ("ne", "not_in") and known.rows is not None and not known.is_single:
        return not_(compare(known, "eq" if op == "ne" else "in", value, person_id, now))
    if op == "missing":
        return not_(compare(known, "present", None, person_id, now))
    found = _typed(known, op, value, person_id, now)
    fits = _fits(known, op, found, _at(value, now))
    if known.rows is not None:
        source, which = known.rows(person_id)
        return exists(select(1).select_from(source).where(which, fits))
    return func.coalesce(fits, nothing())


def _fits(known: Field, op: str, found: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    if known.kind is not Kind.CHOICES or op == "present":
        return _COMPARE[op](found, value)
    wanted = value if isinstance(value, list) else [value]
    has = or_(*(found.contains(f"|{each}|", autoescape=True) for each in wanted))
    return not_(has) if op == "not_in" else has


def _at(value: Any, now: datetime) -> Any:
    """Dates that are told by their distance from today, in days since 1970."""
    if isinstance(value, list):
        return [_at(each, now) for each in value]
    return days_since_1970(now) + value.days if isinstance(value, timedelta) else value


def days_since_1970(now: datetime) -> int:
    """Of the day it is in China."""
    return (now + timedelta(hours=8)).toordinal() - date(1970, 1, 1).toordinal()


def _typed(known: Field, op: str, value: Any, person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    """The field's SQL; a field of the shop's own is read as what it is compared with."""
    sample = value[0] if isinstance(value, list) and value else value
    if known.number is not None and isinstance(sample, int | float) and not isinstance(sample, bool):
        return known.number
    if known.kind is Kind.ANY and isinstance(sample, int | float) and not isinstance(sample, bool):
        return _custom_value(known.key.removeprefix(CUSTOM), person_id, json_number)
    return known.value(person_id, now)


def _custom(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    return lambda person_id, now: _custom_value(name, person_id, json_text)


def _custom_value(name: str, person_id: PersonId, read: Any) -> ColumnElement[Any]:
    mine = and_(person_field.c.person_id == person_id, person_field.c.key == name)
    found: ColumnElement[Any] = select(read(person_field.c.value)).where(mine).scalar_subquery()
    return found


def _contains(found: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    # LIKE minds the case of Latin letters on one database only.
    return func.lower(found).contains(str(value).lower(), autoescape=True)


def _present(found: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    return and_(found.is_not(None), found != "") if found.type.python_type is str else found.is_not(None)


_COMPARE: dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "eq": lambda found, value: found == value,
    "ne": lambda found, value: found != value,
    "gt": lambda found, value: found > value,
    "gte": lambda found, value: found >= value,
    "lt": lambda found, value: found < value,
    "lte": lambda found, value: found <= value,
    # Written out: a list's values may be of several types, which PostgreSQL's IN does not take.
    "in": lambda found, value: or_(*(found == each for each in value)),
    "not_in": lambda found, value: and_(*(found != each for each in value)),
    "contains": _contains,
    "present": _present,
}


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
