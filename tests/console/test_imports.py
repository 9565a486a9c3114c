"""导入: a file is looked at before anything is kept, then brought in, and what could not be used comes back."""

from pathlib import Path
from typing import Any

import pytest

from scrm.commerce import order_views
from scrm.commerce.files import reading as file_reading
from scrm.imports import jobs
from tests.console.conftest import Visitor
from tests.world import World

BATCH = "11111111-1111-1111-1111-11111111111{}"
TABLE = "订单编号,下单时间,付款时间,实付金额,商品名称,手机号\nA1,2026-06-01,2026-06-01,88,茶,13800000001\nA2,不是时间,,1,茶,\n"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The page is the same on both databases."""
    return sqlite_url


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "folder_of", lambda services, name: tmp_path / "imports" / name)


async def upload(visitor: Visitor, text: str, name: str, batch: int, kind: str = "orders") -> str:
    response = await visitor.world.client.put(
        f"/console/imports?kind={kind}&name={name}&batch={BATCH.format(batch)}&last=1",
        data=text.encode("gb18030"),
        headers={**visitor.cookie, "X-CSRF": visitor.csrf},
    )
    assert response.status == 200, await response.text()
    await visitor.world.settle()
    return str((await response.json())["url"])


async def send(visitor: Visitor, path: str, **fields: Any) -> None:
    response = await visitor.world.client.post(
        path, data={"csrf": visitor.csrf, **fields}, headers=visitor.cookie, allow_redirects=False
    )
    assert response.status == 303, await response.text()
    await visitor.world.settle()


async def test_a_file_is_checked_then_imported_and_its_bad_rows_are_given_back(manager: Visitor, world: World) -> None:
    url = await upload(manager, TABLE, "订单.csv", 1)
    checked = await manager.get(url)
    for words in ("检查结果（还没有写入）", "例如订单 A1", "“下单时间”应为时间", "开始导入"):
        assert words in checked
    db = world.services.db
    assert await db.read(order_views.find_orders, None, "A1") == []
    await send(manager, url, act="import", shop_key="pos-1", format="", mode="update")
    assert len(await db.read(order_views.find_orders, None, "A1")) == 1
    done = await manager.get(url)
    assert "导入结果" in done
    (link,) = [link for link in done.links if "/errors/" in link]
    assert "不是时间" in (await manager.get(link)).html
    assert "已导入" in await manager.get("/console/imports")


async def test_unknown_headings_are_mapped_once_and_known_the_next_time(manager: Visitor, world: World) -> None:
    table = "单据,日期,钱,货,怎样,电话\nB1,2026-06-01,12.5,茶,待打包,13800000001\n"
    url = await upload(manager, table, "pos.csv", 2)
    assert "没有找到认识的表头" in await manager.get(url)
    form = await manager.get(f"{url}/mapping")
    assert "单据" in form
    assert "必选" in form
    fields = {"column-order_no": "单据", "column-ordered_at": "日期", "column-paid_at": "日期", "column-paid": "钱"}
    fields |= {"column-status": "怎样"}
    assert "13800000001" not in form.html
    assert "138****0001" in form
    for words in (
        "先选这 1 列",
        "认出了 2 列，请核对",
        "表里没有用到的列：单据（B1）、钱（12.5）、货（茶）、怎样（待打包）",
    ):
        assert words in form
    told = {"csrf": manager.csrf, "name": "收银", "channel": "mall", "statuses": "待打包=打包中", **fields}
    refused = await world.client.post(f"{url}/mapping", data=told, headers=manager.cookie)
    text = await refused.text()
    assert (refused.status, "“打包中”不是订单状态，请写 待付款、待发货" in text) == (422, True)
    for kept in (
        'value="收银"',
        '<option value="怎样" selected>怎样（待打包）',
        'value="mall" selected',
        "待打包=打包中",
    ):
        assert kept in text, "nothing that was filled in is lost"
    await send(manager, f"{url}/mapping", **told | {"statuses": "待打包=待发货", "channel": "pos"})
    assert "开始导入" in await manager.get(url)
    assert "待打包=待发货" in (await manager.get(f"{url}/mapping")).html, "as it was saved"
    again = await upload(manager, table.replace("B1", "B2"), "pos2.csv", 3)
    assert "例如订单 B2" in await manager.get(again)
    bad = await upload(manager, table.replace("B1", "B3").replace("12.5", "十二"), "pos3.csv", 6)
    await send(manager, bad, act="import", shop_key="", format="", mode="update")
    (link,) = [link for link in (await manager.get(bad)).links if "/errors/" in link]
    given_back = (await manager.get(link)).html
    assert "原因" in given_back
    mended = await upload(manager, given_back.removeprefix("\ufeff").replace(",十二,", ",12,"), "pos3.errors.csv", 7)
    assert "例如订单 B3" in await manager.get(mended), "known by its mapping, though one column has been added"


async def test_templates_are_there_for_the_taking(manager: Visitor) -> None:
    assert "手机号" in (await manager.get("/console/imports/template/customers.csv")).html


async def test_the_page_of_an_import_that_has_just_begun_shows_its_progress(manager: Visitor, world: World) -> None:
    url = await upload(manager, TABLE, "订单.csv", 4)
    job_id = int(url.rpartition("/")[2])
    await world.services.db.write(jobs.change, job_id, state="running", share=0.0, counts={})
    page = await manager.get(url)
    assert "正在导入" in page
    assert "0%" in page


async def test_an_import_is_stopped_and_goes_on_where_it_was(
    manager: Visitor, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long rows and short chunks, so that there is a middle to stop in."""
    monkeypatch.setattr(file_reading, "CHUNK", 10)
    rows = [f"S{place},2026-06-01,2026-06-01,88,{'茶' * 9000},\n" for place in range(30)]
    url = await upload(manager, TABLE.splitlines(keepends=True)[0] + "".join(rows), "停.csv", 5)
    fields = {"csrf": manager.csrf, "act": "import", "shop_key": "", "format": "", "mode": "update"}
    for path in (url, f"{url}/stop"):
        response = await world.client.post(path, data=fields, headers=manager.cookie, allow_redirects=False)
        assert response.status == 303, await response.text()
    assert "写完手上的这一批就停下" in await manager.get(url)
    await world.settle()
    stopped = await manager.get(url)
    assert "写入的 10 单保留着" in stopped
    assert "继续导入" in stopped
    db = world.services.db
    assert [len(await db.read(order_views.find_orders, None, no)) for no in ("S9", "S10", "S29")] == [1, 0, 0]
    await send(manager, url, act="import", shop_key="", format="", mode="update")
    done = await manager.get(url)
    assert "接着上次中断的地方继续，其中 10 单上次已经写入" in done
    assert [len(await db.read(order_views.find_orders, None, no)) for no in ("S9", "S10", "S29")] == [1, 1, 1]
    await send(manager, f"{url}/stop")
    assert "已导入" in await manager.get(url), "what has ended is not stopped any more"
