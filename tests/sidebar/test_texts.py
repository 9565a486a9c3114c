"""One catalogue for every text of the sidebar: complete in both languages, and the reader's language is found."""

import ast
import re
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import scrm.sidebar
from scrm.http import COOKIE
from scrm.sop.models import task
from tests.sidebar.conftest import Member
from tests.sidebar.test_client_trust import SAID, filled, table
from tests.world import XIAOMAN, World
from web.languages import language_of
from web.texts import CHINESE, _, catalogue, speaking
from web.texts.extract import collect
from web.texts.kept import retold

WEB = catalogue.FOLDER.parent
TEMPLATES, ISLANDS = WEB / "templates" / "sidebar", WEB / "islands" / "sidebar"
SIDEBAR = Path(scrm.sidebar.__file__).parent
# Kept in the ledger, or looked for in what a member types.
NOT_FOR_READERS = {"侧边栏", "侧边栏：查看完整手机号", r"^\s*(?:订单编号|订单号|单号|手机号|手机|尾号)?\s*[:：]?\s*"}
# Languages and variables have one name.
OF_THE_SHOP = {"中文", "员工姓名"}
WINDOWS = "Mozilla/5.0 Chrome/107.0.5304.110 Safari/537.36 Language/{} ColorScheme/Light wxwork/5.0.11 WindowsWechat"


def test_every_text_has_its_english_and_no_translation_is_left_over() -> None:
    wanted = {catalogue.key_of(message.id) for message in collect() if message.id}
    known = {
        catalogue.key_of(message.id): catalogue.forms_of(message) for message in catalogue.read("en") if message.id
    }
    hint = "运行 python -m web.texts.extract，再补上英文"
    assert sorted(wanted - known.keys()) == [], hint
    assert sorted(known.keys() - wanted) == [], hint
    assert [key for key, forms in known.items() if not forms] == [], hint


def test_translations_name_the_same_values() -> None:
    for message in catalogue.read("en"):
        if message.id:
            key = catalogue.key_of(message.id)
            *of_one, others = catalogue.forms_of(message)
            assert _names(others) == _names(key), key
            # "once" says the number without naming it.
            assert all(_names(form) <= _names(key) and len(_names(key) - _names(form)) <= 1 for form in of_one), key


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_first_number_decides_between_one_and_many() -> None:
    with speaking("en"):
        assert [_("{n} 天前", n=n) for n in (1, 2, 0)] == ["1 day ago", "2 days ago", "0 days ago"]
        assert _("没有这句话") == "没有这句话"
        over = retold("每人每天最多领取 20 位，今天还能领 0 位，这次选了 1 位")
        assert over == "At most 20 customers a day each: 0 left today, 1 chosen"
    assert _("{n} 天前", n=1) == "1 天前"


@pytest.mark.parametrize(
    ("agent", "accepted", "chosen", "language"),
    [
        (WINDOWS.format("zh"), "en-US,en", "", CHINESE),
        (WINDOWS.format("en"), "zh-CN", "", "en"),
        (WINDOWS.format("zh_TW"), "en", "", CHINESE),
        (WINDOWS.format("fr"), "en", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "en-US,en;q=0.9,zh;q=0.8", "", "en"),
        ("Mozilla/5.0 Chrome/126", "zh-CN,zh;q=0.9,en;q=0.8", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "fr, en;q=0.3, zh;q=0.7", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "fr, zh;q=0, en-GB;q=0.3", "", "en"),
        ("Mozilla/5.0 Chrome/126", ";;q=,", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "en-US,en", "en", "en"),
        ("", "", "", CHINESE),
        (WINDOWS.format("zh"), "zh", "en", "en"),
        (WINDOWS.format("en"), "en", "fr", "en"),
    ],
)
def test_the_reader_chooses_else_the_client(agent: str, accepted: str, chosen: str, language: str) -> None:
    headers = {"User-Agent": agent, "Accept-Language": accepted}
    assert language_of(headers, {}, {"lang": chosen}) == language
    assert language_of(headers, {"lang": chosen}, {}) == language


async def test_a_language_once_chosen_stays(world: World, lina: Member) -> None:
    page = await lina.get("/sidebar/?lang=en")
    assert '<html lang="en"' in await page.text()
    assert page.cookies["lang"].value == "en"
    assert page.cookies["lang"]["httponly"]
    assert '<html lang="zh-CN"' in await lina.page("/sidebar/")


async def test_only_readers_of_another_language_fetch_its_texts(world: World, lina: Member) -> None:
    assert "/static/texts/" not in await lina.page("/sidebar/")
    english = await (await lina.get("/sidebar/?lang=en")).text()
    script = catalogue.script("en")
    assert f'<script src="/static/texts/{script.name}"></script>' in english
    served = await world.client.get(f"/static/texts/{script.name}")
    assert (served.status, await served.text()) == (200, script.body)
    assert "immutable" in served.headers["Cache-Control"]
    assert (await world.client.get("/static/texts/en-00000000.js")).status == 404


OUTSIDE = re.compile(r"""_\(\s*(?:"[^"]*"|'[^']*')|\{#.*?#\}|hx-vals='[^']*'|//[^\n]*""", re.DOTALL)


