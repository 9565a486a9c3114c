"""Order files as shops really export them come in whole, once, and what is wrong comes back mended-ready."""

import csv
import io
import os
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import xlsxwriter
from sqlalchemy import select

from scrm.commerce import order_views, running_totals
from scrm.commerce.files.import_orders import Counts, Into, import_orders
from scrm.commerce.models import order_import, orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Invalid
from tests.commerce.conftest import NOW, add_person
from tests.fakes.clock import FakeClock

PAYLOADS = Path(__file__).parent.parent / "payloads" / "orders"


@pytest.fixture
def into(db: Database, vault: Vault) -> Into:
    return Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"), shop_key="tmall-1")


def copied(tmp_path: Path, *names: str) -> list[Path]:
    """Payloads in a folder of their own, because error files are put beside them."""
    paths = []
    for name in names:
        paths.append(tmp_path / name)
        paths[-1].write_bytes((PAYLOADS / name).read_bytes())
    return paths


def written(tmp_path: Path, text: str, name: str = "orders.csv", encoding: str = "utf-8") -> list[Path]:
    (tmp_path / name).write_text(text, encoding=encoding)
    return [tmp_path / name]


async def found(into: Into, order_no: str) -> order_views.OrderView:
    (view,) = await into.db.read(order_views.find_orders, None, order_no)
    return view


def figures(counts: Counts) -> tuple[int, ...]:
    return counts.orders, counts.lines, counts.created, counts.updated, counts.unchanged, counts.rejected


async def test_the_taobao_pair_comes_in_with_lines_times_and_money(into: Into, tmp_path: Path) -> None:
    pair = copied(tmp_path, "taobao_orders.csv", "taobao_details.csv")
    counts = await import_orders(into, pair)
    assert figures(counts) == (5, 5, 4, 0, 0, 1)
    view = await found(into, "3200000000000000011")
    row = view.row
    assert (row["channel"], row["shop_key"], row["status"]) == ("taobao", "tmall-1", "completed")
    assert (row["paid_fen"], row["goods_fen"], row["discount_fen"]) == (11800, 12800, 1000)
    assert row["paid_at"] == datetime(2026, 6, 10, 12, 2, 10, tzinfo=UTC)
    assert [(line["title"], line["qty"], line["paid_fen"]) for line in view.lines] == [
        ("桂花乌龙礼盒 250g", 1, 9035),
        ("白瓷盖碗", 2, 2765),
    ]
    assert [(parcel["carrier_name"], parcel["tracking_no"]) for parcel in view.shipments] == [
        ("顺丰速运", "SF1234567890")
    ]


async def test_the_order_of_the_two_files_does_not_matter(into: Into, tmp_path: Path) -> None:
    pair = copied(tmp_path, "taobao_details.csv", "taobao_orders.csv")
    assert figures(await import_orders(into, pair, format_key="taobao")) == (5, 5, 4, 0, 0, 1)


async def test_closed_before_payment_is_cancelled_and_after_it_is_closed(into: Into, tmp_path: Path) -> None:
    await import_orders(into, copied(tmp_path, "taobao_orders.csv", "taobao_details.csv"))
    after, before = await found(into, "3200000000000000035"), await found(into, "3200000000000000042")
    assert (after.row["status"], after.row["refunded_fen"], after.row["payment_status"]) == ("closed", 8800, "refunded")
    assert (before.row["status"], before.row["paid_fen"]) == ("cancelled", 0)


async def test_a_buyer_is_known_by_the_phone_behind_its_apostrophe(into: Into, tmp_path: Path) -> None:
    person_id = await into.db.write(add_person, mobile_e164=into.vault.lookup("+8613800138001"))
    await import_orders(into, copied(tmp_path, "taobao_orders.csv", "taobao_details.csv"))
    totals = await into.db.read(running_totals.find_totals, person_id)
    assert totals is not None
    assert (totals["orders"], totals["paid_fen"]) == (1, 11800)


async def test_a_second_run_changes_nothing(into: Into, tmp_path: Path) -> None:
    pair = copied(tmp_path, "taobao_orders.csv", "taobao_details.csv")
    await import_orders(into, pair)
    assert figures(await import_orders(into, pair)) == (5, 5, 0, 0, 4, 1)


