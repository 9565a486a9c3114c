"""The main job by hand, in one command: scan, welcome, coupon, sidebar, three days later, one tap."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, expect

from tests.fixtures_browser import SCREENSHOTS, OpenPage
from tests.waiting import eventually

ROOT = Path(__file__).parent.parent.parent
Screenshot = Callable[[Page, str], Awaitable[Path]]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[str]:
    """`scrm demo` on a free port; its address. Ended with Ctrl-C, which must be clean."""
    command = [sys.executable, "-m", "scrm", "demo", "--port", "0", "--dir", str(tmp_path / "demo")]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    url = ""
    async with asyncio.timeout(30):
        async for line in process.stdout:
            if found := re.search(r"(http://[\d.:]+)/sandbox/phone", line.decode()):
                url = found[1]
                break
    if not url:
        pytest.fail((await process.stderr.read()).decode()[-2000:])
    drain = asyncio.create_task(process.stderr.read())
    yield url
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(15):
        assert await process.wait() == 0
    assert "Traceback" not in (await drain).decode()


async def test_a_customer_scans_is_welcomed_and_is_followed_up_three_days_later(
    demo: str, open_page: OpenPage, screenshot: Screenshot
) -> None:
    phone = await open_page(width=390, height=844, phone=True)
    await phone.goto(f"{demo}/sandbox/phone?user=xiaoman")
    await phone.get_by_role("button", name="扫一扫").first.click()
    await phone.get_by_text("双11 直播间").first.click()
    await phone.get_by_role("button", name="添加到通讯录").click()
    await expect(phone.get_by_text("陈小满，您好！我是晴屿美妆的李娜")).to_be_visible()
    await expect(phone.get_by_text("新人券 ¥30｜满 199 元可用")).to_be_visible()
    await screenshot(phone, "phone")

    await phone.get_by_text("新人券 ¥30｜满 199 元可用").first.click()
    coupon = phone.frame_locator("[data-browser-frame]")
    await expect(coupon.get_by_text("满 199 元可用").first).to_be_visible()
    await screenshot(phone, "coupon")

    desk = await open_page(width=1280, height=860)
    await desk.goto(f"{demo}/sandbox/desk?member=lina")
    await desk.locator(".chat-row", has_text="陈小满@微信").click()
    sidebar = desk.frame_locator("[data-sidebar]")
    await expect(sidebar.get_by_role("heading", name="陈小满")).to_be_visible()
    await expect(sidebar.get_by_text("双11 直播间").first).to_be_visible()
    await expect(sidebar.get_by_text("积雪草修护面膜 5 片").first).to_be_attached()
    await screenshot(desk, "desk-before")

    async with aiohttp.ClientSession() as http:
        async with http.post(f"{demo}/sandbox/control/clock", json={"advance_seconds": 3 * 86400}) as moved:
            assert moved.status == 200

        async def is_ready() -> bool:
            async with http.get(f"{demo}/readyz") as ready:
                return ready.status == 200

        # What fell due within those days waits for a moment.
        await eventually(is_ready, 20)
    await expect(desk.get_by_text("等你跟进").first).to_be_visible()
    await desk.reload()
    await desk.locator(".chat-row", has_text="陈小满@微信").click()
    await expect(sidebar.get_by_role("button", name="发送到聊天").first).to_be_visible()
    await screenshot(desk, "desk")
    await asyncio.sleep(0.3)  # the card's entrance
    await desk.locator("[data-sidebar]").screenshot(path=SCREENSHOTS / "sidebar.png")

    await sidebar.get_by_role("button", name="发送到聊天").first.click()
    await expect(sidebar.get_by_text("已发送").first).to_be_visible()
    await phone.goto(f"{demo}/sandbox/phone?user=xiaoman")
    await phone.get_by_text("李娜").first.click()
    await expect(phone.get_by_text("就到期了").first).to_be_visible()


async def test_a_taken_port_or_folder_is_one_clear_line(demo: str, tmp_path: Path) -> None:
    port = demo.rpartition(":")[2]
    line = await refused("--port", port, "--dir", str(tmp_path / "other"))
    assert f"port {port}" in line
    assert "--port" in line
    taken = tmp_path / "demo"
    assert (
        await refused("--port", "0", "--dir", str(taken))
        == f"scrm: {taken} 里的演示还开着：请先停掉它，或用 --dir 换一个目录"
    )
    assert (taken / "scrm.db").exists()


async def refused(*arguments: str) -> str:
    """What a demo says that does not start."""
    command = [sys.executable, "-m", "scrm", "demo", *arguments]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    (line,) = (await process.stderr.read()).decode().strip().splitlines()
    assert await process.wait() == 1
    return line
