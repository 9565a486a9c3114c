"""How pages are made of templates, and how they write money and times."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import jinja2
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from markupsafe import Markup

from web import render as rendering
from web.render import ago, money, render, when

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON = datetime(2026, 6, 19, 4, 0, tzinfo=UTC)  # 12:00 in Shanghai

TEMPLATES = {
    "frame.html": "<!doctype html><title>{{ shop_name }}</title>{% block main %}{% endblock %}",
    "page.html": '{% extends "frame.html" %}{% block main %}<p>{{ customer }}</p>{% endblock %}',
}


@pytest.fixture
def request_of(monkeypatch: pytest.MonkeyPatch) -> web.Request:
    monkeypatch.setattr(rendering, "templates", rendering.templates.overlay(loader=jinja2.DictLoader(TEMPLATES)))
    app = web.Application()
    rendering.setup(app, zone=SHANGHAI, shop_name="晴屿美妆")
    return make_mocked_request("GET", "/sidebar/", app=app)


def body(response: web.Response) -> str:
    return str(response.text)


def test_what_people_write_is_text_and_never_markup(request_of: web.Request) -> None:
    said = body(render(request_of, "page.html", customer="<script>\"'&"))
    assert "<p>&lt;script&gt;&#34;&#39;&amp;</p>" in said
    for value, shown in ((7, "7"), (None, "None"), (Markup("<b>"), "<b>"), (["<i>"], "[&#39;&lt;i&gt;&#39;]")):
        assert f"<p>{shown}</p>" in body(render(request_of, "page.html", customer=value))


def test_htmx_gets_one_block_and_a_browser_the_whole_page(request_of: web.Request) -> None:
    assert body(render(request_of, "page.html", customer="小满")) == (
        "<!doctype html><title>晴屿美妆</title><p>小满</p>"
    )
    assert body(render(request_of, "page.html", block="main", customer="小满")) == "<p>小满</p>"


def test_a_value_that_nobody_gave_is_an_error_and_not_a_hole(request_of: web.Request) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render(request_of, "page.html")


def test_pages_are_not_cached_and_run_no_foreign_script(request_of: web.Request) -> None:
    headers = render(request_of, "page.html", customer="小满").headers
    policy = headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("fen", "text"),
    [(0, "¥0.00"), (5, "¥0.05"), (128600, "¥1,286.00"), (-990, "-¥9.90"), (10**13 + 1, "¥100,000,000,000.01")],
)
def test_money_is_written_to_the_fen(fen: int, text: str) -> None:
    assert money(fen) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON + timedelta(hours=8), "今天 20:00"),
        (NOON - timedelta(hours=12), "今天 00:00"),  # midnight in Shanghai, still the day before in UTC
        (NOON - timedelta(hours=12, minutes=1), "昨天 23:59"),
        (NOON + timedelta(hours=12), "明天 00:00"),
        (NOON - timedelta(days=1, hours=15), "06-17 21:00"),
        (NOON - timedelta(days=366), "2025-06-18"),
        (None, "—"),
    ],
)
def test_a_moment_is_written_in_the_shops_zone(moment: datetime | None, text: str) -> None:
    assert when(moment, SHANGHAI, NOON) == text


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (timedelta(seconds=59), "刚刚"),
        (timedelta(minutes=59, seconds=59), "59 分钟前"),
        (timedelta(hours=23), "23 小时前"),
        (timedelta(days=12, hours=5), "12 天前"),
    ],
)
def test_what_has_passed_is_told_in_round_words(passed: timedelta, text: str) -> None:
    assert ago(NOON - passed, NOON) == text


def test_every_template_can_be_read() -> None:
    for name in rendering.templates.list_templates(extensions=["html"]):
        rendering.templates.get_template(name)
