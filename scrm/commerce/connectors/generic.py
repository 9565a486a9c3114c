"""Any table with our own headings, Chinese or English: the format for shops without a connector (docs/import.md)."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from scrm.commerce.canonical import CouponUse, Order, Receiver, Shipment
from scrm.commerce.canonical import Line as OrderLine
from scrm.commerce.connectors.connector import Connector, Context, Parser, Reader
from scrm.commerce.connectors.reader import (
    BLANK,
    EMPTY,
    WRAPPING,
    Line,
    Sheet,
    clean,
    normalise_heading,
    read_count,
    read_fen,
    read_id,
    read_moment,
    value_of,
)
from scrm.commerce.connectors.status_words import ended
from scrm.commerce.connectors.values import picture
from scrm.errors import Invalid

ORDER_NAMES: Mapping[str, tuple[str, ...]] = {
    "order_no": ("order_no", "订单编号", "订单号"),
    "channel": ("channel", "渠道", "平台"),
    "shop_key": ("shop_key", "店铺", "店铺编号"),
    "parent_order_no": ("parent_order_no", "主订单号"),
    "status": ("status", "订单状态", "状态"),
    "ordered_at": ("ordered_at", "下单时间", "订单创建时间", "创建时间"),
    "paid_at": ("paid_at", "付款时间", "支付时间"),
    "shipped_at": ("shipped_at", "发货时间"),
    "delivered_at": ("delivered_at", "签收时间"),
    "completed_at": ("completed_at", "完成时间"),
    "closed_at": ("closed_at", "关闭时间"),
    "updated_at": ("platform_updated_at", "updated_at", "更新时间"),
    "goods": ("goods", "商品金额"),
    "freight": ("freight", "运费"),
    "discount": ("discount", "优惠金额", "店铺优惠"),
    "platform_discount": ("platform_discount", "平台优惠"),
    "payable": ("payable", "应付金额", "订单金额"),
    "paid": ("paid", "实付金额", "支付金额", "付款金额"),
    "refunded": ("refunded", "退款金额"),
    "mobile": ("mobile", "mobile_e164", "phone", "手机号", "买家手机", "手机", "联系手机"),
    "unionid": ("wx_unionid", "unionid"),
    "external_userid": ("external_userid", "wecom_external_userid"),
    "nick": ("nick", "买家昵称", "买家"),
    "receiver": ("receiver_name", "receiver", "收货人", "收件人"),
    "receiver_phone": ("receiver_phone", "收货手机", "收货电话"),
    "province": ("province", "省"),
    "city": ("city", "市"),
    "district": ("district", "区", "区县"),
    "address": ("address", "收货地址", "地址"),
    "carrier": ("carrier", "carrier_name", "物流公司", "快递公司"),
    "tracking_no": ("tracking_no", "物流单号", "快递单号", "运单号"),
    "buyer_note": ("buyer_note", "买家留言", "买家备注"),
    "seller_note": ("seller_note", "商家备注", "卖家备注"),
    "currency": ("currency", "币种"),
    "coupons": ("coupon_codes", "优惠券码", "优惠码", "券码"),
    "line_key": ("line_key", "子订单号", "子订单编号"),
    "title": ("title", "商品名称", "商品标题", "商品"),
    "spec": ("spec", "规格", "商品规格"),
    "qty": ("qty", "数量", "购买数量"),
    "unit_price": ("unit_price", "单价"),
    "line_paid": ("line_paid", "商品实付"),
    "sku": ("merchant_sku", "sku", "商家编码"),
    "item": ("platform_item_id", "商品编号", "商品id"),
    "image": ("image_url", "商品图片", "图片地址"),
}
MONEY = ("goods", "freight", "discount", "platform_discount", "payable", "paid", "refunded", "unit_price", "line_paid")
_LINE_MONEY = ("unit_price_fen", "line_paid_fen")
FEN_NAMES = {f"{name}_fen": (f"{name}_fen",) for name in MONEY}
TIMES = ("ordered_at", "paid_at", "shipped_at", "delivered_at", "completed_at", "closed_at")
_TITLES = {name: headings[1] if len(headings) > 1 else headings[0] for name, headings in ORDER_NAMES.items()}

STATUSES = {
    "待付款": "pending_payment",
    "待支付": "pending_payment",
    "未付款": "pending_payment",
    "已付款": "paid",
    "已支付": "paid",
    "待发货": "paid",
    "部分发货": "partially_shipped",
    "已发货": "shipped",
    "待收货": "shipped",
    "已签收": "shipped",
    "已完成": "completed",
    "交易成功": "completed",
    "交易完成": "completed",
    "已取消": "cancelled",
    "已关闭": "closed",
    "交易关闭": "closed",
    "已退款": "closed",
    **{
        status: status
        for status in (
            "pending_payment",
            "paid",
            "partially_shipped",
            "shipped",
            "completed",
            "cancelled",
            "closed",
            "unknown",
        )
    },
}
CHANNELS = {
    "淘宝": "taobao",
    "天猫": "tmall",
    "京东": "jd",
    "拼多多": "pdd",
    "抖店": "doudian",
    "抖音": "doudian",
    "快手": "kuaishou",
    "小红书": "xhs",
    "有赞": "youzan",
    "微盟": "weimob",
    "微信小店": "wxstore",
    "门店": "pos",
    "自有商城": "mall",
    "商城": "mall",
}


def fit(sheets: list[Sheet]) -> Parser:
    """One table whose rows are order lines; rows of one order number are one order."""
    return fit_names(sheets[0], {**ORDER_NAMES, **FEN_NAMES})


def fit_names(sheet: Sheet, names: Mapping[str, Sequence[str]]) -> Parser:
    """The same with other headings: `names` has every field of ORDER_NAMES, () where the sheet has none for it."""
    reader = Reader(sheet, {**dict.fromkeys(FEN_NAMES, ()), **names})
    place = reader.place("order_no")
    if place is None:
        raise Invalid(f"{sheet.name}：缺少列“订单编号”（或 order_no），支持的列名见 docs/import.md")
    return Parser(
        sheet=sheet,
        details=None,
        id_place=place,
        detail_id_place=None,
        time_places=tuple(found for name in TIMES if (found := reader.place(name)) is not None),
        build=_Orders(reader).build,
    )


_OF_LINES = frozenset(("title", "spec", "sku", "item", "line_key", "qty", "image"))
# In which "-" and "无" may be meant.
_FREE_TEXT = frozenset(("status", "buyer_note", "seller_note", "title", "spec"))
_Money = list[tuple[str, Callable[[str], int | None], int]]


def _money_columns(reader: Reader, name: str) -> list[tuple[Callable[[str], int | None], int]]:
    """How to read an amount and from where: the column in fen first, then the one in yuan."""
    columns = ((_read_whole_fen, reader.place(f"{name}_fen")), (read_fen, reader.place(name)))
    return [(read, place) for read, place in columns if place is not None]


class _Orders:
    """Rows of one number to one order: order columns from the first row that has them, a line from each row."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._blank = dict.fromkeys(ORDER_NAMES, "")
        placed = [(name, place) for name in ORDER_NAMES if (place := reader.place(name)) is not None]
        cleaned = [(name, place, clean if name in _FREE_TEXT else value_of) for name, place in placed]
        self._columns = [one for one in cleaned if one[0] not in _OF_LINES]
        self._line_columns = [one for one in cleaned if one[0] in _OF_LINES]
        self._time_names = [name for name in (*TIMES, "updated_at") if reader.has(name)]
        money = [(f"{name}_fen", *column) for name in MONEY for column in _money_columns(reader, name)]
        self._order_money = [column for column in money if column[0] not in _LINE_MONEY]
        self._line_money = [column for column in money if column[0] in _LINE_MONEY]

    def build(self, rows: Sequence[Line], detail_rows: Sequence[Line], context: Context) -> Order:
        cells = self._order_cells(rows)
        times = self._times(cells, context)
        updated_at = times.pop("updated_at", None)
        raw_status = cells["status"]
        lines = [line for row in rows if (line := self._line(row)) is not None]
        return Order(
            channel=channel_of(cells["channel"]),
            shop_key=cells["shop_key"] or context.shop_key,
            order_no=read_id(cells["order_no"]),
            parent_order_no=read_id(cells["parent_order_no"]),
            status=_status(raw_status, times, context),  # type: ignore[arg-type]
            raw_status=raw_status,
            currency=cells["currency"].upper() or "CNY",
            platform_updated_at=updated_at or context.exported_at,
            buyer_ref=_buyer(cells),
            receiver=_receiver(cells),
            buyer_note=cells["buyer_note"],
            seller_note=cells["seller_note"],
            lines=lines or None,
            shipments=_shipments(cells) if cells["tracking_no"] else None,
            coupons=_coupons(cells["coupons"]) if cells["coupons"] else None,
            **self._fen_of(rows[0], self._order_money),  # type: ignore[arg-type]
            **times,  # type: ignore[arg-type]
        )

    def _order_cells(self, rows: Sequence[Line]) -> dict[str, str]:
        """Order columns by name, from the first row that fills them, without their wrapping."""
        cells = self._blank.copy()
        for row in reversed(rows):
            raw = row.cells
            for name, place, read in self._columns:
                if cell := raw[place]:
                    # Most cells are as they should be: asked here, it costs a third.
                    is_plain = cell[0] not in WRAPPING and cell[-1] not in BLANK and cell not in EMPTY
                    cells[name] = cell if is_plain else read(cell)
        return cells

    def _times(self, cells: dict[str, str], context: Context) -> dict[str, datetime | None]:
        times: dict[str, datetime | None] = {}
        for name in self._time_names:
            try:
                times[name] = read_moment(cells[name], context.zone)
            except ValueError as error:
                raise ValueError(f"“{_TITLES[name]}”{error}") from None
        return times

    def _line(self, row: Line) -> OrderLine | None:
        cells = {name: read(cell) if (cell := row.cells[place]) else "" for name, place, read in self._line_columns}
        get = cells.get
        title, sku = get("title", ""), get("sku", "")
        if not title and not sku:
            return None
        try:
            qty = read_count(get("qty", ""))
        except ValueError as error:
            raise ValueError(f"“{_TITLES['qty']}”{error}") from None
        amounts = self._fen_of(row, self._line_money)
        return OrderLine(
            line_key=read_id(get("line_key", "")),
            title=title or sku,
            spec=get("spec", ""),
            platform_item_id=get("item", "")[:80],
            merchant_sku=sku[:80],
            image_url=picture(get("image", "")),
            qty=1 if qty is None else qty,
            unit_price_fen=amounts.get("unit_price_fen"),
            paid_fen=amounts.get("line_paid_fen"),
        )

    def _fen_of(self, row: Line, columns: "_Money") -> dict[str, int | None]:
        """Amounts by field: from the column in fen where it is filled, else from the column in yuan."""
        amounts: dict[str, int | None] = {}
        for field, read, place in columns:
            cell = row.cells[place]
            if not cell or amounts.get(field) is not None:
                continue
            try:
                amounts[field] = read(cell)
            except ValueError as error:
                raise ValueError(f"“{_TITLES[field.removesuffix('_fen')]}”{error}") from None
        return amounts


