"""老带新 in the console and the API: what a manager sets up, sees, decides and takes out."""

from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.audit import audit_entry
from scrm.profiles import store as profiles
from scrm.referrals.models import referral, referral_campaign
from scrm.reports import adds
from tests.console.conftest import Page
from tests.referrals.conftest import Friends

HOME = "/console/referrals"
TERMS = {"order_days": "30", "return_days": "0", "stay_days": "7"}
CAMPAIGN = {"title": "春季老带新", "starts": "2026-01-01", "ends": "2027-12-31", "rules": "谢礼 30 元券", **TERMS}


@pytest.fixture
async def manager(stage: Friends) -> dict[str, str]:
    headers = await stage.sign_in("chenlan")

    def promote(conn: Connection) -> None:
        profiles.set_role(conn, "chenlan", "manager")

    await stage.services.db.write(promote)
    return {**headers, "Accept": "text/html"}


async def get(stage: Friends, manager: dict[str, str], path: str) -> Page:
    async with stage.http.get(stage.url + path, headers=manager) as response:
        return Page(response.status, await response.text())


async def post(stage: Friends, manager: dict[str, str], path: str, **fields: str) -> Page:
    """The page that one is led to."""
    fields["csrf"] = manager["X-CSRF"]
    async with stage.http.post(stage.url + path, data=fields, headers=manager) as response:
        return Page(response.status, await response.text())


async def test_a_manager_begins_changes_and_stops_a_campaign_and_is_told_everything_that_is_wrong(
    stage: Friends, manager: dict[str, str]
) -> None:
    assert "还没有老带新活动" in await get(stage, manager, HOME)
    assert "几天内下单" in await get(stage, manager, f"{HOME}/campaigns/new")
    wrong = {**CAMPAIGN, "title": "", "ends": "2025-01-01", "most": "lots", "starts": "soon"}
    page = await post(stage, manager, f"{HOME}/campaigns/new", **wrong)
    assert page.status == 400
    assert "请填写活动名称" in page
    assert "看不懂" in page
    assert "活动名额要填 1 到 10,000,000 的整数" in page
    assert "春季老带新" in await post(stage, manager, f"{HOME}/campaigns/new", **CAMPAIGN, most="500")
    (row,) = await stage.rows(referral_campaign)
    zone = stage.services.settings.shop.zone
    assert (row.most, row.daily_most, row.ends_at.astimezone(zone).isoformat()[:16]) == (500, None, "2028-01-01T00:00")
    path = f"{HOME}/campaigns/{row.id}"
    assert "2027-12-31" in (await get(stage, manager, path)).html
    page = await post(stage, manager, path, **CAMPAIGN, most="300", shows_names="1")
    assert "已保存" in page
    assert "300" in page
    assert "已停止" in await post(stage, manager, f"{path}/stop")
    assert "进行中" in await post(stage, manager, f"{path}/stop?on=1")
    assert (await get(stage, manager, f"{HOME}/campaigns/999")).status == 404
    told = [(one.entity, one.after) for one in await stage.rows(audit_entry) if one.after]
    assert ("referral_campaign", {"most": 300, "shows_names": True}) in told


