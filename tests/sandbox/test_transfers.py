"""Transfers as WeCom keeps them: 24 hours, refusals, limits, and members who leave."""

from datetime import timedelta

import pytest

from tests.sandbox.conftest import Wecom

PAIR = {"handover_userid": "lina", "takeover_userid": "WuHao"}


async def begin(wecom: Wecom, contact: str, path: str = "transfer_customer", **more: str) -> int:
    answer = await wecom.call(f"externalcontact/{path}", external_userid=[contact], **{**PAIR, **more})
    return int(answer["customer"][0]["errcode"]) if not answer["errcode"] else int(answer["errcode"])


async def status(wecom: Wecom, path: str = "transfer_result") -> list[int]:
    answer = await wecom.call(f"externalcontact/{path}", **PAIR)
    return [row["status"] for row in answer["customer"]]


@pytest.fixture
async def contact(wecom: Wecom) -> str:
    external_userid, _ = await wecom.scan()
    await wecom.sandbox.confirm("lina", external_userid)
    await wecom.sandbox.settle()
    wecom.app.bodies.clear()
    return external_userid


async def later(wecom: Wecom, **by: float) -> None:
    wecom.clock.advance(timedelta(**by))
    wecom.access_token = ""  # two hours are over
    for _ in range(5):
        await wecom.sandbox.clock.sleep(0)
        await wecom.http.get(f"{wecom.base}/api/state")
    await wecom.sandbox.settle()


async def test_a_transfer_takes_24_hours_and_tells_both_sides(wecom: Wecom, contact: str) -> None:
    assert await begin(wecom, contact, transfer_success_msg="之后由吴昊为您服务") == 0
    assert await begin(wecom, contact) == 40129
    assert await status(wecom) == [2]
    await later(wecom, hours=23)
    assert wecom.app.events == []
    await later(wecom, hours=1, seconds=1)
    assert await status(wecom) == [1]
    events = sorted(wecom.app.events, key=lambda event: "del_external" in event)
    assert "add_external_contact" in events[0]
    assert "WuHao" in events[0]
    assert "<Source><![CDATA[DELETE_BY_TRANSFER]]></Source>" in events[1]
    found = await wecom.call("externalcontact/get", {"external_userid": contact})
    assert [follow["userid"] for follow in found["follow_user"]] == ["WuHao"]
    assert await begin(wecom, contact) == 40131


async def test_a_customer_may_refuse_and_a_member_may_be_full(wecom: Wecom, contact: str) -> None:
    await begin(wecom, contact)
    await wecom.control("refuse_transfer", user="xiaoman")
    await wecom.sandbox.settle()
    assert await status(wecom) == [3]
    assert "customer_refused" in wecom.app.events[-1]
    assert (await wecom.control("refuse_transfer", user="xiaoman"))[0] == 409
    await begin(wecom, contact)
    await wecom.control("member_is_full", userid="WuHao", full=True)
    await wecom.control("finish_transfer", user="xiaoman")
    await wecom.sandbox.settle()
    assert await status(wecom) == [4]
    assert "customer_limit_exceed" in wecom.app.events[-1]
    assert await begin(wecom, contact) == 40099


async def test_who_left_leaves_customers_behind_that_only_the_other_door_hands_over(wecom: Wecom, contact: str) -> None:
    assert await begin(wecom, contact, "resigned/transfer_customer") == 40097
    code, left = await wecom.control("member_leaves", userid="lina")
    assert (code, left["customers"]) == (200, 1)
    listed = await wecom.call("externalcontact/get_unassigned_list")
    assert [(row["handover_userid"], row["external_userid"]) for row in listed["info"]] == [("lina", contact)]
    assert await begin(wecom, contact) == 60111
    assert await begin(wecom, contact, "resigned/transfer_customer") == 0
    await wecom.control("finish_transfer", user="xiaoman")
    assert await status(wecom, "resigned/transfer_result") == [1]
    assert (await wecom.call("externalcontact/get_unassigned_list"))["info"] == []


async def test_more_than_a_hundred_and_the_third_within_90_days_are_refused(wecom: Wecom, contact: str) -> None:
    many = await wecom.call("externalcontact/transfer_customer", external_userid=[contact] * 101, **PAIR)
    assert many["errcode"] == 40058
    for giver, taker in (("lina", "WuHao"), ("WuHao", "lina")):
        assert await begin(wecom, contact, handover_userid=giver, takeover_userid=taker) == 0
        await wecom.control("finish_transfer", user="xiaoman")
    assert await begin(wecom, contact) == 40128
    assert await begin(wecom, contact, takeover_userid="LINA") == 40130
