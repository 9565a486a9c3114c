"""RFM 与生命周期: who is worth what, who moved, by which rules; every figure leads to its people."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.console.conditions.texts import write_text
from scrm.console.door import MANAGER, for_managers, page
from scrm.errors import Invalid
from scrm.segments import rfm_refresh, rfm_store
from scrm.segments.rfm import PERIODS, SCORINGS, SPLITS, TITLES, UNCLASSED, Rules, read_rules, rules_of
from scrm.segments.rfm_store import Where
from scrm.segments.stages import AIPL, AWARE, LIFE, POTENTIAL
from scrm.services import SERVICES

routes = web.RouteTableDef()

PAGE = 50
# Columns of the history, and steps of the ground of a square.
_RUNS, _SHADES = 6, 6
# docs/commerce.md 5.1: what one does with each.
IDEAS = {
    "111": "专属服务，新品优先体验",
    "101": "提高购买频次，推荐搭配",
    "011": "尽快联系，送回归礼",
    "001": "大额唤回优惠，问清原因",
    "110": "提高客单价，满减凑单",
    "100": "新客培养，引导第二单",
    "010": "低成本激活",
    "000": "只做低成本触达",
}
STAGES = {"life": {"": POTENTIAL, **LIFE}, "aipl": {"": AWARE, **AIPL}}


@dataclass(frozen=True, slots=True)
class Square:
    """Persons and money of one class, or of one square of R and F; `shade` says how many of all they are."""

    title: str
    query: str
    persons: int
    fen: int
    shade: int = 0


@routes.get("/console/rfm")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    services, asked = request.app[SERVICES], request.query.get("run", "")
    run_id = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 18 else None

    def look(conn: Connection) -> dict[str, Any]:
        runs, run = rfm_store.list_runs(conn), rfm_store.find_run(conn, run_id)
        kept = rfm_store.find_rules(conn)
        rules = rules_of(None if kept is None else kept.rules, services.settings.rfm)
        found: dict[str, Any] = {"run": run, "runs": runs, "rules": rules, "history": []}
        if run is not None:
            found["history"] = [rfm_store.find_run(conn, each.id) for each in _spaced(runs, _RUNS)]
            found["stages"] = rfm_store.count_stages(conn)
        return found

    found = await services.db.read(look)
    run, rules = found["run"], found["rules"]
    if run is not None:
        found |= {"is_now": run.id == found["runs"][0].id, "used": Rules(**run.rules)}
        found |= {"classes": _classes(run, rules), "grid": _grid(run), "moves": _moves(run, rules)}
    return await page(
        request, "rfm.html", active="rfm", **found, ideas=IDEAS, stage_titles=STAGES, splits=SPLITS, titles=TITLES
    )


def _spaced(runs: Sequence[Row[Any]], many: int) -> list[Row[Any]]:
    """Some of them from the newest to the oldest, evenly, the oldest first."""
    step = max(1, -(-len(runs) // many))
    return list(runs)[::step][:many][::-1]


def _classes(run: Row[Any], rules: Rules) -> list[tuple[str, Square]]:
    sums = _sum(run.cells, "rfm")
    return [(code, Square(rules.title(code), urlencode({"rfm": code}), *sums.get((code,), (0, 0)))) for code in TITLES]


def _grid(run: Row[Any]) -> list[tuple[int, list[Square]]]:
    """R from 5 down, F from 1 up."""
    sums = _sum(run.cells, "r", "f")
    most = max((persons for persons, _ in sums.values()), default=0)
    rows = []
    for r in range(5, 0, -1):
        row = []
        for f in range(1, 6):
            persons, fen = sums.get((r, f), (0, 0))
            shade = -(-persons * _SHADES // most) if most else 0
            row.append(Square(f"R{r} F{f}", urlencode({"r": r, "f": f}), persons, fen, shade))
        rows.append((r, row))
    return rows


def _sum(cells: Iterable[Mapping[str, Any]], *names: str) -> dict[tuple[Any, ...], tuple[int, int]]:
    persons: Counter[tuple[Any, ...]] = Counter()
    fen: Counter[tuple[Any, ...]] = Counter()
    for cell in cells:
        key = tuple(cell[name] for name in names)
        persons[key] += cell["persons"]
        fen[key] += cell["fen"]
    return {key: (number, fen[key]) for key, number in persons.items()}


def _moves(run: Row[Any], rules: Rules) -> list[dict[str, Any]]:
    """From where to where, the most first; a better class has more letters high, and money counts most."""
    told = [
        {
            "from": rules.title(each["from"]) or UNCLASSED,
            "to": rules.title(each["to"]) or UNCLASSED,
            "persons": each["persons"],
            "tone": "good" if _worth(each["to"]) > _worth(each["from"]) else "bad",
        }
        for each in run.moves
    ]
    return sorted(told, key=lambda each: -each["persons"])


def _worth(code: str) -> tuple[int, str]:
    return code.count("1"), code[::-1]


# People ---------------------------------------------------------------------------------------------------------------


@routes.get("/console/rfm/people")
@for_managers
async def people(request: web.Request) -> web.StreamResponse:
    services, query = request.app[SERVICES], request.query
    where = _where(query)
    after = int(query["after"]) if query.get("after", "").isdigit() and len(query["after"]) < 19 else 0

    def look(conn: Connection) -> tuple[list[Row[Any]], Rules]:
        kept = rfm_store.find_rules(conn)
        rules = rules_of(None if kept is None else kept.rules, services.settings.rfm)
        return rfm_store.list_people(conn, where, after=after, limit=PAGE + 1), rules

    rows, rules = await services.db.read(look)
    said = {name: value for name, value in where._asdict().items() if value}
    condition = write_text(_condition(where))
    return await page(
        request,
        "rfm_people.html",
        active="rfm",
        rows=rows[:PAGE],
        heading=_heading(where, rules),
        rules=rules,
        life=LIFE,
        aipl=AIPL,
        query=urlencode(said),
        next_after=rows[PAGE - 1].person_id if len(rows) > PAGE else 0,
        segment=urlencode({"if": condition}),
    )


def _where(query: Mapping[str, str]) -> Where:
    """What the address says; unknown letters are a mistake, not everybody."""
    scores = {}
    for name in ("r", "f", "m"):
        text = query.get(name, "")
        if text and text not in ("1", "2", "3", "4", "5"):
            raise Invalid(f"{name.upper()} 得分是 1 到 5，地址里写的是“{text[:10]}”")
        scores[name] = int(text or 0)
    where = Where(query.get("rfm", ""), **scores, life=query.get("life", ""), aipl=query.get("aipl", ""))
    for name, known in (("rfm", TITLES), ("life", LIFE), ("aipl", AIPL)):
        if (value := getattr(where, name)) and value not in known:
            raise Invalid(f"没有“{value[:10]}”这一类，请从“RFM 与生命周期”页点进来")
    return where


def _heading(where: Where, rules: Rules) -> str:
    names = [rules.title(where.rfm), LIFE.get(where.life, ""), AIPL.get(where.aipl, "")]
    scores = " ".join(f"{name.upper()}{value}" for name in ("r", "f", "m") if (value := getattr(where, name)))
    return " · ".join(name for name in (*names, scores) if name) or "全部买家"


def _condition(where: Where) -> dict[str, Any]:
    """The same people as a segment: those who will stand there on each day to come."""
    leaves: list[dict[str, Any]] = []
    for field, known, value in (
        ("rfm.class", TITLES, where.rfm),
        ("life.stage", LIFE, where.life),
        ("life.aipl", AIPL, where.aipl),
    ):
        leaves += [{"field": field, "op": "eq", "value": known[value]}] if value else []
    for name in ("r", "f", "m"):
        leaves += [{"field": f"rfm.{name}", "op": "eq", "value": value}] if (value := getattr(where, name)) else []
    if not leaves:
        return {"field": "rfm.class", "op": "present"}
    return leaves[0] if len(leaves) == 1 else {"all": leaves}


# Rules ----------------------------------------------------------------------------------------------------------------


@routes.get("/console/rfm/rules")
@for_managers
async def show_rules(request: web.Request) -> web.StreamResponse:
    return await _rules_page(request, await _kept_form(request))


async def _kept_form(request: web.Request) -> dict[str, Any]:
    """The form as the rules fill it."""
    services = request.app[SERVICES]
    kept = await services.db.read(rfm_store.find_rules)
    rules = rules_of(None if kept is None else kept.rules, services.settings.rfm)
    form: dict[str, Any] = {name: rules.plain()[name] for name in ("period_days", "scoring", "split", "high")}
    for name in ("recency_days", "orders", "yuan"):
        form |= {f"{name}_{place}": step for place, step in enumerate(rules.plain()[name])}
    return form | {f"name_{code}": rules.names.get(code, "") for code in TITLES}


@routes.post("/console/rfm/rules")
@for_managers
async def save_rules(request: web.Request) -> web.StreamResponse:
    services, form = request.app[SERVICES], await request.post()
    try:
        rules = read_rules(form)
    except Invalid as error:
        written = {name: str(value) for name, value in form.items()}
        return await _rules_page(request, await _kept_form(request) | written, error.text)
    now = services.clock.now()
    await services.db.write(rfm_store.save_rules, rules, now=now, by=request[MANAGER].userid)
    await services.db.write(rfm_refresh.ask, now)
    raise web.HTTPSeeOther("/console/rfm")


@routes.post("/console/rfm/refresh")
@for_managers
async def compute(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    await services.db.write(rfm_refresh.ask, services.clock.now())
    raise web.HTTPSeeOther("/console/rfm")


async def _rules_page(request: web.Request, form: Mapping[str, Any], problem: str = "") -> web.Response:
    steps = (
        ("recency_days", "R 最近下单，几天内", "5 到 1 分"),
        ("orders", "F 订单数，达到", "2 到 5 分"),
        ("yuan", "M 金额（元），达到", "2 到 5 分"),
    )
    given: dict[str, Any] = {"form": form, "problem": problem, "steps": steps}
    given |= {"scorings": SCORINGS, "splits": SPLITS, "periods": PERIODS, "titles": TITLES}
    return await page(request, "rfm_rules.html", active="rfm", status=422 if problem else 200, **given)
