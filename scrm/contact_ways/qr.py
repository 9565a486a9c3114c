"""QR pictures of our own: error level H, so that the shop's sign in the middle leaves them readable."""

import base64
import io
import math
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import segno
from PIL import Image, ImageOps

# Level H mends 30 % of the picture; the sign covers a square of this share of the side, 5 % of its area.
SIGN_SHARE = 0.22
_QUIET = 4
# Sides for print in centimetres; pixels are at least this fine.
SIDES = (3, 5, 8, 12, 20)
_DPI, _CM_OF_INCH = 300, 2.54


def svg(text: str, sign: str = "", *, title: str = "", cm: int = 0) -> str:
    """The text as a scalable picture; `sign` (a logo's data URI, or a letter or two) stands in the middle."""
    size = f"{cm * 10}mm" if cm else "1024"
    code = segno.make(text, error="h", micro=False, boost_error=False)
    side = code.symbol_size(border=_QUIET)[0]
    path = "".join(
        f"M{column + _QUIET} {row + _QUIET}h1v1h-1z"
        for row, bits in enumerate(code.matrix)
        for column, bit in enumerate(bits)
        if bit
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{size}" height="{size}" '
        f'role="img" aria-label={quoteattr(title or "二维码")} shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path d="{path}"/>{_sign(sign, side)}</svg>'
    )


def _sign(sign: str, side: float) -> str:
    if not sign:
        return ""
    size = side * SIGN_SHARE
    start, middle = (side - size) / 2, side / 2
    frame = (
        f'<rect x="{start:.2f}" y="{start:.2f}" width="{size:.2f}" height="{size:.2f}" rx="{size / 6:.2f}" '
        f'fill="#fff" shape-rendering="auto"/>'
    )
    inner, place = size * 0.84, (side - size * 0.84) / 2
    if sign.startswith("data:image/"):
        return (
            f'{frame}<image x="{place:.2f}" y="{place:.2f}" width="{inner:.2f}" height="{inner:.2f}" '
            f"href={quoteattr(sign)}/>"
        )
    return (
        f'{frame}<rect x="{place:.2f}" y="{place:.2f}" width="{inner:.2f}" height="{inner:.2f}" '
        f'rx="{inner / 6:.2f}" fill="#07c160" shape-rendering="auto"/>'
        f'<text x="{middle}" y="{middle}" fill="#fff" font-size="{inner / (1.6 if len(sign) == 1 else 2.4):.2f}" '
        f'font-family="PingFang SC, Microsoft YaHei, Noto Sans CJK SC, sans-serif" font-weight="600" '
        f'text-anchor="middle" dominant-baseline="central">{escape(sign[:2])}</text>'
    )


def png(text: str, logo: bytes | None = None, *, cm: int = 0) -> bytes:
    """The text as pixels for print, with the logo in the middle; without one there is no sign: letters need a font.

    With `cm` it carries its size: programs lay it out with sides of so many centimetres.
    """
    code, kept = segno.make(text, error="h", micro=False, boost_error=False), io.BytesIO()
    side = code.symbol_size(border=_QUIET)[0]
    scale = max(math.ceil(cm / _CM_OF_INCH * _DPI / side), 1) if cm else 16
    dpi = side * scale / cm * _CM_OF_INCH if cm else None
    code.save(kept, kind="png", scale=scale, border=_QUIET, dpi=round(dpi) if dpi else None)
    return kept.getvalue() if logo is None else _with_logo(kept, logo, dpi)


def _with_logo(code: io.BytesIO, logo: bytes, dpi: float | None) -> bytes:
    with Image.open(code) as drawn, Image.open(io.BytesIO(logo)) as sign:
        picture = drawn.convert("RGB")
        size = int(picture.width * SIGN_SHARE)
        inner = ImageOps.contain(sign.convert("RGBA"), (int(size * 0.84), int(size * 0.84)))
    picture.paste("white", ((picture.width - size) // 2, (picture.height - size) // 2, *_end(picture, size)))
    picture.paste(inner, ((picture.width - inner.width) // 2, (picture.height - inner.height) // 2), inner)
    kept = io.BytesIO()
    picture.save(kept, "png", optimize=True, **({"dpi": (dpi, dpi)} if dpi else {}))
    return kept.getvalue()


def _end(picture: Image.Image, size: int) -> tuple[int, int]:
    return (picture.width + size) // 2, (picture.height + size) // 2


def data_uri(logo: bytes) -> str:
    """For the `sign` of `svg`."""
    kind = "png" if logo.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(logo).decode()}"


def picture(text: str, kind: str, *, logo: Path | None, letter: str = "", title: str = "", cm: int = 0) -> bytes:
    """`kind` is png or svg, `cm` the side for print (0: as it comes). Blocking: it reads the logo and draws."""
    sign = logo.read_bytes() if logo is not None else None
    if kind == "png":
        return png(text, sign, cm=cm)
    return svg(text, data_uri(sign) if sign else letter, title=title, cm=cm).encode()
