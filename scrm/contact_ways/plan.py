"""Pure: who receives through a channel code at a moment, when that changes next, and what the customer is told."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from scrm.content import render
from scrm.wecom.contact_ways import MOST_MEMBERS

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
MOST_REMARK_CHARACTERS = 20
WELCOME_BYTES = 4000
NICKNAME = "{昵称}"

T = TypeVar("T")

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """Some hours on some weekdays (0 is Monday) in the shop's zone; an end at or before the start is the next day's."""

    start: str = "00:00"
    end: str = "24:00"
    days: tuple[int, ...] = EVERY_DAY

    def has(self, local: datetime) -> bool:
        """Whether the local moment is within; the start belongs to it, the end does not."""
        start, end, now = minutes(self.start), minutes(self.end), local.hour * 60 + local.minute
        if start < end:
            return local.weekday() in self.days and start <= now < end
        yesterday = (local.weekday() - 1) % 7
        return (local.weekday() in self.days and now >= start) or (yesterday in self.days and now < end)


class Shift(Period, frozen=True, kw_only=True):
    """Who receives in these hours."""

    userids: tuple[str, ...] = ()
    party: tuple[int, ...] = ()


class Welcome(Period, frozen=True, kw_only=True):
    """What is said in these hours."""

    text: str


class Plan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything about a channel that the shop decides and WeCom does not know."""

    # Departments whose members receive beside the way's own.
    party: tuple[int, ...] = ()
    # Without shifts the way's own members receive all the time.
    shifts: tuple[Shift, ...] = ()
    # When nobody is on shift or everybody has had enough.
    backup: tuple[str, ...] = ()
    # New customers per member and day of the shop; 0 is no limit. `caps` has the members with a limit of their own.
    cap: int = 0
    caps: dict[str, int] = {}
    # Hours in which customers are let in without the member's confirmation; without any the way's own rule holds.
    skip_verify: tuple[Period, ...] = ()
    tags: tuple[str, ...] = ()
    # The tags go after so many days; 0 is never.
    tag_days: int = 0
    # {昵称} stands for the customer's name; at most 20 characters come out.
    remark: str = ""
    welcome: str = ""
    welcomes: tuple[Welcome, ...] = ()

    @property
    def is_capped(self) -> bool:
        return self.cap > 0 or any(self.caps.values())

    def cap_of(self, userid: str) -> int:
        """The member's limit of a day, 0 for none; userids do not tell apart upper and lower case."""
        own = {name.lower(): cap for name, cap in self.caps.items()}
        return own.get(userid.lower(), self.cap)


@dataclass(frozen=True, slots=True)
class Crew:
    """Who receives now; `user` and `party` are never both empty while the way has anybody at all."""

    user: tuple[str, ...]
    party: tuple[int, ...]
    skip_verify: bool
    # Why it is not simply the members of the way: '', shift, backup, over_cap
    because: str = ""

    @property
    def told(self) -> dict[str, Any]:
        """As `contact_way.live` keeps it."""
        return {"user": list(self.user), "party": list(self.party), "skip_verify": self.skip_verify}


def plan_of(kept: Mapping[str, Any] | None) -> Plan:
    """The plan of a row's column; an empty one is the plan that changes nothing."""
    return msgspec.convert(kept or {}, Plan)


def crew_at(
    plan: Plan,
    userids: Sequence[str],
    skip_verify: bool,
    local: datetime,
    adds: Mapping[str, int],
) -> Crew:
    """Who receives at a local moment; `adds` are today's new customers by lower-case userid.

    A code is never left without anybody: customers who scan it stand in the shop.
    """
    if plan.skip_verify:
        skip_verify = any(period.has(local) for period in plan.skip_verify)
    on_shift = [shift for shift in plan.shifts if shift.has(local)]
    regular = _unique(userid for shift in on_shift for userid in shift.userids) if plan.shifts else _unique(userids)
    departments = (
        _unique(number for shift in on_shift for number in shift.party) if plan.shifts else _unique(plan.party)
    )
    free = [userid for userid in regular if not _has_enough(plan, userid, adds)]
    if free or departments:
        because = "over_cap" if len(free) < len(regular) else "shift" if plan.shifts else ""
        return Crew(tuple(free[:MOST_MEMBERS]), tuple(departments), skip_verify, because)
    stand_in = _unique(plan.backup) or regular or _unique(userids)
    if not stand_in:
        stand_in = _unique(userid for shift in plan.shifts for userid in shift.userids)
    return Crew(
        tuple(stand_in[:MOST_MEMBERS]), tuple(_unique(plan.party)) if not stand_in else (), skip_verify, "backup"
    )


