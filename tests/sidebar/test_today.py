"""A member's day: one ranked queue over all customers, acted on where it stands."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, insert, update

from scrm.profiles.store import ensure_contact
from scrm.sidebar.ranking import Errand, behind, bundle, rank
from scrm.sop.models import task
from tests.sidebar.conftest import Member, words
from tests.sidebar.test_contact import counted, order, save
from tests.world import ANING, XIAOMAN, World

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def ranked(**given: Any) -> Any:
    errand = Errand(1, "wm1", NOW, **given)
    return rank(errand, NOW, ZONE, 100_000)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": "P0"}, {"priority": "P1"}),
        ({"priority": "P1"}, {"priority": "P4"}),
        ({"priority": "P4", "due_at": NOW + timedelta(hours=1)}, {"priority": "P3"}),
        ({"due_at": NOW + timedelta(hours=5)}, {"due_at": NOW + timedelta(days=1)}),
        ({"worth_fen": 500_000}, {"worth_fen": 30_000}),
        ({"is_promise": True, "due_at": NOW - timedelta(hours=1)}, {"priority": "P0"}),
        ({"is_unconfirmed": True}, {"due_at": NOW + timedelta(hours=1)}),
        ({"priority": "P5"}, {"priority": "P0", "is_spared": True}),
    ],
)
def test_what_presses_more_comes_first(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert ranked(**first).points > ranked(**second).points


def test_the_reason_is_said_in_words_the_weightiest_first() -> None:
    found = ranked(priority="P0", due_at=NOW + timedelta(hours=5), worth_fen=128_600)
    assert found.reasons == ("售后优先", "今天到期", "累计 ¥1,286")
    assert ranked(priority="P3").reasons == ()


def test_one_customer_stands_once_and_a_page_goes_on_behind_the_last_one() -> None:
    errands = [Errand(number, f"wm{number % 4}", NOW, due_at=NOW + timedelta(hours=number)) for number in range(1, 13)]
    queue = bundle(errands, NOW, ZONE, 100_000)
    assert [each.external_userid for each in queue] == ["wm1", "wm2", "wm3", "wm0"]
    assert [one.id for one in queue[0].errands] == [1, 5, 9]
    assert behind(queue, queue[1].place) == queue[2:]
    assert behind(queue, "nonsense") == queue


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """What the two databases may tell apart is in test_today_databases.py."""
    return sqlite_url


# By HTTP --------------------------------------------------------------------------------------------------------------


async def give(world: World, external_userid: str, **values: Any) -> int:
    """A task of Lina's for this contact."""
    now = world.clock.now()

    def write(conn: Connection) -> int:
        contact = ensure_contact(conn, external_userid, now=now)
        row = {
            "userid": "lina",
            "external_userid": external_userid,
            "person_id": contact.person_id,
            "title": "问问用得怎么样",
            "text": "用了三天啦，出油的时候会搓泥吗？",
            "open_at": now - timedelta(minutes=5),
            "created_at": now,
            **values,
        }
        return int(conn.execute(insert(task).values(**row).returning(task.c.id)).scalar_one())

    return await world.services.db.write(write)


def names(html: str) -> list[str]:
    return re.findall(r'<article class="errand-card" id="errand-([^"]+)"', html)


@pytest.fixture
async def queue(world: World, lina: Member) -> dict[str, int]:
    """Two friends of Lina's: a regular with a task that is due today, and one with two tasks that may wait."""
    await world.add()
    await world.add(ANING)
    await save(world, order("1", 9, world.clock.now(), paid_fen=300000))
    now = world.clock.now()
    return {
        "soon": await give(world, XIAOMAN, expires_at=now + timedelta(hours=1), title="催付提醒"),
        "first": await give(world, ANING),
        "second": await give(world, ANING, title="邀请评价"),
    }


async def state(world: World, task_id: int) -> str:
    (row,) = await world.rows(task, task.c.id == task_id)
    return str(row.state)


async def test_the_queue_is_ranked_bundled_and_says_why(lina: Member, queue: dict[str, int]) -> None:
    html = await lina.page("/sidebar/today")
    assert names(html) == [XIAOMAN, ANING]
    said = words(html)
    assert "两小时内到期 · 累计 ¥3,000" in said
    assert "还剩 1" in said or "还剩 5" in said or "今天" in said
    assert "还有 1 件" in said
    assert "0 / 3" in said
    assert said.index("小满") < said.index("阿宁")


async def test_views_narrow_the_queue_and_only_what_there_is_is_offered(
    world: World, lina: Member, queue: dict[str, int]
) -> None:
    await give(world, ANING, kind="promise", title="找色号", due_at=world.clock.now() - timedelta(hours=1))
    await give(world, XIAOMAN, title="以后再说", open_at=world.clock.now() + timedelta(days=1))
    html = await lina.page("/sidebar/today")
    offered = re.findall(r'<a class="view" href="([^"]+)"', html)
    assert offered == [
        "/sidebar/today",
        *(f"/sidebar/today?show={key}" for key in ("due", "overdue", "high", "promises", "later")),
    ]
    expected = {"due": [XIAOMAN], "overdue": [ANING], "high": [XIAOMAN], "promises": [ANING], "later": [XIAOMAN]}
    for key, found in expected.items():
        assert names(await lina.page(f"/sidebar/today?show={key}")) == found, key
    assert "这里已经清空了" in await lina.page("/sidebar/today?show=unsure")
    assert names(await lina.page("/sidebar/today?show=nonsense")) == [ANING, XIAOMAN]


