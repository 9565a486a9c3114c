"""经营报表: a small world counted by hand, on the pages, in the lists behind them and in the files."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from python_calamine import CalamineWorkbook
from sqlalchemy import Connection, select

from scrm.access.roles import made_of
from scrm.access.scope import EVERYONE
from scrm.access.store import save_role
from scrm.commerce import hours
from scrm.commerce.canonical import read_order
from scrm.commerce.models import order_hour
from scrm.commerce.store import save_orders
from scrm.contact_ways.models import contact_way
from scrm.events import Event, record
from scrm.profiles import store as profiles
from scrm.profiles.models import external_contact
from scrm.reports import adds
from scrm.reports.boards import Channel, order_channels, stages
from scrm.reports.cohort import Counts
from scrm.reports.lines import draw, round_top
from scrm.reports.measures import BY_KEY, MEASURES, OF_CHANNEL, Counted
from scrm.reports.models import report_add
from scrm.reports.period import read_asked
from scrm.reports.recount import Recounted, recount_reports
from scrm.reports.trade import Trade, count_buyers
from scrm.reports.whose import Whose, read_whose
from scrm.settings import Shop
from scrm.sop.models import enrolment
from tests.console.conftest import Page, SignIn, Visitor
from tests.world import World

EARLY, TWICE, GONE = (
    "wmEarly00000000000000000000000001",
    "wmTwice0000000000000000000000002",
    "wmGone00000000000000000003",
)
ZONE = Shop().zone
# Sixteen days; the sixteen before them begin on the 28th of February.
SPAN = "from=2026-03-16&to=2026-03-31"


def at(day: int, hour: int = 10) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=ZONE).astimezone(UTC)


@pytest.fixture
async def march(world: World) -> World:
    """Who came when, through what; who left; who bought.

    2nd  EARLY adds lina by the live code
    20th GONE adds lina by the live code; TWICE adds wanghao by a code whose title looks like a formula
    21st TWICE adds lina too, by the live code
    22nd GONE deletes lina; TWICE buys for 100 yuan, on the 25th for 50 of which 20 are refunded
    23rd EARLY buys for 30, somebody unknown for 7; a test order of 999 is none
    25th just after midnight GONE writes to customer service
    """
    for external_userid, name in ((EARLY, "早早"), (TWICE, "双双"), (GONE, "走走")):
        world.wecom.add_contact(external_userid, name, "lina", unionid=f"oUnion{name}")
    await world.services.db.write(_furnish)
    await world.add(EARLY, "lina", State="live-1111")
    world.clock.move_to(at(20))
    await world.add(GONE, "lina", State="live-1111")
    await world.add(TWICE, "wanghao", State="card-2222")
    world.clock.move_to(at(21))
    await world.add(TWICE, "lina", State="live-1111")
    world.clock.move_to(at(22))
    await world.lose("del_follow_user", GONE, "lina")
    await world.services.db.write(_trade, world)
    world.clock.move_to(at(31))
    return world


def _furnish(conn: Connection) -> None:
    for userid, name in (("lina", "李娜"), ("wanghao", "王浩")):
        profiles.save_member(conn, userid, name=name, now=at(1))
    for state, title, userids in (
        ("live-1111", "618 直播间", ["lina", "wanghao"]),
        ("card-2222", "=1+1 包裹卡", ["wanghao"]),
    ):
        conn.execute(
            contact_way.insert().values(state=state, title=title, kind="直播", userids=userids, created_at=at(1))
        )


def _trade(conn: Connection, world: World) -> None:
    def order(number: str, name: str, moment: datetime, fen: int, **more: Any) -> Any:
        buyer = {"wx_unionid": f"oUnion{name}"} if name else {}
        plain = {
            "channel": "youzan",
            "status": "paid",
            "order_no": number,
            "paid_at": moment.isoformat(),
            "paid_fen": fen,
        }
        return read_order({**plain, "buyer_ref": buyer, **more})

    told = [
        order("A1", "双双", at(22, 12), 10_000),
        order("A2", "双双", at(25), 5_000, refunded_fen=2_000),
        order("A3", "早早", at(23), 3_000),
        order("A4", "", at(23), 700, channel="taobao"),
        order("A5", "早早", at(24), 99_900, is_test=True),
    ]
    save_orders(conn, told, now=at(25), vault=world.services.vault, route="api")
    who = conn.execute(external_contact.select().where(external_contact.c.external_userid == GONE)).one()
    midnight = datetime(2026, 3, 25, 0, 5, tzinfo=ZONE).astimezone(UTC)
    record(conn, [Event("kf.message", midnight, person_id=who.person_id, once="spoke")], now=midnight)


def figure(page: Page, title: str) -> str:
    """What a figure says, its change included."""
    _, _, rest = page.html.partition(f"<h2>{title} ")
    assert rest, f"{title} is not on the page"
    return Page(200, rest.partition('<p class="figure num">')[2].partition("</p>")[0]).text


async def test_buyers_are_the_same_by_time_and_by_buyer(march: World) -> None:
    period = read_asked({"from": "2026-03-22", "to": "2026-03-25"}, march.clock.now(), ZONE).period

    def count(conn: Connection, whose: Whose) -> set[tuple[int, int]]:
        return {tuple(count_buyers(conn, period, whose, is_most=is_most)) for is_most in (False, True)}

    lina = read_whose("m:lina", EVERYONE)
    wanghao = read_whose("m:wanghao", EVERYONE)
    assert [await march.services.db.read(count, each) for each in (Whose(), lina, wanghao)] == [
        {(2, 1)},
        {(2, 1)},
        {(1, 1)},
    ]


async def test_the_overview_says_what_a_count_by_hand_says(march: World, manager: Visitor) -> None:
    page = await manager.get(f"/console/reports?{SPAN}")
    assert page.status == 200
    expected = {
        "新增客户": "3 ▲ 200%",
        "流失客户": "1 对比期 0",
        "净增客户": "2 ▲ 100%",
        "开口率": "50% ▲ 50.0pt",
        "首单客户": "2 对比期 0",
        "实付金额": "¥187.00 对比期 ¥0.00",
        "付款订单": "4 对比期 0",
        "笔单价": "¥46.75 对比期 —",
        "复购率": "50% 对比期 —",
        "退款率": "10.7% 对比期 —",
    }
    assert {title: figure(page, title) for title in expected} == expected
    assert "有赞 3 单 ¥180.00 96%" in page
    assert "淘宝 1 单 ¥7.00 4%" in page
    # The day's line in the table; 1,500 yuan of tests are nowhere.
    assert "2026-03-20 2 0 2 0 ¥0.00" in page
    assert "2026-03-22 0 1 -1 1 ¥100.00" in page
    assert "2026-03-23 0 0 0 2 ¥37.00" in page
    assert "<polyline" in page.html
    assert " style=" not in page.html


async def test_channels_add_up_and_each_customer_belongs_to_the_first(march: World, manager: Visitor) -> None:
    page = await manager.get(f"/console/reports/channels?{SPAN}")
    assert figure(page, "首单率") == "50% ▲ 50.0pt"
    assert figure(page, "归因成交").startswith("¥130.00")
    entered = {row.person_id for row in await march.rows(enrolment, enrolment.c.enrolled_at >= at(16))}
    assert len(entered) == 2
    assert "扫码 — 添加 2 开口 1 50% 进入剧本 2 100% 首单 1 50% 复购 1 100%" in page
    # 新增, 开口率, 7 日留存, 首单率, 新客复购率, 流失率, 30 天成交, 90 天成交
    assert "618 直播间 直播 李娜 等 2 人 2 100% 50% 0% — 50% ¥0.00 ¥0.00" in page
    assert "=1+1 包裹卡 直播 王浩 1 0% 100% 100% 100% 0% ¥130.00 ¥130.00" in page
    assert page.text.index("618 直播间") < page.text.index("=1+1 包裹卡")
    turned = await manager.get(f"/console/reports/channels?{SPAN}&sort=first_rate")
    assert turned.text.index("=1+1 包裹卡") < turned.text.index("618 直播间")


async def test_what_is_kept_says_what_a_recount_says(march: World, manager: Visitor) -> None:
    async def read() -> list[str]:
        asked = [f"?{SPAN}", f"/channels?{SPAN}", "/channels?from=2026-03-20&to=2026-03-20", f"?{SPAN}&who=m:wanghao"]
        return [(await manager.get(f"/console/reports{query}")).text for query in asked]

    def differing(conn: Connection) -> tuple[int, int, int]:
        return (
            len(adds.find_differences(conn, 0, 10**9)),
            hours.recount(conn),
            len(conn.execute(select(report_add)).all()),
        )

    live = await read()
    assert await march.services.db.read(adds.find_pending) is None
    await adds.tick(march.services)
    assert await march.services.db.read(adds.find_pending) == set()
    assert await march.services.db.write(differing) == (0, 0, 4)
    assert await read() == live
    # News are counted at once, before the tick has seen them; an order that comes late, its refund, a word, a loss.
    march.clock.move_to(at(31, 11))
    await march.services.db.write(_come_late, march)
    pending = await march.services.db.read(adds.find_pending)
    assert pending is not None
    assert len(pending) == 2
    news = await read()
    assert news != live
    assert "¥230.00" in news[1]
    # Two minutes later the tick has them, and nothing else is said.
    march.clock.move_to(at(31, 12))
    await adds.tick(march.services)
    assert await march.services.db.read(adds.find_pending) == set()
    assert await march.services.db.write(differing) == (0, 0, 4)
    march.clock.move_to(at(31, 11))
    assert await read() == news
    assert await recount_reports(march.services.db, march.clock.now(), ZONE, fix=False) == Recounted(4, 0, 0)

    def spoil(conn: Connection) -> None:
        conn.execute(report_add.update().values(net_fen=7))
        conn.execute(order_hour.update().values(paid_fen=order_hour.c.paid_fen + 1))

    await march.services.db.write(spoil)
    spoilt = await recount_reports(march.services.db, march.clock.now(), ZONE, fix=True)
    assert (spoilt.rows, spoilt.differing, spoilt.hours) == (4, 3, 5)
    assert await recount_reports(march.services.db, march.clock.now(), ZONE, fix=False) == Recounted(4, 0, 0)
    assert await read() == news


def _come_late(conn: Connection, world: World) -> None:
    """TWICE bought for 120 on the 24th and has 20 of it back; EARLY speaks."""
    late = {"channel": "youzan", "status": "paid", "order_no": "A9", "paid_fen": 12_000, "refunded_fen": 2_000}
    told = read_order({**late, "paid_at": at(24).isoformat(), "buyer_ref": {"wx_unionid": "oUnion双双"}})
    save_orders(conn, [told], now=at(31), vault=world.services.vault, route="api")
    who = conn.execute(external_contact.select().where(external_contact.c.external_userid == EARLY)).one()
    record(conn, [Event("talk.noted", at(31), person_id=who.person_id, once="early")], now=at(31, 11))


async def test_a_number_leads_to_its_people(march: World, manager: Visitor) -> None:
    async def names(query: str) -> set[str]:
        page = await manager.get(f"/console/reports/people?{SPAN}&{query}")
        assert page.status == 200
        return {name for name in ("早早", "双双", "走走") if name in page}

    assert await names("of=added") == {"双双", "走走"}
    assert await names("of=added&channel=card-2222") == {"双双"}
    assert await names("of=lost") == {"走走"}
    assert await names("of=talked") == {"走走"}
    assert await names("of=entered") == {"双双", "走走"}
    assert await names("of=bought") == await names("of=again") == await names("of=repeaters") == {"双双"}
    assert await names("of=buyers") == await names("of=first_buyers") == {"早早", "双双"}
    assert (await manager.get("/console/reports/people?of=nonsense")).status == 404
    # Every number of both boards leads to a page that is there.
    for board in ("", "/channels"):
        page = await manager.get(f"/console/reports{board}?{SPAN}")
        links = {link for link in page.links if "/reports/people" in link}
        assert len(links) >= 5
        for link in links:
            assert "没有你能查看的客户" not in await manager.get(link)


async def test_a_choice_of_staff_narrows_every_figure(march: World, manager: Visitor) -> None:
    page = await manager.get(f"/console/reports?{SPAN}&who=m:wanghao")
    assert figure(page, "新增客户").startswith("1 ")
    assert figure(page, "流失客户") == "0"
    assert figure(page, "实付金额").startswith("¥150.00")
    nobody = await manager.get(f"/console/reports/channels?{SPAN}&who=d:77")
    assert figure(nobody, "新增客户") == "0"
    assert "这段时间没有新增客户" in nobody


async def test_who_reaches_only_their_own_sees_only_theirs(march: World, sign_in: SignIn) -> None:
    role = made_of("own", "自己的", ("reports:view",), "own", ())
    await march.services.db.write(save_role, role, by="boss", now=march.clock.now())
    wanghao = await sign_in("wanghao", "王浩", "own")
    for asked in (SPAN, f"{SPAN}&who=m:lina"):
        page = await wanghao.get(f"/console/reports/people?{asked}&of=added")
        assert "走走" not in page
        assert "早早" not in page
    page = await wanghao.get(f"/console/reports?{SPAN}")
    assert figure(page, "新增客户").startswith("1 ")
    assert figure(page, "实付金额").startswith("¥150.00")
    assert 'name="who"' not in page.html
    assert "导出" not in page
    # Somebody else's figures are nobody's, not everybody's.
    assert figure(await wanghao.get(f"/console/reports?{SPAN}&who=m:lina"), "新增客户") == "0"
    assert (await wanghao.get(f"/console/reports/channels.csv?{SPAN}")).status == 403


async def test_files_hold_the_figures_and_run_nothing(march: World, manager: Visitor) -> None:
    async def fetch(name: str) -> bytes:
        response = await march.client.get(f"/console/reports/{name}?{SPAN}", headers=manager.cookie)
        assert response.status == 200
        assert "2026-03-16-2026-03-31" in response.headers["Content-Disposition"]
        return await response.read()

    rows = list(csv.DictReader(io.StringIO((await fetch("channels.csv")).decode("utf-8-sig"))))
    assert [row["渠道"] for row in rows] == ["618 直播间", "'=1+1 包裹卡"]
    assert (rows[1]["新增客户"], rows[1]["30 天成交（元）"]) == ("1", "130.0")
    figures = list(csv.DictReader(io.StringIO((await fetch("overview.csv")).decode("utf-8-sig"))))
    assert {row["指标"]: row["本期"] for row in figures}["实付金额（元）"] == "187.0"
    book = CalamineWorkbook.from_filelike(io.BytesIO(await fetch("channels.xlsx")))
    assert book.sheet_names == ["渠道", "指标", "从扫码到复购", "每日"]
    assert book.get_sheet_by_name("从扫码到复购").to_python()[2][:2] == ["添加", 2.0]
    shops = CalamineWorkbook.from_filelike(io.BytesIO(await fetch("overview.xlsx"))).get_sheet_by_name("各平台")
    assert shops.to_python()[1:] == [["有赞", 3.0, 180.0], ["淘宝", 1.0, 7.0]]
    lines = book.get_sheet_by_name("渠道").to_python()
    assert lines[2][0] == "=1+1 包裹卡"
    assert lines[2][3] == 1.0
    assert len(book.get_sheet_by_name("每日").to_python()) == 1 + 16
    assert (await manager.get(f"/console/reports/nonsense.csv?{SPAN}")).status == 404


async def test_what_is_not_understood_is_said_and_the_usual_is_shown(world: World, manager: Visitor) -> None:
    for query, said in (
        ("from=yesterday&to=2026-03-02", "没有看懂日期“yesterday”，请写成 2026-03-02 这样"),
        ("from=2026-03-02&to=2026-03-01", "请交换两个日期"),
        ("from=2026-03-01&to=2026-03-09", "结束日期 2026-03-09 还没有到，最晚选今天 2026-03-02"),
        ("from=2024-01-01&to=2026-03-01", "一次最多看 366 天，选了 791 天"),
        ("who=x:1", "没有看懂要看谁的数据"),
    ):
        page = await manager.get(f"/console/reports?{query}")
        assert page.status == 200
        assert said in page
        assert "2026-02-01 至 2026-03-02，共 30 天" in page
    year = await manager.get("/console/reports?from=2025-03-02&to=2026-03-02&compare=year")
    assert "共 366 天；箭头与 2024-03-02 至" in year
    assert figure(year, "新增客户") == "0"
    none = await manager.get("/console/reports/channels?days=7&compare=none")
    assert "箭头" not in none.text.partition("共 7 天")[2][:40]
    assert "这段时间没有新增客户" in none
    assert "这段时间没有付款订单" in await manager.get("/console/reports")


def test_every_measure_tells_its_formula_and_survives_a_shop_without_customers() -> None:
    assert len(BY_KEY) == len(MEASURES)
    for measure in MEASURES:
        assert len(measure.formula) > 8, measure.key
        assert measure.title
        assert measure.reckon(Counted(Counts(), Trade())) in (0, None), measure.key


def test_the_scale_of_a_chart_is_round_and_holds_every_value() -> None:
    assert [round_top(most) for most in (0, 3, 4, 5, 165, 200, 201, 3568)] == [4, 4, 4, 8, 200, 200, 400, 4000]
    days = [at(day).date() for day in range(1, 4)]
    chart = draw(days, [("新增", "info", [0, 4, 2])])
    assert chart.lines[0].points == "0.00,100.00 50.00,0.00 100.00,50.00"
    assert not chart.is_flat
    assert draw(days, [("新增", "info", [0, 0, 0])]).is_flat
    assert [number for _, number in chart.grid] == [4, 3, 2, 1, 0]
    one = draw(days[:1], [("新增", "info", [4])])
    assert one.lines[0].points == "0.00,0.00 100.00,0.00"


def test_what_has_no_value_comes_last_in_both_orders() -> None:
    def channel(title: str, value: float | None) -> Channel:
        return Channel(title, title, "", (), Counts(), (value,) * len(OF_CHANNEL))

    rows = [channel("空", None), channel("低", 0.0), channel("高", 0.9)]
    assert [row.title for row in order_channels(rows, "first_rate", is_up=False)] == ["高", "低", "空"]
    assert [row.title for row in order_channels(rows, "first_rate", is_up=True)] == ["低", "高", "空"]
    assert [each.part for each in stages(Counts(), None)] == [None] * 6
