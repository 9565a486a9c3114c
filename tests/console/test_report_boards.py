"""经营报表: the boards of tables, and what channels cost, counted by hand on the pages, in lists and in files."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import Connection, insert, select

from scrm.access.roles import made_of
from scrm.access.store import save_role
from scrm.commerce.canonical import read_order
from scrm.commerce.models import coupon_batch, coupon_issue, orders
from scrm.commerce.store import save_orders
from scrm.profiles.models import person, person_stat
from scrm.reports import adds, board_repurchase, costs
from scrm.reports.every_board import SORTS
from scrm.reports.models import channel_cost
from scrm.reports.period import Period, read_asked
from scrm.reports.whose import Whose
from scrm.sop.results.tables import tally
from tests.console.conftest import Page, SignIn, Visitor
from tests.console.test_reports import GONE, SPAN, ZONE, at, figure, march
from tests.world import World

__all__ = ["march"]


async def _send(visitor: Visitor, address: str, fields: dict[str, str]) -> Page:
    response = await visitor.send(address, **fields)
    return Page(response.status, await response.text())


async def test_every_board_opens_with_nothing_to_show(world: World, manager: Visitor) -> None:
    for sort in SORTS:
        page = await manager.get(f"/console/reports/board/{sort.key}")
        assert page.status == 200, page.text
        assert sort.title in page
        assert "这段时间没有" in page
        assert " style=" not in page.html
        assert (await manager.get(f"/console/reports/board/{sort.key}?from=nonsense")).status == 200
    assert (await manager.get("/console/reports/board/nonsense")).status == 404


async def test_the_staff_board_says_who_brought_what(march: World, manager: Visitor) -> None:
    page = await manager.get(f"/console/reports/board/staff?{SPAN}")
    # 新增, 流失率, 开口率, 首单率, 新客成交; TWICE counts for both.
    assert "李娜 2 50% 50% 50% ¥130.00" in page
    assert "王浩 1 0% 0% 100% ¥130.00" in page
    assert figure(page, "新增客户").startswith("3 ")
    assert figure(page, "已下发")
    await adds.tick(march.services)
    assert "李娜 2 50% 50% 50% ¥130.00" in await manager.get(f"/console/reports/board/staff?{SPAN}")
    people = await manager.get(next(link for link in page.links if "of=added" in link and "who=m%3Alina" in link))
    assert "走走" in people
    sorted_up = await manager.get(f"/console/reports/board/staff?{SPAN}&grid=staff&sort=added&up=1")
    table = sorted_up.text.partition("新增客户 ↑")[2]
    assert table.index("王浩") < table.index("李娜")
    # The file has them in the order of the page.
    for shown, order in ((sorted_up, ["王浩", "李娜"]), (page, ["李娜", "王浩"])):
        address = next(link for link in shown.links if "staff.csv" in link)
        response = await march.client.get(address, headers=manager.cookie)
        rows = csv.DictReader(io.StringIO((await response.text()).removeprefix("\ufeff")))
        assert [row["员工"] for row in rows] == order


async def test_who_adds_a_member_again_is_one_customer_of_theirs(march: World) -> None:
    march.clock.move_to(at(26))
    await march.add(GONE, "lina", State="card-2222")
    march.clock.move_to(at(31))
    names = ("adds", "people", "talked", "net_fen")

    async def of_lina(first: int) -> list[int]:
        asked = read_asked({"from": f"2026-03-{first:02}", "to": "2026-03-31"}, march.clock.now(), ZONE)
        by_member = await march.services.db.read(adds.count_by_member, asked.period, Whose(), march.clock.now(), names)
        return [by_member["lina"][name] for name in names]

    # GONE, TWICE and GONE again, who had written before; from the 21st on GONE's second add is the first.
    told = [await of_lina(16), await of_lina(21)]
    assert told == [[3, 2, 1, 13_000], [2, 2, 0, 13_000]]
    await adds.tick(march.services)
    assert [await of_lina(16), await of_lina(21)] == told


async def test_the_board_of_playbooks_has_a_heat_map(march: World, manager: Visitor, sign_in: SignIn) -> None:
    """李娜 did 3 of 4 within ten minutes, 王浩 1 of 4 within a day."""

    def furnish(conn: Connection) -> None:
        for userid, confirmed, delay in (("lina", 3, "delay:10"), ("wanghao", 1, "delay:1440")):
            for what, number in (("targeted", 4), ("released", 4), ("confirmed", confirmed), (delay, confirmed)):
                step = {"playbook_key": "new-customer", "version": 1, "step_id": "remind", "variant": ""}
                conn.execute(insert(tally).values(**step, day="2026-03-20", userid=userid, what=what, count=number))

    await march.services.db.write(furnish)
    page = await manager.get(f"/console/reports/board/sop?{SPAN}&playbook=new-customer")
    assert figure(page, "进入剧本").startswith("2")
    assert figure(page, "已下发").startswith("8")
    assert figure(page, "执行率").startswith("50%")
    rates, *_, delays = page.text.split("员工 × 步骤的执行率")[-1].split("员工 × 步骤的确认用时")
    assert "李娜 75% 75%" in rates
    assert "王浩 25% 25%" in rates
    assert "王浩 18.0 小时 18.0 小时 李娜 8 分钟 8 分钟" in delays
    assert {'data-level="3"', 'data-level="1"'} <= set(
        re.findall(r'data-level="\d"', page.html.split("的执行率</h2>")[1])
    )
    links = [link for link in page.links if "step=remind" in link and "userid=lina" in link]
    assert (await manager.get(links[0])).status == 200
    staff = await manager.get(f"/console/reports/board/staff?{SPAN}")
    assert "李娜 2 50% 50% 50% ¥130.00 4 75%" in staff
    role = made_of("own", "自己的", ("reports:view",), "own", ())
    await march.services.db.write(save_role, role, by="boss", now=march.clock.now())
    theirs = await (await sign_in("wanghao", "王浩", "own")).get(f"/console/reports/board/sop?{SPAN}")
    assert figure(theirs, "已下发").startswith("4")
    assert "李娜" not in theirs


@pytest.fixture
async def issued(march: World) -> World:
    """TWICE has two coupons of a batch, one used by the order of 50 of which 20 were refunded; EARLY opened one."""

    def furnish(conn: Connection) -> None:
        conn.execute(
            insert(coupon_batch).values(key="new", kind="generated", title="新人券", face_fen=1000, created_at=at(1))
        )
        who = {row.order_no: row for row in conn.execute(select(orders))}
        twice, early = who["A1"].person_id, who["A3"].person_id
        plain: dict[str, Any] = {"batch_key": "new", "expires_at": at(31), "discount_fen": 0, "order_id": None}
        for number, (person_id, more) in enumerate(
            (
                (twice, {"state": "redeemed", "order_id": who["A2"].id, "discount_fen": 1000, "redeemed_at": at(25)}),
                (twice, {}),
                (early, {"opened_at": at(24)}),
                (early, {"state": "released"}),
            )
        ):
            named = {"reason_key": f"r{number}", "code": f"C{number}", "token": f"t{number}", "issued_at": at(24)}
            conn.execute(insert(coupon_issue).values(**{**plain, **named, "person_id": person_id, **more}))

    await march.services.db.write(furnish)
    return march


async def test_the_board_of_coupons(issued: World, manager: Visitor) -> None:
    page = await manager.get(f"/console/reports/board/coupons?{SPAN}")
    # 已发放, 已领取, 已核销, 核销率, 用券成交, 让利, 投入产出
    assert "新人券 new 3 1 1 33.3% ¥30.00 ¥10.00 3" in page
    assert figure(page, "已核销").startswith("1 ")
    link = next(link for link in page.links if "of=coupon_redeemed" in link and "key=new" in link)
    people = await manager.get(link)
    assert "双双" in people
    assert "早早" not in people
    later = await manager.get("/console/reports/board/coupons?from=2026-03-25&to=2026-03-31")
    assert "这段时间没有发过券" in later
    response = await issued.client.get(f"/console/reports/board/coupons.csv?{SPAN}", headers=manager.cookie)
    rows = csv.DictReader(io.StringIO((await response.read()).decode("utf-8-sig")))
    row = next(row for row in rows if row["优惠券"] == "新人券")
    assert (row["优惠券"], row["已发放"], row["用券成交（元）"], row["核销率"]) == ("新人券", "3", "30.0", "0.3333")
    response = await issued.client.get(f"/console/reports/board/repurchase.xlsx?{SPAN}", headers=manager.cookie)
    assert "多久回来第二次" in CalamineWorkbook.from_filelike(io.BytesIO(await response.read())).sheet_names


async def test_who_reaches_only_their_own_sees_only_theirs_on_every_board(issued: World, sign_in: SignIn) -> None:
    role = made_of("own", "自己的", ("reports:view", "contact_ways:view", "contact_ways:edit"), "own", ())
    await issued.services.db.write(save_role, role, by="boss", now=issued.clock.now())
    wanghao = await sign_in("wanghao", "王浩", "own")
    staff = await wanghao.get(f"/console/reports/board/staff?{SPAN}")
    assert "李娜" not in staff
    assert "王浩 1 " in staff
    coupons = await wanghao.get(f"/console/reports/board/coupons?{SPAN}")
    assert "新人券 new 2 0 1 50% ¥30.00" in coupons
    people = await wanghao.get(f"/console/reports/people?{SPAN}&of=coupon_issued&key=new")
    assert "早早" not in people
    repurchase = await wanghao.get("/console/reports/board/repurchase")
    assert figure(repurchase, "首单客户") == "1"
    # What a channel cost is everybody's, so it is told to nobody who sees a part.
    await issued.services.db.write(_spend)
    assert "¥160" not in await wanghao.get(f"/console/reports/channels?{SPAN}")
    page = await wanghao.get("/console/contact-ways/card-2222/costs?" + SPAN)
    assert figure(page, "投放成本") == "—"
    refused = await _send(wanghao, "/console/contact-ways/card-2222/costs", {"first": "2026-03-01"})
    assert refused.status == 403


def _spend(conn: Connection) -> None:
    spent = costs.Spent(date(2026, 3, 1), date(2026, 3, 31), 31_000)
    costs.add(conn, "card-2222", spent, by="boss", now=at(31))


async def test_a_channels_cost_is_entered_spread_and_taken_back(march: World, manager: Visitor) -> None:
    address = "/console/contact-ways/card-2222/costs"
    plain = {"first": "2026-03-01", "last": "2026-03-31", "amount": "310", "note": "印刷"}
    for wrong, said in (
        ({"amount": "很多"}, "没有看懂金额“很多”"),
        ({"amount": "0"}, "金额是 0"),
        ({"first": "2026-04-01"}, "请交换两个日期"),
        ({"last": "2028-03-31"}, "最多分摊 366 天"),
        ({"first": "三月"}, "没有看懂日期“三月”"),
    ):
        refused = await _send(manager, address, {**plain, **wrong})
        assert refused.status == 400
        assert said in refused
        assert "印刷" in refused.html
    saved = await _send(manager, address, plain)
    assert saved.status in (200, 303)
    page = await manager.get(f"{address}?{SPAN}")
    # 16 of 31 days.
    assert figure(page, "投放成本").startswith("¥160.00")
    assert figure(page, "归因成交").startswith("¥130.00")
    assert figure(page, "投入产出").startswith("0.81")
    assert "2026-03-01 至 2026-03-31 ¥310.00 印刷" in page
    board = await manager.get(f"/console/reports/channels?{SPAN}")
    assert "¥130.00 ¥130.00 ¥160.00 0.81" in board
    (row,) = await march.rows(channel_cost)
    gone = await _send(manager, f"{address}/{row.id}/delete", {})
    assert "已删除 ¥310.00 的成本" in gone
    assert not await march.rows(channel_cost)
    assert (await _send(manager, f"{address}/{row.id}/delete", {})).status == 404
    assert (await manager.get("/console/contact-ways/nothing-here/costs")).status == 404


def test_a_cost_is_spread_over_its_days() -> None:
    spent = costs.Spent(date(2026, 3, 1), date(2026, 3, 10), 1_000)

    def part(first: int, last: int) -> int:
        return spent.part(Period(date(2026, 3, first), date(2026, 3, last), at(first), at(last)))

    assert [part(1, 10), part(5, 5), part(9, 31), part(11, 31)] == [1000, 100, 200, 0]


# The reference: CDNOW's 23,570 buyers of early 1997 (figures as published; the rows are made to fit them) ----------------

COHORTS = {1: 7_846, 2: 8_476, 3: 7_248}
ACTIVE = {
    1: (1157, 964, 810, 679, 736, 720),
    2: (1312, 980, 783, 847, 786, 626),
    3: (1032, 752, 756, 674, 564, 561),
}
WITHIN = {30: 4_115, 60: 5_929, 90: 6_887, 180: 8_827, 365: 10_810}
EVER = 11_516


async def test_cohorts_come_back_as_the_reference_says(world: World) -> None:
    """Who is active in which month after the first order, exactly."""

    def fill(conn: Connection) -> list[tuple[int, datetime]]:
        bought, person_id = [], 0
        for month, buyers in COHORTS.items():
            for number in range(buyers):
                person_id += 1
                first = datetime(1997, month, 1 + number % 28, 12, tzinfo=ZONE)
                bought.append((person_id, first))
                for later, active in enumerate(ACTIVE[month], 1):
                    if number < active:
                        bought.append((person_id, datetime(1997, month + later, 5, 9, tzinfo=ZONE)))
        return bought

    found = await _cohorts(world, fill, date(1997, 1, 1), 10)
    assert [each.buyers for each in found[:3]] == list(COHORTS.values())
    for month, each in zip(ACTIVE, found, strict=False):
        assert tuple(each.active[later] for later in range(1, 7)) == ACTIVE[month]


async def test_buyers_come_back_within_days_as_the_reference_says(world: World) -> None:
    """Second purchase on another day within 30, 60, 90, 180, 365 days, and what they brought, exactly."""
    gaps = {0: 0, **dict.fromkeys(WITHIN, 0)}

    def fill(conn: Connection) -> list[tuple[int, datetime]]:
        bought, last, ends = [], 0, [*WITHIN.items(), (500, EVER)]
        lags: list[int] = []
        for days, number in ends:
            # Some on the very last day that counts.
            lags += [days - (place % 3) * 2 for place in range(number - last)]
            last = number
        for number in range(sum(COHORTS.values())):
            first = datetime(1997, 1 + number % 3, 1 + number % 28, 0, 30, tzinfo=ZONE)
            bought.append((number + 1, first))
            # Twice on one day is once.
            bought.append((number + 1, first + timedelta(hours=23)))
            if number < EVER:
                bought.append((number + 1, first + timedelta(days=lags[number], minutes=-20)))
        return bought

    found = await _cohorts(world, fill, date(1997, 1, 1), 3)
    whole = board_repurchase.total(found)
    assert whole.buyers == 23_570
    assert whole.returned == WITHIN
    assert whole.again == EVER
    assert whole.ripe_returned == WITHIN
    assert whole.net_fen == (2 * 23_570 + EVER) * 100
    assert whole.ripe_fen[365] == (2 * 23_570 + WITHIN[365]) * 100
    assert gaps[0] == 0


async def test_first_buyers_and_those_who_came_back_are_found_by_name(march: World, manager: Visitor) -> None:
    def buy(conn: Connection) -> None:
        told = {"channel": "youzan", "status": "paid", "order_no": "A9", "paid_fen": 2_000}
        bought = {
            "paid_at": datetime(2026, 4, 2, 0, 20, tzinfo=ZONE).isoformat(),
            "buyer_ref": {"wx_unionid": "oUnion早早"},
        }
        save_orders(conn, [read_order({**told, **bought})], now=at(31), vault=march.services.vault, route="api")

    march.clock.move_to(datetime(2026, 5, 10, 10, tzinfo=ZONE).astimezone(UTC))
    await march.services.db.write(buy)
    page = await manager.get("/console/reports/board/repurchase")
    found = []
    for url, said in re.findall(r'href="(/console/reports/people[^"]+)"[^>]*>([^<]+)<', page.html):
        people = await manager.get(unescape(url))
        assert people.status == 200, url
        found.append((said, sorted(re.findall(r"<span><b>([^<]+)</b>", people.html))))
    both = ["双双", "早早"]
    # The figure; 30 days and until now; one month later; those whom the money is divided by.
    assert found == [
        ("2", both),
        ("2", both),
        ("100%", both),
        ("100%", both),
        ("2", both),
        ("50%", ["早早"]),
        ("2", both),
    ]
    # Ten days after the first order are no choice of the board.
    assert (await manager.get("/console/reports/people?of=back_10")).status == 404
    two_years = await manager.get("/console/reports/board/repurchase?months=24")
    assert "2024-06-01" not in two_years.html


async def _cohorts(world: World, fill: Any, first: date, months: int) -> list[board_repurchase.Cohort]:
    def write(conn: Connection) -> None:
        bought = fill(conn)
        moments: dict[int, list[datetime]] = {}
        for person_id, moment in bought:
            moments.setdefault(person_id, []).append(moment.astimezone(UTC))
        ids = sorted(moments)
        conn.execute(insert(person), [{"id": i + 10_000, "created_at": at(1)} for i in ids])
        stats = [
            {
                "person_id": i + 10_000,
                "orders": len(moments[i]),
                "paid_orders": len(moments[i]),
                "first_paid_at": min(moments[i]),
                "last_paid_at": max(moments[i]),
            }
            for i in ids
        ]
        conn.execute(insert(person_stat), stats)
        rows = [
            {
                "channel": "generic",
                "order_no": f"CD{number}",
                "person_id": i + 10_000,
                "status": "completed",
                "payment_status": "paid",
                "paid_fen": 100,
                "ordered_at": moment,
                "paid_at": moment,
                "first_seen_at": at(1),
                "last_seen_at": at(1),
            }
            for number, (i, moment) in enumerate((i, moment) for i in ids for moment in moments[i])
        ]
        conn.execute(insert(orders), rows)

    await world.services.db.write(write)
    starts = [
        date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 1) for n in range(months + 1)
    ]
    return await world.services.db.read(board_repurchase.count, Whose(), world.clock.now(), ZONE, starts)
