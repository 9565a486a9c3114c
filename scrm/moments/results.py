"""What became of moments: the job that makes them, who published, who sees, likes and comments."""

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row

from scrm.moments import store
from scrm.services import Services
from scrm.wecom.errors import WeComError

log = structlog.get_logger()

AT_A_TIME = 5
# While members publish, and later for likes and comments: (younger than, every).
PACE = (
    (timedelta(hours=1), timedelta(minutes=5)),
    (timedelta(days=1), timedelta(minutes=30)),
    (timedelta(days=30), timedelta(hours=6)),
)
JOB_PACE = timedelta(seconds=10)
JOB_LIFE = timedelta(hours=24)


async def poll(services: Services) -> int:
    """The tick: ask for what is due; returns how many moments were asked for."""
    now = services.clock.now()
    if not await services.db.read(store.has_pollable, now):
        return 0
    rows = await services.db.write(store.claim_pollable, now, now + PACE[0][1], AT_A_TIME)
    for row in rows:
        try:
            await (_take_job if row.state == "job" else _take_results)(services, row)
        except WeComError as error:
            log.warning("moment.poll_failed", moment=row.id, errcode=error.errcode)
    return len(rows)


async def _take_job(services: Services, row: Row[Any]) -> None:
    now = services.clock.now()
    job = await services.wecom.moments.get_moment_task_result(row.jobid)
    if job.status == 3 and job.moment_id and not job.errcode:
        values = {"state": "created", "moment_id": job.moment_id, "poll_at": now}
        reason = f"{len(job.invalid_userids)} 位员工不在应用可见范围内，不会收到" if job.invalid_userids else ""
        await services.db.write(store.change_moment, row.id, **values, reason=reason)
    elif job.status == 3:
        reason = WeComError(job.errcode, job.errmsg).text
        await services.db.write(
            store.change_moment, row.id, state="failed", poll_at=None, errcode=job.errcode, reason=reason
        )
    elif now - row.made_at > JOB_LIFE:
        await services.db.write(
            store.change_moment, row.id, state="failed", poll_at=None, reason="企业微信一天内没有创建完成"
        )
    else:
        await services.db.write(store.change_moment, row.id, poll_at=now + JOB_PACE)


async def _take_results(services: Services, row: Row[Any]) -> None:
    await take_publishers(services, row)
    now = services.clock.now()
    age = now - row.made_at
    every = next((pause for younger, pause in PACE if age < younger), None)
    if every is None:
        await services.db.write(store.change_moment, row.id, state="done", poll_at=None)
    else:
        await services.db.write(store.change_moment, row.id, poll_at=now + every)


async def take_publishers(services: Services, row: Row[Any]) -> None:
    """Who has published a moment that is made, who sees it, and what they say. Raises WeComError."""
    moments = services.wecom.moments
    async for publisher in moments.get_moment_task(row.moment_id):
        values: dict[str, Any] = {"is_published": publisher.is_published}
        if publisher.is_published:
            values["seen"] = sum([1 async for _ in moments.get_moment_send_result(row.moment_id, publisher.userid)])
            comments, likes = await moments.get_moment_comments(row.moment_id, publisher.userid)
            values |= {"comments": len(comments), "likes": len(likes)}
        await services.db.write(store.save_publisher, row.id, publisher.userid, **values)
