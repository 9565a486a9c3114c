"""/api/v1/runs: who is in which playbook, how far, and ending one run."""

from typing import Any

from aiohttp import web
from msgspec import Struct
from sqlalchemy import Boolean, Connection, literal_column, select

from scrm.access.scope import Scope, reaches, require_person
from scrm.api.auth import CALLER
from scrm.api.operation import operation
from scrm.api.parameters import CURSOR, LIMIT, MOST_DIGITS, PAGED, Choice, Moment, Number, Page, Text, page_of
from scrm.errors import Invalid, NotFound
from scrm.services import SERVICES
from scrm.sop import run_acts
from scrm.sop.models import enrolment
from scrm.sop.reasons import explain
from scrm.sop.shelf import house_of, playbooks_of

routes = web.RouteTableDef()

_ONE = r"/api/v1/runs/{enrolment_id:\d+}"
_LIVING = ("active", "paused", "queued")
_STATES = (*_LIVING, "goal", "exited", "done", "failed", "merged")

PERSON_ID = Number("person_id", "客户编号", least=1)
PLAYBOOK = Text("playbook", "剧本的编号；不写 person_id 时和进行中的 state 一起用", most=64)
STATE = Choice("state", "active 进行中，paused 暂停，queued 排队，其余是已结束的原因", _STATES)


class Run(Struct, kw_only=True):
    """One person's way through one playbook; `due_at` is when the next step comes.

    `ended_by` is who stopped it by hand: a userid, or `api:` and the name of a key. Empty when it ended by itself.
    """

    enrolment_id: int
    playbook: str
    version: int
    person_id: int
    userid: str
    external_userid: str
    state: str
    reason: str
    due_at: Moment | None
    enrolled_at: Moment
    ended_at: Moment | None
    ended_by: str


class Stopped(Struct):
    """What was done, and until when the console can take it back."""

    enrolment_id: int
    message: str
    undo_until: Moment


@routes.get("/api/v1/runs")
@operation("剧本的运行，新的在前", query=(PERSON_ID, PLAYBOOK, STATE, *PAGED), is_scoped=True)
async def list_runs(request: web.Request) -> Page[Run]:
    """By a customer, or by a playbook and a state."""
    person_id, playbook, state = PERSON_ID.read(request), PLAYBOOK.read(request), STATE.read(request)
    if person_id is None and not (playbook and state in _LIVING):
        raise Invalid(f"请写明 person_id，或者 playbook 和 state（{'、'.join(_LIVING)}）：已结束的运行按客户查")
    before, limit, scope = CURSOR.read(request), LIMIT.read_size(request), request[CALLER].scope
    query = select(enrolment).where(reaches(scope, enrolment.c.person_id)).order_by(enrolment.c.id.desc())
    if person_id is not None:
        query = query.where(enrolment.c.person_id == person_id)
    if playbook:
        query = query.where(enrolment.c.playbook_key == playbook)
    if state:
        # In words: a parameter would lose the index of the living.
        query = query.where(literal_column(f"enrolment.state = '{state}'", Boolean))
    if before is not None:
        query = query.where(enrolment.c.id < before)

    def look(conn: Connection) -> tuple[list[Any], dict[int, str]]:
        rows = list(conn.execute(query.limit(limit + 1)))
        return rows, run_acts.list_stoppers(conn, [row.id for row in rows if row.ended_at is not None])

    rows, stoppers = await request.app[SERVICES].db.read(look)
    return page_of(rows, limit, lambda row: _describe(row, stoppers.get(row.id, "")))


@routes.get(_ONE)
@operation("一次运行：由什么开始，每一步做了什么、为什么，还有哪些", errors=(404,), is_scoped=True)
async def get_run(request: web.Request) -> explain.RunStory:
    services, enrolment_id, scope = request.app[SERVICES], _number(request), request[CALLER].scope
    published, house = playbooks_of(services), house_of(services)

    def look(conn: Connection) -> explain.RunStory | None:
        _require(conn, scope, enrolment_id)
        return explain.explain_run(conn, enrolment_id, published, house)

    story = await services.db.read(look)
    if story is None:
        raise _unknown(enrolment_id)
    return story


@routes.post(f"{_ONE}/stop")
@operation("停止一次运行，没发的待办撤回", errors=(404, 409), is_scoped=True)
async def stop(request: web.Request) -> Stopped:
    """409 when it is over."""
    services, enrolment_id, caller = request.app[SERVICES], _number(request), request[CALLER]

    def write(conn: Connection) -> run_acts.Done:
        _require(conn, caller.scope, enrolment_id)
        return run_acts.stop(
            conn, enrolment_id, f"api:{caller.name}"[:64], f"接口“{caller.name}”", now=services.clock.now()
        )

    done = await services.db.write(write)
    return Stopped(enrolment_id, done.words, done.until)


def _number(request: web.Request) -> int:
    digits = request.match_info["enrolment_id"]
    if len(digits) > MOST_DIGITS:
        raise _unknown(digits)
    return int(digits)


def _require(conn: Connection, scope: Scope, enrolment_id: int) -> None:
    person_id = conn.scalar(select(enrolment.c.person_id).where(enrolment.c.id == enrolment_id))
    if person_id is None:
        raise _unknown(enrolment_id)
    require_person(conn, scope, person_id)


def _unknown(number: object) -> NotFound:
    return NotFound(f"没有运行 {str(number)[:20]}")


def _describe(row: Any, ended_by: str) -> Run:
    return Run(
        enrolment_id=row.id,
        playbook=row.playbook_key,
        version=row.version,
        person_id=row.person_id,
        userid=row.userid,
        external_userid=row.external_userid,
        state=row.state,
        reason=row.ended_reason or row.held_reason,
        due_at=row.due_at,
        enrolled_at=row.enrolled_at,
        ended_at=row.ended_at,
        ended_by=ended_by,
    )
