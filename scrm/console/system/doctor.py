"""体检: every check with its cause and its mend; it runs when somebody asks for it."""

from itertools import groupby
from typing import Any

from aiohttp import web

from scrm.console.door import for_managers, page
from scrm.console.words import Word
from scrm.doctor.examine import Result, examine
from scrm.doctor.findings import State
from scrm.services import SERVICES

routes = web.RouteTableDef()

STATES = {
    State.GOOD: Word("正常", "good"),
    State.WARN: Word("留意", "warn"),
    State.BAD: Word("要处理", "bad"),
    State.UNUSED: Word("未使用"),
    State.LATER: Word("待检查"),
}


@routes.get("/console/doctor")
@for_managers
async def doctor(request: web.Request) -> web.StreamResponse:
    """What must be mended stands first; the rest follows group by group."""
    results = await examine(request.app[SERVICES])
    return await page(request, "doctor.html", active="doctor", states=STATES, **arranged(results))


def arranged(results: list[Result]) -> dict[str, Any]:
    return {
        "broken": [result for result in results if result.finding.state is State.BAD],
        "warned": [result for result in results if result.finding.state is State.WARN],
        "good": sum(result.finding.state is State.GOOD for result in results),
        "groups": [(group, list(found)) for group, found in groupby(results, key=lambda result: result.check.group)],
        "count": len(results),
    }
