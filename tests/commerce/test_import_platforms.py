"""Each platform's own export, with its quirks, becomes the orders that its buyers would recognise."""

import csv
import io
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
import xlsxwriter

from scrm.commerce.canonical import Order
from scrm.commerce.connectors import CONNECTORS, KNOWN_HEADINGS, recognise
from scrm.commerce.connectors.reader import Scratch, open_sheet
from scrm.commerce.files.reading import Bad, Reading, read_chunks
from scrm.db.vault import Vault

VAULT = Vault("a secret that is long enough for tests")
SHANGHAI = ZoneInfo("Asia/Shanghai")


def read(path: Path) -> tuple[str, dict[str, Order], list[Bad]]:
    """The recognised format, orders by number, and what could not be used."""
    reading = Reading("shop-1", SHANGHAI, VAULT, datetime(2026, 6, 18, tzinfo=UTC))
    with Scratch() as scratch:
        sheets = [open_sheet(path, KNOWN_HEADINGS, scratch)]
        connector = recognise(sheets)
        chunks = list(read_chunks(reading, connector, sheets, scratch.path))
    orders = [msgspec.json.decode(text, type=Order) for chunk in chunks for text in chunk.good.encoded]
    return connector.key, {order.order_no: order for order in orders}, [bad for chunk in chunks for bad in chunk.bad]


def columns(text: str) -> list[str]:
    return text.split(",")


