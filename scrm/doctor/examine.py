"""Runs every check, a few at a time, whatever happens to one of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from scrm.doctor.checks import CHECKS, Check
from scrm.doctor.findings import Finding, State, bad
from scrm.doctor.look import Look
from scrm.services import Services
from scrm.wecom.errors import WeComError, WeComUnreachable

log = structlog.get_logger()
_AT_A_TIME = 6
# Secret, corp, trusted IP, an app that was stopped, and no way to WeCom at all.
_STOP_EVERYTHING = frozenset({40001, 40013, 40091, 60020, 50003, 48006, 60031, -1})


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding


async def examine(services: Services, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """A result for each check, in the order of the list; takes seconds, as it asks WeCom some twenty times.

    The first check is the database's, without which the others cannot be made.
    """
    look, gate = Look(services), asyncio.Semaphore(_AT_A_TIME)

    async def one(check: Check) -> Result:
        async with gate:
            return Result(check, await _finding(check, look))

    first = await one(checks[0])
    if first.finding.state is State.BAD:
        # Without a database there are no tokens, and nothing that could be counted.
        return [first, *(Result(check, _after(first.check.title)) for check in checks[1:])]
    return _with_roots([first, *await asyncio.gather(*(one(check) for check in checks[1:]))])


def _with_roots(results: list[Result]) -> list[Result]:
    """What stops every call is told once, by the first check that met it; the others wait for it."""
    roots: dict[int, str] = {}
    told = []
    for result in results:
        finding, check = result.finding, result.check
        root = roots.get(finding.errcode)
        if root is not None:
            finding = _after(root)
        elif finding.state is State.BAD and finding.errcode in _STOP_EVERYTHING:
            roots[finding.errcode] = check.title
        told.append(Result(check, finding))
    return told


def _after(root: str) -> Finding:
    return Finding(State.LATER, f"先修好“{root}”，再检查这一项。")


def is_well(results: list[Result]) -> bool:
    """Whether nothing is broken; warnings and functions that are not used do not count."""
    return all(result.finding.state is not State.BAD for result in results)


async def _finding(check: Check, look: Look) -> Finding:
    try:
        return await check.examine(look)
    except WeComUnreachable as error:
        if error.errmsg.startswith("HTTP 4"):
            return bad(f"这个接口的地址不通（{error.errmsg}）。", "检查设置里的 wecom.api_base，以及代理是否改了路径。")
        return bad(f"连不上企业微信：{error.errmsg}。", "检查服务器能否访问外网，以及设置里的 wecom.api_base。", -1)
    except WeComError as error:
        cause, _, mend = error.text.partition("。")
        return bad(f"{cause}。", mend or "按错误码在 open.work.weixin.qq.com/devtool/query 查询。", error.errcode)
    except Exception as error:
        log.error("doctor.check_failed", check=check.key, error=type(error).__name__)
        return bad(f"检查本身出错（{type(error).__name__}）。", "查看日志 doctor.check_failed，并反馈给开发者。")