async def test_what_a_client_sent_is_not_taken_back(lina: Member, queue: dict[str, int]) -> None:
    await lina.tap(f"/sidebar/tasks/{queue['first']}/release")
    assert "没有发出" in await lina.page("/sidebar/today?show=unsure")
    assert "已发送" in words(await lina.press(f"/sidebar/today/tasks/{queue['first']}/sent"))
    assert "不能撤销" in await lina.press(f"/sidebar/today/tasks/{queue['first']}/undo")


async def test_skip_and_delay_have_their_reason_and_way_back(world: World, lina: Member, queue: dict[str, int]) -> None:
    path = f"/sidebar/today/tasks/{queue['first']}"
    html = await lina.press(f"{path}/skip", reason="已经聊过了")
    assert "已跳过" in html
    assert "已经聊过了" in html
    assert "邀请评价" in html, "the customer's other task stays in the card"
    await lina.press(f"{path}/undo")
    assert await state(world, queue["first"]) == "open"
    choices = await lina.page(f"{path}/later", htmx=True)
    until = re.findall(r'data-until="([^"]+)"', choices)[-1]
    assert "已推迟" in await lina.press(f"{path}/postpone", until=until)
    assert names(await lina.page("/sidebar/today?show=later")) == [ANING]
    await lina.press(f"{path}/undo")
    assert "推迟的" not in words(await lina.page("/sidebar/today"))
    assert "过期" in words(await lina.page(f"/sidebar/today/tasks/{queue['soon']}/later", htmx=True))


async def test_a_list_that_still_holds_is_not_sent_again(lina: Member, queue: dict[str, int]) -> None:
    html = await lina.page("/sidebar/today")
    digest = re.findall(r'data-digest="([^"]+)"', html)[0]
    same = await lina.get(f"/sidebar/today/list?show=all&count=30&seen={digest}", htmx=True)
    assert same.status == 204
    await lina.press(f"/sidebar/today/tasks/{queue['soon']}/done")
    assert names(await lina.page(f"/sidebar/today/list?show=all&count=30&seen={digest}", htmx=True)) == [ANING]


async def test_the_day_belongs_to_its_member(lina: Member, wanghao: Member, queue: dict[str, int]) -> None:
    assert names(await wanghao.page("/sidebar/today")) == []
    for act in ("done", "skip", "postpone", "sent", "undo"):
        response = await wanghao.tap(f"/sidebar/today/tasks/{queue['soon']}/{act}", until="2026-03-05T10:00:00+08:00")
        assert response.status == 404, act
    assert (await wanghao.get(f"/sidebar/today/tasks/{queue['soon']}/later")).status == 404
    for about in ("welcomes", "lost"):
        assert (await wanghao.tap(f"/sidebar/today/{about}/{XIAOMAN}/done")).status == 403


async def test_old_addresses_lead_to_the_queue(lina: Member, queue: dict[str, int]) -> None:
    assert (await lina.get("/sidebar/tasks")).headers["Location"] == "/sidebar/today"
    assert (await lina.get("/sidebar/tasks?task=7")).headers["Location"] == "/sidebar/tasks/7"
    assert (await lina.get("/sidebar/today?task=7")).headers["Location"] == "/sidebar/tasks/7"


async def test_five_hundred_tasks_come_page_by_page(world: World, lina: Member) -> None:
    await world.add()

    def write(conn: Connection) -> None:
        now = world.clock.now()
        for number in range(500):
            contact = ensure_contact(conn, f"wmMany{number}", now=now)
            row = {"userid": "lina", "external_userid": f"wmMany{number}", "person_id": contact.person_id}
            told = {"title": f"第 {number} 件", "text": "好", "open_at": now, "created_at": now}
            conn.execute(insert(task).values(**row, **told))

    await world.services.db.write(write)
    with counted() as statements:
        html = await lina.page("/sidebar/today")
    assert len(statements) <= 3, [line[:80] for line in statements]
    seen, pages = names(html), 1
    assert len(seen) == 8, "what a phone shows comes first"
    while found := re.search(r'hx-get="(/sidebar/today/more[^"]+)"', html):
        html = await lina.page(found[1].replace("&amp;", "&"), htmx=True)
        seen += names(html)
        pages += 1
    assert pages == 26
    assert len(seen) == len(set(seen)) == 500


async def test_an_empty_day_feels_good(world: World, lina: Member, queue: dict[str, int]) -> None:
    assert "今天没有待办了" not in await lina.page("/sidebar/today")
    for task_id in queue.values():
        await lina.press(f"/sidebar/today/tasks/{task_id}/done")
    said = words(await lina.page("/sidebar/today"))
    assert "今天的都做完了" in said
    assert "3 / 3" in said
    assert "今天处理过的 3" in said


async def test_what_a_member_is_spared_comes_last(world: World, lina: Member, queue: dict[str, int]) -> None:
    def spare(conn: Connection) -> None:
        conn.execute(update(task).where(task.c.id == queue["soon"]).values(reminder="spared"))

    await world.services.db.write(spare)
    html = await lina.page("/sidebar/today")
    assert names(html) == [ANING, XIAOMAN]
    assert "今天提醒已够多，这条不急" in html
    assert "0 / 2" in words(html)


async def test_a_promise_is_kept_in_the_list_and_that_is_taken_back(world: World, lina: Member) -> None:
    await world.add()
    due = world.clock.now() - timedelta(hours=1)
    promise = await give(world, XIAOMAN, kind="promise", title="找色号", text="", due_at=due)
    said = words(await lina.page("/sidebar/today?show=promises"))
    assert "已逾期 · 你答应过的" in said
    path = f"/sidebar/today/tasks/{promise}"
    assert "已完成" in await lina.press(f"{path}/done")
    assert "我的约定" not in await lina.page("/sidebar/today")
    assert "找色号" in await lina.press(f"{path}/undo")
    assert await state(world, promise) == "open"
