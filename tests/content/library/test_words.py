"""By what scripts are found, what may not be said, and what goes to a customer: without a database."""

import pytest

from scrm.content.attachments import LinkCard
from scrm.content.library import lint, said
from scrm.content.library.finding import normalise, terms_of
from scrm.content.library.lint import Words
from scrm.content.library.said import Said
from scrm.content.library.sheets import read_attachment, write_attachment

NAMES = {"a.png": "image", "b.pdf": "file"}
PROGRAM = {"appid": "wx0123456789abcdef", "page": "pages/a.html?id=1", "title": "旅行装", "picture": "a.png"}


@pytest.mark.parametrize(
    "typed", ["会员", "员日", "huiyuan", "Hui Yuan", "yuanri", "hyr", "YR", "ｈｙ", "88", "88zhe", "折vip"]
)
def test_a_title_is_found_by_chinese_pinyin_and_first_letters(typed: str) -> None:
    wanted = normalise(typed)
    assert any(term.startswith(wanted) for term in terms_of("会员日 88折VIP"))


def test_words_of_several_readings_are_read_as_the_word_says() -> None:
    assert "chongqingmendian" in terms_of("重庆门店")
    assert "nvshi" in terms_of("女士")
    assert normalise("nüshi") == "nvshi"


@pytest.mark.parametrize(
    ("text", "words", "blocks"),
    [
        ("五星好评返现 5 元", "好评返现", True),
        ("好 评.返_现", "好评返", True),
        ("感谢您的好评，送您一个红包", "看起来像用好处换好评", False),
        ("这是国家级配方", "国家级", True),
        ("全网最低，速来", "全网最低", False),
    ],
)
def test_what_may_not_be_said_is_named(text: str, words: str, blocks: bool) -> None:
    found = lint.find([text], Words())
    assert words in found[0].text
    assert found[0].blocks is blocks


def test_honest_words_pass() -> None:
    assert lint.find(["写两句真实感受就行，好的不好的都想听。感谢好评，返回首页看看"], Words()) == []
    assert lint.read_words("国家级\n 最佳，速效、\n\n国家级") == ("国家级", "最佳", "速效")


@pytest.mark.parametrize(
    ("one", "problem"),
    [
        (Said("", "你好"), "请填写标题"),
        (Said("空的"), "请填写内容"),
        (Said("变量", "{{ 称呼x }}好"), "不认识的变量"),
        (Said("图", "", ({"image": "没有.png"},)), "素材库里没有“没有.png”"),
        (Said("图", "", ({"image": "b.pdf"},)), "“b.pdf”是文件，不能当图片发"),
        (Said("链", "", ({"link": {"title": "a", "url": "javascript:1"}},)), "要以 http:// 或 https:// 开头"),
        (Said("程", "", ({"miniprogram": {**PROGRAM, "page": "pages/a"}},)), "要以 .html 结尾"),
        (Said("程", "", ({"miniprogram": {**PROGRAM, "appid": "1"}},)), "AppID"),
        (Said("雷达", "", ({"radar": "gone"},)), "没有雷达内容"),
        (Said("怪", "", ({"什么": ""},)), "不认识这种附件"),
    ],
)
def test_what_cannot_be_sent_cannot_be_saved(one: Said, problem: str) -> None:
    assert problem in "；".join(said.problems_of(one, NAMES, {}))


def test_each_kind_of_message_is_what_the_client_takes() -> None:
    one = Said(
        "全部",
        "{{ 客户昵称 }}你好",
        (
            {"image": "a.png"},
            {"file": "b.pdf"},
            {"link": {"title": "给{{ 客户昵称 }}", "url": "https://x.cn", "desc": "看看", "picture": "a.png"}},
            {"miniprogram": PROGRAM},
            {"radar": "book"},
        ),
    )
    assert said.problems_of(one, NAMES, {"book": "手册"}) == []
    cards = {"book": LinkCard("手册", "https://crm/r/1")}
    filled = said.fill(one, {"nickname": "小满"}, lambda name: f"https://crm/{name}" if name else "", cards)
    messages = said.with_media(filled.messages, {"a.png": "M1", "b.pdf": "M2"})
    assert messages == [
        {"msgtype": "text", "text": {"content": "小满你好"}},
        {"msgtype": "image", "image": {"mediaid": "M1"}},
        {"msgtype": "file", "file": {"mediaid": "M2"}},
        {
            "msgtype": "news",
            "news": {"title": "给小满", "desc": "看看", "link": "https://x.cn", "imgUrl": "https://crm/a.png"},
        },
        {
            "msgtype": "miniprogram",
            "miniprogram": {
                "appid": PROGRAM["appid"],
                "title": "旅行装",
                "imgUrl": "https://crm/a.png",
                "page": PROGRAM["page"],
            },
        },
        {"msgtype": "news", "news": {"title": "手册", "link": "https://crm/r/1"}},
    ]


def test_a_missing_value_leaves_no_hole() -> None:
    filled = said.fill(Said("物流", "{{ 快递公司 }}已发出"), {}, str, {})
    assert filled.missing == "缺少变量：快递公司"
    assert filled.messages == []


def test_what_was_filled_becomes_a_variable_again() -> None:
    one = Said("物流", "{{ 客户昵称 }}，{{ 快递公司 }}已发出")
    values = {"nickname": "小满", "carrier": "顺丰速运"}
    assert said.give_back("小满姐，顺丰速运明天到", one, values) == "{{ nickname }}姐，{{ carrier }}明天到"


@pytest.mark.parametrize(
    "each",
    [
        {"image": "a.png"},
        {"link": {"title": "会员日", "url": "https://x.cn", "desc": "88 折", "picture": "a.png"}},
        {"link": {"title": "会员日", "url": "https://x.cn", "picurl": "https://x.cn/a.png"}},
        {"miniprogram": PROGRAM},
        {"radar": "book"},
    ],
)
def test_an_attachment_survives_a_table(each: dict[str, object]) -> None:
    assert read_attachment(write_attachment(each)) == each


def test_words_are_marked_where_they_stand_with_what_is_wrong_and_nothing_is_lost() -> None:
    text = "国 家-级面霜，绝对好用，五星好评送小样"
    pieces = lint.pieces(text, lint.find([text], lint.Words()))
    assert "".join(piece.text for piece in pieces) == text
    marked = {piece.text: piece.found for piece in pieces if piece.found}
    assert {word: found.blocks for word, found in marked.items()} == {"国 家-级": True, "绝对": False, "五星好评": True}
    assert "敏感词“国家级”" in marked["国 家-级"].text
    assert [piece.text for piece in lint.pieces("a(b", [lint.Found("", True, "(")])] == ["a", "(", "b"]
