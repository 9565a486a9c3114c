"""`scrm doctor --recount`: every person's running totals and what reports keep, against a recount."""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from scrm.commerce.recount import Difference, Outcome, recount_all
from scrm.reports.recount import Recounted, recount_reports
from scrm.services import Services

_SHOWN = 20


async def run_recount(services: Services, *, fix: bool, as_json: bool) -> int:
    """0 when all totals are right, or were mended; 1 when some differ."""
    outcome = await recount_all(services.db, fix=fix)
    reports = await recount_reports(services.db, services.clock.now(), services.settings.shop.zone, fix=fix)
    data = {**as_data(outcome, fix), "reports": asdict(reports)}
    lines = [*_lines(outcome, fix), _reports_line(reports, fix)]
    print(json.dumps(data, ensure_ascii=False) if as_json else "\n".join(lines))
    return 0 if fix or (reports.is_right and not outcome.differing) else 1


def _reports_line(found: Recounted, fix: bool) -> str:
    if found.is_right:
        return f"核对了 {found.rows:,} 次添加、每小时的销售和复购汇总，经营报表全部一致。"
    parts = (
        (found.differing, "位客户的渠道成效"),
        (found.hours, "个小时的销售"),
        (found.buyers, "位客户的复购"),
        (found.days, "天的复购汇总"),
    )
    wrong = "、".join(f"{number:,} {unit}" for number, unit in parts if number)
    what = f"核对了 {found.rows:,} 次添加、每小时的销售和复购汇总，有 {wrong}不一致"
    return f"{what}，已重新计算。" if fix else f"{what}。运行 scrm doctor --recount --fix 重新计算。"


def as_data(outcome: Outcome, fix: bool) -> dict[str, Any]:
    """`persons`, `differing`, `fixed`, and the first hundred `differences` with person_id and columns."""
    differences = [
        {"person_id": one.person_id, "columns": {name: [_plain(a), _plain(b)] for name, a, b in one.columns}}
        for one in outcome.shown
    ]
    fixed = outcome.differing if fix else 0
    return {"persons": outcome.persons, "differing": outcome.differing, "fixed": fixed, "differences": differences}


def _lines(outcome: Outcome, fix: bool) -> list[str]:
    lines = [_line(one) for one in outcome.shown[:_SHOWN]]
    if outcome.differing > len(lines):
        lines.append(f"  …… 还有 {outcome.differing - len(lines)} 位")
    if not outcome.differing:
        lines.append(f"核对了 {outcome.persons:,} 位客户，订单累计全部一致。")
    elif fix:
        lines.append(f"核对了 {outcome.persons:,} 位客户，{outcome.differing:,} 位的累计不一致，已按订单重新计算。")
    else:
        lines.append(
            f"核对了 {outcome.persons:,} 位客户，{outcome.differing:,} 位的累计不一致。"
            "运行 scrm doctor --recount --fix 按订单重新计算。"
        )
    return lines


def _line(one: Difference) -> str:
    told = "，".join(f"{name} 记为 {_plain(kept)}，应为 {_plain(counted)}" for name, kept, counted in one.columns)
    return f"  客户 {one.person_id}：{told}"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
