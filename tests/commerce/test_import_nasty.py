"""Files as they really come: opened and saved by Excel, put together by hand, or with a column that got another name."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from scrm.errors import Invalid
from tests.commerce.test_import_platforms import DOUDIAN, JD, PDD, columns, read, table

TAOBAO = columns(
    "订单编号,买家会员名,买家应付货款,买家应付邮费,总金额,买家实际支付金额,订单状态,收货人姓名,收货地址 ,联系手机,"
    "订单创建时间,订单付款时间 ,宝贝标题 ,宝贝总数量,退款金额,打款商家金额"
)
KUAISHOU = columns(
    "订单号,订单创建时间,订单支付时间,订单状态,实付款,成交数量,商品名称,商品ID,商品单价,CPS达人ID,主播补贴,收货人电话"
)
NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)


def taobao(number: int, **more: str) -> dict[str, str]:
    return {
        "订单编号": f'="32000000000000000{number}"', "买家会员名": "林𠮷", "买家应付货款": "1,299.00", "总金额": "1,299.00",
        "买家实际支付金额": "￥1,299.00", "订单状态": "交易成功", "收货人姓名": "𠮷野㐂", "联系手机": "'13800000001",
        "订单创建时间": "2026-06-01 12:00:00", "订单付款时间 ": "2026-06-01 12:00:00", "宝贝标题 ": "桂花㙍乌龙",
        "宝贝总数量": "1", "打款商家金额": "1299.00元",
    } | more  # fmt: skip


def excel(path: Path, headings: list[str], *rows: dict[str, Any], dates: tuple[str, ...] = ()) -> Path:
    """The orders on a sheet in the middle, below a byte order mark that a script has left there."""
    with xlsxwriter.Workbook(str(path)) as book:
        book.add_worksheet("说明").write(0, 0, "\ufeff导出说明")
        sheet = book.add_worksheet("订单")
        book.add_worksheet("其他").write_row(0, 0, ["订单状态", "备注"])
        day = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        for column, heading in enumerate(headings):
            sheet.write_string(0, column, "\ufeff" * (column == 0) + heading)
            for number, row in enumerate(rows, start=1):
                value = row.get(heading, "")
                if heading in dates:
                    sheet.write_number(number, column, value, day)
                else:
                    sheet.write(number, column, value)
    return path


def test_taobao_in_gb18030_with_rare_letters_blank_rows_and_what_went_back_as_a_negative_amount(
    tmp_path: Path,
) -> None:
    rows = [taobao(11), taobao(12, 退款金额="-12.00"), dict.fromkeys(TAOBAO, "\t"), {"订单编号": " "}]
    path = tmp_path / "订单.csv"
    path.write_bytes(table(TAOBAO, *rows).encode("gb18030") + b"\r\n\r\n,,,,\r\n")
    key, orders, bad = read(path)
    assert (key, bad) == ("taobao", [])
    one, other = orders["3200000000000000011"], orders["3200000000000000012"]
    assert (one.paid_fen, one.ordered_at, other.refunded_fen) == (129900, NOON, 1200)
    assert one.receiver is not None
    assert (one.receiver.name, one.receiver.phone, one.buyer_ref["mobile_e164"]) == (
        "𠮷野㐂",
        "13800000001",
        "13800000001",
    )
    assert [line.title for line in other.lines or ()] == ["桂花㙍乌龙"]


def test_two_exports_one_behind_the_other_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "订单.csv"
    path.write_bytes(b"".join(table(TAOBAO, taobao(number)).encode("utf-8-sig") for number in (11, 12)))
    _, orders, bad = read(path)
    assert (list(orders), bad) == (["3200000000000000011", "3200000000000000012"], [])


def test_jd_rows_below_an_order_go_on_with_it(tmp_path: Path) -> None:
    first = {"订单号": "290000000011", "商品ID": "1", "商品名称": "茶", "订购数量": "1", "京东价": "1,299.00", "应付金额": "1,299.00",
             "订单金额": "1,299.00", "结算金额": "1299", "订单状态": "完成", "下单时间": "2026-06-01 12:00"}  # fmt: skip
    path = tmp_path / "jd.csv"
    path.write_bytes(table([*JD, ""], first, first | {"订单号": "", "商品ID": "2", "商品名称": "碗"}).encode("gb18030"))
    _, orders, bad = read(path)
    assert (bad, orders["290000000011"].paid_fen) == ([], 129900)
    assert [line.title for line in orders["290000000011"].lines or ()] == ["茶", "碗"]


def test_pdd_says_of_each_row_that_is_no_order_what_is_wrong(tmp_path: Path) -> None:
    row = {"商品": "茶", "订单号": "\t260101-600000000000001\t", "订单状态": "已签收\t", "用户实付金额(元)": "1,299.00\t",
           "商品总价(元)": "1299", "商品数量(件)": "1\t", "支付时间": "\t", "售后状态": "无售后或售后取消"}  # fmt: skip
    rows = [
        row,
        row | {"订单号": "260101-600000000000002", "用户实付金额(元)": "-5.00"},
        row | {"订单号": "2.60101E+14"},
    ]
    path = tmp_path / "pdd.csv"
    path.write_text(table(PDD, *rows), encoding="utf-8-sig")
    _, orders, bad = read(path)
    assert orders["260101-600000000000001"].paid_fen == 129900
    assert [one.reason.partition("，")[0] for one in bad] == [
        "第 3 行：“实付金额”不能是负数",
        "第 4 行：单号“2.60101E+14”被表格软件改成了科学计数",
    ]


def test_doudian_dates_of_excel_and_days_that_never_were(tmp_path: Path) -> None:
    row = {"主订单编号": "\t6900000000000000001", "子订单编号": "\t6900000000000000001", "选购商品": "茶", "商品数量": "1",
           "商品单价": "90.00", "订单应付金额": "90.00", "订单提交时间": 46174.5, "支付完成时间": 0, "订单状态": "待支付",
           "订单完成时间": "1900-01-00"}  # fmt: skip
    number = {"主订单编号": 6900000000000000004}
    path = excel(tmp_path / "抖店.xlsx", DOUDIAN, row, row | number, dates=("订单提交时间", "支付完成时间"))
    _, orders, bad = read(path)
    order = orders["6900000000000000001"]
    assert (order.status, order.ordered_at, order.paid_at, order.completed_at) == ("pending_payment", NOON, None, None)
    assert len(bad) == 1
    assert "原号已丢失，请从后台重新导出" in bad[0].reason


def test_kuaishou_numbers_with_decimals_and_phones_with_gaps(tmp_path: Path) -> None:
    row = {"订单号": "2600000000000001", "订单创建时间": "2026/6/1 12:00", "订单支付时间": "1900-01-00 00:00:00",
           "订单状态": "交易成功", "实付款": "￥1,288.00", "成交数量": "2.0", "商品名称": "茶\n礼盒", "商品单价": "644"}  # fmt: skip
    _, orders, bad = read(
        excel(
            tmp_path / "ks.xlsx", KUAISHOU, row, row | {"订单号": "2", "成交数量": "两"}, dict.fromkeys(KUAISHOU, " ")
        )
    )
    order = orders["2600000000000001"]
    assert (order.status, order.paid_fen, order.ordered_at, (order.lines or [])[0].qty) == (
        "completed",
        128800,
        NOON,
        2,
    )
    assert [one.reason for one in bad] == ["第 3 行：“成交数量”应为整数件数，看到“两”"]


@pytest.mark.parametrize(
    ("headings", "old", "new", "key"),
    [
        (TAOBAO, "订单状态", "订单当前状态", "订单报表"),
        (PDD, "用户实付金额(元)", "用户实付（元）", "拼多多订单"),
        (KUAISHOU, "实付款", "订单实付金额", "快手订单"),
        (DOUDIAN, "订单应付金额", "应付金额合计", "抖店订单"),
        (JD, "订单状态", "当前订单状态", "京东订单"),
    ],
)
def test_a_column_that_got_another_name_is_named_with_the_way_out(
    tmp_path: Path, headings: list[str], old: str, new: str, key: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(table([new if heading == old else heading for heading in headings], {}), encoding="utf-8")
    with pytest.raises(Invalid) as caught:
        read(path)
    line = str(caught.value)
    assert f"{key}缺少列“{old}”。文件里的“{new}”像是改了名的“{old}”：请在后台「导入」页" in line
    assert "\n" not in line
