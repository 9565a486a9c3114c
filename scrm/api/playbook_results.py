"""GET /api/v1/playbooks, their results, and why a customer is in one or not."""

from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, select

from scrm.errors import Invalid, NotFound
from scrm.profiles import redirects
from scrm.profiles.store import get_person
from scrm.services import SERVICES
from scrm.sop import results, why
from scrm.sop.models import playbook as playbook_table
from scrm.sop.results import Figures, Results, StepResult
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.uplift import Interval

routes = web.RouteTableDef()

# The longest span of days that is counted at once.
_MOST_DAYS = 366
_COUNTS = (
    *("targeted", "released", "confirmed", "in_time", "delivered", "waiting", "opened"),
    *("skipped", "withdrawn", "expired", "left_out", "missed", "failed", "failed_before", "unknown"),
    *("lost", "refused"),
)


@routes.get("/api/v1/playbooks")
async def list_playbooks(request: web.Request) -> web.Response:
    """Every playbook with its state and current version."""
    query = select(playbook_table).order_by(playbook_table.c.key)
    rows = await request.app[SERVICES].db.read(lambda conn: conn.execute(query).all())
    items = [
        {
            "key": row.key,
            "title": row.title,
            "state": row.state,
            "version": row.version,
            "changed_at": row.changed_at.isoformat(),
        }
        for row in rows
    ]
    return web.json_response({"items": items})


@routes.get("/api/v1/playbooks/{key}/results")
async def show_results(request: web.Request) -> web.Response:
    """From `since` to `until` (days in the shop's zone, both included); by default the last 30 days."""
    services, key = request.app[SERVICES], request.match_info["key"]
    now, zone = services.clock.now(), services.settings.shop.zone
    today = now.astimezone(zone).date()
    until = _day(request, "until") or today
    since = _day(request, "since") or until - timedelta(days=29)
    if not timedelta() <= until - since < timedelta(days=_MOST_DAYS):
        raise Invalid(f"参数 since 和 until：从 {since} 到 {until}，应为先后两天，最多相隔 {_MOST_DAYS} 天")
    query = select(playbook_table.c.version).where(playbook_table.c.key == key)
    version = await services.db.read(lambda conn: conn.execute(query).scalar_one_or_none())
    playbook = playbooks_of(services).version(key, version) if version is not None else None
    if playbook is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    found = await services.db.read(
        lambda conn: results.load(conn, playbook, since=since, until=until, zone=zone, now=now)
    )
    return web.json_response({"key": key, "title": playbook.title, "version": version, **_describe(found)})


@routes.get(r"/api/v1/customers/{person_id:\d{1,18}}/why")
async def tell_why(request: web.Request) -> web.Response:
    """`playbook` is the key: its runs with every step's reason and checks, the last refusal, and what comes next."""
    services, key = request.app[SERVICES], request.query.get("playbook", "")
    if not key:
        raise Invalid("缺少参数 playbook（剧本的编号）")
    published, house, now = playbooks_of(services), house_of(services), services.clock.now()

    def look(conn: Connection) -> why.Why:
        person_id = redirects.follow(conn, int(request.match_info["person_id"]))
        if get_person(conn, person_id) is None:
            raise NotFound("没有这位客户，可能已被删除")
        return why.tell(conn, person_id, key, published, house, now)

    return web.json_response(_plain(asdict(await services.db.read(look))))


def _day(request: web.Request, name: str) -> date | None:
    text = request.query.get(name, "")
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid(f"参数 {name}：收到“{text[:40]}”，应写成 2026-03-05") from None


def _describe(found: Results) -> dict[str, Any]:
    return {
        "since": found.since.isoformat(),
        "until": found.until.isoformat(),
        "is_cut": found.is_cut,
        "runs": dict(found.runs) | {"under_way": found.living},
        "holdout": dict(found.held_out),
        "goals": found.goals,
        "goals_within_days": {str(days): count for days, count in found.goals_within.items()},
        "credited": found.credited,
        "net_fen": found.net_fen,
        "arms": [
            {"fork": fork, "arm": arm, "goals": got.goals, "net_fen": got.net_fen}
            for (fork, arm), got in found.arms.items()
        ],
        "steps": [_step(step) for step in found.steps],
        "members": [
            {
                "userid": one.userid,
                "name": one.name,
                **_figures(one.figures),
                "steps": {step_id: _figures(figures) for step_id, figures in one.steps.items()},
            }
            for one in found.members
        ],
        "uplift": _uplift(found),
    }


def _step(step: StepResult) -> dict[str, Any]:
    return {
        "id": step.step_id,
        "title": step.title,
        "channel": step.channel,
        **_figures(step.figures),
        "goals": step.goals,
        "net_fen": step.net_fen,
        "variants": [
            {"name": name, **_figures(one.figures), "goals": one.goals, "net_fen": one.net_fen}
            for name, one in step.variants.items()
        ],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **{name: figures[name] for name in _COUNTS},
        "confirm_rate": figures.confirm_rate,
        "in_time_rate": figures.in_time_rate,
        "median_delay_minutes": figures.median_minutes,
        "annoyance_per_1000": figures.annoyance,
        "reasons": [{"reason": reason, "count": count} for reason, count in figures.reasons],
    }


def _uplift(found: Results) -> dict[str, Any] | None:
    """None without a holdout; the intervals are null while `missing_persons` are lacking from it."""
    uplift = found.uplift
    if uplift is None:
        return None
    return {
        "treated": {"runs": uplift.treated.count, "goals": uplift.treated.hits, "rate": uplift.treated.rate},
        "holdout": {"runs": uplift.holdout.count, "goals": uplift.holdout.hits, "rate": uplift.holdout.rate},
        "missing_persons": uplift.missing,
        "rate": _interval(uplift.rate),
        "extra_goals": _interval(uplift.extra),
        "net_fen_per_run": _interval(uplift.fen),
    }


def _interval(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else {"value": interval.value, "low": interval.low, "high": interval.high}


def _plain(value: Any) -> Any:
    """Moments as ISO 8601."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
