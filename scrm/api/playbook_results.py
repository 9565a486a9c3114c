"""GET /api/v1/playbooks, their results, and why a customer is in one or not."""

from datetime import date, timedelta
from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Connection, select

from scrm.api.operation import operation
from scrm.api.parameters import PAGED_BY_KEY, Day, Moment, Page, Text, page_of_few, person_id_of
from scrm.errors import Invalid, NotFound
from scrm.profiles import redirects
from scrm.profiles.store import get_person
from scrm.services import SERVICES
from scrm.sop.models import playbook as playbook_table
from scrm.sop.reasons import why
from scrm.sop.results import figures as results
from scrm.sop.results.figures import Figures, Results, StepResult
from scrm.sop.results.uplift import Interval
from scrm.sop.shelf import house_of, playbooks_of

routes = web.RouteTableDef()

# The longest span of days that is counted at once.
_MOST_DAYS = 366
_COUNTS = (
    *("targeted", "released", "confirmed", "in_time", "delivered", "waiting", "opened"),
    *("skipped", "withdrawn", "expired", "left_out", "missed", "failed", "failed_before", "unknown"),
    *("lost", "refused"),
)


class PlaybookState(Struct):
    """A playbook; `version` is the one that new runs begin with."""

    key: str
    title: str
    state: str
    version: int
    changed_at: Moment


class ReasonCount(Struct):
    """How often a reason was given."""

    reason: str
    count: int


class SendFigures(Struct, kw_only=True):
    """Counts as docs/results.md defines them; rates from 0 to 1, null while there is nothing to divide by."""

    targeted: int
    released: int
    confirmed: int
    in_time: int
    delivered: int
    waiting: int
    opened: int
    skipped: int
    withdrawn: int
    expired: int
    left_out: int
    missed: int
    failed: int
    failed_before: int
    unknown: int
    lost: int
    refused: int
    confirm_rate: float | None
    in_time_rate: float | None
    median_delay_minutes: float | None
    annoyance_per_1000: float | None
    reasons: list[ReasonCount]


class VariantFigures(SendFigures, kw_only=True):
    """One variant of a step."""

    name: str
    goals: int
    net_fen: int


class StepFigures(SendFigures, kw_only=True):
    """One step."""

    id: str
    title: str
    channel: str
    goals: int
    net_fen: int
    variants: list[VariantFigures]


class MemberFigures(SendFigures, kw_only=True):
    """One member, also by step."""

    userid: str
    name: str
    steps: dict[str, SendFigures]


class ArmFigures(Struct):
    """One way of a fork."""

    fork: str
    arm: str
    goals: int
    net_fen: int


class Side(Struct):
    """The treated or the holdout."""

    runs: int
    goals: int
    rate: float | None


class UpliftFigures(Struct, kw_only=True):
    """What the playbook adds; the intervals are null while `missing_persons` are lacking from the holdout."""

    treated: Side
    holdout: Side
    missing_persons: int
    rate: Interval | None
    extra_goals: Interval | None
    net_fen_per_run: Interval | None


class PlaybookResults(Struct, kw_only=True):
    """From `since` to `until`, both included; `uplift` is null without a holdout."""

    key: str
    title: str
    version: int
    since: date
    until: date
    is_cut: bool
    runs: dict[str, int]
    holdout: dict[str, int]
    goals: int
    goals_within_days: dict[str, int]
    credited: int
    net_fen: int
    arms: list[ArmFigures]
    steps: list[StepFigures]
    members: list[MemberFigures]
    uplift: UpliftFigures | None


SINCE = Day("since", "第一天，默认最近 30 天")
UNTIL = Day("until", "最后一天，默认今天")
PLAYBOOK = Text("playbook", "剧本的编号", is_required=True, most=64)


@routes.get("/api/v1/playbooks")
@operation("剧本的状态和当前版本", query=PAGED_BY_KEY, is_scoped=True)
async def list_playbooks(request: web.Request) -> Page[PlaybookState]:
    rows = await request.app[SERVICES].db.read(lambda conn: conn.execute(select(playbook_table)).all())
    return page_of_few(request, rows, _state, lambda row: str(row.key))


def _state(row: Any) -> PlaybookState:
    return PlaybookState(row.key, row.title, row.state, row.version, row.changed_at)


