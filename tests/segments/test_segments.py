"""Segments on a real database: who enters and leaves, once, and what a condition about something gone does."""

import argparse
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert, select, update

from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import order_line, orders
from scrm.db import Database
from scrm.errors import Conflict, Invalid, NotFound
from scrm.events import Event, event, publish
from scrm.membership.models import member_level, points_account
from scrm.profiles.models import (
    corp_tag,
    department,
    follow_user,
    follow_user_tag,
    member,
    member_department,
    person,
    person_field,
    person_stat,
)
from scrm.profiles.own_fields.tables import custom_field
from scrm.profiles.stop_list import stop_entry
from scrm.segments import audience, cli, refresh, store
from scrm.segments.conditions import Whom, explain, find_missing, holding, holding_for, holds, holds_for, judge
from scrm.segments.models import person_value, segment, segment_member
from scrm.segments.store import Draft
from scrm.segments.templates import TEMPLATES
from scrm.settings import Shop
from scrm.sop.life.published import read_file
from scrm.sop.text.beside import problems as problems_beside
from scrm.work.models import work_item

NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
BOUGHT = {"field": "person.paid_orders", "op": "gte", "value": 1}


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


@pytest_asyncio.fixture
async def house(database_url: str) -> AsyncIterator[Any]:
    """What `refresh` reaches: a database and a clock."""
    database = Database(database_url)
    yield SimpleNamespace(db=database, clock=Clock(), settings=SimpleNamespace(shop=Shop(name="x")))
    await database.close()


def add_persons(conn: Connection, count: int, *, paid_orders: int | None = None, **stat: Any) -> list[int]:
    made = [insert(person).values(created_at=NOW).returning(person.c.id) for _ in range(count)]
    ids = [conn.execute(each).scalar_one() for each in made]
    for each in ids if paid_orders is not None else ():
        conn.execute(insert(person_stat).values(person_id=each, paid_orders=paid_orders, **stat))
    return ids


def follow(conn: Connection, person_id: int, userid: str = "li", *, days: int = 10, **more: Any) -> None:
    pair = {"userid": userid, "external_userid": f"wm{person_id}"}
    conn.execute(insert(follow_user).values(**pair, person_id=person_id, followed_at=NOW - days * DAY, **more))


async def told(house: Any) -> list[tuple[str, int]]:
    def look(conn: Connection) -> list[tuple[str, int]]:
        rows = conn.execute(select(event).where(event.c.name.like("segment.%")).order_by(event.c.id))
        return [(row.name, row.person_id) for row in rows]

    found: list[tuple[str, int]] = await house.db.read(look)
    return found


async def make(house: Any, key: str, condition: Any = None, **more: Any) -> None:
    await house.db.write(store.save_segment, Draft(key, key, condition, **more), now=house.clock.now())


# Members --------------------------------------------------------------------------------------------------------------


async def test_who_is_found_first_is_no_news_and_who_comes_later_enters_and_leaves_once(
    house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "SLICE", 3)
    monkeypatch.setattr(refresh, "PIECE", 2)
    old = await house.db.write(add_persons, 8, paid_orders=2)
    new = await house.db.write(add_persons, 5)
    await make(house, "buyers", BOUGHT)
    assert await refresh.refresh(house, "buyers") == (8, 0)
    assert await told(house) == []

    def buy_and_return(conn: Connection) -> None:
        conn.execute(insert(person_stat), [{"person_id": each, "paid_orders": 1} for each in new])
        conn.execute(update(person_stat).where(person_stat.c.person_id == old[0]).values(paid_orders=0))

    await house.db.write(buy_and_return)
    house.clock.at += 10 * timedelta(minutes=1)
    assert await refresh.refresh(house, "buyers") == (5, 1)
    assert await refresh.refresh(house, "buyers") == (0, 0)
    assert sorted(await told(house)) == [*(("segment.entered", each) for each in new), ("segment.left", old[0])]
    assert await house.db.read(store.list_members, "buyers") == [*old[1:], *new]
    row = await house.db.read(store.get_segment, "buyers")
    assert (row.members, row.computed_at, row.refresh_at) == (12, house.clock.at, house.clock.at + timedelta(minutes=5))


