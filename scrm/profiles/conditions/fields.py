"""What is known of a person and can be asked for: each field once, for conditions, segments and explanations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    cast,
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
Since = datetime | ColumnElement[datetime] | None

# Named apart, so that a condition can be asked about the persons of any query, one over these tables included.
person = models.person.alias("asked_person")
person_stat = models.person_stat.alias("asked_stat")
person_field = models.person_field.alias("asked_field")
external_contact = models.external_contact.alias("asked_contact")
follow_user = models.follow_user.alias("asked_follow")
member = models.member.alias("asked_member")
member_department = models.member_department.alias("asked_place")
department = models.department.alias("asked_department")
CUSTOM = "field."  # field.skin: a field of the shop's own
UNDEFINED = ("order_field.", "follow_field.")  # the same of an order, of a relation
CUSTOM_TITLE = "自定义字段"
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
    "month": "的月份是",
}
_EQUAL = ("eq", "ne", "in", "not_in")
_ORDER = ("gt", "gte", "lt", "lte")
_KNOWN = ("present", "missing")

OPERATORS_OF: dict[Kind, tuple[str, ...]] = {
    Kind.NUMBER: (*_EQUAL, *_ORDER, *_KNOWN),
    Kind.YUAN: (*_EQUAL, *_ORDER, *_KNOWN),
    Kind.TEXT: (*_EQUAL, "contains", *_KNOWN),
    Kind.MOMENT: (*_ORDER, *_KNOWN),
    Kind.DATE: (*_EQUAL, *_ORDER, *_KNOWN, "month"),
    Kind.CHOICE: (*_EQUAL, *_KNOWN),
    Kind.CHOICES: ("contains", "in", "not_in", *_KNOWN),
    Kind.SEALED: _KNOWN,
    Kind.ANY: (*_EQUAL, *_ORDER, "contains", *_KNOWN, "month"),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a leaf is about and when; with `since`, events count only after that moment.

    `userid` and `external_userid` name the relation of a run, `anchor` is when the run began. For an
    audience leaves are compiled as sets, and `stat` is the person_stat that its query has joined.
    """

    person_id: PersonId
    now: datetime
    since: Since = None
    userid: ColumnElement[str] | None = None
    external_userid: ColumnElement[str] | None = None
    anchor: ColumnElement[Any] | None = None
    stat: FromClause | None = None
    is_audience: bool = False
    # Only persons with a row in `stat` are asked about: its columns need nothing in their place.
    has_stat: bool = False
    # The database makes joins of EXISTS (PostgreSQL); where it does not, sets are asked with IN.
    joins: bool = False


def is_among(asked: Asked, whose: Select[Any]) -> ColumnElement[bool]:
    """Whether a person of the audience is one of `whose` ids, which are found once for all.

    PostgreSQL scans the whole set for each person when NOT IN outgrows its memory; NOT EXISTS it joins.
    """
    if not asked.joins:
        return asked.person_id.in_(whose)
    found = whose.subquery()
    return exists(select(1).select_from(found).where(found.c[0] == asked.person_id))


@dataclass(frozen=True, slots=True)
class Field:
    """`value` is the SQL of it for a person; `rows` where a person may have several (any of them may fit).

    `is_single` says that the rows are one at most, `number` what numbers are compared with where `value` is text,
    `of_run` finds the rows of a run's relation, `stat` is the column of person_stat, 0 or NULL where there is none.
    `owner` is the column of its rows that names their person: whose rows fit is asked as a set. `blank` is what those
    without a value are called.
    """

    key: str
    title: str
    kind: Kind
    value: Callable[[PersonId, datetime], ColumnElement[Any]]
    rows: Callable[[PersonId], tuple[FromClause, ColumnElement[bool]]] | None = None
    choices: Mapping[str, Any] = field(default_factory=dict)
    is_single: bool = False
    number: ColumnElement[Any] | None = None
    of_run: Callable[[Asked], tuple[FromClause, ColumnElement[bool]]] | None = None
    stat: str = ""
    owner: ColumnElement[int] | None = None
    blank: str = ""


