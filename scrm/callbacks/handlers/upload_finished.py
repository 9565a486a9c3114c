"""WeCom has fetched a file that it was told the address of: its id is read now (doc 96219)."""

from scrm.callbacks.router import Callback, Router
from scrm.content.media import copies
from scrm.wecom.events import UploadFinished

router = Router()


@router.on("upload_media_job_finish")
async def upload_finished(callback: Callback) -> None:
    await copies.take_job(callback.services, UploadFinished.of(callback.event).job_id)
