"""Our own QR pictures can be read, also with the shop's logo in the middle."""

import io
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from scrm.contact_ways.qr import SIDES, picture
from scrm.errors import WrongUse
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


def test_a_logo_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "logo.gif").write_bytes(b"GIF89a....")
    with pytest.raises(WrongUse, match=r"shop\.logo.*expected a PNG or JPG picture"):
        load_settings(environ={}, shop={"logo": str(tmp_path / "logo.gif")})
