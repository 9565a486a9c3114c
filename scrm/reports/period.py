"""Which days a report is about and which it is compared with, in the shop's zone. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from scrm.errors import Invalid

SPANS = (7, 30, 90)
USUAL = 30
MOST_DAYS = 366
COMPARISONS: Mapping[str, str] = {"before": "上一周期", "year": "去年同期", "none": "不对比"}


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of the shop, both ends included; `until` is now while the last of them is not over."""

    first: date
    last: date
    since: datetime
    until: datetime
    # Its last day is not over.
    is_running: bool = False

    @property
    def days(self) -> int:
        return (self.last - self.first).days + 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What the reader chose; `span` is 0 for days of their own."""

    span: int
    compare: str
    period: Period
    before: Period | None


def read_asked(query: Mapping[str, str], now: datetime, zone: ZoneInfo) -> Asked:
    """From an address: `days`, or `from` and `to`; `compare`. Raises Invalid with what is expected."""
    today = now.astimezone(zone).date()
    span, first, last = _read_days(query, today)
    is_running = last == today
    until = now if is_running else _midnight(last + timedelta(days=1), zone)
    period = Period(first, last, _midnight(first, zone), until, is_running)
    compare = query.get("compare", "")
    compare = compare if compare in COMPARISONS else "before"
    return Asked(span, compare, period, _before(period, compare, zone))


def _read_days(query: Mapping[str, str], today: date) -> tuple[int, date, date]:
    if query.get("from") or query.get("to"):
        first, last = _read_date(query, "from", today), _read_date(query, "to", today)
        _check(first, last, today)
        return 0, first, last
    days = query.get("days", "")
    span = int(days) if days in {str(each) for each in SPANS} else USUAL
    return span, today - timedelta(days=span - 1), today


def _read_date(query: Mapping[str, str], name: str, today: date) -> date:
    text = query.get(name, "").strip()
    try:
        return date.fromisoformat(text) if text else today
    except ValueError:
        raise Invalid(f"没有看懂日期“{text[:20]}”，请写成 {today:%Y-%m-%d} 这样") from None


def _check(first: date, last: date, today: date) -> None:
    if first > last:
        raise Invalid(f"开始日期 {first} 在结束日期 {last} 之后，请交换两个日期")
    if last > today:
        raise Invalid(f"结束日期 {last} 还没有到，最晚选今天 {today}")
    if (days := (last - first).days + 1) > MOST_DAYS:
        raise Invalid(f"一次最多看 {MOST_DAYS} 天，选了 {days} 天，请缩短时间")
    if first.year < 2000:
        raise Invalid(f"开始日期 {first} 太早了，请选 2000 年以后的日期")


def _before(period: Period, compare: str, zone: ZoneInfo) -> Period | None:
    """As many days and, on a day that is not over, as many hours."""
    if compare == "none":
        return None
    first = _year_ago(period.first) if compare == "year" else period.first - timedelta(days=period.days)
    since = _midnight(first, zone)
    last = first + timedelta(days=period.days - 1)
    return Period(first, last, since, since + (period.until - period.since))


def _year_ago(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:  # the 29th of February
        return day.replace(year=day.year - 1, day=28)


def bounds(period: Period, zone: ZoneInfo) -> list[tuple[date, datetime, datetime]]:
    """Each day with its beginning and its end."""
    every = [period.first + timedelta(days=number) for number in range(period.days)]
    return [(day, _midnight(day, zone), _midnight(day + timedelta(days=1), zone)) for day in every]


def start_of(day: date, by: str) -> date:
    """The Monday or the first of the month that a day belongs to; for `day` itself."""
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by == "month" else day


def tree_of(name: str, starts: Sequence[tuple[int, int]]) -> str:
    """SQL for the number of the last start that is not after the moment `name`: nine comparisons find one of 365 days."""
    if len(starts) == 1:
        return str(starts[0][1])
    middle = len(starts) // 2
    earlier, later = tree_of(name, starts[:middle]), tree_of(name, starts[middle:])
    return f"CASE WHEN {name} < {starts[middle][0]} THEN {earlier} ELSE {later} END"


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