def _read_whole_fen(cell: str) -> int | None:
    text = value_of(cell)
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 13):
        raise ValueError(f"应为以分为单位的整数，看到“{text[:30]}”")
    return int(text) if text else None


@lru_cache(maxsize=64)
def channel_of(text: str) -> str:
    """Code of a channel by its code or Chinese name; mall for none. Raises ValueError in the reader's words."""
    channel = CHANNELS.get(text, text.lower()) or "mall"
    if not (channel.isascii() and channel.replace("_", "").isalnum() and channel[0].isalpha() and len(channel) <= 24):
        raise ValueError(f"“渠道”不认识“{text[:30]}”，请写 taobao、jd、pos 等代码或淘宝、京东、门店等名称")
    return channel


def _status(text: str, times: dict[str, datetime | None], context: Context) -> str:
    if text:
        return ended(context.words.find(text, STATUSES) or context.words.note(text), bool(times.get("paid_at")))
    for name, status in (
        ("closed_at", "closed"),
        ("completed_at", "completed"),
        ("shipped_at", "shipped"),
        ("paid_at", "paid"),
    ):
        if times.get(name):
            return status if name != "closed_at" or times.get("paid_at") else "cancelled"
    return "pending_payment"


def _buyer(cells: dict[str, str]) -> dict[str, str]:
    ids = {
        "wx_unionid": cells["unionid"],
        "wecom_external_userid": cells["external_userid"],
        "mobile_e164": cells["mobile"] or cells["receiver_phone"],
        "nick": cells["nick"],
    }
    return {kind: value for kind, value in ids.items() if value}


