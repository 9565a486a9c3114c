"""A real Chromium: pages that speak Chinese, live in Shanghai, and fail the test on any error of their scripts."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Playwright, async_playwright, expect

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
# Drawn by the processor, four times the points are four times the work: only who wants to look pays for it.
SHARPNESS = 2 if "SCRM_SCREENSHOTS" in os.environ else 1


class OpenPage(Protocol):
    """Opens a page of this size, as a phone with touch when asked."""

    def __call__(self, *, width: int = 1280, height: int = 800, phone: bool = False) -> Awaitable[Page]: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test that asks for a browser carries the mark, so that `-m "not browser"` leaves none behind."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


class Chromium:
    """The one browser of a run: starting it anew for each test took a fifth of their time."""

    def __init__(self) -> None:
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None

    async def running(self) -> Browser:
        """The browser, started when it is asked for first and when it broke down in the test before."""
        if self._browser is None or not self._browser.is_connected():
            path = program()
            self._playwright = self._playwright or await async_playwright().start()
            self._browser = await self._playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        return self._browser

    async def close(self) -> None:
        if self._browser is not None:
            await self._browser.close()
        if self._playwright is not None:
            await self._playwright.stop()


def program() -> str:
    """Where Chromium is; also tells Playwright which node to use."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.skip(HOW_TO_GET_IT)
    # Playwright's own node wants libatomic, which a bare Debian lacks.
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(build.node_program()))
    return found


@pytest.fixture
def _function_scoped_runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """pytest-asyncio's loop for one test; those with a browser share the loop that their browser lives in."""
    if "browser" in request.fixturenames:
        yield request.getfixturevalue("_session_scoped_runner")
        return
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def chromium(_session_scoped_runner: asyncio.Runner) -> Iterator[Chromium]:
    chromium = Chromium()
    yield chromium
    _session_scoped_runner.run(chromium.close())


@pytest.fixture
async def browser(chromium: Chromium) -> AsyncIterator[Browser]:
    """The run's Chromium, in which nothing is open before and after."""
    browser = await chromium.running()
    yield browser
    for context in browser.contexts:
        await context.close()


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
            device_scale_factor=SHARPNESS,
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
