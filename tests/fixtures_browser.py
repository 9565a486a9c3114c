"""A real Chromium: pages that speak Chinese, live in Shanghai, and fail the test on any error of their scripts."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import pytest
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright, expect

from web import build

HOW_TO_GET_IT = "没有 Chromium 浏览器：运行 apt-get install -y chromium fonts-noto-cjk"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A closed network makes Chromium's own background requests slow and noisy.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# How long a page may take to come to what is expected, in milliseconds: a busy machine is no failure.
PATIENCE = 20_000
expect.set_options(timeout=PATIENCE)
SCREENSHOTS = Path(os.environ.get("SCRM_SCREENSHOTS", "var/screenshots"))


class OpenPage(Protocol):
    """Opens a page of this size, as a phone with touch when asked."""

    def __call__(self, *, width: int = 1280, height: int = 800, phone: bool = False) -> Awaitable[Page]: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for a browser carries the mark, so that `-m "not browser"` leaves none behind."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """A Chromium of this test's own (half a second), because a browser lives in one event loop."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(HOW_TO_GET_IT)
    # Playwright's own node wants libatomic, which a bare Debian lacks.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(build.node_program()))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Pages with nothing in common: each has its own cookies. Script errors of any of them fail the test at its end."""
    broken: list[str] = []

    async def open_page(*, width: int = 1280, height: int = 800, phone: bool = False) -> Page:
        context = await browser.new_context(
            viewport={"width": width, "height": height},
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=2,
            reduced_motion="reduce",
        )
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        context.on("weberror", lambda problem: broken.append(describe(problem.error)))
        context.on("console", lambda message: note_refusal(message, broken))
        return page

    yield open_page
    assert not broken, "页面脚本出错：" + "；".join(broken)


def describe(error: Error) -> str:
    """An uncaught error with the line that threw it."""
    return (error.stack or error.message)[:500]


def note_refusal(message: ConsoleMessage, broken: list[str]) -> None:
    """What the Content-Security-Policy refuses is only told on the console."""
    if message.type == "error" and "Content Security Policy" in message.text:
        broken.append(message.text)


@pytest.fixture
def screenshot() -> Callable[[Page, str], Awaitable[Path]]:
    """`await screenshot(page, "sidebar")` writes var/screenshots/sidebar.png, or into the folder SCRM_SCREENSHOTS."""

    async def screenshot(page: Page, name: str) -> Path:
        path = SCREENSHOTS / f"{name}.png"
        await page.screenshot(path=path)
        return path

    return screenshot
