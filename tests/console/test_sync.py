"""同步与补漏: what was compared, what was missed, and the button."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection

from scrm.clock import LATEST
from scrm.console.system.sync import how_late
from scrm.profiles.store import ensure_contact
from scrm.sync import runs, store
from scrm.sync.store import Missed
from scrm.work.models import work_item
from scrm.work.progress import Progress
from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


def fill(conn: Connection, world: World) -> None:
    """A sync that found things, one that was cut off, and a board with both kinds of gaps."""
    now = world.clock.now()
    counts = Progress(
        total=12_500, done=12_500, added=3, changed=14, ended=1, notes=["员工 lina 的客户没有核对：没有权限"]
    )
    run = store.take_run(conn, "contacts", full=False, asked_at=now, holder="a", is_gone=lambda holder: False, now=now)
    assert run is not None
    store.finish_run(conn, run.id, store.DONE, progress=counts, now=now)
    tags = store.take_run(conn, "tags", full=False, asked_at=now, holder="a", is_gone=lambda holder: False, now=now)
    assert tags is not None
    store.leave_run(conn, tags.id, Progress(), error="连不上企业微信，稍后会自动重试。", now=now)
    contact = ensure_contact(conn, "wmMissed", now=now)
    added = Missed("contact.added", "contacts", "lina", "wmMissed", contact.person_id, now - timedelta(hours=7))
    store.note_missed(conn, added, now=now)
    lost = Missed("contact.lost_by_member", "contacts", "lina", "wmMissed", contact.person_id)
    store.note_missed(conn, lost, now=now)


async def test_the_page_tells_what_was_compared_and_what_no_callback_told(world: World, manager: Visitor) -> None:
    page = await manager.get("/console/sync")
    assert "没有漏掉的回调" in page
    assert "还没有同步" in page
    await world.services.db.write(fill, world)
    page = await manager.get("/console/sync")
    for words in (
        "12,500",
        "待继续",
        "连不上企业微信",
        "员工 lina 的客户没有核对",
        "客户添加了员工",
        "7 小时",
        "企业微信不提供",
    ):
        assert words in page, words
    assert "近 30 天 2 次" in page


async def test_the_button_leaves_one_sync_as_work(world: World, manager: Visitor) -> None:
    for _ in range(2):
        response = await manager.post("/console/sync")
        assert (response.status, response.headers["Location"]) == (303, "/console/sync")
    assert [row.kind for row in await world.rows(work_item)] == [runs.KIND]
    assert "正在同步" in await manager.get("/console/sync")
    await world.settle()
    assert "正在同步" not in await manager.get("/console/sync")


@pytest.mark.parametrize(
    ("minutes", "words"), [(None, ""), (0, "1 分钟"), (119, "119 分钟"), (120, "2 小时"), (4000, "2 天")]
)
def test_how_late_is_told_in_the_largest_fitting_unit(minutes: int | None, words: str) -> None:
    now = LATEST - timedelta(days=9)
    assert how_late(None if minutes is None else now - timedelta(minutes=minutes), now) == words