async def test_a_first_computation_tells_when_asked_and_a_changed_condition_tells_nobody(house: Any) -> None:
    (one,) = await house.db.write(add_persons, 1, paid_orders=1)
    (two,) = await house.db.write(add_persons, 1, paid_orders=2)
    await make(house, "some", {**BOUGHT, "op": "eq"}, tells_first=True)
    await refresh.refresh(house, "some")
    assert await told(house) == [("segment.entered", one)]
    await make(house, "some", {**BOUGHT, "op": "gt"})
    assert await refresh.refresh(house, "some") == (1, 1)
    assert await told(house) == [("segment.entered", one)]
    assert await house.db.read(store.list_members, "some") == [two]


async def test_a_segment_whose_tag_was_deleted_keeps_its_members_and_admits_nobody(house: Any) -> None:
    def world(conn: Connection) -> int:
        (one,) = add_persons(conn, 1)
        follow(conn, one)
        conn.execute(insert(corp_tag).values(tag_id="t1", tag_name="老客"))
        pair = {"userid": "li", "external_userid": f"wm{one}"}
        conn.execute(insert(follow_user_tag).values(**pair, tag_id="t1", tag_name="老客"))
        return one

    one = await house.db.write(world)
    await make(house, "old", {"tag": "老客"})
    await refresh.refresh(house, "old")
    assert await house.db.read(holds, {"segment": "old"}, one, NOW)
    await house.db.write(lambda conn: conn.execute(update(corp_tag).values(is_deleted=True)))
    assert await refresh.refresh(house, "old") == (0, 0)
    row = await house.db.read(store.get_segment, "old")
    assert (row.members, "不存在或已删除" in row.problem) == (1, True)
    for tree in ({"segment": "old"}, {"not": {"segment": "old"}}, {"any": [{"not": {"segment": "old"}}, BOUGHT]}):
        assert not await house.db.read(holds, tree, one, NOW)
        assert await house.db.read(audience.count, tree, NOW) == 0
    assert await told(house) == []


async def test_an_empty_segment_admits_nobody_and_an_empty_list_of_exclusions_stops_nobody(house: Any) -> None:
    (one,) = await house.db.write(add_persons, 1, paid_orders=1)
    await make(house, "empty")
    await make(house, "excluded", is_exclusion=True)
    both = {"all": [BOUGHT, {"segment": "empty"}]}
    for tree in (both, {"segment": "empty"}, {"all": [BOUGHT, {"not": {"segment": "empty"}}]}, {"segment": "excluded"}):
        assert not await house.db.read(holds, tree, one, NOW), tree
        assert await house.db.read(audience.list_ids, tree, NOW) == []
    for tree in ({"not": {"segment": "excluded"}}, {"not": {"segment": "停发名单"}}):
        assert await house.db.read(holds, tree, one, NOW)
        assert await house.db.read(find_missing, tree) == []
    assert "现在是空的" in (await house.db.read(find_missing, {"not": {"segment": "empty"}}))[0].text
    assert "不存在" in (await house.db.read(find_missing, {"segment": "nowhere"}))[0].text
    await house.db.write(lambda conn: conn.execute(insert(stop_entry).values(person_id=one, kind="peer", added_at=NOW)))
    assert not await house.db.read(holds, {"not": {"segment": "停发名单"}}, one, NOW)
    assert await house.db.read(audience.list_ids, {"segment": "停发名单"}, NOW) == [one]


async def test_a_list_is_kept_by_hand_and_a_deleted_segment_is_nobodys(house: Any) -> None:
    one, two = await house.db.write(add_persons, 2)
    await make(house, "vip", is_exclusion=True)
    assert await house.db.write(store.put_members, "vip", [one, two, 999], now=NOW) == 2
    assert await house.db.write(store.put_members, "vip", [one], now=NOW) == 0
    assert await house.db.write(store.take_members, "vip", [two, 999], now=NOW) == 1
    assert await told(house) == [("segment.entered", one), ("segment.entered", two), ("segment.left", two)]
    assert await house.db.read(holding, {"segment": "vip"}, [one, two], NOW) == {one}
    await house.db.write(store.delete_segment, "vip", now=NOW)
    for tree in ({"segment": "vip"}, {"not": {"segment": "vip"}}):
        assert await house.db.read(holding, tree, [one, two], NOW) == set()