def _receiver(cells: dict[str, str]) -> Receiver | None:
    name, address, phone = cells["receiver"], cells["address"], cells["receiver_phone"] or cells["mobile"]
    if not (name or address or phone):
        return None
    return Receiver(
        name=name,
        phone=phone,
        province=cells["province"],
        city=cells["city"],
        district=cells["district"],
        address=address,
    )


def _coupons(text: str) -> list[CouponUse] | None:
    """Codes that the order used, several with commas between them; which took off how much no table tells."""
    codes = dict.fromkeys(code for part in _BETWEEN_CODES.split(text) if (code := value_of(part)))
    if long := [code for code in codes if len(code) > 64]:
        raise ValueError(f"“优惠券码”最多 64 个字符，看到“{long[0][:30]}…”")
    return [CouponUse(code=code) for code in codes] or None


_BETWEEN_CODES = re.compile(r"[,，、;；\s]+")


def _shipments(cells: dict[str, str]) -> list[Shipment] | None:
    number = read_id(cells["tracking_no"])
    return [Shipment(tracking_no=number[:80], carrier_name=cells["carrier"])] if number else None


_KNOWN = [heading for names in (ORDER_NAMES, FEN_NAMES) for group in names.values() for heading in group]
CONNECTOR = Connector(
    key="generic",
    title="通用表格",
    headings=frozenset(normalise_heading(heading) for heading in _KNOWN),
    marks=frozenset(("order_no", "paid_fen", "shop_key", "channel", "mobile_e164")),
    fit=fit,
)
