"""Our own originals on disk: checked against WeCom's limits before they are kept, found by their SHA-256."""

import asyncio
import hashlib
import os
import re
import struct
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sqlalchemy import Row

from scrm.content.media import store
from scrm.errors import Invalid, NotFound
from scrm.services import Services

MEGABYTE = 1024 * 1024
MOST_BYTES = 20 * MEGABYTE
SMALLEST = 5
# By kind: the most bytes of media/upload (doc 90253).
LIMITS = {"image": 10 * MEGABYTE, "voice": 2 * MEGABYTE, "video": 10 * MEGABYTE, "file": MOST_BYTES}
KINDS = {"image": "图片", "voice": "语音", "video": "视频", "file": "文件"}

_NAME = re.compile(r"[0-9a-f]{64}")
_BY_ENDING = {
    "jpg": "image", "jpeg": "image", "png": "image", "amr": "voice", "mp4": "video",
    # These look like pictures, sounds and films to people, and WeCom does not take them as such.
    "gif": "image", "webp": "image", "bmp": "image", "heic": "image", "svg": "image",
    "mp3": "voice", "wav": "voice", "m4a": "voice", "mov": "video", "avi": "video", "webm": "video",
}  # fmt: skip
_FORMATS = {"image": "JPG 或 PNG", "voice": "AMR", "video": "MP4"}
_TYPES = {"jpeg": "image/jpeg", "png": "image/png", "amr": "audio/amr", "mp4": "video/mp4"}


@dataclass(frozen=True, slots=True)
class Checked:
    """A file that WeCom would take; width and height are 0 for what is no picture."""

    kind: str
    filename: str
    content_type: str
    width: int = 0
    height: int = 0


def check_file(filename: str, content: bytes) -> Checked:
    """Raises Invalid with what is wrong and what would be right. Pure."""
    name = clean_name(filename)
    ending = name.rpartition(".")[2].lower()
    kind, form = _BY_ENDING.get(ending, "file"), _form_of(content)
    if len(content) <= SMALLEST:
        raise Invalid(f"“{name}”只有 {len(content)} 字节，像是空文件，请重新选择。")
    if kind != "file" and (form is None or _kind_of(form) != kind):
        raise Invalid(f"“{name}”不是企业微信支持的{KINDS[kind]}格式，请转成 {_FORMATS[kind]} 后再上传。")
    if len(content) > LIMITS[kind]:
        size = len(content) / MEGABYTE
        limit = LIMITS[kind] // MEGABYTE
        raise Invalid(f"{KINDS[kind]}“{name}”有 {size:.1f} MB，最多 {limit} MB，请压缩后再上传。")
    width, height = _size_of(content) if kind == "image" else (0, 0)
    content_type = _TYPES.get(form or "", "application/octet-stream") if kind != "file" else "application/octet-stream"
    return Checked(kind, name, content_type, width, height)


def check_use(original: Row[Any], use: str) -> None:
    """Raises Invalid when WeCom takes the original, but not for this use. Pure."""
    name = original.filename
    if use == "picture" and (original.kind != "image" or original.size > 2 * MEGABYTE):
        raise Invalid(f"“{name}”不能作为永久图片：只支持 2 MB 以内的 JPG 或 PNG。")
    if use == "moment":
        if original.kind not in ("image", "video"):
            raise Invalid(f"朋友圈只能发图片或视频，“{name}”是{KINDS[original.kind]}。")
        short, long = sorted((original.width, original.height))
        if short > 1080 or long > 10_800:
            raise Invalid(
                f"“{name}”是 {original.width}×{original.height}，朋友圈图片短边最多 1080、长边最多 10800 像素。"
            )
    if use == "album" and original.kind != "image":
        raise Invalid(f"商品图册只能用图片，“{name}”是{KINDS[original.kind]}。")
    if use == "message" and original.kind not in LIMITS:
        raise Invalid(f"“{name}”不能用于消息。")


def clean_name(filename: str) -> str:
    """The last part of a path in whichever style, without control characters; at most 120 bytes."""
    name = PureWindowsPath(PurePosixPath(filename or "").name).name
    name = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C").strip().lstrip(".") or "未命名"
    stem, dot, ending = name.rpartition(".")
    if not dot:
        stem, ending = name, ""
    room = 120 - len((dot + ending).encode())
    return stem.encode()[: max(room, 1)].decode(errors="ignore") + dot + ending[:100]


async def add_original(services: Services, filename: str, content: bytes, *, added_by: str = "") -> str:
    """Keep a file and return its SHA-256; the same bytes are kept once. Raises Invalid."""
    checked = check_file(filename, content)
    sha256 = hashlib.sha256(content).hexdigest()
    await asyncio.to_thread(_write, path_of(services.settings.content.media_dir, sha256), content)
    values = {
        "sha256": sha256,
        "kind": checked.kind,
        "filename": checked.filename,
        "content_type": checked.content_type,
        "size": len(content),
        "width": checked.width,
        "height": checked.height,
        "added_by": added_by,
        "created_at": services.clock.now(),
    }
    await services.db.write(store.add_original, values)
    return sha256


async def read_original(services: Services, sha256: str) -> bytes:
    """Raises NotFound when the file is gone from the disk, with what to do."""
    path = path_of(services.settings.content.media_dir, sha256)
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except OSError:
        raise NotFound(f"素材原件不在磁盘上（{path.name[:8]}…），请重新上传同一个文件。") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise NotFound(f"素材原件已损坏（{path.name[:8]}…），请重新上传同一个文件。")
    return content


def path_of(media_dir: Path, sha256: str) -> Path:
    """Where an original lies; whatever is no SHA-256 in hex is refused, so no path leads elsewhere."""
    if not _NAME.fullmatch(sha256):
        raise NotFound("没有这个素材。")
    return media_dir / sha256[:2] / sha256


def _write(path: Path, content: bytes) -> None:
    """All or nothing, and on the disk when this returns."""
    if path.exists() and path.stat().st_size == len(content):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, half = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(half, path)
    except BaseException:
        Path(half).unlink(missing_ok=True)
        raise


def _form_of(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if content.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if content.startswith(b"#!AMR"):
        return "amr"
    return "mp4" if content[4:8] == b"ftyp" and content[8:10] != b"qt" else None


def _kind_of(form: str) -> str:
    return {"png": "image", "jpeg": "image", "amr": "voice"}.get(form, "video")


def _size_of(content: bytes) -> tuple[int, int]:
    """Width and height in pixels; (0, 0) when the header does not say."""
    if content.startswith(b"\x89PNG") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return int(width), int(height)
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", content[place + 5 : place + 9])
            return int(width), int(height)
        place += 2 + length
    return 0, 0