async def test_segments_of_segments_are_explained_and_never_lead_back_to_themselves(house: Any) -> None:
    (one,) = await house.db.write(add_persons, 1, paid_orders=2)
    await make(house, "buyers", BOUGHT)
    await make(house, "twice", {"all": [{"segment": "buyers"}, {"field": "person.orders", "op": "gte", "value": 1}]})
    assert not await house.db.read(holds, {"segment": "twice"}, one, NOW)
    (line,) = await house.db.read(explain, {"segment": "twice"}, one, NOW)
    assert tuple(line) == (
        "在人群包“twice”里",
        "符合 在人群包“buyers”里（现为 符合 已付款订单数 不少于 1（现为 2））；不符合 订单数 不少于 1（现为 0）",
        False,
    )
    with pytest.raises(Invalid, match="人群包“twice”的条件有问题"):
        await make(house, "buyers", {"segment": "twice"})
    with pytest.raises(Invalid, match="只能写在剧本里"):
        await make(house, "run", {"trigger": "amount_fen", "op": "gte", "value": 3})
    with pytest.raises(Invalid, match="条件是空的"):
        await make(house, "none", {})
    with pytest.raises(Conflict, match="已有名为"):
        await house.db.write(store.save_segment, Draft("other", "buyers"), now=NOW)
    with pytest.raises(Invalid, match="不能是 停发名单"):
        await make(house, "停发名单")


async def test_a_segment_that_is_due_becomes_one_piece_of_work(house: Any) -> None:
    await make(house, "buyers", BOUGHT)
    await refresh.tick(house)
    await refresh.tick(house)
    rows = await house.db.read(lambda conn: conn.execute(select(work_item)).all())
    assert [(row.kind, row.payload) for row in rows if row.kind == refresh.KIND] == [(refresh.KIND, {"key": "buyers"})]


async def test_a_playbook_that_names_no_segment_or_the_opposite_of_an_empty_one_is_not_published(house: Any) -> None:
    written = read_file(Path("config/playbooks/new-customer.yaml"))
    await make(house, "empty")
    for tree, says in (
        ({"segment": "nowhere"}, "人群包“nowhere”不存在"),
        ({"not": {"segment": "empty"}}, "现在是空的"),
        ({"not": {"segment": "停发名单"}}, ""),
    ):
        playbook = replace(written, enter_if=tree)
        problems = [line for line in await house.db.read(problems_beside, playbook) if "人群包" in line]
        assert bool(problems) is bool(says)
        assert all(says in line for line in problems)


# Leaves that only a run, or orders, can answer ------------------------------------------------------------------------


async def test_a_run_is_asked_about_its_relation_its_member_and_its_event(house: Any) -> None:
    def world(conn: Connection) -> tuple[list[int], list[int]]:
        ids = add_persons(conn, 3)
        for each, state in zip(ids, ("live", "card", "live"), strict=True):
            follow(conn, each, state=state)
            follow(conn, each, "wang", state="card", days=1)
        conn.execute(insert(member).values(userid="Li", folded="li", name="李静", role="manager"))
        conn.execute(insert(department).values(id=7, name="华东"))
        conn.execute(insert(member_department).values(userid="Li", department_id=7))
        conn.execute(insert(corp_tag).values(tag_id="t1", tag_name="油皮"))
        conn.execute(
            insert(follow_user_tag).values(userid="wang", external_userid=f"wm{ids[0]}", tag_id="t1", tag_name="油皮")
        )
        facts = ({"amount_fen": 50000}, {"amount_fen": 100}, {"channel": {"kind": "直播"}})
        began = publish(
            conn, [Event("order.paid", NOW, each, facts=say) for each, say in zip(ids, facts, strict=True)], now=NOW
        )
        spoke = Event("kf.message", NOW + DAY, ids[1])
        publish(conn, [Event("kf.message", NOW - DAY, ids[0]), spoke], now=NOW)
        return ids, [each.id for each in began]

    ids, events = await house.db.write(world)
    runs = [
        Whom(100 + number, each, "LI", f"wm{each}", event_id=event_id, anchor_at=NOW)
        for number, (each, event_id) in enumerate(zip(ids, events, strict=True))
    ]
    for tree, expected in (
        ({"trigger": "amount_fen", "op": "gte", "value": 30000}, {100}),
        ({"not": {"trigger": "amount_fen", "op": "gte", "value": 30000}}, {101, 102}),
        ({"trigger": "channel.kind", "value": "直播"}, {102}),
        ({"trigger": "channel.kind", "op": "missing"}, {100, 101}),
        ({"field": "relation.state", "op": "eq", "value": "live"}, {100, 102}),
        ({"field": "relation.days", "op": "gte", "value": 5}, {100, 101, 102}),
        ({"field": "member.name", "op": "eq", "value": "李静"}, {100, 101, 102}),
        ({"field": "member.role", "op": "eq", "value": "员工"}, set()),
        ({"field": "member.department", "op": "in", "value": ["华东"]}, {100, 101, 102}),
        ({"tag": "油皮"}, {100}),
        ({"tag": "油皮", "of": "run"}, set()),
        ({"no_reply": True}, {100, 102}),
        ({"any": [{"trigger": "amount_fen", "op": "lt", "value": 200}, {"tag": "油皮"}]}, {100, 101}),
    ):
        assert await house.db.read(holding_for, tree, runs, NOW + 2 * DAY) == expected, tree
        each = {run.key for run in runs if await house.db.read(holds_for, tree, run, NOW + 2 * DAY)}
        assert each == expected, tree
        for run in runs:
            fits, leaves = await house.db.read(judge, tree, run, NOW + 2 * DAY)
            told = await house.db.read(partial(explain, whom=run), tree, run.person_id, NOW + 2 * DAY)
            assert (fits, leaves) == (run.key in expected, told if run.key in expected else []), tree
    # Who asks without a beginning asks about all that happened.
    anew = [run._replace(anchor_at=None) for run in runs]
    assert await house.db.read(holding_for, {"no_reply": True}, anew, NOW + 2 * DAY) == {102}
    for tree in ({"not": {"trigger": "amount_fen", "value": 1}}, {"not": {"field": "relation.state", "op": "present"}}):
        assert not await house.db.read(holds, tree, ids[0], NOW)
        assert await house.db.read(audience.count, tree, NOW) == 0
    lines = await house.db.read(
        lambda conn: explain(
            conn,
            {"all": [{"trigger": "amount_fen", "op": "gte", "value": 30000}, {"no_reply": True}]},
            ids[0],
            NOW + 2 * DAY,
            whom=runs[0],
        )
    )
    assert [tuple(line) for line in lines] == [
        ("触发事件的金额（分） 不少于 30000", "50000", True),
        ("客户没有回复", "微信客服、公众号和获客链接里没有发言；没有会话存档，看不到和员工的单聊", True),
    ]


