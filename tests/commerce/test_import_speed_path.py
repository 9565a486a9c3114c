"""The short way of a file into the database ends exactly where the usual way ends, wherever it is broken off."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sqlalchemy import Connection, select

from scrm.commerce import store
from scrm.commerce.canonical import Order
from scrm.commerce.files import import_orders as importing
from scrm.commerce.files import process as reading_process
from scrm.commerce.files.fresh import save_prepared
from scrm.commerce.files.import_orders import Into, import_orders
from scrm.commerce.files.prepared import Preparer
from scrm.commerce.models import order_line, orders, payment, refund, shipment
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.events import event
from scrm.profiles.models import person_stat
from tests.commerce.conftest import NOW, add_person
from tests.fakes.clock import FakeClock

HEADER = "订单编号,渠道,店铺,订单状态,下单时间,付款时间,应付金额,实付金额,退款金额,手机号,收货人,商品名称,数量,单价,快递单号\n"


def written(path: Path, count: int) -> Path:
    """`count` orders of a few buyers, some with two rows, some refunded or cancelled."""
    lines = []
    for number in range(count):
        status, back = [("已完成", ""), ("待发货", ""), ("已取消", ""), ("已关闭", "12.80")][number % 4]
        paid = "" if status == "已取消" else f"2026-05-{number % 28 + 1:02d} 10:00:00"
        cells = [f"N{number:06d}", "京东", "s1", status, "2026-05-01 09:00:00", paid, "12.80", "12.80", back]
        cells += [f"1380000{number % 7:04d}", "林晓", "桂花乌龙", "1", "12.80", f"SF{number}" if number % 3 else ""]
        lines.append(",".join(cells))
        if number % 5 == 0:
            lines.append(",".join([cells[0], *[""] * 10, "盖碗", "2", "5.00", ""]))
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def everything(conn: Connection) -> list[Any]:
    """All that an import leaves, without what differs from run to run."""
    found: list[Any] = []
    for table in (orders, order_line, payment, shipment, refund, person_stat, event):
        left_out = {"id", "receiver_sealed", "order_id", "received_at"}
        rows = conn.execute(select(table)).mappings().all()
        found.append(sorted(str({k: v for k, v in row.items() if k not in left_out and k != "facts"}) for row in rows))
    return found


async def seed(db: Database, vault: Vault) -> None:
    def add(conn: Connection) -> None:
        for number in range(4):
            add_person(conn, f"客户{number}", mobile_e164=vault.lookup(f"+861380000{number:04d}"))

    await db.write(add)


def clean_orders(conn: Connection) -> None:
    for table in (order_line, payment, shipment, refund, event, person_stat, orders):
        conn.execute(table.delete())


async def test_the_short_way_ends_where_the_usual_way_ends(db: Database, vault: Vault, tmp_path: Path) -> None:
    await seed(db, vault)
    into = Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"))
    counts = await import_orders(into, [written(tmp_path / "a.csv", 60)])
    assert (counts.orders, counts.created, counts.rejected) == (60, 60, 0)
    short = await db.read(everything)
    batch = [msgspec.json.decode(text, type=Order) for text in _prepared(vault, tmp_path / "a.csv")]
    await db.write(clean_orders)
    await db.write(store.save_orders, batch, now=NOW, vault=vault, route="file")
    assert await db.read(everything) == short


def _prepared(vault: Vault, path: Path) -> list[Any]:
    from scrm.commerce.connectors import KNOWN_HEADINGS, recognise
    from scrm.commerce.connectors.reader import Scratch, open_sheet
    from scrm.commerce.files.reading import Reading, read_chunks

    with Scratch() as scratch:
        sheets = [open_sheet(path, KNOWN_HEADINGS, scratch)]
        reading = Reading("", ZoneInfo("Asia/Shanghai"), vault, NOW)
        return [
            item
            for chunk in read_chunks(reading, recognise(sheets), sheets, scratch.path)
            for item in chunk.good.encoded
        ]


async def test_a_process_of_its_own_reads_the_same(
    sqlite_url: str, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = Database(sqlite_url)
    try:
        await seed(db, vault)
        into = Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"))
        await import_orders(into, [written(tmp_path / "a.csv", 40)])
        here = await db.read(everything)
        await db.write(clean_orders)
        monkeypatch.setattr(reading_process, "WORTH_A_PROCESS", 0)
        counts = await import_orders(into, [tmp_path / "a.csv"])
        assert counts.created == 40
        assert await db.read(everything) == here
    finally:
        await db.close()


class _Broken(Exception):
    pass


async def test_an_import_that_was_broken_off_goes_on_and_ends_alike(
    sqlite_url: str, vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = Database(sqlite_url)
    try:
        await seed(db, vault)
        monkeypatch.setattr("scrm.commerce.files.reading.CHUNK", 10)
        path = written(tmp_path / "a.csv", 50)
        path.write_text(path.read_text() + "N9,京东,s1,已完成,不是时间,,1,1,,,,茶,1,1,\n")
        into = Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"))

        def fall(progress: importing.Progress) -> None:
            if progress.orders >= 20:
                raise _Broken

        with pytest.raises(_Broken):
            await import_orders(into, [path], report=fall)
        counts = await import_orders(into, [path])
        assert counts.resumed >= 20
        assert (counts.orders, counts.created, counts.unchanged, counts.rejected) == (51, 50, 0, 1)
        assert len(counts.error_files) == 1
        again = await import_orders(into, [path])
        assert (again.resumed, again.created, again.unchanged) == (0, 0, 50)
    finally:
        await db.close()


async def test_only_new_leaves_known_orders_alone(sqlite_url: str, vault: Vault) -> None:
    db = Database(sqlite_url)
    try:
        preparer = Preparer(vault, NOW)
        first = Order(channel="jd", order_no="1", status="paid", ordered_at=NOW, paid_fen=100)
        later = Order(channel="jd", order_no="1", status="completed", ordered_at=NOW, paid_fen=100)
        batch = preparer.prepare([first])
        await db.write(save_prepared, batch, now=NOW, vault=vault)
        batch = preparer.prepare([later])
        outcome = await db.write(save_prepared, batch, now=NOW, vault=vault, only_new=True)
        assert (outcome.created, outcome.updated, outcome.unchanged) == (0, 0, 1)
        outcome = await db.write(save_prepared, batch, now=NOW, vault=vault)
        assert outcome.updated == 1
    finally:
        await db.close()
