"""What the guards answered, in words: a step keeps codes and values, and they are told when somebody reads them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from scrm.sop import timing


class Check(NamedTuple):
    """One guard's answer, as it is kept with the step: which guard, whether it let the step pass, the values it saw.

    Of a guard that stopped the step the only value is the reason in words.
    """

    guard: str
    ok: bool = True
    values: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        return GUARDS[self.guard][0]

    @property
    def words(self) -> str:
        return GUARDS[self.guard][1](*self.values) if self.ok else str(self.values[0])


def read_check(kept: Any) -> Check:
    """A check as a step keeps it."""
    guard, ok, values = kept
    return Check(guard, ok, tuple(values))


def _said(words: str) -> Callable[[], str]:
    return lambda: words


def _pushes(pushes: int, limit: int | None) -> str:
    return f"已发 {pushes} 次，上限 {limit} 次" if limit else "不限"


def _touched(last: str, week: int, per_week: int | None, month: int, per_month: int | None) -> str:
    """How much this person got and may get."""
    told = [f"上一条营销消息：{last}" if last else "近 30 天没有发过营销消息"]
    told += [f"7 天内 {week} 次（上限 {per_week} 次）"] if per_week is not None else []
    told += [f"30 天内 {month} 次（上限 {per_month} 次）"] if per_month is not None else []
    return "，".join(told)


# By the code that is kept: the guard's name, and what it says of a step that it lets pass.
GUARDS: dict[str, tuple[str, Callable[..., str]]] = {
    "holdout": ("对照组", _said("")),
    "ttl": ("有效期", lambda seconds: timing.write_duration(timedelta(seconds=seconds))),
    "quiet": ("勿扰时段", lambda hours="不受限": hours),
    "unmet": ("条件", _said("仍然满足")),
    "optout": ("退订", _said("没有退订")),
    "stop": ("停发名单", _said("不在名单")),
    "pushes": ("本流程次数", _pushes),
    "case": ("售后", _said("没有未结束的售后")),
    "promotion": ("大促", _said("")),
    "talk": ("会话", _said("没有正在进行的会话")),
    "cap": ("频控", _touched),
    "rival": ("当天优先级", _said("")),
    "gap": ("间隔", _said("没有刚发过的消息")),
}