async def test_what_was_bought_is_asked_by_goods_channel_and_number(house: Any) -> None:
    def buy(conn: Connection, person_id: int, number: int, channel: str, sku: str, **more: Any) -> None:
        row = {"channel": channel, "order_no": str(number), "status": "completed", "paid_fen": 100, **more}
        kept = {"first_seen_at": NOW, "last_seen_at": NOW, "paid_at": NOW - DAY}
        order_id = conn.execute(insert(orders).values(**{**kept, **row}, person_id=person_id).returning(orders.c.id))
        line = {"order_id": order_id.scalar_one(), "line_key": "1", "merchant_sku": sku, "title": f"{sku} 面膜"}
        conn.execute(insert(order_line).values(**line, refunded_qty=int(number == 6)))

    def world(conn: Connection) -> list[int]:
        ids = add_persons(conn, 5)
        buy(conn, ids[0], 1, "taobao", "A1")
        buy(conn, ids[0], 2, "jd", "A1", paid_at=NOW - 100 * DAY)
        buy(conn, ids[1], 3, "jd", "B1")
        buy(conn, ids[2], 4, "jd", "A1", paid_at=None)
        buy(conn, ids[2], 5, "jd", "A1", is_test=True)
        buy(conn, ids[3], 6, "jd", "A1")
        return ids

    ids = await house.db.write(world)
    for tree, expected in (
        ({"bought": {"sku": "A1"}}, {0}),
        ({"bought": {"sku": ["A1", "B1"]}}, {0, 1}),
        ({"bought": {"title": "a1 面"}, "count": {"gte": 2}}, {0}),
        ({"bought": {"sku": "A1"}, "count": {"gte": 2}, "within": "90d"}, set()),
        ({"bought": {"sku": "A1", "channel": "jd"}, "within": "90d"}, set()),
        ({"bought": "any"}, {0, 1, 3}),
        ({"bought": "any", "count": {"eq": 0}}, {2, 4}),
        ({"bought": "any", "count": {"lt": 2}}, {1, 2, 3, 4}),
        ({"not": {"bought": {"sku": "A1"}}}, {1, 2, 3, 4}),
    ):
        wanted = {ids[number] for number in expected}
        assert await house.db.read(holding, tree, ids, NOW) == wanted, tree
        assert set(await house.db.read(audience.list_ids, tree, NOW)) == wanted, tree
    (line,) = await house.db.read(explain, {"bought": {"sku": "A1"}, "count": {"gte": 3}}, ids[0], NOW)
    assert tuple(line) == ("买过（规格编码 A1）的订单数 不少于 3", "2 笔", False)


