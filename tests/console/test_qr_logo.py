"""The logo in the middle of our own codes, as a manager sets it and takes it away."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from scrm.app import open_services, publish_playbooks
from scrm.contact_ways.models import qr_logo
from scrm.contact_ways.store import save_contact_way
from scrm.services import Services
from tests.console.conftest import SignIn, Visitor
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom
from tests.world import World, make_settings

LOGO = "/console/contact-ways/new/logo"
WAY = "/console/contact-ways/live"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture
async def services(database_url: str, clock: FakeClock, wecom: FakeWeCom, tmp_path: Path) -> AsyncIterator[Services]:
    settings = make_settings(database_url, wecom.url, content={"media_dir": str(tmp_path / "media")})  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        await publish_playbooks(services)
        yield services


def red() -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (200, 200), "red").save(kept, "png")
    return kept.getvalue()


async def put(visitor: Visitor, content: bytes, csrf: str | None = None) -> tuple[int, str]:
    headers = {**visitor.cookie, "X-CSRF": visitor.csrf if csrf is None else csrf, "HX-Request": "true"}
    answer = await visitor.world.client.put(LOGO, params={"name": "店标.png"}, data=content, headers=headers)
    return answer.status, await answer.text()


async def codes(visitor: Visitor) -> tuple[Image.Image, str]:
    found = [
        await (await visitor.world.client.get(f"{WAY}/qr.{kind}", headers=visitor.cookie)).read()
        for kind in ("png", "svg")
    ]
    return Image.open(io.BytesIO(found[0])).convert("RGB"), found[1].decode()


async def test_a_logo_is_set_shown_in_every_code_and_taken_away(
    world: World, manager: Visitor, sign_in: SignIn
) -> None:
    way: dict[str, Any] = {
        "title": "直播间",
        "kind": "直播",
        "userids": ["lina"],
        "config_id": "c",
        "qr_code": "https://q",
    }
    await world.services.db.write(save_contact_way, "live", **way, now=world.clock.now())
    before, _ = await codes(manager)
    assert "上传" in await manager.get(WAY)
    assert (await put(manager, red(), csrf="wrong"))[0] == 403
    assert (await put(await sign_in("lina", "李娜", "member"), red()))[0] in (302, 303, 403)
    for wrong, words in ((b"<svg>no picture at all</svg>", "不是完整的 PNG 或 JPG"), (bytes(3_000_000), "超过 2 MB")):
        status, told = await put(manager, wrong)
        assert (status, words in told) == (422, True), told
    assert await world.rows(qr_logo) == []

    assert (await put(manager, red()))[0] == 200
    image, svg = await codes(manager)
    assert image.getpixel((image.width // 2, image.height // 2)) == (255, 0, 0)
    assert [found.text for found in zxingcpp.read_barcodes(image)] == ["https://crm.example.test/w/live"]
    assert "data:image/png;base64," in svg
    page = await manager.get(WAY)
    assert ("换一张" in page, "去掉" in page) == (True, True)
    (row,) = await world.rows(qr_logo)
    assert row.set_by == "chenlan"
    administrator = await sign_in("boss", "老板", "administrator")
    assert "换二维码的标志" in await administrator.get("/console/audit")

    removed = await manager.send(f"{LOGO}/remove", state="live")
    assert (removed.status, removed.headers["Location"]) == (303, WAY)
    assert (await manager.send(f"{LOGO}/remove", state="//evil")).headers["Location"] == "/console/contact-ways"
    assert (await codes(manager))[0].tobytes() == before.tobytes()
