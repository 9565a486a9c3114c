"""Work on many customers: whom it is about is gathered first, then one chunk after the other is taken.

Each chunk is one transaction with what became of everybody in it, so that a process may be killed at any moment and the
next one goes on where it stopped.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from scrm.access.scope import Scope, reaches, scope_for
from scrm.customer_lists import bulk_store, export, filters, order_export, store
from scrm.customer_lists.bulk_acts import ACTS, Errand
from scrm.customer_lists.bulk_kinds import KINDS
from scrm.customer_lists.bulk_store import Outcome
from scrm.db import Priority
from scrm.errors import ScrmError
from scrm.profiles.models import person
from scrm.services import Services
from scrm.sop.enrol import Rules
from scrm.sop.shelf import house_of, playbooks_of
from scrm.work.queue import Claimed

# Kinds that come to a file.
_FILES = {"export": export.run, bulk_store.ORDERS: order_export.run}
_GATHERED = 1000
# Tags of 200,000 customers are told to WeCom in three hours; what it cannot have for now is tried for a day.
_REFUSED_WITHIN = timedelta(days=3)
REFUSALS_SECONDS = 60.0
_BROKEN_OFF = "程序出错，停在这里了。稍后会自动再试；一直没动，请管理员到「任务队列」处理。做过的不会重做"
_OUT_OF_REACH = "已经不在你的数据范围里，或已被删除"


async def run_bulk(services: Services, item: Claimed) -> None:
    """Work of kind customers.bulk; begun again it goes on where it stopped."""
    job_id = int(item.payload["job_id"])
    try:
        while await services.db.write_as(Priority.IMPORT, _gather, services, job_id):
            await services.worker.give_way()
        job = await services.db.read(bulk_store.get_job, job_id)
        if (writes := _FILES.get(job.kind)) is not None:
            await writes(services, job)
            return
        while await services.db.write_as(Priority.IMPORT, _take, services, job_id):
            await services.worker.give_way()
    except ScrmError as error:
        now = services.clock.now()
        await services.db.write(bulk_store.change, job_id, state="failed", problem=error.text[:300], finished_at=now)
    except Exception:
        await services.db.write(bulk_store.change, job_id, problem=_BROKEN_OFF)
        raise


async def note_refusals(services: Services) -> None:
    """What WeCom has refused of tags since is counted where it was asked for."""
    since = services.clock.now() - _REFUSED_WITHIN
    for job_id, reasons in (await services.db.read(bulk_store.list_refusals, since)).items():
        await services.db.write_as(Priority.IMPORT, bulk_store.refuse_later, job_id, reasons)


def _gather(conn: Connection, services: Services, job_id: int) -> bool:
    """The next persons of the selection; False when all are there."""
    job = bulk_store.lock_job(conn, job_id)
    if job.state != "gathering":
        return False
    now = services.clock.now()
    ids, below = _select(conn, services, job, scope_for(conn, job.by, job.reach), now)
    bulk_store.add_items(conn, job_id, ids)
    total = bulk_store.count_items(conn, job_id)
    if total > (most := KINDS[job.kind].most):
        problem = f"超过了一次 {most:,} 位的上限，没有执行。请缩小范围，分几次做"
        bulk_store.change(conn, job_id, state="failed", problem=problem, total=total, finished_at=now)
        return False
    bulk_store.change(conn, job_id, below=below, total=total, state="running" if below is None else "gathering")
    return below is not None


def _select(
    conn: Connection, services: Services, job: Row[Any], scope: Scope, now: datetime
) -> tuple[list[int], int | None]:
    chosen = job.selection
    if "ids" in chosen:
        theirs = select(person.c.id).where(person.c.id.in_(chosen["ids"]), reaches(scope, person.c.id))
        return list(conn.scalars(theirs)), None
    if "job" in chosen:
        # Upwards: `below` is how far it has come.
        after, state = job.below or 0, chosen["state"]
        ids = bulk_store.list_people(
            conn, chosen["job"], state=state, is_plain=chosen.get("plain", False), after=after, limit=_GATHERED
        )
        return ids, ids[-1] if len(ids) == _GATHERED else None
    wanted = filters.read_text(chosen["query"])
    narrowed = filters.narrow(wanted, services.settings.shop.zone, services.vault.lookup)
    if chosen.get("phone_lookup"):
        narrowed = replace(narrowed, phone_lookup=chosen["phone_lookup"])
    return store.list_ids(conn, narrowed, scope, now, below=job.below, limit=_GATHERED)


def _take(conn: Connection, services: Services, job_id: int) -> bool:
    """Do the next chunk; False when there is nothing left, or somebody has cancelled it."""
    job = bulk_store.lock_job(conn, job_id)
    if job.state != "running":
        return False
    act, chunk = ACTS[job.kind]
    now = services.clock.now()
    ids = bulk_store.list_waiting(conn, job_id, chunk)
    if not ids:
        bulk_store.change(conn, job_id, state="done", finished_at=now)
        return False
    scope = scope_for(conn, job.by, job.reach)
    errand = Errand(
        id=job_id,
        choice=job.choice,
        by=job.by,
        by_name=job.by_name or job.by,
        scope=scope,
        created_at=job.created_at,
        begun=job.done + job.refused,
        rules=Rules(playbooks_of(services), house_of(services)),
        now=now,
    )
    there = set(conn.scalars(select(person.c.id).where(person.c.id.in_(ids), reaches(scope, person.c.id))))
    outcomes = act(conn, errand, [each for each in ids if each in there])
    outcomes += [Outcome(each, False, _OUT_OF_REACH) for each in ids if each not in there]
    bulk_store.save_outcomes(conn, job_id, outcomes)
    if job.problem:
        bulk_store.change(conn, job_id, problem="")
    return True