async def test_friends_above_the_limit_wait_for_a_manager_who_decides_and_may_undo(
    stage: Friends, manager: dict[str, str]
) -> None:
    inviter = await stage.scan("小满")
    await stage.begin(return_days=0, review_above=0)
    for number, name in enumerate(("阿朗", "=阿宁")):
        await stage.brings(inviter, name)
        await stage.order(name, f"B{number}", "paid")
    await stage.days(1)
    first, second = await stage.rows(referral)
    page = await get(stage, manager, f"{HOME}?state=review")
    assert "介绍人的有效朋友较多，请人工核对" in page
    assert "2 条待处理" in str([found.get("aria-label") for _, found in page.tags])
    assert "阿朗" in page
    approve, void, undo = (f"{HOME}/ledger/{first.id}/{act}?state=review" for act in ("approve", "void", "undo"))
    assert (await post(stage, manager, approve.replace(f"/{first.id}/", "/999/"))).status == 404
    assert "原因要有 1 到 100 个字" in await post(stage, manager, void)
    page = await post(stage, manager, void, reason="一家人")
    assert "已判为无效" in page
    assert ("form", f"{HOME}/ledger/{first.id}/undo?state=review") in _targets(page)
    assert "一家人" in await get(stage, manager, f"{HOME}?state=void")
    assert "已撤销" in await post(stage, manager, undo)
    await stage.days(1)
    assert "已判为有效" in await post(stage, manager, approve)
    refund = {"refund_no": "R1", "type": "refund_only", "status": "requested", "amount_fen": 20000}
    stage.clock.advance(minutes=1)
    await stage.order("=阿宁", "B1", "paid", refunds=[refund])
    page = await post(stage, manager, f"{HOME}/ledger/{second.id}/approve")
    assert "还没有过了退货期、没有在退款的订单" in page
    await stage.order("=阿宁", "B2", "paid")
    await stage.services.db.write(_fill, first.campaign_id)
    page = await post(stage, manager, f"{HOME}/ledger/{second.id}/approve")
    assert (page.status, "活动名额已满" in page) == (409, True)
    page = await post(stage, manager, void, reason="看错了")
    assert page.status == 409
    assert "奖励已经发出" in page
    assert await stage.ledger() == [("valid", ""), ("review", "many")]
    assert [name for name, _ in await stage.told()].count("custom.referral_valid") == 1
    # What is left of the queue, the customer's page in the ledger, and the file.
    assert "=阿宁" in await get(stage, manager, f"{HOME}?inviter={inviter.person_id}&campaign={first.campaign_id}")
    assert "没有符合条件的记录" in await get(stage, manager, f"{HOME}?inviter=999&state=nonsense")
    file = await get(stage, manager, f"{HOME}/ledger.csv?state=review")
    assert "'=阿宁" in file.html
    assert "阿朗" not in file.html
    acts = [(one.act, one.words) for one in await stage.rows(audit_entry) if one.entity == "referral"]
    assert acts == [("approve", f"老带新：{word}") for word in ("作废", "撤销判定", "批准")]


def _fill(conn: Connection, campaign_id: int) -> None:
    conn.execute(referral_campaign.update().where(referral_campaign.c.id == campaign_id).values(most=1))


def _targets(page: Page) -> set[tuple[str, Any]]:
    return {(tag, attributes.get("action")) for tag, attributes in page.tags}


async def test_staff_who_may_not_decide_see_no_buttons_and_are_refused(stage: Friends) -> None:
    headers = {**await stage.sign_in("lina"), "Accept": "text/html"}
    assert (await get(stage, headers, HOME)).status == 403
    assert (await post(stage, headers, f"{HOME}/ledger/1/approve")).status == 403


async def test_friends_are_measured_beside_people_from_advertisements(stage: Friends, manager: dict[str, str]) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    await stage.brings(inviter, "阿朗")
    await stage.order("阿朗", "B1", "paid")
    await stage.order("阿朗", "B2", "paid")
    await stage.brings(inviter, "看看")
    page = await get(stage, manager, f"{HOME}/quality")
    assert "客户 0 0" in page
    for _ in range(61):
        stage.clock.advance(days=1)
    page = await get(stage, manager, f"{HOME}/quality")
    assert "客户 2 0" in page
    assert "下单 50.0% —" in page
    assert "复购 50.0% —" in page


async def test_the_reports_know_customers_own_codes_as_one_channel(stage: Friends, manager: dict[str, str]) -> None:
    first, second = await stage.scan("甲"), await stage.scan("乙", userid="WuHao")
    await stage.begin()
    await stage.brings(first, "阿朗")
    await stage.brings(second, "阿宁", "WuHao")
    stage.clock.advance(minutes=1)
    await adds.tick(stage.services)
    page = await get(stage, manager, "/console/reports/channels")
    assert page.text.count("老带新（客户的专属码）") == 1
    assert f"老带新 {first.person_id}" not in page
    people = await get(stage, manager, "/console/reports/people?of=added&channel=*referrals")
    assert "阿朗" in people
    assert "阿宁" in people
    assert "甲" not in people


async def test_programs_read_the_ledger_page_by_page(stage: Friends) -> None:
    inviter = await stage.scan("小满")
    await stage.begin()
    for name in ("阿朗", "阿宁"):
        await stage.brings(inviter, name)
    first = await stage.get("referrals?limit=1")
    assert [one["state"] for one in first["items"]] == ["pending"]
    rest = await stage.get(f"referrals?limit=1&cursor={first['next_cursor']}&inviter_id={inviter.person_id}")
    assert rest["next_cursor"] is None
    assert rest["items"][0]["inviter_id"] == inviter.person_id
    assert (await stage.get("referrals?state=valid"))["items"] == []
    assert (await stage.get("referrals?campaign_id=0"))["items"] == []
