"""`scrm doctor`: a line per check on stdout, or JSON for scripts; the exit code says whether all is well."""

import json

from scrm.doctor.examine import Result, examine, is_well
from scrm.doctor.findings import State
from scrm.services import Services

_MARKS = {State.GOOD: "✓", State.WARN: "!", State.BAD: "✗", State.UNUSED: "-", State.LATER: "…"}


async def run_doctor(services: Services, *, as_json: bool = False) -> int:
    """0 when nothing is broken, 1 otherwise; warnings (!) and unused functions (-) do not fail."""
    results = await examine(services)
    print(json.dumps(as_data(results), ensure_ascii=False, indent=2) if as_json else "\n".join(_lines(results)))
    return 0 if is_well(results) else 1


def as_data(results: list[Result]) -> dict[str, object]:
    """`ok`, and `checks` with key, title, state (good, warn, bad, unused, later), found, mend, errcode."""
    checks = [
        {
            "key": result.check.key,
            "group": result.check.group,
            "title": result.check.title,
            "state": str(result.finding.state),
            "found": result.finding.found,
            "mend": result.finding.mend,
            "errcode": result.finding.errcode,
        }
        for result in results
    ]
    return {"ok": is_well(results), "checks": checks}


def _lines(results: list[Result]) -> list[str]:
    lines: list[str] = []
    group = ""
    for result in results:
        check, finding = result.check, result.finding
        if check.group != group:
            group = check.group
            lines.append(f"\n{group}" if lines else group)
        code = f"（{finding.errcode}）" if finding.errcode and str(finding.errcode) not in finding.found else ""
        lines.append(f"  {_MARKS[finding.state]} {check.title}" + (f"：{finding.found}{code}" if finding.found else ""))
        if finding.mend and finding.state is not State.GOOD:
            lines.append(f"      处理：{finding.mend}")
    return [*lines, "", _sum(results)]


def _sum(results: list[Result]) -> str:
    states = [result.finding.state for result in results]
    broken, warned = states.count(State.BAD), states.count(State.WARN)
    if not warned:
        return f"{broken} 项需要处理。" if broken else "一切正常。"
    return f"{broken} 项需要处理，另有 {warned} 项提醒（!）。" if broken else f"没有故障，{warned} 项提醒（!）。"
