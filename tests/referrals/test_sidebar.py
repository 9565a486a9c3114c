"""老带新 beside the chat: one tap sends a customer his own page, and the row tells who brought whom."""

from scrm.contact_ways.models import contact_way
from scrm.profiles.stop_list import add_to_stop_list
from scrm.referrals import addresses
from scrm.sop.models import send
from tests.referrals.conftest import Friends
from tests.sop.shop import Customer


def row_of(who: Customer) -> str:
    return f"contacts/{who.external_userid}/invitation"


def card_of(who: Customer) -> str:
    return f"contacts/{who.external_userid}/cards/invitation"


async def test_one_tap_sends_the_customers_own_page_whose_code_is_there_when_a_friend_opens_it(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    assert "没有进行中的老带新活动" in (await stage.press("lina", row_of(inviter), "GET"))[1]
    status, answer = await stage.press("lina", f"{card_of(inviter)}/release")
    assert (status, answer["error"]["message"]) == (409, "没有进行中的老带新活动。")
    await stage.begin()
    assert "发他的专属链接" in (await stage.press("lina", row_of(inviter), "GET"))[1]
    assert (await stage.press("WuHao", f"{card_of(inviter)}/release"))[0] == 403
    taps = [await stage.press("lina", f"{card_of(inviter)}/release", once="0123456789abcdef") for _ in range(2)]
    assert [status for status, _ in taps] == [200, 409]
    (message,) = taps[0][1]["messages"]
    path = addresses.path_of(stage.services.vault, inviter.person_id)
    assert message["news"]["link"] == stage.url + path
    await stage.settle()
    (way,) = await stage.rows(contact_way, contact_way.c.inviter_id == inviter.person_id)
    assert way.qr_code in (await stage.page(inviter))[1].replace("&amp;", "&")
    for _ in range(2):
        assert (await stage.press("lina", f"{card_of(inviter)}/sending", once=taps[0][1]["once"], ok=True))[0] == 200
    (sent,) = await stage.rows(send, send.c.kind == "chat")
    assert sent.outcome == "sent"
    page = (await stage.press("lina", f"contacts/{inviter.external_userid}", "GET"))[1]
    assert page.count("发送了老带新专属链接") == 1


async def test_the_row_tells_who_brought_whom_and_why_somebody_may_not_invite(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    await stage.brings(inviter, "阿朗")
    friend = await stage.scan("阿朗")
    assert "由 小满 介绍来的 · 待生效" in (await stage.press("lina", row_of(friend), "GET"))[1]
    assert "他介绍了 1 位朋友，0 位有效" in (await stage.press("lina", row_of(inviter), "GET"))[1]
    now = stage.clock.now()
    await stage.services.db.write(add_to_stop_list, inviter.person_id, "peer", note="", by="", now=now)
    shown = (await stage.press("lina", row_of(inviter), "GET"))[1]
    assert "他在停发名单里，介绍的朋友不算" in shown
    assert "发他的专属链接" not in shown
    assert (await stage.press("lina", card_of(inviter), "GET"))[0] == 409
