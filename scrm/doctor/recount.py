"""`scrm doctor --recount`: every person's running totals against a recount of their orders."""

import json
from datetime import datetime
from typing import Any

from scrm.commerce.recount import Difference, Outcome, recount_all
from scrm.services import Services

_SHOWN = 20


async def run_recount(services: Services, *, fix: bool, as_json: bool) -> int:
    """0 when all totals are right, or were mended; 1 when some differ."""
    outcome = await recount_all(services.db, fix=fix)
    print(json.dumps(as_data(outcome, fix), ensure_ascii=False) if as_json else "\n".join(_lines(outcome, fix)))
    return 0 if fix or not outcome.differing else 1


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
