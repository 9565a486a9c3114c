"""Our own QR pictures can be read, also with the shop's logo in the middle."""

import io
import re
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from scrm.contact_ways.logo import prepare
from scrm.contact_ways.qr import SIDES, picture
from scrm.errors import Invalid, WrongUse
from scrm.settings import load_settings

TEXT = "https://crm.example.com/w/live-1111-of-the-shop-in-shanghai"


@pytest.fixture
def logo(tmp_path: Path) -> Path:
    """Dark and busy, which is the worst for a reader; not square."""
    path = tmp_path / "logo.png"
    image = Image.new("RGB", (300, 240), "black")
    draw = ImageDraw.Draw(image)
    for x in range(0, 300, 12):
        draw.line([(x, 0), (300 - x, 240)], fill="white", width=3)
    image.save(path)
    return path


def read(png: bytes) -> str:
    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(png)))
    return str(found.text)


def test_a_code_for_print_is_read_with_and_without_a_logo(logo: Path) -> None:
    assert read(picture(TEXT, "png", logo=None)) == TEXT
    with_logo = picture(TEXT, "png", logo=logo)
    assert read(with_logo) == TEXT
    middle = Image.open(io.BytesIO(with_logo)).convert("RGB")
    assert middle.width >= 500


@pytest.mark.parametrize("cm", SIDES)
def test_a_code_for_print_has_its_size_at_three_hundred_dots(logo: Path, cm: int) -> None:
    for sign in (None, logo):
        made = picture(TEXT, "png", logo=sign, cm=cm)
        assert read(made) == TEXT
        image = Image.open(io.BytesIO(made))
        assert image.width >= cm / 2.54 * 300
        assert abs(image.width / image.info["dpi"][0] * 2.54 - cm) < 0.02
    assert f'width="{cm}0mm"'.encode() in picture(TEXT, "svg", logo=None, letter="x", cm=cm)


def test_the_scalable_code_carries_the_logo_or_the_shops_first_character(logo: Path) -> None:
    assert b"data:image/png;base64," in picture(TEXT, "svg", logo=logo, letter="\u6674")
    assert "\u6674</text>".encode() in picture(TEXT, "svg", logo=None, letter="\u6674")


def drawn(svg: str) -> bytes:
    """The scalable code as pixels, with everything that its logo covers black, which is the worst that it can be."""
    side = int(re.search(r'viewBox="0 0 (\d+)', svg)[1])  # type: ignore[index]
    image = Image.new("L", (side, side), 255)
    for x, y in re.findall(r"M(\d+) (\d+)h1v1", svg):
        image.putpixel((int(x), int(y)), 0)
    image = image.resize((side * 10, side * 10), Image.Resampling.NEAREST)
    x, y, width, height = (float(each) * 10 for each in re.search(_FRAME, svg).groups())  # type: ignore[union-attr]
    ImageDraw.Draw(image).rectangle((x, y, x + width, y + height), fill=0)
    kept = io.BytesIO()
    image.save(kept, "png")
    return kept.getvalue()


_FRAME = r'<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"'


def test_a_managers_logo_is_made_small_and_both_pictures_are_still_read(tmp_path: Path) -> None:
    image, kept = Image.effect_noise((1200, 800), 90).convert("RGB"), io.BytesIO()
    image.save(kept, "jpeg", quality=60, exif=_turned())
    made = prepare("标志.jpg", kept.getvalue())
    small = Image.open(io.BytesIO(made))
    assert (small.format, small.width < small.height, max(small.size)) == ("PNG", True, 640)
    path = tmp_path / "made"
    path.write_bytes(made)
    assert read(picture(TEXT, "png", logo=path)) == TEXT
    assert read(drawn(picture(TEXT, "svg", logo=path).decode())) == TEXT


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a phone held upright
    return exif


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "不是完整的 PNG 或 JPG"),
        (b"\x89PNG\r\n\x1a\n and then nothing of it", "不是完整的 PNG 或 JPG"),
        (b"GIF89a" + bytes(40), "不是完整的 PNG 或 JPG"),
        (bytes(2 * 1024 * 1024 + 1), "超过 2 MB"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_in_one_line(content: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        prepare("标志.png", content)


def test_a_logo_that_is_too_small_or_too_large_says_its_size() -> None:
    for size in ((63, 300), (6001, 70)):
        kept = io.BytesIO()
        Image.new("RGB", size).save(kept, "png")
        with pytest.raises(Invalid, match=f"{size[0]}×{size[1]}"):
            prepare("标志.png", kept.getvalue())


def test_a_logo_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logo.gif").write_bytes(b"GIF89a....")
    with pytest.raises(WrongUse, match=r"shop\.logo.*expected a PNG or JPG picture"):
        load_settings(environ={}, shop={"logo": str(tmp_path / "logo.gif")})
