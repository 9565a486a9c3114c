"""Coupons, the counter, members: as managers and members of staff use their pages."""

import re
from typing import Any

import pytest

from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch, coupon_code
from scrm.membership.models import member_level, points_account, points_request
from tests.commerce.conftest import add_person
from tests.console.conftest import SignIn, Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, await response.text()


BATCH = {
    "key": "store-30",
    "title": "到店券",
    "kind": "pool",
    "benefit": "amount",
    "face": "30",
    "threshold": "199",
    "budget": "2",
    "gives_back": "1",
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"face": ""}, "要填写面额"),
        ({"threshold": "20"}, "不能低于面额"),
        ({"key": "新人"}, "只能用小写字母"),
        ({"kind": "link"}, "要填写领取链接"),
        ({"valid_until": "2020-01-01T00:00"}, "已经过去"),
        ({"face": "三十"}, "面额：收到“三十”"),
        ({"face": "NaN"}, "面额：收到“NaN”"),
        ({"valid_until": "0001-01-01T00:00"}, "已经过去"),
        ({"benefit": "percent", "rate": "9.55"}, "折扣"),
        ({"benefit": "percent", "rate": "0"}, ""),
    ],
)
async def test_a_wrong_batch_is_told_and_keeps_what_was_typed(
    world: World, manager: Visitor, change: dict[str, str], words: str
) -> None:
    status, html = await post(manager, "/console/coupons/new", **{**BATCH, **change})
    assert (status, words in html, "到店券" in html) == (422, True, True)


async def test_a_batch_goes_from_the_form_over_the_counter_to_its_figures(
    world: World, manager: Visitor, sign_in: SignIn
) -> None:
    assert "还没有优惠券" not in (await manager.get("/console/coupons")).text  # the playbooks brought theirs
    assert (await post(manager, "/console/coupons/new", **BATCH, rate="8.5"))[0] == 303
    (batch,) = [row for row in await world.rows(coupon_batch) if row.key == "store-30"]
    assert (batch.face_fen, batch.percent_off) == (3000, 0), "a discount that was typed before is another benefit's"
    assert "已经有了" in (await post(manager, "/console/coupons/new", **BATCH))[1]
    assert (await post(manager, "/console/coupons/store-30/codes", codes="AAAA1\nAAAA2\n"))[0] == 303
    assert len(await world.rows(coupon_code)) == 2
    now = world.clock.now()

    def give(conn: Any) -> coupons.Issue:
        person_id = add_person(conn)
        return coupons.issue(conn, batch_key="store-30", person_id=person_id, reason_key="test", now=now)

    coupon = await world.services.db.write(give)
    clerk = await sign_in("lina", "李娜", "member")
    assert "扫一扫" in await clerk.get("/sidebar/scan")
    found = await clerk.get("/sidebar/scan", params={"code": f"CODE_128,{coupon.code}"})
    assert ("到店券" in found, "确认核销" in found, "林晓晓" in found) == (True, True, False)
    assert "没有这张券" in await clerk.get("/sidebar/scan", params={"code": "NOSUCH"})
    used = {"code": coupon.code, "store": "湖滨店"}
    for wrong in ("NaN", "-1", "12,50", "1e40", "一百"):
        assert "请填写数字" in (await post(clerk, "/sidebar/scan", amount=wrong, **used))[1]
    assert "满 199 元可用，本单只有 50 元" in (await post(clerk, "/sidebar/scan", amount="50", **used))[1]
    assert "已核销" in (await post(clerk, "/sidebar/scan", amount="200", **used))[1]
    assert "核销过了（湖滨店）" in (await post(clerk, "/sidebar/scan", **used))[1]
    page = await manager.get("/console/coupons/store-30")
    assert ("已核销" in page, "剩余券码 1 / 2" in page) == (True, True)
    assert (await post(manager, "/console/coupons/store-30/stop"))[0] == 303
    assert "已停发" in await manager.get("/console/coupons")


async def test_rules_levels_and_an_adjustment_that_waits(world: World, manager: Visitor, sign_in: SignIn) -> None:
    rules = {
        "is_on": "1",
        "points_per_yuan": "1.5",
        "growth_per_yuan": "1",
        "points_live_days": "365",
        "points_told_days": "30",
        "approval_limit": "100",
        "period_days": "365",
        "fall": "anew",
    }
    assert (await post(manager, "/console/membership/rules", **rules))[0] == 303
    assert (await post(manager, "/console/membership/rules", **{**rules, "period_days": "一年"}))[0] == 422
    level = {"title": "金卡", "reach": "1000", "keep": "800", "rate": "2", "benefits": "生日礼"}
    assert (await post(manager, "/console/membership/levels", **level))[0] == 303
    assert (await post(manager, "/console/membership/levels", **level))[0] == 422  # the same threshold
    assert [row.points_rate for row in await world.rows(member_level)] == [2000]
    person_id = await world.services.db.write(add_person)
    path = f"/console/customers/{person_id}/points"
    form = re.search(r'name="form_key" value="(\w+)"', (await manager.get(path)).html)
    assert form is not None
    for _ in range(2):
        assert (await post(manager, path, points="80", note="补偿", form_key=form[1]))[0] == 303
    assert [row.available for row in await world.rows(points_account)] == [80]
    assert (await post(manager, path, points="500", note="补偿"))[0] == 303
    (waiting,) = await world.rows(points_request)
    assert (await post(manager, f"/console/membership/requests/{waiting.id}", approve="1"))[0] == 403
    administrator = await sign_in("admin", "管理员", "administrator")
    assert "批准" in await administrator.get("/console/membership")
    assert (await post(administrator, f"/console/membership/requests/{waiting.id}", approve="1"))[0] == 303
    page = await manager.get(path)
    assert ("580" in page, "手工调整" in page) == (True, True)
    assert "580" in await manager.get(f"/console/customers/{person_id}")
