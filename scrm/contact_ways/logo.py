"""The picture in the middle of our own QR codes: a manager's, else the setting shop.logo, else a letter."""

import asyncio
import io
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from scrm.contact_ways import store
from scrm.content.media import library
from scrm.errors import Invalid
from scrm.services import Services

MOST_MEGABYTES = 2
MOST_BYTES = MOST_MEGABYTES * library.MEGABYTE
FEWEST_PIXELS = 64
_MOST_PIXELS = 6000
# As fine as the largest print needs; a scalable picture carries it inside.
_KEPT_PIXELS = 640
_FORMATS = ("PNG", "JPEG")


async def keep(services: Services, filename: str, content: bytes, *, by: str) -> None:
    """Check what it really is, keep it beside the other originals, and use it from now on; raises Invalid."""
    name = library.clean_name(filename)
    picture = await asyncio.to_thread(prepare, name, content)
    kept_as = f"{name.rpartition('.')[0] or name}.png"
    sha256 = await library.add_original(services, kept_as, picture, added_by=by)
    await services.db.write(store.set_logo, sha256, by=by, now=services.clock.now())


def prepare(name: str, content: bytes) -> bytes:
    """The picture as PNG, upright and no larger than a print needs; raises Invalid with what was found. Blocking."""
    if len(content) > MOST_BYTES:
        raise Invalid(f"“{name}”超过 {MOST_MEGABYTES} MB，请压缩后再上传。")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as found:
            if min(found.size) < FEWEST_PIXELS or max(found.size) > _MOST_PIXELS:
                size = f"{found.width}×{found.height}"
                raise Invalid(f"“{name}”是 {size} 像素，边长要在 {FEWEST_PIXELS} 到 {_MOST_PIXELS} 之间。")
            picture = ImageOps.exif_transpose(found).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Invalid(f"“{name}”不是完整的 PNG 或 JPG 图片，请换一张再上传。") from None
    picture.thumbnail((_KEPT_PIXELS, _KEPT_PIXELS))
    kept = io.BytesIO()
    picture.save(kept, "png", optimize=True)
    return kept.getvalue()


async def find(services: Services) -> Path | None:
    """Where the picture lies; None: codes show a letter (SVG) or nothing (PNG)."""
    settings = services.settings
    sha256 = await services.db.read(store.find_logo)
    own = library.path_of(settings.content.media_dir, sha256) if sha256 else None
    return own if own is not None and own.is_file() else settings.shop.logo