async def test_rejected_orders_come_back_as_files_that_can_be_mended_and_imported(into: Into, tmp_path: Path) -> None:
    counts = await import_orders(into, copied(tmp_path, "taobao_orders.csv", "taobao_details.csv"))
    errors = tmp_path / "taobao_orders.errors.csv", tmp_path / "taobao_details.errors.csv"
    assert counts.error_files == [str(path) for path in errors]
    with errors[0].open(encoding="utf-8-sig", newline="") as file:
        (bad,) = csv.DictReader(file)
    assert bad["原因"] == "第 6 行：“买家实际支付金额”应为金额，如 128.00，看到“八十八”"
    errors[0].write_text(errors[0].read_text("utf-8-sig").replace("八十八", "0.00", 1), encoding="utf-8-sig")
    assert figures(await import_orders(into, list(errors))) == (1, 1, 1, 0, 0, 0)
    assert (await found(into, "3200000000000000059")).row["status"] == "pending_payment"


async def test_order_report_alone_gives_orders_with_their_titles(into: Into, tmp_path: Path) -> None:
    counts = await import_orders(into, copied(tmp_path, "taobao_orders.csv"))
    assert (counts.created, counts.rejected) == (4, 1)
    view = await found(into, "3200000000000000011")
    assert [(line["title"], line["qty"]) for line in view.lines] == [("桂花乌龙礼盒 250g，白瓷盖碗", 3)]


async def test_classic_details_alone_are_refused_with_what_to_do(into: Into, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="请把同一时段的订单报表一起导入"):
        await import_orders(into, copied(tmp_path, "taobao_details.csv"))


async def test_newer_details_stand_alone_with_sub_orders_and_refunds(into: Into, tmp_path: Path) -> None:
    counts = await import_orders(into, copied(tmp_path, "taobao_details_newer.csv"))
    assert figures(counts) == (1, 2, 1, 0, 0, 0)
    view = await found(into, "4100000000000000011")
    assert (view.row["status"], view.row["paid_fen"], view.row["refunded_fen"]) == ("partially_shipped", 10800, 800)
    assert [line["line_key"] for line in view.lines] == ["4100000000000000012", "4100000000000000013"]


async def test_details_without_their_order_are_rejected(into: Into, tmp_path: Path) -> None:
    pair = copied(tmp_path, "taobao_orders.csv", "taobao_details.csv")
    kept = pair[0].read_bytes().decode("gb18030").split("\r\n")
    pair[0].write_bytes("\r\n".join(kept[:2]).encode("gb18030"))
    counts = await import_orders(into, pair)
    assert (counts.created, counts.rejected) == (1, 4)
    assert "订单报表里没有订单" in (tmp_path / "taobao_details.errors.csv").read_text("utf-8-sig")


async def test_a_table_of_our_own_headings_is_recognised(into: Into, tmp_path: Path) -> None:
    counts = await import_orders(into, copied(tmp_path, "generic.csv"))
    assert figures(counts) == (2, 3, 2, 0, 0, 0)
    view = await found(into, "E20260618001")
    assert (view.row["channel"], view.row["shop_key"], view.row["paid_fen"]) == ("youzan", "main", 129900)
    assert view.row["ordered_at"] == datetime(2026, 6, 18, 12, 0, tzinfo=UTC)
    assert [(line["title"], line["qty"], line["unit_price_fen"]) for line in view.lines] == [
        ("桂花乌龙礼盒", 2, 59950),
        ("白瓷盖碗", 1, 10000),
    ]
    assert (await found(into, "E20260618002")).row["channel"] == "pos"


GENERIC = "order_no,status,ordered_at,paid_at,paid,title\n"


async def test_rows_of_one_order_may_stand_apart(into: Into, tmp_path: Path) -> None:
    rows = "A1,paid,2026-06-18 10:00:00,2026-06-18 10:00:00,30,茶\n"
    path = written(tmp_path, GENERIC + rows + rows.replace("A1", "A2") + rows.replace("茶", "杯"))
    assert figures(await import_orders(into, path)) == (2, 3, 2, 0, 0, 0)
    assert [line["title"] for line in (await found(into, "A1")).lines] == ["茶", "杯"]


async def test_a_number_in_scientific_form_is_rejected_and_the_others_come_in(into: Into, tmp_path: Path) -> None:
    good = "A1,paid,2026-06-18 10:00:00,2026-06-18 10:00:00,30,茶\n"
    counts = await import_orders(into, written(tmp_path, GENERIC + good.replace("A1", "6.90E+18") + good))
    assert (counts.created, counts.rejected) == (1, 1)
    assert "科学计数" in (tmp_path / "orders.errors.csv").read_text("utf-8-sig")