# The command ----------------------------------------------------------------------------------------------------------


async def test_the_command_makes_counts_computes_and_explains(
    house: Any, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    house.settings.database = SimpleNamespace(url=SecretStr(database_url))

    async def run(*words: str) -> str:
        arguments = parser.parse_args(["segment", *words])
        assert await arguments.run(arguments, house) == 0
        return capsys.readouterr().out

    (one,) = await house.db.write(add_persons, 1, paid_orders=1, orders=1)
    assert "还没有人群包" in await run("list")
    assert "dormant-180d  180 天沉睡" in await run("templates")
    assert "已建好人群包 buyer-no-friend" in await run("make", "buyer-no-friend")
    assert await run("count", "buyer-no-friend") == "1 人\n"
    assert await run("count", "--if", "{field: person.orders, op: gte, value: 2}") == "0 人\n"
    assert "进入 1 人，离开 0 人，现有 1 人" in await run("refresh", "buyer-no-friend")
    assert "buyer-no-friend  有订单但非好友（待引流）  动态  1 人" in await run("list")
    assert await run("explain", "buyer-no-friend", str(one)) == (
        f"客户 {one}在人群包“有订单但非好友（待引流）”里\n  符合：订单数 不少于 1（现为 1）\n"
        "  符合：在联系的员工数 等于 0（现为 0）\n"
    )
    for wrong in (["count", "--if", "{tag: 没有}"], ["count", "--if", "{tag"], ["count", "nothing"], ["make", "x"]):
        arguments = parser.parse_args(["segment", *wrong])
        with pytest.raises((Invalid, NotFound)):
            await arguments.run(arguments, house)


# The segments that are shipped ----------------------------------------------------------------------------------------

DOCUMENTED = [
    "新加 7 天未开口",
    "新加 7 天未首单",
    "首单 30 天未二购",
    "复购周期已到未购",
    "近 30 天签收无售后",
    "有未用券 7 天内到期",
    "积分 ≥1000 且 90 天未用",
    "本月生日",
    "距升级差 ≤20%",
    "60 天沉睡",
    "90 天沉睡",
    "180 天沉睡",
    "高客单沉睡",
    "近 30 天有售后（停发）",
    "近 7 天收到 ≥3 次营销（疲劳）",
    "看过素材未下单",
    "多员工好友",
    "未绑定订单的好友",
    "有订单但非好友（待引流）",
    "只在大促购买",
    "用券率 ≥60%",
    "近 24 小时删除员工的老客",
]


def _friend(days: int = 10, **stat: Any) -> Any:
    def add(conn: Connection) -> int:
        (one,) = add_persons(conn, 1, **({"paid_orders": 0} | stat))
        follow(conn, one, days=days)
        return one

    return add


def _happened(name: str, ago: timedelta, times: int = 1, paid_orders: int = 0) -> Any:
    def add(conn: Connection) -> int:
        (one,) = add_persons(conn, 1, paid_orders=paid_orders)
        publish(conn, [Event(name, NOW - ago, one) for _ in range(times)], now=NOW)
        return one

    return add


def _stat(**stat: Any) -> Any:
    return lambda conn: add_persons(conn, 1, **stat)[0]


def _valued(**place: str) -> Any:
    def add(conn: Connection) -> int:
        (one,) = add_persons(conn, 1, paid_orders=1)
        conn.execute(insert(person_value).values(person_id=one, changed_at=NOW, **place))
        return one

    return add


def _with_coupons(conn: Connection) -> int:
    coupons.ensure_batch(conn, key="new", kind="generated", title="券", face_fen=3000, valid=3 * DAY, now=NOW)
    (one,) = add_persons(conn, 1)
    coupons.issue(conn, batch_key="new", person_id=one, reason_key="a", now=NOW)
    return one


def _used_coupon(conn: Connection) -> int:
    one = _with_coupons(conn)
    issue = coupons.issue(conn, batch_key="new", person_id=one, reason_key="b", now=NOW)
    coupons.redeem(conn, issue.code, now=NOW, by="test")
    return one


def _points(conn: Connection, **values: Any) -> int:
    (one,) = add_persons(conn, 1)
    conn.execute(insert(points_account).values(person_id=one, **values))
    return one


def _level_near(conn: Connection) -> int:
    conn.execute(insert(member_level).values(key="gold", title="金卡", growth_from=1000, growth_keep=0))
    return _points(conn, growth=801)


def _born_in_march(conn: Connection) -> int:
    (one,) = add_persons(conn, 1)
    days = (datetime(1990, 3, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    conn.execute(insert(person_field).values(person_id=one, key="birthday", number_value=days, changed_at=NOW))
    return one


def _promotion_order(conn: Connection) -> int:
    (one,) = add_persons(conn, 1)
    row = {"channel": "jd", "order_no": "p1", "status": "completed", "first_seen_at": NOW, "last_seen_at": NOW}
    # 12 November in China, still the 11th in UTC.
    conn.execute(insert(orders).values(**row, person_id=one, paid_at=datetime(2025, 11, 11, 17, tzinfo=UTC)))
    return one


def _many_members(conn: Connection) -> int:
    one = int(_friend(paid_orders=1)(conn))
    follow(conn, one, "wang")
    return one


EXAMPLES = {
    "silent-7d": _friend(),
    "no-order-7d": _friend(),
    "one-order-30d": _stat(paid_orders=1, first_paid_at=NOW - 40 * DAY),
    "cycle-due": _stat(paid_orders=3, first_paid_at=NOW - 70 * DAY, last_paid_at=NOW - 30 * DAY),
    "delivered-30d": _happened("order.delivered", 3 * DAY),
    "coupon-ending": _with_coupons,
    "points-idle": lambda conn: _points(conn, available=1000),
    "birthday-month": _born_in_march,
    "level-near": _level_near,
    "dormant-60d": _friend(paid_orders=1, last_paid_at=NOW - 61 * DAY),
    "dormant-90d": _friend(paid_orders=1, last_paid_at=NOW - 91 * DAY),
    "dormant-180d": _friend(paid_orders=1, last_paid_at=NOW - 400 * DAY),
    "dormant-big": _stat(paid_orders=2, paid_fen=100_000, last_paid_at=NOW - 91 * DAY),
    "aftersale-30d": _happened("refund.opened", DAY),
    "tired-7d": _happened("mass_message.sent", DAY, 3),
    "reads-no-order": _happened("message.radar_opened", DAY),
    "many-members": _many_members,
    "friend-no-order": _friend(),
    "buyer-no-friend": _stat(paid_orders=0, orders=1),
    "promotion-only": _promotion_order,
    "coupon-lover": _used_coupon,
    "buyer-left-24h": _happened("contact.lost_by_customer", timedelta(hours=3), paid_orders=1),
    "rfm-best": _valued(rfm="111"),
    "rfm-keep": _valued(rfm="011"),
    "rfm-rescue": _valued(rfm="001"),
    "life-new": _valued(life="new"),
    "life-cooling": _valued(life="cooling"),
    "life-sleeping": _valued(life="sleeping"),
    "life-lost": _valued(life="lost"),
    "aipl-interest": _valued(aipl="I"),
    "aipl-loyal": _valued(aipl="L"),
}


def test_every_documented_segment_is_shipped_and_has_an_example() -> None:
    assert [template.title for template in TEMPLATES if template.group == "常用"] == DOCUMENTED
    assert {template.key for template in TEMPLATES} == set(EXAMPLES)


async def test_every_shipped_segment_finds_its_example_and_not_a_stranger(house: Any) -> None:
    def world(conn: Connection) -> tuple[int, dict[str, int]]:
        row = {"entity": "person", "key": "birthday", "title": "生日", "type": "date"}
        conn.execute(insert(custom_field).values(**row, created_at=NOW))
        (stranger,) = add_persons(conn, 1)
        return stranger, {key: example(conn) for key, example in EXAMPLES.items()}

    stranger, examples = await house.db.write(world)
    for template in TEMPLATES:
        draft = Draft(template.key, template.title, template.condition, template.is_exclusion, template.key)
        await house.db.write(store.save_segment, draft, now=NOW)
        await refresh.refresh(house, template.key)
        row = await house.db.read(store.get_segment, template.key)
        members = await house.db.read(store.list_members, template.key)
        assert examples[template.key] in members, (template.key, row.problem)
        assert stranger not in members, template.key
        assert row.members == await house.db.read(audience.count, template.condition, NOW) == len(members)
        everyone = [stranger, *examples.values()]
        assert await house.db.read(holding, template.condition, everyone, NOW) == set(members), template.key
        assert await house.db.read(explain, {"segment": template.title}, examples[template.key], NOW)
    rows = await house.db.read(lambda conn: conn.execute(select(segment)).all())
    assert len(rows) == len(TEMPLATES)
    await house.db.write(lambda conn: conn.execute(delete(segment_member)))
