"""Texts filled for one customer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrm.content.render import MissingVariable, check, cut_bytes, render, variables_of

VALUES = {
    "nickname": "小满",
    "staff": "阿秀",
    "shop": "晴屿美妆",
    "coupon.name": "新人券",
    "field.skin": "油皮",
    "trigger.title": "羊绒围巾",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{ nickname }}您好，我是{{ shop }}的{{ staff }}", "小满您好，我是晴屿美妆的阿秀"),
        ("{{ 客户昵称 }}您好，我是{{ 品牌 }}的{{ 员工名 }}", "小满您好，我是晴屿美妆的阿秀"),
        ("{{ coupon.name }}和{{ 券名 }}", "新人券和新人券"),
        ("{{ field.skin }}，{{ 字段.skin }}", "油皮，油皮"),
        ('{{ trigger.title }}，{{ 事件.title }}，{{ 事件.sku | 默认("这款") }}', "羊绒围巾，羊绒围巾，这款"),
        ('{{ last_product | 默认("这单宝贝") }}', "这单宝贝"),
        ('{{ last_product | default("这单宝贝") }}收到了吗', "这单宝贝收到了吗"),
        ("{% if carrier %}{{ carrier }}已送达{% else %}包裹已送达{% endif %}", "包裹已送达"),
        ('{% if field.skin == "油皮" %}控油{% endif %}', "控油"),
        ("一行\n\n{{ staff }}\n", "一行\n\n阿秀"),
    ],
)
def test_keys_and_chinese_names_are_filled(text: str, filled: str) -> None:
    assert check(text) == []
    assert render(text, VALUES) == filled


def test_a_name_that_is_late_is_replaced_and_never_left_out() -> None:
    assert render("{{ nickname }}您好", {}) == "朋友您好"
    assert render("给{{ salutation }}留了一张券", {"salutation": "  "}) == "给您留了一张券"
    assert render('{{ nickname | 默认("亲") }}您好', {}) == "亲您好"


def test_a_value_that_is_missing_stops_the_text_and_says_which() -> None:
    with pytest.raises(MissingVariable, match="缺少变量：最近商品、快递公司") as missing:
        render("{{ last_product }}由{{ carrier }}送达，{{ last_product }}", VALUES)
    assert missing.value.names == ("last_product", "carrier")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{ nicknam }}您好", "nickname"),
        ("{{ 客户昵 }}您好", "客户昵称"),
        ("{{ coupon.price }}", "不认识的变量 {{ coupon.price }}"),
        ("{{ nickname", "第 1 行"),
        ("{% for x in y %}{% endfor %}", "只能用变量"),
        ("{{ nickname.__class__ }}", "不认识的变量"),
        ("{{ nickname | upper }}", "只能用变量"),
        ('{{ "a" * 1000000 }}', "只能用变量"),
        ("{{ staff() }}", "只能用变量"),
        ("字" * 10_001, "最多"),
    ],
)
def test_what_cannot_be_filled_is_refused_before_it_is_saved(text: str, says: str) -> None:
    assert any(says in problem for problem in check(text)), check(text)


@pytest.mark.parametrize("text", ["{{ ().__class__ }}", "{{ coupon.__init__ }}", "{{ nickname.__class__.__mro__ }}"])
def test_pythons_own_attributes_are_out_of_reach(text: str) -> None:
    assert check(text)
    with pytest.raises(Exception):  # noqa: B017, PT011 - any refusal will do
        render(text, VALUES)


def test_variables_are_listed_by_key() -> None:
    assert variables_of("{{ 券名 }}{{ coupon.url }}{% if 员工 %}{{ 字段.skin }}{% endif %}") == {
        "coupon.name",
        "coupon.url",
        "staff",
        "field.skin",
    }


def test_a_customers_name_is_never_a_template() -> None:
    assert render("{{ nickname }}", {"nickname": "{{ staff }}"}) == "{{ staff }}"


@given(st.text(), st.integers(0, 60))
def test_cut_text_fits_and_is_a_beginning(text: str, limit: int) -> None:
    cut = cut_bytes(text, limit)
    assert len(cut.encode()) <= limit or cut == text
    assert text.startswith(cut)
    assert len(text.encode()) > limit or cut == text