async def test_a_column_of_rounded_numbers_stops_everything(into: Into, tmp_path: Path) -> None:
    row = "{},paid,2026-06-18 10:00:00,2026-06-18 10:00:00,30,茶\n"
    text = GENERIC + row.format(3200000000000001000) + row.format(3200000000000012000)
    with pytest.raises(Invalid, match="都以 000 结尾"):
        await import_orders(into, written(tmp_path, text))
    assert await into.db.read(lambda conn: conn.execute(select(orders.c.id)).all()) == []


def excel(path: Path, rows: list[list[Any]]) -> list[Path]:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("订单")
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return [path]


async def test_excel_with_titles_above_and_a_sum_below(into: Into, tmp_path: Path) -> None:
    rows = [
        ["六月订单"],
        ["导出人：小李"],
        ["订单编号", "订单状态", "下单时间", "付款时间", "实付金额（元）", "实付金额", "商品名称"],
        ["3200000000000000011", "已付款", "2026/1/5", 46027.5, "", 88, "茶"],
        ["合计", "", "", "", "", 88, ""],
    ]
    assert figures(await import_orders(into, excel(tmp_path / "orders.xlsx", rows))) == (1, 1, 1, 0, 0, 0)
    row = (await found(into, "3200000000000000011")).row
    assert (row["paid_fen"], row["paid_at"]) == (8800, datetime(2026, 1, 5, 4, 0, tzinfo=UTC))


async def test_an_excel_number_of_more_than_15_digits_is_rejected(into: Into, tmp_path: Path) -> None:
    rows = [["订单编号", "下单时间", "实付金额"], [3200000000000000011, "2026-01-05 10:00:00", 88]]
    counts = await import_orders(into, excel(tmp_path / "orders.xlsx", rows), format_key="generic")
    assert (counts.created, counts.rejected) == (0, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
async def test_every_encoding_and_delimiter_is_found_out(
    into: Into, tmp_path: Path, encoding: str, delimiter: str
) -> None:
    text = GENERIC + "A1,paid,2026-06-18 10:00:00,2026-06-18 10:00:00,30,茶\n"
    path = written(tmp_path, text.replace(",", delimiter), encoding=encoding)
    assert (await import_orders(into, path)).created == 1
    assert (await found(into, "A1")).lines[0]["title"] == "茶"


async def test_a_zip_is_unpacked(into: Into, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "orders.zip", "w") as archive:
        archive.writestr("orders.csv", (PAYLOADS / "generic.csv").read_text("utf-8"))
    assert (await import_orders(into, [tmp_path / "orders.zip"])).created == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "空的"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old excel", "旧版 .xls"),
        (b"<html><table></table></html>", "网页格式"),
        (b"a,b,c\n1,2,3\n", "没有找到认识的表头"),
        (b"PK\x03\x04 broken", "已损坏"),
        (b"\xff\x81\xff\x80,\xff\n", "编码"),
    ],
)
async def test_what_is_no_order_table_is_told_in_one_line(
    into: Into, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "orders.csv").write_bytes(content)
    with pytest.raises(Invalid, match=says) as caught:
        await import_orders(into, [tmp_path / "orders.csv"])
    assert "\n" not in caught.value.text


async def test_a_dry_run_counts_and_keeps_nothing(db: Database, vault: Vault, tmp_path: Path) -> None:
    into = Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"), dry_run=True)
    assert figures(await import_orders(into, copied(tmp_path, "generic.csv"))) == (2, 3, 2, 0, 0, 0)
    assert await db.read(lambda conn: conn.execute(select(orders.c.id)).all()) == []


async def test_a_dry_run_writes_no_file_and_tells_the_reasons(db: Database, vault: Vault, tmp_path: Path) -> None:
    into = Into(db=db, vault=vault, clock=FakeClock(NOW), zone=ZoneInfo("Asia/Shanghai"), dry_run=True)
    paths = copied(tmp_path, "taobao_orders.csv", "taobao_details.csv")
    before = os.listdir(tmp_path)
    counts = await import_orders(into, paths)
    assert set(os.listdir(tmp_path)) - set(before) <= {"scrm.db-wal", "scrm.db-shm"}
    assert (counts.rejected, counts.error_files) == (1, [])
    assert counts.reasons == ["第 6 行：“买家实际支付金额”应为金额，如 128.00，看到“八十八”"]


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        ("0001-01-01T00:00:00+23:00", "应为时间"),
        ("1899-06-01 10:00:00", "“下单时间”应在 2000 年到 2099 年之间，看到 1899-06-01"),
        ("9999-12-31 23:59:59", "“下单时间”应在 2000 年到 2099 年之间，看到 9999-12-31"),
    ],
)
async def test_a_time_that_nobody_means_rejects_the_order(into: Into, tmp_path: Path, moment: str, says: str) -> None:
    text = f"order_no,status,ordered_at,paid\nA1,paid,{moment},1\nA2,paid,2026-06-01 10:00:00,1\n"
    counts = await import_orders(into, written(tmp_path, text))
    assert (counts.created, counts.rejected) == (1, 1)
    assert says in counts.reasons[0]


