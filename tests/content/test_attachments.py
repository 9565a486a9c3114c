"""Coupons and links as cards."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from scrm.content.attachments import (
    CouponCard,
    LinkCard,
    chat_attachments,
    coupon_link,
    coupon_values,
    link_cards,
    welcome_attachments,
    write_yuan,
)
from scrm.content.render import MissingVariable, render

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
COUPON = CouponCard(
    title="新人券",
    url="https://crm.example.com/c/abc",
    face_fen=3000,
    threshold_fen=19900,
    expires_at=NOW + timedelta(hours=72),
)


def test_a_coupon_becomes_a_link_in_the_welcome() -> None:
    cards = link_cards([{"coupon": "new"}], {"new": COUPON}, {}, now=NOW, zone=ZONE)
    assert welcome_attachments(cards) == [
        {
            "msgtype": "link",
            "link": {
                "title": "新人券 ¥30｜满 199 元可用",
                "desc": "72 小时内有效，点开即用",
                "url": "https://crm.example.com/c/abc",
            },
        }
    ]


def test_the_same_coupon_two_days_later_says_until_when() -> None:
    cards = link_cards([{"coupon": "new"}], {"new": COUPON}, {}, now=NOW + timedelta(days=2, hours=1.5), zone=ZONE)
    (message,) = chat_attachments(cards)
    assert message["msgtype"] == "news"
    assert message["news"] == {
        "title": "新人券 ¥30｜满 199 元可用",
        "desc": "3 月 4 日 20:00 前有效，点开即用",
        "link": "https://crm.example.com/c/abc",
    }


@pytest.mark.parametrize(
    ("coupon", "title"),
    [
        (CouponCard("老友券", "u", face_fen=990), "老友券 ¥9.9｜无门槛"),
        (CouponCard("护肤券", "u", "percent", percent_off=15, threshold_fen=9900), "护肤券 8.5 折｜满 99 元可用"),
        (CouponCard("礼遇", "u", "percent", percent_off=20), "礼遇 8 折｜无门槛"),
        (CouponCard("小样", "u", "gift"), "小样 兑换｜无门槛"),
        (CouponCard("邮费券", "u", "freight"), "邮费券 包邮｜无门槛"),
    ],
)
def test_every_benefit_is_said_in_its_own_words(coupon: CouponCard, title: str) -> None:
    card = coupon_link(coupon, now=NOW, zone=ZONE)
    assert (card.title, card.desc) == (title, "长期有效，点开即用")


def test_coupon_variables_carry_their_units() -> None:
    text = "{{ 券名 }}：{{ 券面额 }}，{{ 券门槛 }}，{{ 券到期 }}到期"
    assert render(text, coupon_values(COUPON, zone=ZONE)) == "新人券：30 元，满 199 元可用，3 月 4 日 20:00到期"


def test_links_are_filled_and_cut_to_what_wecom_takes() -> None:
    link = {"link": {"title": "{{ shop }}" + "护" * 100, "url": "https://example.com", "desc": "肤" * 400}}
    (message,) = welcome_attachments(link_cards([link], {}, {"shop": "晴屿"}, now=NOW, zone=ZONE))
    assert message["link"]["title"].startswith("晴屿护")
    assert 126 <= len(message["link"]["title"].encode()) <= 128
    assert 510 <= len(message["link"]["desc"].encode()) <= 512


def test_a_link_that_misses_a_value_is_not_sent_with_a_hole() -> None:
    with pytest.raises(MissingVariable):
        link_cards([{"link": {"title": "{{ carrier }}", "url": "https://x"}}], {}, {}, now=NOW, zone=ZONE)


def test_a_welcome_has_at_most_nine_attachments() -> None:
    assert len(link_cards([{"link": {"title": "t", "url": "u"}}] * 12, {}, {}, now=NOW, zone=ZONE)) == 9


def test_empty_parts_are_left_out() -> None:
    assert welcome_attachments([LinkCard("t", "u")]) == [{"msgtype": "link", "link": {"title": "t", "url": "u"}}]


def test_money_is_written_without_needless_zeros() -> None:
    assert [write_yuan(fen) for fen in (0, 5, 90, 990, 999, 3000, 123400)] == [
        "0",
        "0.05",
        "0.9",
        "9.9",
        "9.99",
        "30",
        "1234",
    ]
