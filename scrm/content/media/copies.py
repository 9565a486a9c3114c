"""WeCom's ids for our originals: made when first needed, and made anew at two and a half days, before they die.

Nothing here runs on the way of a welcome: that one only looks whether a living id is there.
"""

import hashlib
from datetime import datetime, timedelta

import structlog

from scrm.content.media import library, store
from scrm.errors import NotFound, ScrmError
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.media import ALBUM, MOMENT, File, Uploaded

log = structlog.get_logger()

MESSAGE, PICTURE, IN_MOMENT, IN_ALBUM, GROUP_WELCOME = "message", "picture", "moment", "album", "group_welcome"
USES = {
    MESSAGE: "消息附件",
    PICTURE: "永久图片",
    IN_MOMENT: "朋友圈",
    IN_ALBUM: "商品图册",
    GROUP_WELCOME: "入群欢迎语",
}

LIFE = timedelta(days=3)
RENEWED_AFTER = timedelta(days=2, hours=12)
# What was uploaded in one go is not renewed in one go.
SPREAD = timedelta(hours=2)
AT_A_TIME = 4
_AGAIN = {RetryClass.WINDOW: timedelta(hours=1), RetryClass.CONFIGURATION: timedelta(hours=1)}
_AGAIN_SOON = timedelta(minutes=10)
_AGAIN_LATE = timedelta(hours=12)


async def ensure_copy(services: Services, sha256: str, use: str) -> str:
    """The id that can be used now, uploaded if there is none. Raises NotFound, Invalid or WeCom's error."""
    found = await services.db.read(store.find_living, sha256, use, services.clock.now())
    return found or await make_copy(services, sha256, use)


async def make_copy(services: Services, sha256: str, use: str) -> str:
    """Upload now, whatever is there."""
    original = await services.db.read(store.find_original, sha256)
    if original is None:
        raise NotFound("没有这个素材，它可能已被删除。")
    library.check_use(original, use)
    content = await library.read_original(services, sha256)
    file = File(original.filename, original.content_type, content)
    now, media = services.clock.now(), services.wecom.media
    if use == PICTURE:
        url = await media.uploadimg(file)
        await services.db.write(store.save_copy, sha256, use, media_id=url, made_at=now, renew_at=None, expires_at=None)
        return url
    if use in (MESSAGE, GROUP_WELCOME):
        made = await media.upload(original.kind, file)
    else:
        made = await media.upload_attachment(original.kind, file, MOMENT if use == IN_MOMENT else ALBUM)
    await _keep(services, sha256, use, made, now)
    return made.media_id


async def _keep(services: Services, sha256: str, use: str, made: Uploaded, now: datetime) -> None:
    """WeCom's own time counts when it is earlier than ours, so that a wrong clock never makes an id look young."""
    made_at = min(made.created_at, now) if made.created_at is not None else now
    await services.db.write(
        store.save_copy,
        sha256,
        use,
        media_id=made.media_id,
        made_at=made_at,
        renew_at=made_at + RENEWED_AFTER - _offset(sha256, use),
        expires_at=made_at + LIFE,
    )


def _offset(sha256: str, use: str) -> timedelta:
    """Up to two hours, always the same for one copy."""
    share = int(hashlib.blake2b(f"{sha256}{use}".encode(), digest_size=4).hexdigest(), 16) / 0xFFFFFFFF
    return SPREAD * share


async def renew(services: Services) -> int:
    """The tick: make anew what is due and needed, a few at a time; returns how many were made."""
    now = services.clock.now()
    if not await services.db.read(store.has_due, now):
        return 0
    made = 0
    for sha256, use in await services.db.write(store.claim_due, now, AT_A_TIME):
        made += await _renew_one(services, sha256, use)
    return made


async def _renew_one(services: Services, sha256: str, use: str) -> bool:
    try:
        await make_copy(services, sha256, use)
        return True
    except WeComError as error:
        errcode, reason, wait = error.errcode, error.text, _AGAIN.get(error.retry_class, _AGAIN_SOON)
        if error.retry_class is RetryClass.PARAMETER:
            wait = _AGAIN_LATE
    except ScrmError as error:
        errcode, reason, wait = 0, error.text, _AGAIN_LATE
    log.warning("media.not_renewed", use=use, errcode=errcode, media=sha256[:8])
    again_at = services.clock.now() + wait
    await services.db.write(store.note_failure, sha256, use, errcode=errcode, reason=reason, again_at=again_at)
    return False


async def upload_from_address(services: Services, sha256: str, url: str, md5: str) -> str:
    """Let WeCom fetch a video or file for group welcomes by itself, up to 200 MB; returns the job's id."""
    original = await services.db.read(store.find_original, sha256)
    if original is None:
        raise NotFound("没有这个素材，它可能已被删除。")
    jobid = await services.wecom.media.upload_by_url(original.kind, original.filename, url, md5)
    now = services.clock.now()
    await services.db.write(
        store.save_copy, sha256, GROUP_WELCOME, jobid=jobid, made_at=now, renew_at=None, expires_at=None
    )
    return jobid


async def take_job(services: Services, jobid: str) -> bool:
    """Fetch what became of a job; False while it runs, or when it is none of ours."""
    row = await services.db.read(store.find_job, jobid)
    if row is None:
        return False
    job, now = await services.wecom.media.get_upload_by_url_result(jobid), services.clock.now()
    if job.status == 1:
        return False
    if job.status == 2 and job.media_id:
        await _keep(services, row.sha256, row.use, Uploaded(job.media_id, job.created_at), now)
        return True
    reason = f"企业微信没能取到文件：{WeComError(job.errcode, job.errmsg).text}"
    await services.db.write(
        store.note_failure, row.sha256, row.use, errcode=job.errcode, reason=reason, again_at=now + _AGAIN_LATE
    )
    return True