@routes.get("/api/v1/playbooks/{key}/results")
@operation("剧本的效果：每一步、每位员工、目标、末次触达，以及和对照组比较的增量", query=(SINCE, UNTIL), errors=(404,))
async def show_results(request: web.Request) -> PlaybookResults:
    services, key = request.app[SERVICES], request.match_info["key"]
    now, zone = services.clock.now(), services.settings.shop.zone
    since, until = _span(request, now.astimezone(zone).date())
    query = select(playbook_table.c.version).where(playbook_table.c.key == key)
    version = await services.db.read(lambda conn: conn.execute(query).scalar_one_or_none())
    playbook = playbooks_of(services).version(key, version) if version is not None else None
    if playbook is None or version is None:
        raise NotFound(f"没有编号为 {key[:64]} 的剧本")
    found = await services.db.read(
        lambda conn: results.load(conn, playbook, since=since, until=until, zone=zone, now=now)
    )
    return _describe(key, playbook.title, version, found)


def _span(request: web.Request, today: date) -> tuple[date, date]:
    """Days in the shop's zone, both included."""
    until = UNTIL.read(request) or today
    since = SINCE.read(request)
    since = until - timedelta(days=min(29, until.toordinal() - 1)) if since is None else since
    if not timedelta() <= until - since < timedelta(days=_MOST_DAYS):
        raise Invalid(f"参数 since 和 until：从 {since} 到 {until}，应为先后两天，最多相隔 {_MOST_DAYS} 天")
    return since, until


@routes.get(r"/api/v1/customers/{person_id:\d+}/why")
@operation("这位客户为什么在或不在某个剧本里，下一步是什么，被什么挡住", query=(PLAYBOOK,), errors=(404,))
async def tell_why(request: web.Request) -> why.Why:
    """Its runs with every step's reason and checks, the last refusal, and what comes next."""
    services, key = request.app[SERVICES], PLAYBOOK.read(request)
    published, house, now = playbooks_of(services), house_of(services), services.clock.now()

    def look(conn: Connection) -> why.Why:
        person_id = redirects.follow(conn, person_id_of(request))
        if get_person(conn, person_id) is None:
            raise NotFound("没有这位客户，可能已被删除")
        return why.tell(conn, person_id, key, published, house, now)

    return await services.db.read(look)


def _describe(key: str, title: str, version: int, found: Results) -> PlaybookResults:
    return PlaybookResults(
        key=key,
        title=title,
        version=version,
        since=found.since,
        until=found.until,
        is_cut=found.is_cut,
        runs=dict(found.runs) | {"under_way": found.living},
        holdout=dict(found.held_out),
        goals=found.goals,
        goals_within_days={str(days): count for days, count in found.goals_within.items()},
        credited=found.credited,
        net_fen=found.net_fen,
        arms=[ArmFigures(fork, arm, got.goals, got.net_fen) for (fork, arm), got in found.arms.items()],
        steps=[_step(step) for step in found.steps],
        members=[
            MemberFigures(
                userid=one.userid,
                name=one.name,
                steps={step_id: SendFigures(**_figures(figures)) for step_id, figures in one.steps.items()},
                **_figures(one.figures),
            )
            for one in found.members
        ],
        uplift=_uplift(found),
    )


def _step(step: StepResult) -> StepFigures:
    return StepFigures(
        id=step.step_id,
        title=step.title,
        channel=step.channel,
        goals=step.goals,
        net_fen=step.net_fen,
        variants=[
            VariantFigures(name=name, goals=one.goals, net_fen=one.net_fen, **_figures(one.figures))
            for name, one in step.variants.items()
        ],
        **_figures(step.figures),
    )


def _figures(figures: Figures) -> dict[str, Any]:
    return {
        **{name: figures[name] for name in _COUNTS},
        "confirm_rate": figures.confirm_rate,
        "in_time_rate": figures.in_time_rate,
        "median_delay_minutes": figures.median_minutes,
        "annoyance_per_1000": figures.annoyance,
        "reasons": [ReasonCount(reason, count) for reason, count in figures.reasons],
    }


def _uplift(found: Results) -> UpliftFigures | None:
    uplift = found.uplift
    if uplift is None:
        return None
    return UpliftFigures(
        treated=Side(uplift.treated.count, uplift.treated.hits, uplift.treated.rate),
        holdout=Side(uplift.holdout.count, uplift.holdout.hits, uplift.holdout.rate),
        missing_persons=uplift.missing,
        rate=uplift.rate,
        extra_goals=uplift.extra,
        net_fen_per_run=uplift.fen,
    )
