"""Files that go with messages: four doors whose ids are not interchangeable (docs 90253, 90256, 95098, 96219)."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from scrm.wecom.calls import Calls, Form, Json

MOMENT, ALBUM = 1, 2


@dataclass(frozen=True, slots=True)
class File:
    """What is uploaded; `filename` is what customers see, with its ending."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`created_at` is WeCom's own time when it told one; an id lives three days from then."""

    media_id: str
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class UploadJob:
    """`status` 1 running, 2 done, 3 failed; `errcode` and `errmsg` say why."""

    status: int
    media_id: str = ""
    created_at: datetime | None = None
    errcode: int = 0
    errmsg: str = ""


class Media:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def upload(self, kind: str, file: File) -> Uploaded:
        """A temporary id of three days for every app of the corp (doc 90253).

        `kind`: image (10 MB, JPG or PNG), voice (2 MB, 60 s, AMR), video (10 MB, MP4), file (20 MB); more than 5 bytes.
        """
        return _uploaded(await self._calls.upload("media/upload", form_of(file), type=kind))

    async def uploadimg(self, file: File) -> str:
        """A permanent address of a picture up to 2 MB for `pic_url`; 1,000 a day, 3,000 in 30 days (doc 90256)."""
        return str((await self._calls.upload("media/uploadimg", form_of(file)))["url"])

    async def upload_attachment(self, kind: str, file: File, attachment_type: int = MOMENT) -> Uploaded:
        """An id of three days for moments (image, video) or the product album (image), 10 MB; 41072 (doc 95098)."""
        answer = await self._calls.upload(
            "media/upload_attachment", form_of(file), media_type=kind, attachment_type=str(attachment_type)
        )
        return _uploaded(answer)

    async def upload_by_url(self, kind: str, filename: str, url: str, md5: str) -> str:
        """The id of a job (60 minutes) in which WeCom fetches a video or file up to 200 MB (doc 96219).

        Its media id serves group welcome material only; `url` must answer Range requests.
        """
        body = {"scene": 1, "type": kind, "filename": filename, "url": url, "md5": md5}
        return str((await self._calls.post("media/upload_by_url", body))["jobid"])

    async def get_upload_by_url_result(self, jobid: str) -> UploadJob:
        """How the job stands; told to be finished by the event upload_media_job_finish (doc 96219)."""
        answer = await self._calls.post("media/get_upload_by_url_result", {"jobid": jobid})
        detail: Json = answer.get("detail") or {}
        return UploadJob(
            status=int(answer.get("status") or 1),
            media_id=str(detail.get("media_id") or ""),
            created_at=_moment(detail.get("created_at")),
            errcode=int(detail.get("errcode") or 0),
            errmsg=str(detail.get("errmsg") or ""),
        )


def form_of(file: File) -> Form:
    """The part is named `media`, its name stands there in raw UTF-8 (no RFC 2231) and its length beside it."""
    boundary = f"scrm{secrets.token_hex(16)}"
    name = file.filename.replace("\\", "_").replace('"', "_").replace("\r", " ").replace("\n", " ")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="media"; filename="{name}"; '
        f"filelength={len(file.content)}\r\nContent-Type: {file.content_type}\r\n\r\n"
    )
    content = head.encode() + file.content + f"\r\n--{boundary}--\r\n".encode()
    return Form(f"multipart/form-data; boundary={boundary}", content)


def _uploaded(answer: Json) -> Uploaded:
    return Uploaded(str(answer["media_id"]), _moment(answer.get("created_at")))


def _moment(value: object) -> datetime | None:
    """Seconds since 1970: a text from media/upload, a number from media/upload_attachment."""
    try:
        return datetime.fromtimestamp(int(str(value)), UTC) if value else None
    except (ValueError, OverflowError, OSError):
        return None
