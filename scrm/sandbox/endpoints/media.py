"""Uploaded files; the three doors do not share their ids (doc 90253, 90256, 95098)."""

import re
from datetime import timedelta

from aiohttp import web

from ..call import Call, Upload
from ..errors import Refusal
from ..world import Json, Media

MEGABYTE = 1024 * 1024
LIMITS = {"image": 10 * MEGABYTE, "voice": 2 * MEGABYTE, "video": 10 * MEGABYTE, "file": 20 * MEGABYTE}
SMALLEST = 5
# More is only given in pieces (doc 90254).
MOST_AT_ONCE = 20 * MEGABYTE
_RANGE = re.compile(r"bytes=(\d{0,12})-(\d{0,12})")


def upload(call: Call) -> Json:
    """A temporary file for every app of the corp; errmsg is empty and created_at a string, as in the doc."""
    media = _keep(call, call.query.get("type", ""), "upload")
    created_at = str(int(media.created_at.timestamp()))
    return {"errmsg": "", "type": media.kind, "media_id": media.id, "created_at": created_at}


def upload_attachment(call: Call) -> Json:
    """A file for moments (1) or the product album (2); created_at is a number here."""
    kind, use = call.query.get("media_type", ""), call.query.get("attachment_type", "")
    if (use, kind) not in (("1", "image"), ("1", "video"), ("2", "image")):
        raise Refusal(41072)
    media = _keep(call, kind, "attachment")
    return {"type": media.kind, "media_id": media.id, "created_at": int(media.created_at.timestamp())}


def uploadimg(call: Call) -> Json:
    """A picture that never expires, by address."""
    if call.upload and len(call.upload.content) > 2 * MEGABYTE:
        raise Refusal(45001)
    _count_picture(call)
    media = _keep(call, "image", "uploadimg")
    return {"url": f"{call.config.base_url}/media/{media.id}"}


def _count_picture(call: Call) -> None:
    """1,000 a day and 3,000 in 30 days for the whole corp (doc 90256)."""
    made = [at for at in call.world.sending.pictures if call.now - at < timedelta(days=30)]
    if len(made) >= 3000 or sum(1 for at in made if call.now - at < timedelta(days=1)) >= 1000:
        raise Refusal(45009)
    call.world.sending.pictures = [*made, call.now]


def upload_by_url(call: Call) -> Json:
    """A job that is done at once; an address that cannot be fetched shows in its result (doc 96219)."""
    if call.number("scene", 0) != 1:
        raise Refusal(40058, "invalid Request Parameter, scene must be 1")
    kind = call.text("type")
    if kind not in ("video", "file"):
        raise Refusal(40004)
    filename = call.text("filename", missing=40058, size=128)
    url = call.text("url", missing=40058, size=1024)
    call.text("md5", missing=40058)
    number = call.world.next_number()
    media_id = f"3*1*{call.world.make_id('', f'media/{number}', 60)}"
    errcode = 0 if url.startswith(("http://", "https://")) else 830001
    if not errcode:
        media = Media(media_id, kind, filename, "application/octet-stream", url.encode(), call.now, "by_url")
        call.world.media[media_id] = media
    jobid = call.world.make_id("job", f"media/{number}", 40)
    call.world.sending.url_jobs[jobid] = (media_id, errcode)
    return {"jobid": jobid}


def get_upload_by_url_result(call: Call) -> Json:
    """Status 2 with the id, or 3 with the reason."""
    found = call.world.sending.url_jobs.get(call.text("jobid", missing=40058))
    if found is None:
        raise Refusal(40058, "invalid Request Parameter, unknown jobid")
    media_id, errcode = found
    if errcode:
        return {"status": 3, "detail": {"errcode": errcode, "errmsg": "invalid url"}}
    created_at = str(int(call.now.timestamp()))
    return {"status": 2, "detail": {"errcode": 0, "errmsg": "ok", "media_id": media_id, "created_at": created_at}}


def _keep(call: Call, kind: str, door: str) -> Media:
    if kind not in LIMITS:
        raise Refusal(40004)
    file = call.upload
    if file is None or not file.filename:
        raise Refusal(44001)
    _check_size(kind, file)
    number = call.world.next_number()
    media_id = call.world.make_id("3", f"media/{number}/{call.now.timestamp()}", 64)
    media = Media(media_id, kind, file.filename, file.content_type, file.content, call.now, door)
    call.world.media[media_id] = media
    return media


def _check_size(kind: str, file: Upload) -> None:
    if len(file.content) <= SMALLEST:
        raise Refusal(40006)
    if len(file.content) > LIMITS[kind]:
        raise Refusal(45001)


def media_get(call: Call) -> web.Response:
    """The file itself; an unknown or expired id is a JSON error (doc 90254)."""
    media = call.world.find_media(call.query.get("media_id", ""), call.now)
    if media is None:
        raise Refusal(40007)
    return _piece_of(call, media)


def _piece_of(call: Call, media: Media) -> web.Response:
    """The piece that `Range` names (bytes=0-9, bytes=10-, bytes=-5), or all of it up to 20 MB."""
    size, wanted = len(media.content), _RANGE.fullmatch(call.range.strip())
    if wanted is None or not any(wanted.groups()):
        if size > MOST_AT_ONCE:
            raise Refusal(830002)
        return file_response(media)
    first, last = (int(number) if number else None for number in wanted.groups())
    start = max(0, size - (last or 0)) if first is None else first
    end = size - 1 if first is None or last is None else min(last, size - 1)
    if start > end:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    if end - start >= MOST_AT_ONCE:
        raise Refusal(830002)
    answer = file_response(media)
    answer.set_status(206)
    answer.headers["Content-Range"] = f"bytes {start}-{end}/{size}"
    answer.body = media.content[start : end + 1]
    return answer


def file_response(media: Media, *, as_download: bool = True) -> web.Response:
    """The bytes with their type, and their name when they are to be saved."""
    name = media.filename.replace('"', "").encode("ascii", "ignore").decode() or "file"
    headers = {"Content-Type": media.content_type}
    if as_download:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return web.Response(body=media.content, headers=headers)
