"""What is kept, and what is refused before WeCom would refuse it."""

import struct

import pytest

from scrm.content.media.library import MEGABYTE, check_file, clean_name, path_of
from scrm.errors import Invalid, NotFound
from scrm.wecom.media import File, form_of

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 1080, 1920) + b"\x08\x06\0\0\0"
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08" + struct.pack(">HH", 600, 800) + b"\x03" * 12
MP4 = b"\0\0\0\x18ftypmp42" + b"\0" * 16


@pytest.mark.parametrize(
    ("name", "content", "kind", "size"),
    [
        ("封面.png", PNG, "image", (1080, 1920)),
        ("a.JPG", JPEG, "image", (800, 600)),
        ("b.mp4", MP4, "video", (0, 0)),
        ("c.amr", b"#!AMR\n123456", "voice", (0, 0)),
        ("价目表.pdf", b"%PDF-1.7 and so on", "file", (0, 0)),
    ],
)
def test_a_file_is_known_by_its_bytes(name: str, content: bytes, kind: str, size: tuple[int, int]) -> None:
    checked = check_file(name, content)
    assert (checked.kind, checked.filename, (checked.width, checked.height)) == (kind, name, size)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"12345", "像是空文件"),
        ("a.png", JPEG[:3] + b"\0" * (10 * MEGABYTE), "图片“a.png”有 10.0 MB，最多 10 MB"),
        ("a.png", b"GIF89a.....", "请转成 JPG 或 PNG"),
        ("a.webp", b"RIFF....WEBP", "请转成 JPG 或 PNG"),
        ("a.mov", b"\0\0\0\x14ftypqt  ....", "请转成 MP4"),
        ("a.mp3", b"ID3.........", "请转成 AMR"),
        ("a.zip", b"PK" + b"\0" * (20 * MEGABYTE), "最多 20 MB"),
    ],
)
def test_what_wecom_would_refuse_is_refused_in_one_line(name: str, content: bytes, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_file(name, content)
    assert words in caught.value.text
    assert "\n" not in caught.value.text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\图.png", "图.png"),
        ("a\r\nX: y.png", "aX: y.png"),
        ("..", "未命名"),
        ("", "未命名"),
        ("字" * 100 + ".png", "字" * 38 + ".png"),
    ],
)
def test_names_lead_nowhere(given: str, kept: str) -> None:
    assert clean_name(given) == kept


@pytest.mark.parametrize("name", ["..", "../../x", "a" * 63, "A" * 64, "", "a" * 64 + "/.."])
def test_only_a_hash_is_a_path(tmp_path: object, name: str) -> None:
    from pathlib import Path

    with pytest.raises(NotFound):
        path_of(Path(str(tmp_path)), name)


def test_a_file_name_goes_out_in_raw_utf8_with_the_length_beside_it() -> None:
    form = form_of(File('封"面\r\n.png', "image/png", b"123456"))
    assert 'name="media"; filename="封_面  .png"; filelength=6\r\n'.encode() in form.content
    assert b"filename*" not in form.content
