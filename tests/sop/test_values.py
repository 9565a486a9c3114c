"""What texts say of a customer: each variable from where it is kept, and a step that stops rather than say a hole."""

from datetime import timedelta
from typing import Any

from sqlalchemy import insert

from scrm.commerce.models import orders, shipment
from scrm.content.variables import VARIABLES
from scrm.membership.models import member_level, points_account, points_lot
from scrm.profiles.models import department, member_department, person_field
from scrm.sop.models import step_run
from scrm.sop.schema import Content, Trigger
from scrm.sop.values import SOURCES
from scrm.tracking import radar
from scrm.tracking.models import radar_link
from tests.sop.shop import Customer, Shop, playbook_of, step

_OTHERWISE = {"salutation", "shop"}  # a field of the shop's own; the shop's name, which is in the settings


def test_every_variable_has_a_source_or_is_the_shops_or_the_coupons() -> None:
    for key in VARIABLES:
        assert key in _OTHERWISE or key.startswith("coupon.") or any(source.knows(key) for source in SOURCES), key


async def _insert(shop: Shop, table: Any, **values: Any) -> None:
    await shop.services.db.write(lambda conn: conn.execute(insert(table).values(**values)))


async def _said(shop: Shop) -> str:
    """What a task an hour after the add says, or why it says nothing."""
    await shop.pass_time(hours=1)
    (row,) = await shop.rows(step_run)
    return str(row.reason if row.state == "failed" else (await shop.tasks())[0].text)


async def _start(shop: Shop, text: str) -> Customer:
    await shop.run(playbook_of(step("ask", "T0+1h", content=Content(text=text))))
    return await shop.add()


async def test_points_and_levels_are_said_as_they_stand_when_the_step_is_due(shop: Shop) -> None:
    who = await _start(shop, "{{积分余额}}/{{将到期积分}}/{{会员等级}}/还差{{升级差额}}到{{下一等级}}")
    now = shop.clock.now()
    await _insert(shop, member_level, key="v1", title="银卡", growth_from=100)
    await _insert(shop, member_level, key="v2", title="金卡", growth_from=1000)
    await _insert(shop, points_account, person_id=who.person_id, available=320, growth=640, level_key="v1")
    for amount, days in ((120, 10), (200, 90)):
        lot = {"person_id": who.person_id, "state": "open", "amount": amount, "remaining": amount, "created_at": now}
        await _insert(shop, points_lot, **lot, expires_at=now + timedelta(days=days))
    assert await _said(shop) == "320/120/银卡/还差360到金卡"


async def test_the_highest_level_has_no_next_one_and_no_account_has_no_points(shop: Shop) -> None:
    who = await _start(shop, '{{会员等级}}{% if 下一等级 %}差{{升级差额}}{% endif %}{{积分到期|默认("没有")}}')
    await _insert(shop, member_level, key="v1", title="银卡", growth_from=100)
    await _insert(shop, points_account, person_id=who.person_id, growth=640, level_key="v1")
    assert await _said(shop) == "银卡没有"


async def test_without_points_the_step_stops_and_says_what_is_missing(shop: Shop) -> None:
    await _start(shop, "您有{{积分余额}}积分")
    assert await _said(shop) == "缺少变量：积分余额"


async def test_the_store_is_the_members_department_and_a_birthday_has_no_year(shop: Shop) -> None:
    who = await _start(shop, "{{门店}}祝您{{生日}}快乐")
    await _insert(shop, department, id=1, name="晴屿美妆", parent_id=0)
    await _insert(shop, department, id=2, name="静安店", parent_id=1)
    for department_id in (1, 2):
        await _insert(shop, member_department, userid="lina", department_id=department_id)
    await _insert(
        shop, person_field, person_id=who.person_id, key="birthday", value="1990-06-18", changed_at=shop.clock.now()
    )
    assert await _said(shop) == "静安店祝您6月18日快乐"


async def test_a_live_show_tells_its_link_and_times_under_names_of_their_own(shop: Shop) -> None:
    told = {"title": "618 专场", "url": "https://live.example.com/1", "starts_at": "2026-03-18T20:00:00+08:00"}
    text = "{{活动名}} {{活动开始}} {{直播链接}} {{ campaign.name }}"
    await shop.run(
        playbook_of(step("ask", "T0-1h", content=Content(text=text)), trigger=Trigger("live.booked"), run_key="live")
    )
    who = await shop.meet()
    await shop.happens("live.booked", who, key="1", facts={"live_id": "1", **told})
    await shop.pass_until("03-18 19:00")
    (task,) = await shop.tasks()
    assert task.text == "618 专场 3月18日 20:00 https://live.example.com/1 618 专场"


async def test_a_parcel_on_its_way_should_come_when_those_of_its_carrier_came(shop: Shop) -> None:
    who = await _start(shop, '{{ 预计送达 | 默认("很快") }}到')
    now = shop.clock.now()

    async def parcel(number: int, days: int | None, carrier: str = "sf") -> None:
        order = {"channel": "taobao", "shop_key": "s", "order_no": f"A{number}", "person_id": who.person_id}
        seen = {"status": "shipped", "source": "test", "digest": "x", "first_seen_at": now}
        seen |= {"last_seen_at": now, "ordered_at": now}
        known = {name: value for name, value in (order | seen).items() if name in orders.c}
        made = insert(orders).values(**known).returning(orders.c.id)
        order_id = await shop.services.db.write(lambda conn: conn.execute(made).scalar_one())
        arrived = now - timedelta(days=20 - days) if days is not None else None
        shipped = now - timedelta(days=20) if days is not None else now
        times = {"shipped_at": shipped, "delivered_at": arrived, "tracking_no": f"T{number}"}
        await _insert(shop, shipment, order_id=order_id, carrier_code=carrier, **times)

    for number in range(20):
        await parcel(number, 3 if number < 15 else 4)
    await parcel(99, None)
    local = (now + timedelta(days=4)).astimezone(shop.services.settings.shop.zone)
    assert await _said(shop) == f"{local.month} 月 {local.day} 日到"


async def test_where_too_little_is_known_nothing_is_promised(shop: Shop) -> None:
    await _start(shop, '{{ 预计送达 | 默认("很快") }}到')
    assert await _said(shop) == "很快到"


async def test_a_radar_link_is_the_customers_and_the_members_own_and_one_that_is_gone_stops_the_step(
    shop: Shop,
) -> None:
    about = {"url": "https://mall.example.com/t", "domains": ("mall.example.com",), "by": "", "now": shop.clock.now()}
    await shop.services.db.write(radar.save_content, title="春茶", key="spring", **about)
    who = await _start(shop, "看看 {{ radar.spring }}{% if 雷达.gone %}和 {{ 雷达.gone }}{% endif %}")
    said = await _said(shop)
    (link,) = await shop.rows(radar_link)
    assert said.endswith(f"/r/{link.token}")
    assert (link.userid, link.person_id) == ("lina", who.person_id)
    await shop.services.db.write(radar.archive, "spring", True)
    await shop.add("小雨")
    await shop.pass_time(hours=1)
    (failed,) = [row for row in await shop.rows(step_run) if row.state == "failed"]
    assert failed.reason == "缺少变量：雷达链接“spring”（内容不存在或已下架）"