def table(headings: list[str], *rows: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(headings)
    for row in rows:
        assert set(row) <= set(headings)
        writer.writerow([row.get(heading, "") for heading in headings])
    return out.getvalue()


JD = columns(
    "订单号,商品ID,商品名称,订购数量,支付方式,下单时间,京东价,订单金额,结算金额,余额支付,应付金额,订单状态,订单类型,"
    "下单帐号,客户姓名,客户地址,联系电话,订单备注,商家备注,运费金额,付款确认时间,货号,订单完成时间,商家SKUID"
)


def test_jd_takes_the_repeated_money_once_and_knows_deleted_orders(tmp_path: Path) -> None:
    common = {"订单金额": "300.00", "结算金额": "280.00", "余额支付": "30.00", "应付金额": "250.00", "运费金额": "0.00"}
    both = {"订单号": "290000000011", "下单时间": "2026-06-01 10:00:00", "付款确认时间": "2026-06-01 10:01:00"}
    rows = [
        common | both | {"商品ID": "1001", "商品名称": "桂花乌龙", "订购数量": "2", "京东价": "100.00", "订单状态": "完成",
                         "商家备注": "第一行\n第二行", "联系电话": "138****0001", "下单帐号": "jd_a***b"},
        common | both | {"商品ID": "1002", "商品名称": "盖碗", "订购数量": "1", "京东价": "100.00", "订单状态": "完成"},
        {"订单号": "290000000012", "商品ID": "1", "商品名称": "茶", "订购数量": "1", "京东价": "9.90", "应付金额": "9.90",
         "订单状态": "(删除)等待出库", "下单时间": "2026-06-02 10:00:00"},
        {"订单号": "290000000013", "商品ID": "1", "商品名称": "茶", "订购数量": "1", "京东价": "9.90", "应付金额": "9.90",
         "订单状态": "等待出库", "支付方式": "货到付款", "下单时间": "2026-06-02 10:00:00"},
    ]  # fmt: skip
    # An empty heading at the end: every row of the real file ends with a comma.
    (tmp_path / "jd.csv").write_bytes(table([*JD, ""], *rows).encode("gb18030"))
    key, orders, bad = read(tmp_path / "jd.csv")
    assert (key, bad) == ("jd", [])
    order = orders["290000000011"]
    assert (order.status, order.paid_fen, order.payable_fen, order.goods_fen, order.discount_fen) == (
        "completed",
        28000,
        28000,
        30000,
        2000,
    )
    assert [(line.line_key, line.qty) for line in order.lines or ()] == [("1001", 2), ("1002", 1)]
    assert order.seller_note == "第一行\n第二行"
    assert (orders["290000000012"].status, orders["290000000012"].paid_fen) == ("cancelled", 0)
    assert (orders["290000000013"].status, orders["290000000013"].paid_fen) == ("paid", 0)


PDD = columns(
    "商品,订单号,订单状态,商品总价(元),邮费(元),店铺优惠折扣(元),平台优惠折扣(元),多多支付立减金额(元),用户实付金额(元),"
    "商家实收金额(元),商品数量(件),订单成交时间,支付时间,拼单成功时间,发货时间,确认收货时间,商品id,商品规格,样式ID,"
    "商家编码-规格维度,售后状态,快递单号,快递公司,收货人,手机"
)


def test_pdd_dates_an_order_without_times_by_its_number_and_takes_refunds_out(tmp_path: Path) -> None:
    rows = [
        {"商品": "茶", "订单号": "\t260101-600000000000001", "订单状态": "已发货，待签收", "商品总价(元)": "100",
         "店铺优惠折扣(元)": "10", "平台优惠折扣(元)": "5", "多多支付立减金额(元)": "1", "用户实付金额(元)": "84",
         "商品数量(件)": "2", "售后状态": "无售后或售后取消", "快递单号": "\tYT123", "快递公司": "圆通", "手机": "138****1234"},
        {"商品": "茶", "订单号": "\t260102-600000000000002", "订单状态": "未发货，退款成功", "用户实付金额(元)": "1,284.50",
         "商品总价(元)": "1284.5", "商品数量(件)": "1", "售后状态": "退款成功", "支付时间": "2026-01-02 08:00:00\t"},
        {"商品": "茶", "订单号": "\t260103-600000000000003", "订单状态": "已取消", "用户实付金额(元)": "5", "商品数量(件)": "1"},
    ]  # fmt: skip
    (tmp_path / "pdd.csv").write_text(table(PDD, *rows), encoding="utf-8-sig")
    key, orders, bad = read(tmp_path / "pdd.csv")
    assert (key, bad) == ("pdd", [])
    sent = orders["260101-600000000000001"]
    assert (sent.status, sent.paid_fen, sent.discount_fen, sent.platform_discount_fen) == ("shipped", 8400, 1000, 600)
    assert sent.ordered_at == datetime(2025, 12, 31, 16, tzinfo=UTC)
    assert [(parcel.tracking_no, parcel.carrier_name) for parcel in sent.shipments or ()] == [("YT123", "圆通")]
    back = orders["260102-600000000000002"]
    assert (back.status, back.paid_fen) == ("closed", 128450)
    assert [(case.status, case.amount_fen) for case in back.refunds or ()] == [("refunded", 128450)]
    assert (orders["260103-600000000000003"].status, orders["260103-600000000000003"].paid_fen) == ("cancelled", 0)


DOUDIAN = columns(
    "主订单编号,子订单编号,选购商品,商品规格,商品数量,商品ID,商家编码,商品单价,订单应付金额,运费,优惠总金额,平台优惠,商家优惠,"
    "达人优惠,商家改价,支付优惠,红包抵扣,支付方式,收件人,收件人手机号,省,市,区,街道,详细地址,买家留言,订单提交时间,"
    "支付完成时间,订单完成时间,发货时间,APP渠道,达人ID,达人昵称,订单状态,售后状态,取消原因"
)


@pytest.mark.parametrize(("amounts", "paid"), [(("90.00", "50.00"), 14000), (("140.00", "140.00"), 14000)])
def test_doudian_money_is_added_or_taken_once_as_the_rows_tell(
    tmp_path: Path, amounts: tuple[str, str], paid: int
) -> None:
    common = {"主订单编号": "\t6900000000000000001", "订单提交时间": "2026-06-01 10:00:00", "订单状态": "已发货",
              "支付完成时间": "2026-06-01 10:01:00", "收件人": "##AbC==##", "收件人手机号": "$$x==$$", "省": "浙江省",
              "买家留言": "-", "商品数量": "1", "订单完成时间": "-"}  # fmt: skip
    rows = [
        common | {"子订单编号": "\t6900000000000000001", "选购商品": "茶", "商品单价": "90.00", "订单应付金额": amounts[0],
                  "售后状态": "-"},
        common | {"子订单编号": "\t6900000000000000002", "选购商品": "碗", "商品单价": "50.00", "订单应付金额": amounts[1],
                  "售后状态": "退款成功"},
    ]  # fmt: skip
    (tmp_path / "抖店.csv").write_text(table(DOUDIAN, *rows), encoding="utf-8-sig")
    key, orders, bad = read(tmp_path / "抖店.csv")
    assert (key, bad) == ("doudian", [])
    order = orders["6900000000000000001"]
    assert (order.status, order.paid_fen, order.completed_at) == ("shipped", paid, None)
    assert [line.line_key for line in order.lines or ()] == ["6900000000000000001", "6900000000000000002"]
    assert [(case.refund_no, case.amount_fen) for case in order.refunds or ()] == [("6900000000000000002-refund", 5000)]


def excel(
    path: Path, headings: list[str], *rows: dict[str, Any], above: int = 0, below: list[Any] | None = None
) -> Path:
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for number in range(above):
            sheet.write_row(number, 0, ["订单导出"])
        for number, row in enumerate([dict(zip(headings, headings, strict=True)), *rows], start=above):
            sheet.write_row(number, 0, [row.get(heading, "") for heading in headings])
        if below:
            sheet.write_row(above + len(rows) + 1, 0, below)
    return path


def test_kuaishou_numbers_are_text_and_dates_are_short(tmp_path: Path) -> None:
    headings = columns(
        "订单号,订单创建时间,订单支付时间,订单状态,实付款,快递费,店铺优惠,平台补贴,主播补贴,支付优惠,成交数量,售后状态,商品名称,"
        "商品ID,商品规格,SKU编码,商品单价,CPS达人ID,快赚客ID,收货人姓名,收货人电话,收货地址-省,收货地址,快递公司,快递单号"
    )
    row = {"订单号": "2600000000000001", "订单创建时间": "2026/1/5 9:03", "订单支付时间": "2026/1/5", "订单状态": "交易成功",
           "实付款": "88", "成交数量": "2", "商品名称": "茶", "商品单价": "50.00", "店铺优惠": "10", "主播补贴": "2"}  # fmt: skip
    path = excel(tmp_path / "ks.xlsx", headings, row, above=2, below=["合计", "", "88"])
    key, orders, bad = read(path)
    assert (key, bad) == ("kuaishou", [])
    order = orders["2600000000000001"]
    assert (order.status, order.paid_fen, order.goods_fen, order.platform_discount_fen) == (
        "completed",
        8800,
        10000,
        200,
    )
    assert order.ordered_at == datetime(2026, 1, 5, 1, 3, tzinfo=UTC)


def test_xhs_adds_the_money_of_its_rows_and_knows_gifts(tmp_path: Path) -> None:
    headings = columns(
        "订单号,订单状态,售后状态,收件人姓名,收件人电话,收件人地址,小红书编码,条形码,规格ID,SKU名称,SKU规格,SKU件数,是否为赠品,"
        "商品总价（元）,用户应付金额（元）,平台优惠（元）,店铺优惠（元）,商家应收金额（元）（支付金额）,支付时间,订单创建时间,订单发货时间,用户编号"
    )
    common = {"订单号": "P600000000000000001", "订单状态": "待配货", "支付时间": "2026-06-01 10:01:00",
              "订单创建时间": "2026-06-01 10:00:00", "用户编号": "u1"}  # fmt: skip
    path = excel(
        tmp_path / "xhs.xlsx",
        headings,
        common | {"SKU名称": "茶", "规格ID": "s1", "SKU件数": "2", "是否为赠品": "否", "商品总价（元）": "1,299.00",
                  "用户应付金额（元）": "1,199.00", "店铺优惠（元）": "100.00"},
        common | {"SKU名称": "小样", "规格ID": "s2", "SKU件数": "1", "是否为赠品": "是", "商品总价（元）": "0",
                  "用户应付金额（元）": "0"},
    )  # fmt: skip
    key, orders, bad = read(path)
    assert (key, bad) == ("xhs", [])
    order = orders["P600000000000000001"]
    assert (order.status, order.paid_fen, order.goods_fen, order.discount_fen) == ("paid", 119900, 129900, 10000)
    assert [(line.line_key, line.qty, line.unit_price_fen, line.is_gift) for line in order.lines or ()] == [
        ("s1:1", 2, 64950, False),
        ("s2:2", 1, 0, True),
    ]


@pytest.mark.parametrize("connector", CONNECTORS, ids=lambda connector: connector.key)
def test_every_format_goes_to_another_process_and_back(connector: Any) -> None:
    assert pickle.loads(pickle.dumps(connector)).key == connector.key