def _has_enough(plan: Plan, userid: str, adds: Mapping[str, int]) -> bool:
    cap = plan.cap_of(userid)
    return cap > 0 and adds.get(userid.lower(), 0) >= cap


def _unique(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))


def next_border(plan: Plan, now: datetime, zone: ZoneInfo) -> datetime | None:
    """The next moment (UTC) at which who receives may change by itself; None when it never does."""
    periods: list[Period] = [*plan.shifts, *plan.skip_verify]
    borders = {moment for period in periods for moment in _borders(period, now, zone)}
    if plan.is_capped:
        borders.add(_at(now.astimezone(zone), 1, 0, zone))
    return min((moment for moment in borders if moment > now), default=None)


def _borders(period: Period, now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    local = now.astimezone(zone)
    start, end = minutes(period.start), minutes(period.end)
    for days in range(-1, 9):
        if (local + timedelta(days=days)).weekday() in period.days:
            yield _at(local, days, start, zone)
            yield _at(local, days if start < end else days + 1, end, zone)


def _at(local: datetime, days: int, minute: int, zone: ZoneInfo) -> datetime:
    day = local.date() + timedelta(days=days + minute // 1440)
    return datetime.combine(day, time(minute % 1440 // 60, minute % 60), zone).astimezone(UTC)


def welcome_of(plan: Plan, now: datetime, zone: ZoneInfo) -> str:
    """What a customer who comes by this channel at this moment is told; empty when the playbooks' welcome holds."""
    local = now.astimezone(zone)
    return next((each.text for each in plan.welcomes if each.has(local)), plan.welcome)


def remark_of(template: str, nickname: str) -> str:
    """The remark for a new customer: the nickname gives way, what the author wrote stays; empty without a template."""
    if not template:
        return ""
    room = MOST_REMARK_CHARACTERS - len(template.replace(NICKNAME, ""))
    return template.replace(NICKNAME, nickname[: max(room, 0)] if template.count(NICKNAME) == 1 else nickname)[
        :MOST_REMARK_CHARACTERS
    ]


def minutes(text: str) -> int:
    """Minutes since midnight of HH:MM, up to 24:00; raises ValueError for anything else."""
    if not _TIME.fullmatch(text):
        raise ValueError(f"时间“{text[:20]}”看不懂，请写成 09:30 这样")
    return int(text[:2]) * 60 + int(text[3:])


def problems(plan: Plan) -> list[str]:
    """What is wrong with a plan, in the words of its form."""
    found = []
    for period in (*plan.shifts, *plan.skip_verify, *plan.welcomes):
        try:
            minutes(period.start), minutes(period.end)
        except ValueError as error:
            found.append(str(error))
        if not period.days or not set(period.days) <= set(EVERY_DAY):
            found.append("每个时段至少要选一天")
    if any(not shift.userids and not shift.party for shift in plan.shifts):
        found.append("排班的每个时段都要有接待员工")
    if plan.cap < 0 or any(cap < 0 for cap in plan.caps.values()):
        found.append("每日上限要填 0 或更大的整数，0 表示不限")
    if len(plan.remark.replace(NICKNAME, "")) > MOST_REMARK_CHARACTERS:
        found.append(f"备注模板最多 {MOST_REMARK_CHARACTERS} 个字（昵称会自动截短），现在有 {len(plan.remark)} 个字")
    for text in (plan.welcome, *(each.text for each in plan.welcomes)):
        if len(text.encode()) > WELCOME_BYTES:
            found.append(f"欢迎语最多 {WELCOME_BYTES} 字节（约 1300 个汉字）")
        found += [f"欢迎语：{problem}" for problem in render.check(text)]
    if any(len(tag) > 30 for tag in plan.tags):
        found.append("标签名最多 30 个字")
    if not 0 <= plan.tag_days <= 3650:
        found.append("标签有效天数要填 0 到 3650，0 表示长期")
    return list(dict.fromkeys(found))
