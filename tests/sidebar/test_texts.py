"""One catalogue for every text of the sidebar: complete in both languages, and the reader's language is found."""

from string import Formatter

import pytest

from tests.sidebar.conftest import Member
from tests.world import World
from web.languages import language_of
from web.texts import CHINESE, _, catalogue, speaking
from web.texts.extract import collect

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
            for form in catalogue.forms_of(message):
                assert _names(form) == _names(key), key


def _names(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_the_first_number_decides_between_one_and_many() -> None:
    with speaking("en"):
        assert [_("{n} 天前", n=n) for n in (1, 2, 0)] == ["1 day ago", "2 days ago", "0 days ago"]
        assert _("没有这句话") == "没有这句话"
    assert _("{n} 天前", n=1) == "1 天前"


@pytest.mark.parametrize(
    ("agent", "accepted", "chosen", "language"),
    [
        (WINDOWS.format("zh"), "en-US,en", "", CHINESE),
        (WINDOWS.format("en"), "zh-CN", "", "en"),
        (WINDOWS.format("zh_TW"), "en", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "zh-CN,zh;q=0.9,en;q=0.8", "", CHINESE),
        ("Mozilla/5.0 Chrome/126", "fr;q=0.9, en-GB;q=0.8, zh;q=0.7", "", "en"),
        ("Mozilla/5.0 Chrome/126", "zh;q=0, en;q=0.1", "", "en"),
        ("Mozilla/5.0 Chrome/126", "fr", "", CHINESE),
        ("", "", "", CHINESE),
        (WINDOWS.format("zh"), "zh", "en", "en"),
        (WINDOWS.format("en"), "en", "fr", "en"),
    ],
)
def test_the_reader_chooses_then_the_client_then_the_browser(
    agent: str, accepted: str, chosen: str, language: str
) -> None:
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
