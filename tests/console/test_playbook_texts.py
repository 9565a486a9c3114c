"""剧本的文字: written in the console with its problems beside it, judged, published, rolled back, paused."""

import io
import zipfile
from typing import Any

import aiohttp
import pytest

from scrm.sop.life import store as lifecycle_store
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from tests.console.conftest import Visitor
from tests.world import World

OF = "/console/playbooks/new-customer"
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def send(visitor: Visitor, path: str, **data: Any) -> aiohttp.ClientResponse:
    form = {"csrf": visitor.csrf, **data}
    return await visitor.world.client.post(path, data=form, headers=visitor.cookie, allow_redirects=False)


@pytest.fixture
def source(world: World) -> str:
    return playbooks_of(world.services).current["new-customer"].source


async def test_what_is_wrong_stands_beside_the_line_as_one_types(manager: Visitor, source: str) -> None:
    page = await manager.get(f"{OF}/edit")
    assert "可以发布" in page
    assert "playbook: new-customer" in page
    response = await send(manager, f"{OF}/edit/check", source=source.replace("at: T0", "at: T9", 1))
    answer = await response.text()
    assert response.status == 200
    assert "1 处要改" in answer
    assert "看不懂时间“T9”" in answer
    assert "data-line=" in answer
    assert "草稿已保存" in answer
    # It is kept, and what is published is not touched.
    assert "at: T9" in (await manager.get(f"{OF}/edit")).html
    refused = await send(manager, f"{OF}/publish", why="试试")
    assert refused.status == 422
    response = await send(manager, f"{OF}/edit", do="discard", source="")
    assert response.headers["Location"] == f"{OF}/versions"
    assert "at: T9" not in (await manager.get(f"{OF}/edit")).html


async def test_a_draft_is_published_and_rolled_back_with_who_and_why(
    manager: Visitor, world: World, source: str
) -> None:
    changed = source.replace("title: ", "title: 新版", 1)
    response = await send(manager, f"{OF}/edit", do="review", source=changed.replace("\n", "\r\n"))
    assert response.headers["Location"] == f"{OF}/review"
    page = await manager.get(f"{OF}/review")
    assert "发布第 2 版" in page
    assert "名称" in page
    assert (await send(manager, f"{OF}/publish", why="换个名字")).status == 303
    assert playbooks_of(world.services).current["new-customer"].title.startswith("新版")
    page = await manager.get(f"{OF}/versions")
    for words in ("第 2 版 当前", "换个名字", "后台", "回滚到这版"):
        assert words in page, words
    page = await manager.get(f"{OF}/versions/diff?from=1&to=2")
    assert "改了什么" in page
    assert "+" not in page.words
    assert (await send(manager, f"{OF}/rollback", version="1", why="客户不喜欢")).status == 303
    current = playbooks_of(world.services).current["new-customer"]
    assert (current.version, current.source) == (3, source)
    assert "文字同第 1 版；客户不喜欢" in await manager.get(f"{OF}/versions")
    assert (await manager.get(f"{OF}/versions/diff?from=1&to=99")).status == 404


async def test_pausing_may_hold_those_under_way(manager: Visitor, world: World) -> None:
    await world.add()
    assert (await send(manager, f"{OF}/life/pause", runs="held", why="话术有误")).status == 303
    await world.pass_time(minutes=1)
    page = await manager.get(f"{OF}/versions")
    for words in ("已暂停", "1 位在途客户停在原地", "话术有误"):
        assert words in page, words
    assert (await send(manager, f"{OF}/life/pause")).status == 409
    assert (await send(manager, f"{OF}/life/resume", dates="shift")).status == 303
    await world.pass_time(minutes=1)
    assert "新客户会进入" in await manager.get(f"{OF}/versions")
    rows = await world.services.db.read(lambda conn: list(conn.execute(enrolment.select())))
    assert [row.state for row in rows] == ["active"]


async def test_who_is_under_way_may_move_to_the_new_version(manager: Visitor, world: World, source: str) -> None:
    await world.add()
    await send(manager, f"{OF}/edit", do="review", source=source.replace("title: ", "title: 新版", 1))
    await send(manager, f"{OF}/publish")
    assert "还有 1 位客户在旧版本中" in await manager.get(f"{OF}/versions")
    page = await manager.get(f"{OF}/migrate")
    assert "1 位客户" in page
    assert (await send(manager, f"{OF}/migrate", mode="migrate")).status == 303
    await world.pass_time(minutes=1)
    assert "没有客户在旧版本中" in await manager.get(f"{OF}/migrate")


async def test_texts_go_out_and_come_in_as_drafts(manager: Visitor, world: World, source: str) -> None:
    response = await world.client.get("/console/playbooks.zip", headers=manager.cookie)
    with zipfile.ZipFile(io.BytesIO(await response.read())) as packed:
        assert packed.read("new-customer.yaml").decode() == source
    made = source.replace("new-customer", "elsewhere", 1)
    form = aiohttp.FormData({"csrf": manager.csrf})
    form.add_field("files", made.encode(), filename="elsewhere.yaml", content_type="application/yaml")
    response = await world.client.post("/console/playbooks/import", data=form, headers=manager.cookie)
    assert "已导入为草稿" in await response.text()
    assert "elsewhere" not in playbooks_of(world.services).current
    schema = await world.client.get("/console/playbooks/schema.json", headers=manager.cookie)
    assert "SOP 剧本" in await schema.text()
    draft = await world.services.db.read(lifecycle_store.find_draft, "elsewhere")
    assert draft is not None
    response = await send(manager, "/console/playbooks/new", source="title: 没有编号")
    assert response.status == 422
    response = await send(manager, "/console/playbooks/new", source=source)
    assert response.status == 409


async def test_nothing_is_done_without_the_pages_own_token(manager: Visitor) -> None:
    for path in ("edit", "edit/check", "publish", "rollback", "life/pause", "migrate"):
        assert (await send(manager, f"{OF}/{path}", csrf="wrong", source="x")).status == 403, path


async def test_a_template_is_put_into_the_editor_and_stays_unpublished(manager: Visitor, world: World) -> None:
    listed = (await manager.get("/console/playbooks/new")).text
    assert "首单后二购培育（pb-08-second-order）" in listed
    chosen = (await manager.get("/console/playbooks/new?template=pb-08-second-order")).text
    assert "playbook: pb-08-second-order" in chosen
    assert "playbook: pb-08-second-order" not in listed
    assert (
        "playbook: pb-08-second-order"
        not in (await manager.get("/console/playbooks/new?template=../new-customer")).text
    )
    assert "pb-08-second-order" not in playbooks_of(world.services).current