class DefinedKey(str):
    """A field's key with what the shop has defined for it; None when that is unknown or archived."""

    __slots__ = ("known",)
    known: Field | None

    def __new__(cls, key: str, known: Field | None) -> "DefinedKey":
        defined = super().__new__(cls, key)
        defined.known = known
        return defined


def _stat(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    return lambda person_id, now: _stat_of(name, person_id)


def _moment(name: str) -> Callable[[PersonId, datetime], ColumnElement[Any]]:
    return lambda person_id, now: _moment_of(name, person_id)


@lru_cache(maxsize=128)
def _stat_of(name: str, person_id: PersonId) -> ColumnElement[Any]:
    return func.coalesce(_moment_of(name, person_id), 0)


@lru_cache(maxsize=128)
def _moment_of(name: str, person_id: PersonId) -> ColumnElement[Any]:
    column = type_coerce(person_stat.c[name], BigInteger)
    return select(column).where(person_stat.c.person_id == person_id).scalar_subquery()


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


def _average_paid(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    of_person = person_stat.c.person_id == person_id
    times = type_coerce(person_stat.c.paid_orders, BigInteger)
    each = type_coerce(person_stat.c.paid_fen, BigInteger) // case((times > 0, times))
    return select(each).where(of_person).scalar_subquery()


def _gap_millis() -> ColumnElement[Any]:
    """Between one payment and the next, on average; NULL before the second."""
    between = type_coerce(person_stat.c.last_paid_at, BigInteger) - type_coerce(person_stat.c.first_paid_at, BigInteger)
    times = type_coerce(person_stat.c.paid_orders, BigInteger) - 1
    return between // case((times > 0, times))


def _cycle_days(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    days = _gap_millis() // literal(_DAY_MILLIS, BigInteger)
    return select(days).where(person_stat.c.person_id == person_id).scalar_subquery()


def _overdue_days(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    gone = literal(to_millis(now), BigInteger) - type_coerce(person_stat.c.last_paid_at, BigInteger)
    days = (gone - _gap_millis()) // literal(_DAY_MILLIS, BigInteger)
    return select(days).where(person_stat.c.person_id == person_id).scalar_subquery()


def _members(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    source, which = _living(person_id)
    return select(func.count()).select_from(source).where(which).scalar_subquery()


def _followed_days(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    gone = literal(to_millis(now), BigInteger) - type_coerce(follow_user.c.followed_at, BigInteger)
    return gone // literal(_DAY_MILLIS, BigInteger)


def _archive_agreed(person_id: PersonId, now: datetime) -> ColumnElement[Any]:
    return case((follow_user.c.archive_agreed_at.is_not(None), literal(1, BigInteger)), else_=literal(0, BigInteger))


def _relation(asked: Asked) -> tuple[FromClause, ColumnElement[bool]]:
    mine = and_(
        follow_user.c.external_userid == asked.external_userid,
        func.lower(follow_user.c.userid) == func.lower(asked.userid),
        follow_user.c.ended_by == "",
    )
    return follow_user, mine


def _member(asked: Asked) -> tuple[FromClause, ColumnElement[bool]]:
    return member, member.c.folded == func.lower(asked.userid)


def _departments(asked: Asked) -> tuple[FromClause, ColumnElement[bool]]:
    placed = member_department.join(department, department.c.id == member_department.c.department_id)
    return placed, func.lower(member_department.c.userid) == func.lower(asked.userid)


_ROLES = {"员工": "member", "主管": "manager", "运营": "operator", "管理员": "administrator"}
_ROLES |= {role: role for role in _ROLES.values()}

# The list of what can be asked for; rooms above this one add theirs with `add_fields`.
FIELDS: list[Field] = [
    Field("person.paid_orders", "已付款订单数", Kind.NUMBER, _stat("paid_orders"), stat="paid_orders"),
    Field("person.orders", "订单数", Kind.NUMBER, _stat("orders"), stat="orders"),
    Field("person.paid", "累计实付（元）", Kind.YUAN, _stat("paid_fen"), stat="paid_fen"),
    Field("person.paid_fen", "累计实付（分）", Kind.NUMBER, _stat("paid_fen"), stat="paid_fen"),
    Field("person.refunded", "累计退款（元）", Kind.YUAN, _stat("refunded_fen"), stat="refunded_fen"),
    Field("person.open_refunds", "进行中的售后", Kind.NUMBER, _stat("open_refunds"), stat="open_refunds"),
    Field("person.last_paid_days", "距上次付款天数", Kind.NUMBER, _days_since("last_paid_at"), stat="last_paid_at"),
    Field("person.first_paid_days", "距首次付款天数", Kind.NUMBER, _days_since("first_paid_at"), stat="first_paid_at"),
    Field("person.first_paid_at", "首次付款时间", Kind.MOMENT, _moment("first_paid_at"), stat="first_paid_at"),
    Field("person.last_paid_at", "上次付款时间", Kind.MOMENT, _moment("last_paid_at"), stat="last_paid_at"),
    Field("person.average_paid", "客单价（元）", Kind.YUAN, _average_paid),
    Field("person.cycle_days", "平均复购间隔（天）", Kind.NUMBER, _cycle_days),
    Field("person.overdue_days", "超过复购间隔的天数", Kind.NUMBER, _overdue_days),
    Field("person.members", "在联系的员工数", Kind.NUMBER, _members),
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
    Field("follow.remark", "备注名", Kind.TEXT, _column(follow_user.c.remark), _living),
    Field("follow.days", "添加天数", Kind.NUMBER, _followed_days, _living),
    Field(
        "follow.archive_agreed", "会话存档", Kind.NUMBER, _archive_agreed, _living, choices={"未同意": 0, "已同意": 1}
    ),
    # Of a run: the relation it speaks in, and the member who speaks.
    Field("relation.state", "本次跟进的渠道码 state", Kind.TEXT, _column(follow_user.c.state), of_run=_relation),
    Field("relation.add_way", "本次跟进的添加方式", Kind.NUMBER, _whole(follow_user.c.add_way), of_run=_relation),
    Field("relation.remark", "本次跟进的备注名", Kind.TEXT, _column(follow_user.c.remark), of_run=_relation),
    Field("relation.days", "本次跟进的添加天数", Kind.NUMBER, _followed_days, of_run=_relation),
    Field(
        "relation.archive_agreed",
        "本次跟进的会话存档",
        Kind.NUMBER,
        _archive_agreed,
        of_run=_relation,
        choices={"未同意": 0, "已同意": 1},
    ),
    Field("member.userid", "本次跟进的员工", Kind.TEXT, _column(member.c.userid), of_run=_member),
    Field("member.name", "员工姓名", Kind.TEXT, _column(member.c.name), of_run=_member),
    Field("member.role", "员工角色", Kind.TEXT, _column(member.c.role), choices=_ROLES, of_run=_member),
    Field("member.department", "员工所在部门", Kind.TEXT, _column(department.c.name), of_run=_departments),
]
_BY_KEY = {known.key: known for known in FIELDS}


def add_fields(*more: Field) -> None:
    """Put fields of other rooms (membership, coupons ...) into the list; twice is once."""
    for known in more:
        if known.key not in _BY_KEY:
            _BY_KEY[known.key] = known
            FIELDS.append(known)


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


def compare(known: Field, op: str, value: Any, asked: Asked) -> ColumnElement[bool]:
    """Whether the field fits, never NULL: what is missing fits no comparison but `missing`.

    `value` is a value (or a list for `in` and `not_in`) that `read_value` made.
    """
    has_rows = known.rows is not None or known.of_run is not None
    if known.blank and op in _EQUAL:
        return _compare_with_blank(known, op, value if isinstance(value, list) else [value], asked)
    if op in ("ne", "not_in") and has_rows and not known.is_single:
        return not_(compare(known, "eq" if op == "ne" else "in", value, asked))
    if op == "missing":
        return not_(compare(known, "present", None, asked))
    found = _typed(known, op, value, asked)
    fits = _fits(known, op, found, _month(value, asked.now) if op == "month" else _at(value, asked.now))
    if asked.has_stat and known.stat:
        # The same as coalesce(), which would hide from the planner how many fit.
        return and_(found.is_not(None), fits) if known.stat.endswith("_at") else fits
    if not has_rows:
        return func.coalesce(fits, nothing())
    if asked.is_audience and known.owner is not None and known.rows is not None:
        # The rows of each owner are those of anybody; who is nobody's is left out.
        source, which = known.rows(known.owner)
        return is_among(asked, select(known.owner).select_from(source).where(which, fits))
    source, which = rows_of(known, asked)
    return exists(select(1).select_from(source).where(which, fits))


def _compare_with_blank(known: Field, op: str, values: list[Any], asked: Asked) -> ColumnElement[bool]:
    """Who has no value has the blank one: everybody is somewhere, and the opposite is everybody else."""
    plain = replace(known, blank="")
    told = [value for value in values if value != ""]
    fits = [compare(plain, "in", told, asked)] if told else []
    fits += [compare(plain, "missing", None, asked)] if len(told) < len(values) else []
    return not_(or_(*fits)) if op in ("ne", "not_in") else or_(*fits)


def rows_of(known: Field, asked: Asked) -> tuple[FromClause, ColumnElement[bool]]:
    """Where a field's rows are, of a person or of a run's relation."""
    if known.of_run is not None:
        return known.of_run(asked)
    assert known.rows is not None  # noqa: S101 - asked of fields with rows only
    return known.rows(asked.person_id)


def stat_value(known: Field, asked: Asked) -> ColumnElement[Any] | None:
    """The field out of the person_stat that an audience's query has joined."""
    if asked.stat is None or not known.stat:
        return None
    column = type_coerce(asked.stat.c[known.stat], BigInteger)
    if known.key.endswith("_days"):
        return (literal(to_millis(asked.now), BigInteger) - column) // literal(_DAY_MILLIS, BigInteger)
    return column if asked.has_stat or known.stat.endswith("_at") else func.coalesce(column, 0)


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


MONTHS = {"this": 0, "next": 1}


def _month(value: int | str, now: datetime) -> int:
    if isinstance(value, int):
        return value
    return ((now + timedelta(hours=8)).month - 1 + MONTHS[value]) % 12 + 1


def days_since_1970(now: datetime) -> int:
    """Of the day it is in China."""
    return (now + timedelta(hours=8)).toordinal() - date(1970, 1, 1).toordinal()


def month_day(days: ColumnElement[Any]) -> ColumnElement[Any]:
    """Month and day (1231 for 31 December) of days since 1970, by whole numbers alone: the same on both databases."""
    shifted = days + 719468  # from the first of March of the year 0
    of_era = shifted % 146097
    of_year = of_era - (of_era // 1460) + (of_era // 36524) - (of_era // 146096)
    year = of_year // 365
    day_of_year = of_era - (year * 365 + year // 4 - year // 100)
    from_march = (day_of_year * 5 + 2) // 153
    day = day_of_year - (from_march * 153 + 2) // 5 + 1
    month = case((from_march < 10, from_march + 3), else_=from_march - 9)
    return month * 100 + day


def _typed(known: Field, op: str, value: Any, asked: Asked) -> ColumnElement[Any]:
    """The field's SQL; a field of the shop's own is read as what it is compared with."""
    sample = value[0] if isinstance(value, list) and value else value
    is_number = isinstance(sample, int | float) and not isinstance(sample, bool)
    if known.number is not None and is_number:
        return known.number
    if known.kind is Kind.ANY and is_number:
        return _custom_value(known.key.removeprefix(CUSTOM), asked.person_id, json_number)
    joined = stat_value(known, asked)
    return known.value(asked.person_id, asked.now) if joined is None else joined


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
    "month": lambda found, value: month_day(cast(found, BigInteger)) // 100 == value,
}
