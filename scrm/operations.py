"""What operators look at: /healthz, /readyz and /metrics."""

from math import nan

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from sqlalchemy import Connection

from scrm.db.away import why_away
from scrm.db.migrate import current_revision, newest_revision
from scrm.services import SERVICES, Services
from scrm.work import queue
from scrm.work.models import DEAD, LEASED, WAITING

routes = web.RouteTableDef()

# Work that waits longer than this means that the workers are gone or far behind.
MAX_QUEUE_SECONDS = 300

_QUEUE_AGE = Gauge("scrm_queue_age_seconds", "Seconds the oldest due work item has waited")
_QUEUE_ITEMS = Gauge("scrm_queue_items", "Work items by lane and state", ["lane", "state"])
_DATABASE_UP = Gauge("scrm_database_up", "1 while the database answers")
_CALLS = Counter("scrm_wecom_calls_total", "Calls of WeCom's server API", ["path", "errcode"])
_CALL_SECONDS = Histogram(
    "scrm_wecom_call_seconds", "Seconds until WeCom answered", ["path"], buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
)
_STATES = {WAITING: "waiting", LEASED: "leased", DEAD: "dead"}


def count_call(path: str, errcode: int | None, seconds: float) -> None:
    """Told of every call of WeCom; `errcode` is None where no answer could be read."""
    _CALLS.labels(path, "none" if errcode is None else str(errcode)).inc()
    _CALL_SECONDS.labels(path).observe(seconds)


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    """The process answers; nothing else is looked at."""
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    """503 while the database is away, not migrated, or work piles up; the body says which."""
    checks = await check(request.app[SERVICES])
    is_ready = all(one["ok"] for one in checks.values())
    return web.json_response(
        {"status": "ok" if is_ready else "unready", "checks": checks}, status=200 if is_ready else 503
    )


async def check(services: Services) -> dict[str, dict[str, object]]:
    try:
        revision, age, _ = await services.db.read(_look, services)
    except Exception as error:
        return {
            "database": {"ok": False, "found": type(error).__name__, "mend": "start the database, check database.url"}
        }
    newest = newest_revision()
    return {
        "database": {"ok": True},
        "migrations": {
            "ok": revision == newest,
            "found": revision or "none",
            "expected": newest,
            "mend": "scrm migrate",
        },
        "queue": {
            "ok": age <= MAX_QUEUE_SECONDS,
            "oldest_seconds": round(age, 1),
            "expected": f"<= {MAX_QUEUE_SECONDS}",
            "mend": "start a worker, look at dead letters",
        },
    }


def _look(conn: Connection, services: Services) -> tuple[str, float, dict[tuple[str, int], int]]:
    now = services.clock.now()
    oldest = queue.oldest_waiting(conn, now=now)
    age = (now - oldest).total_seconds() if oldest else 0.0
    return current_revision(conn), age, queue.count_by_lane(conn)


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format; without the database, all that needs none."""
    services = request.app[SERVICES]
    try:
        _, age, counts = await services.db.read(_look, services)
    except Exception as error:
        if not why_away(error):
            raise
        _tell_queue(nan, {}, is_up=False)
    else:
        _tell_queue(age, counts, is_up=True)
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _tell_queue(age: float, counts: dict[tuple[str, int], int], *, is_up: bool) -> None:
    _DATABASE_UP.set(is_up)
    _QUEUE_AGE.set(age)
    _QUEUE_ITEMS.clear()
    for (lane, state), items in counts.items():
        _QUEUE_ITEMS.labels(lane, _STATES[state]).set(items)