async def test_an_older_export_never_takes_a_refund_back(into: Into, tmp_path: Path) -> None:
    head = "order_no,status,ordered_at,paid_at,completed_at,paid,refunded\n"
    old = head + "A1,completed,2026-06-01 10:00:00,2026-06-01 10:00:00,2026-06-02 10:00:00,30,0\n"
    new = old.replace(",30,0", ",30,5") + "A2,paid,2026-06-09 10:00:00,2026-06-09 10:00:00,,10,0\n"
    await import_orders(into, written(tmp_path, old, "old.csv"))
    assert (await import_orders(into, written(tmp_path, new, "new.csv"))).updated == 1
    assert (await import_orders(into, written(tmp_path, old, "old.csv"))).unchanged == 1
    assert (await found(into, "A1")).row["refunded_fen"] == 500


async def test_the_import_itself_is_on_record(into: Into, tmp_path: Path) -> None:
    await import_orders(into, copied(tmp_path, "generic.csv"))
    row = await into.db.read(lambda conn: conn.execute(select(order_import)).one())
    assert (row.file_name, row.format, row.counts["created"], len(row.file_sha256)) == ("generic.csv", "generic", 2, 64)
    assert row.finished_at is not None


PLAIN = "订单号,订单状态,商品总价(元),用户实付金额(元),支付时间,商品id\r\n" + "".join(
    f"260618-{number:015d},待发货,10.00,10.00,2026-06-18 20:00:00,g1\r\n" for number in range(1, 6)
)


def zipped(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return made.getvalue()


def damaged(archive: bytes) -> bytes:
    at = archive.find(b"orders.csv") + len(b"orders.csv")
    return archive[:at] + b"\xff" * 12 + archive[at + 12 :]


def packed_by(method: int, archive: bytes) -> bytes:
    """The same, said to be packed another way."""
    central = archive.find(b"PK\1\2")
    kind = method.to_bytes(2, "little")
    return archive[:8] + kind + archive[10 : central + 10] + kind + archive[central + 12 :]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PLAIN.encode("utf-16")[:-41], "UTF-16，内容却不完整"),
        (PLAIN.encode("utf-16") + b"\x00\xd8A\x00", "UTF-16，内容却不完整"),
        (damaged(zipped(("orders.csv", PLAIN.encode() * 50))), "压缩文件已损坏"),
        (packed_by(9, zipped(("orders.csv", PLAIN.encode()))), "压缩方式读不了"),
        (zipped(("orders.xlsx", b"PK\3\4" + b"x" * 200)), "Excel 文件已损坏"),
    ],
    ids=["cut UTF-16", "half a letter", "damaged zip", "strange zip", "no xlsx"],
)
async def test_a_file_that_is_broken_is_refused_in_a_line(into: Into, tmp_path: Path, body: bytes, words: str) -> None:
    (tmp_path / "orders.csv").write_bytes(body)
    with pytest.raises(Invalid) as refused:
        await import_orders(into, [tmp_path / "orders.csv"])
    assert words in refused.value.text
    assert "\n" not in refused.value.text


async def test_a_zip_of_a_mac_is_read_without_what_the_mac_packs_beside(into: Into, tmp_path: Path) -> None:
    beside = b"\0\5\x16\7\0\2\0\0Mac OS X"
    (tmp_path / "orders.zip").write_bytes(zipped(("订单.csv", PLAIN.encode()), ("__MACOSX/._订单.csv", beside)))
    counts = await import_orders(into, [tmp_path / "orders.zip"])
    assert (counts.created, counts.rejected) == (5, 0)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
async def test_a_quote_without_its_partner_is_told_however_lines_end(into: Into, tmp_path: Path, end: str) -> None:
    lines = PLAIN.split("\r\n")
    lines[3] = lines[3].replace(",10.00", ',"10.00', 1)
    counts = await import_orders(into, written(tmp_path, end.join(lines)))
    assert (counts.created, counts.rejected) == (2, 1)
    assert "双引号没有配对" in (tmp_path / "orders.errors.csv").read_text("utf-8-sig")
