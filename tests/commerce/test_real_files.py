"""Files as shops really have them: three exports nobody tested with, and what is left of a file when it is broken."""

import csv
import io
import re
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import xlsxwriter

from scrm.commerce.connectors.hook import Unreadable
from scrm.commerce.connectors.reader import read_count, read_fen, read_moment
from scrm.commerce.connectors.values import yuan
from scrm.commerce.files.import_orders import Counts, Into, import_orders
from scrm.commerce.order_views import find_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Invalid
from tests.commerce.test_import_platforms import JD, SHANGHAI, columns, read
from tests.fakes.clock import FakeClock

TAOBAO = columns(
    "订单编号,买家会员名,支付单号,买家应付货款,买家应付邮费,总金额,买家实际支付金额,订单状态,收货人姓名,收货地址 ,"
    "联系电话 ,联系手机,订单创建时间,订单付款时间 ,宝贝标题 ,物流单号 ,物流公司,订单备注,宝贝总数量,退款金额,打款商家金额"
)
PDD = columns(
    "商品,订单号,订单状态,商品总价(元),邮费(元),店铺优惠折扣(元),用户实付金额(元),商家实收金额(元),商品数量(件),支付时间,"
    "售后状态,退款金额(元),快递单号,快递公司"
)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Reading is the same for both databases."""
    return sqlite_url


def table(headings: list[str], *rows: dict[str, str], delimiter: str = ",") -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow([row.get(heading.strip(), "") for heading in headings])
    return out.getvalue()


A_TAOBAO_ORDER = {
    "订单编号": '="3920114455667788123"', "买家应付货款": "¥1,299.00", "总金额": "1,299.00", "买家实际支付金额": "1,199.00",
    "订单状态": "交易成功", "联系手机": "'13800000001", "订单创建时间": "2026/6/1 9:05", "订单付款时间": "2026/6/1 9:06",
    "宝贝标题": "【旗舰】白茶饼，357g\n礼盒装", "物流单号": "No:SF1020304050607", "订单备注": "'送礼，\"小心\"轻放",
    "宝贝总数量": "2", "打款商家金额": "1199.00元",
}  # fmt: skip
ANOTHER = {
    "订单编号": "\t3920114455667788149\t", "买家应付货款": "100.00", "总金额": "100.00", "买家实际支付金额": "100.00",
    "订单状态": "卖家已发货，等待买家确认", "订单创建时间": "2026.06.03 10:00:00", "订单付款时间": "2026.06.03 10:00:09",
    "宝贝标题": "盖碗", "宝贝总数量": "1", "退款金额": "-30.00", "打款商家金额": "70.00元",
}  # fmt: skip
A_JD_ORDER = {
    "订单号": "296600000001", "商品ID": "10001", "商品名称": "白茶", "订购数量": "2", "下单时间": "2026-06-05 10:00:00",
    "京东价": "100.00", "订单金额": "300.00", "结算金额": "280.00", "应付金额": "280.00", "订单状态": "等待确认收货",
    "付款确认时间": "2026-06-05 10:01:00",
}  # fmt: skip


def test_taobao_in_gb18030_with_wrapped_and_tabbed_numbers(tmp_path: Path) -> None:
    path = tmp_path / "tb.csv"
    path.write_bytes(table(TAOBAO, A_TAOBAO_ORDER, ANOTHER).encode("gb18030"))
    key, orders, bad = read(path)
    assert (key, bad) == ("taobao", [])
    first, second = orders["3920114455667788123"], orders["3920114455667788149"]
    assert (first.status, first.payable_fen, first.paid_fen, first.merchant_income_fen) == (
        "completed",
        129900,
        119900,
        119900,
    )
    assert first.seller_note == '送礼，"小心"轻放'
    assert [parcel.tracking_no for parcel in first.shipments or ()] == ["SF1020304050607"]
    assert (second.status, second.refunded_fen, second.paid_fen) == ("shipped", 3000, 10000)


def excel(path: Path, headings: list[str], *rows: dict[str, str]) -> None:
    """Three rows of headings, the first two merged across columns, and a sum below."""
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("订单列表")
        sheet.merge_range(0, 0, 0, len(headings) - 1, "京东商家后台 订单导出")
        sheet.merge_range(1, 0, 1, 5, "订单信息")
        sheet.merge_range(1, 6, 1, len(headings) - 1, "金额信息")
        for place, heading in enumerate(headings):
            sheet.write_string(2, place, heading)
        for number, row in enumerate(rows, 3):
            for place, heading in enumerate(headings):
                sheet.write_string(number, place, row.get(heading, ""))
        sheet.write(3 + len(rows), 0, "合计")
        sheet.write(3 + len(rows), 10, 380)


def test_jd_under_merged_headings_whatever_the_file_is_called(tmp_path: Path) -> None:
    held = A_JD_ORDER | {"订单号": "296600000002", "订单状态": "暂停", "付款确认时间": ""}
    excel(tmp_path / "jd.xlsx", JD, A_JD_ORDER, A_JD_ORDER | {"商品ID": "10002", "订购数量": "1"}, held)
    renamed = tmp_path / "jd.csv"
    renamed.write_bytes((tmp_path / "jd.xlsx").read_bytes())
    with zipfile.ZipFile(tmp_path / "jd.zip", "w") as archive:
        archive.write(tmp_path / "jd.xlsx", "导出/京东.xlsx")
    for path in (tmp_path / "jd.xlsx", renamed, tmp_path / "jd.zip"):
        key, orders, bad = read(path)
        assert (key, bad, len(orders)) == ("jd", [], 2)
        order = orders["296600000001"]
        assert (order.status, order.paid_fen, len(order.lines or ())) == ("shipped", 28000, 2)
        assert (orders["296600000002"].status, orders["296600000002"].paid_fen) == ("unknown", 0)


def test_pinduoduos_refund_column_says_how_much_went_back(tmp_path: Path) -> None:
    paid = {"商品": "盖碗", "商品总价(元)": "100", "用户实付金额(元)": "100", "支付时间": "2026-06-01 11:01:00"}
    some = {"售后状态": "退款成功", "退款金额(元)": "30.00", "快递单号": "\tYT9000000001", "快递公司": "圆通"}
    rows = [
        paid | {"订单号": "\t260601-600000000000029", "订单状态": "已签收"} | some,
        paid | {"订单号": "\t260601-600000000000011", "订单状态": "已发货，退款成功", "售后状态": "退款成功"},
        paid
        | {
            "订单号": "\t260601-600000000000037",
            "订单状态": "待发货",
            "售后状态": "无售后或售后取消",
            "退款金额(元)": "0",
        },
    ]
    (tmp_path / "pdd.csv").write_bytes(table(PDD, *rows).encode("utf-8-sig"))
    key, orders, bad = read(tmp_path / "pdd.csv")
    assert (key, bad) == ("pdd", [])
    refunds = {no[-2:]: [case.amount_fen for case in order.refunds or ()] for no, order in orders.items()}
    assert refunds == {"29": [3000], "11": [10000], "37": []}
    assert orders["260601-600000000000029"].status == "completed"


@pytest.mark.parametrize(
    ("cell", "fen"),
    [
        ("１，２９９．００", 129900),
        ("￥ 1,299.00 元", 129900),
        ("（30.00）", -3000),
        ("暂无", None),
        ("人民币8", 800),
        ("\u22121.50", -150),
    ],
)
def test_money_is_read_however_people_write_it(cell: str, fen: int | None) -> None:
    assert read_fen(cell) == fen


@pytest.mark.parametrize("cell", ["12,50", "1.234,50", "1,2,3", "1,29.00"])
def test_a_comma_that_parts_no_thousands_is_asked_about_and_never_a_hundredfold(cell: str) -> None:
    for read_number in (read_fen, read_count):
        with pytest.raises(ValueError, match="看到“" + re.escape(cell)):
            read_number(cell)
    with pytest.raises(Unreadable, match=re.escape(cell)):
        yuan("paid", cell)


@pytest.mark.parametrize(
    "cell",
    [
        *("2026年06月18日20:00:05", "20260618200005", "2026/6/18 20:00:05", "2026-06-18T20:00:05+08:00"),
        *(
            "２０２６－０６－１８　２０：００：０５",
            "2026年6月18日 20时00分05秒",
            "2026/6/18 下午 8:00:05",
            "2026-06-18 08:00:05 PM",
        ),
    ],
)
def test_times_are_read_however_exports_write_them(cell: str) -> None:
    assert read_moment(cell, SHANGHAI) == datetime(2026, 6, 18, 12, 0, 5, tzinfo=UTC)


def test_a_file_is_as_new_as_its_newest_time_in_any_notation(tmp_path: Path) -> None:
    moved = A_JD_ORDER | {"订单号": "296600000002", "下单时间": "2026/6/9 8:00", "付款确认时间": "2026-06-12 08:00:00"}
    (tmp_path / "jd.csv").write_bytes(table(JD, moved, A_JD_ORDER).encode("gb18030"))
    _, orders, _ = read(tmp_path / "jd.csv")
    assert orders["296600000001"].platform_updated_at == datetime(2026, 6, 12, tzinfo=UTC)


def test_a_jd_order_on_hold_says_nothing_of_its_state(tmp_path: Path) -> None:
    (tmp_path / "jd.csv").write_bytes(table(JD, A_JD_ORDER | {"订单状态": "(锁定)等待出库"}).encode("gb18030"))
    _, orders, _ = read(tmp_path / "jd.csv")
    assert orders["296600000001"].status == "unknown"


DETAILS = columns("子订单编号,主订单编号,标题,价格,购买数量,订单状态,买家应付货款,买家实际支付金额,退款状态,退款金额")


@pytest.mark.parametrize(
    ("words", "back", "of_order", "states"),
    [
        ("卖家已经同意退款，等待买家退货", "100.00", "0.00", [("waiting_return", 10000, "")]),
        ("退款成功", "90.00", "100.00", [("refunded", 10000, "")]),
        ("没有申请退款", "", "0.00", []),
        ("待平台判责", "100.00", "0.00", [("unknown", 10000, "待平台判责")]),
        ("退款关闭", "100.00", "30.00", []),
    ],
)
async def test_after_sales_of_the_goods_report_come_with_the_orders(
    db: Database, vault: Vault, tmp_path: Path, words: str, back: str, of_order: str, states: list[tuple[str, int, str]]
) -> None:
    no = "3920114455667788149"
    line = {
        "子订单编号": no,
        "主订单编号": no,
        "标题": "盖碗",
        "价格": "100",
        "购买数量": "1",
        "退款状态": words,
        "退款金额": back,
    }
    (tmp_path / "orders.csv").write_bytes(table(TAOBAO, ANOTHER | {"退款金额": of_order}).encode("gb18030"))
    (tmp_path / "goods.csv").write_bytes(table(DETAILS, line).encode("gb18030"))
    counts = await import_orders(
        Into(db, vault, FakeClock(), SHANGHAI), [tmp_path / "goods.csv", tmp_path / "orders.csv"]
    )
    (order,) = await db.read(find_orders, None, no)
    assert [(case["status"], case["amount_fen"], case["raw_status"]) for case in order.refunds] == states
    assert order.row["refunded_fen"] == read_fen(of_order)
    assert list(counts.strange) == (["售后：待平台判责"] if words == "待平台判责" else [])


async def bring_in(db: Database, vault: Vault, path: Path) -> Counts:
    return await import_orders(Into(db, vault, FakeClock(), SHANGHAI), [path])


WHOLE = table(TAOBAO, A_TAOBAO_ORDER, ANOTHER)


async def test_the_row_in_which_a_download_broke_off_is_given_back(db: Database, vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "tb.csv"
    for text, words in (
        (WHOLE[: WHOLE.rindex(",100.00,100.00")], "文件没有下载完整"),
        (WHOLE.replace("盖碗", '"盖碗'), "双引号没有配对"),
    ):
        path.write_bytes(text.encode("gb18030"))
        counts = await bring_in(db, vault, path)
        assert (counts.created + counts.unchanged, counts.rejected) == (1, 1), words
        assert words in counts.reasons[0]
        assert await db.read(find_orders, None, "3920114455667788149") == []


BROKEN = {
    "half a character.csv": (WHOLE.encode("gb18030")[:-9] + "茶".encode("gb18030")[:1], "文件可能损坏"),
    "a wrong encoding.csv": (WHOLE.encode("gb18030").replace("交易".encode("gb18030"), b"\xff\xfe\x81"), "文件可能损坏"),
    "empty.csv": (b"", "文件是空的"),
    "blank.csv": (b"\r\n\r\n", "没有找到认识的表头"),
    "zeros.csv": (b"\0" * 5000, "没有找到认识的表头"),
    "no status.csv": (table([one for one in JD if one != "订单状态"], A_JD_ORDER).encode(), "京东订单缺少列“订单状态”，请在后台勾选"),
    "cut.xlsx": (b"PK\x03\x04" + b"\0" * 500, "压缩文件已损坏"),
    "a cell.csv": (table(JD, A_JD_ORDER, A_JD_ORDER | {"商家备注": "长" * 1_000_001}).encode(), "第 3 行有一格超过 1,000,000 个字"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_what_cannot_be_read_is_refused_in_one_line(
    db: Database, vault: Vault, tmp_path: Path, name: str
) -> None:
    content, words = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Invalid) as refused:
        await bring_in(db, vault, tmp_path / name)
    assert words in refused.value.text
    assert "\n" not in refused.value.text


async def test_any_delimiter_and_a_very_long_cell_are_read(db: Database, vault: Vault, tmp_path: Path) -> None:
    for number, (delimiter, encoding) in enumerate((("|", "gb18030"), (";", "utf-16"), ("\t", "utf-8"))):
        order = A_JD_ORDER | {"订单号": f"29660000001{number}", "商品名称": "长" * 100_000}
        path = tmp_path / f"{number}.csv"
        path.write_bytes(table(JD, order, delimiter=delimiter).encode(encoding))
        assert (await bring_in(db, vault, path)).created == 1
