"""Runs every check, a few at a time, whatever happens to one of them."""

import asyncio
from dataclasses import dataclass

import structlog

from scrm.doctor.checks import CHECKS, Check
from scrm.doctor.findings import Finding, State, bad
from scrm.doctor.look import Look
from scrm.services import Services
from scrm.wecom.errors import WeComError, WeComUnreachable

log = structlog.get_logger()
_AT_A_TIME = 6


@dataclass(frozen=True, slots=True)
class Result:
    check: Check
    finding: Finding


async def examine(services: Services) -> list[Result]:
    """A result for each check, in the order of the list; takes seconds, as it asks WeCom some twenty times."""
    look, gate = Look(services), asyncio.Semaphore(_AT_A_TIME)

    async def one(check: Check) -> Result:
        async with gate:
            return Result(check, await _finding(check, look))

    return list(await asyncio.gather(*(one(check) for check in CHECKS)))


def is_well(results: list[Result]) -> bool:
    """Whether nothing is broken; warnings and functions that are not used do not count."""
    return all(result.finding.state is not State.BAD for result in results)


async def _finding(check: Check, look: Look) -> Finding:
    try:
        return await check.examine(look)
    except WeComUnreachable as error:
        return bad(f"连不上企业微信：{error.errmsg}。", "检查服务器能否访问外网，以及设置里的 wecom.api_base。")
    except WeComError as error:
        cause, _, mend = error.text.partition("。")
        return bad(f"{cause}。", mend or "按错误码在 open.work.weixin.qq.com/devtool/query 查询。", error.errcode)
    except Exception as error:
        log.error("doctor.check_failed", check=check.key, error=type(error).__name__)
        return bad(f"检查本身出错（{type(error).__name__}）。", "查看日志 doctor.check_failed，并反馈给开发者。")