@pytest.mark.parametrize(
    "path", sorted([*TEMPLATES.rglob("*.html"), *ISLANDS.rglob("*.js")]), ids=lambda path: path.name
)
def test_no_page_says_a_word_past_the_catalogue(path: Path) -> None:
    left = OUTSIDE.sub("", path.read_text())
    assert re.findall(r"[\u3400-\u9fff]+", left) == []


@pytest.mark.parametrize("path", sorted(SIDEBAR.rglob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_sidebar_says_a_word_past_the_catalogue(path: Path) -> None:
    tree = ast.parse(path.read_text())
    marked = {id(part) for call in _calls(tree) for part in ast.walk(call)}
    marked |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in marked]
    said = [node.value for node in constants if isinstance(node.value, str)]
    left = [text for text in said if re.search(r"[\u4e00-\u9fff]", text)]
    assert [text for text in left if text not in NOT_FOR_READERS] == []


def _calls(tree: ast.Module) -> list[ast.Call]:
    """Every `_("...")` and `N_("...")`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("_", "N_")]


def _pages() -> list[str]:
    """Every page and piece of a page."""
    return sorted(
        filled(path) for method, path in table() if method == "GET" and not path.endswith(("/signature", "/enter"))
    )


def _untold(html: str) -> list[str]:
    """What stands on a page just as the catalogue has it in Chinese; shops' own words are in no catalogue."""
    said = re.findall(
        r">\s*([^<>]*[\u4e00-\u9fff][^<>]*?)\s*<", re.sub(r"<(textarea|script).*?</\1>", "", html, flags=re.DOTALL)
    )
    parts = {part.strip() for text in said for part in text.split(" · ")} - OF_THE_SHOP
    return sorted(part for part in parts if any(shape.fullmatch(part) for shape in _shapes()))


@cache
def _shapes() -> list[re.Pattern[str]]:
    keys = [str(catalogue.key_of(message.id)) for message in catalogue.read("en") if message.id]
    told = [key for key in keys if len(re.findall(r"[\u4e00-\u9fff]", re.sub(r"\{\w+\}", "", key))) > 1]
    return [re.compile(re.sub(r"\\\{\w+\\\}", r"[^，。！？\\s]{1,20}", re.escape(key))) for key in told]


CHINESE_WORDS = re.compile(r"[\u4e00-\u9fff]{2,}")


async def test_what_is_refused_or_answered_is_said_in_english_too(world: World, lina: Member) -> None:
    """Every write, with nothing in it, with something wrong, with something right."""
    await world.add()
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    headers = {
        "User-Agent": WINDOWS.format("en"),
        "Cookie": f"{COOKIE}={lina.token}",
        "X-CSRF": lina.csrf,
        "HX-Request": "true",
    }
    bodies: tuple[dict[str, Any], ...] = (
        {"data": {}},
        {"json": {}},
        {"data": dict.fromkeys((*SAID, "kind", "q", "stage", "date", "order_id", "proof", "tag", "once"), "?" * 3)},
        {"data": SAID},
        {"json": SAID},
    )
    left: dict[str, list[str]] = {}
    for method, path in sorted(table()):
        if method == "GET" or "/enter" in path or path.endswith("/language"):
            continue
        for body in bodies:
            answer = await world.client.request(method, filled(path), headers=headers, **body)
            text = await answer.text()
            said = re.findall(r'notice-text">([^<]*)|"message": ?"([^"]*)"', text) if answer.status >= 400 else []
            refused = [words for found in said for words in found if CHINESE_WORDS.search(words)]
            if found := refused or _untold(text):
                left[f"{method} {path} {answer.status}"] = found
    assert left == {}


async def test_an_english_member_reads_english(world: World, lina: Member) -> None:
    await world.add()
    await world.pass_time(days=3)
    await world.pass_time(hours=1, minutes=30)
    headers = {"User-Agent": WINDOWS.format("en")}
    for path in (f"/sidebar/contacts/{XIAOMAN}", "/sidebar/today", "/sidebar/scan", "/sidebar/pool", "/sidebar/plain"):
        html = await (await lina.get(path, headers=headers)).text()
        assert '<html lang="en"' in html
        for chinese in ("画像", "跳过", "动态", "今天的待办", "复制文案", "核销", "已发送", "累计消费"):
            assert chinese not in html, path
    assert "Send to chat" in await (await lina.get(f"/sidebar/contacts/{XIAOMAN}", headers=headers)).text()
    refused = await lina.get("/sidebar/contacts/wmSomebodyElses", headers=headers)
    assert "not among those you follow" in await refused.text()
    left = {
        path: found for path in _pages() if (found := _untold(await (await lina.get(path, headers=headers)).text()))
    }
    assert left == {}
    # What customers read stays Chinese, whoever sends it.
    (errand,) = await world.rows(task)
    released = await lina.world.client.post(
        f"/sidebar/tasks/{errand.id}/release",
        json={},
        headers={**headers, "Cookie": f"{COOKIE}={lina.token}", "X-CSRF": lina.csrf, "Accept": "application/json"},
    )
    (text, card) = (await released.json())["messages"]
    assert "就到期了" in text["text"]["content"]
    assert "新人券" in card["news"]["title"]
