"""Taobao and Tmall: 订单报表 and 宝贝报表 as 千牛 exports them, together or, where complete, alone (docs/import.md)."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from scrm.commerce.canonical import Line as OrderLine
from scrm.commerce.canonical import Order, Receiver, Refund, Shipment
from scrm.commerce.connectors.aftersale import read_case
from scrm.commerce.connectors.connector import Connector, Context, Parser, Reader, lacking
from scrm.commerce.connectors.reader import (
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
from scrm.errors import Invalid
from scrm.profiles.phones import is_masked

ORDER_NAMES: Mapping[str, tuple[str, ...]] = {
    "order_no": ("订单编号", "主订单编号"),
    "parent_order_no": ("主订单编号",),
    "nick": ("买家会员名", "买家昵称"),
    "payment_no": ("支付单号",),
    "goods": ("买家应付货款",),
    "freight": ("买家应付邮费",),
    "total": ("总金额",),
    "paid": ("买家实际支付金额", "买家实付金额"),
    "status": ("订单状态",),
    "buyer_note": ("买家留言",),
    "receiver": ("收货人姓名",),
    "address": ("收货地址",),
    "telephone": ("联系电话",),
    "mobile": ("联系手机",),
    "ordered_at": ("订单创建时间", "买家下单时间"),
    "paid_at": ("订单付款时间", "买家付款时间"),
    "shipped_at": ("发货时间",),
    "completed_at": ("确认收货时间",),
    "title": ("宝贝标题", "商品标题"),
    "spec": ("商品属性sku", "宝贝规格", "商品属性"),
    "tracking_no": ("物流单号", "运单号"),
    "carrier": ("物流公司",),
    "seller_note": ("订单备注", "商家备忘"),
    "qty": ("宝贝总数量",),
    "closed_because": ("订单关闭原因",),
    "coupon": ("天猫卡券抵扣",),
    "points": ("集分宝抵扣",),
    "refunded": ("退款金额",),
    "income": ("打款商家金额", "确认收货打款金额"),
}
DETAIL_NAMES: Mapping[str, tuple[str, ...]] = {
    "order_no": ("主订单编号", "订单编号"),
    "line_no": ("子订单编号",),
    "title": ("标题",),
    "price": ("价格",),
    "qty": ("购买数量",),
    "item": ("外部系统编号",),
    "spec": ("商品属性",),
    "bundle": ("套餐信息",),
    "note": ("备注",),
    "status": ("订单状态",),
    "sku": ("商家编码",),
    "goods": ("买家应付货款",),
    "paid": ("买家实际支付金额",),
    "refund_status": ("退款状态",),
    "refunded": ("退款金额",),
    "ordered_at": ("订单创建时间",),
    "paid_at": ("订单付款时间",),
}
_STATUS = {
    normalise_heading(text): status
    for text, status in {
        "等待买家付款": "pending_payment",
        "定金已付，尾款未付": "pending_payment",
        "买家已付款，等待卖家发货": "paid",
        "等待卖家发货": "paid",
        "卖家部分发货": "partially_shipped",
        "卖家已发货，等待买家确认": "shipped",
        "物流派件中": "shipped",
        "买家已签收": "shipped",
        "交易成功": "completed",
        "交易关闭": "closed",
        "付款以后用户退款成功，交易自动关闭": "closed",
        "卖家或买家主动关闭交易": "cancelled",
        "TRADE_NO_CREATE_PAY": "pending_payment",
        "WAIT_BUYER_PAY": "pending_payment",
        "PAY_PENDING": "pending_payment",
        "WAIT_PRE_AUTH_CONFIRM": "pending_payment",
        "WAIT_SELLER_SEND_GOODS": "paid",
        "PAID_FORBID_CONSIGN": "paid",
        "SELLER_CONSIGNED_PART": "partially_shipped",
        "WAIT_BUYER_CONFIRM_GOODS": "shipped",
        "TRADE_BUYER_SIGNED": "shipped",
        "TRADE_FINISHED": "completed",
        "TRADE_CLOSED": "closed",
        "TRADE_CLOSED_BY_TAOBAO": "cancelled",
    }.items()
}


def fit(sheets: list[Sheet]) -> Parser:
    """Sort one or two files, in any order, into 订单报表 and 宝贝报表."""
    if len(sheets) > 2:
        raise Invalid(f"淘宝订单一次导入订单报表和宝贝报表各一个，收到 {len(sheets)} 个文件，请分几次导入")
    details = [sheet for sheet in sheets if _is_detail(sheet)]
    mains = [sheet for sheet in sheets if not _is_detail(sheet)]
    if len(sheets) == 2 and len(details) != 1:
        kind = "宝贝报表" if details else "订单报表"
        raise Invalid(f"两个文件都是{kind}，应是订单报表和宝贝报表各一个")
    if mains:
        return _fit_orders(mains[0], details[0] if details else None)
    return _fit_details_alone(details[0])


def _is_detail(sheet: Sheet) -> bool:
    names = sheet.columns
    return "购买数量" in names and "标题" in names and "宝贝总数量" not in names


def _fit_orders(sheet: Sheet, details: Sheet | None) -> Parser:
    # 订单编号 is the order's own number where both stand in the file.
    reader = Reader(sheet, ORDER_NAMES)
    _require(sheet, reader, "订单报表", _NEEDED)
    lines = Reader(details, DETAIL_NAMES) if details is not None else None
    if details is not None and lines is not None:
        _require(details, lines, "宝贝报表", {"order_no": "订单编号", "title": "标题"})
    return Parser(
        sheet=sheet,
        details=details,
        id_place=_place(reader, "order_no"),
        detail_id_place=None if lines is None else _place(lines, "order_no"),
        time_places=_times(reader),
        build=_Orders(reader, lines).build,
    )


def _fit_details_alone(sheet: Sheet) -> Parser:
    reader = Reader(sheet, DETAIL_NAMES)
    if not (reader.has("paid") and reader.has("ordered_at")):
        raise Invalid(f"{sheet.name}：这是宝贝报表，没有实付金额和下单时间，请把同一时段的订单报表一起导入")
    _require(sheet, reader, "宝贝报表", {"order_no": "主订单编号", "title": "标题"})
    return Parser(
        sheet=sheet,
        details=None,
        id_place=_place(reader, "order_no"),
        detail_id_place=None,
        time_places=_times(reader),
        build=_Details(reader).build,
    )


_NEEDED = {
    "order_no": "订单编号",
    "ordered_at": "订单创建时间",
    "status": "订单状态",
    "paid": "买家实际支付金额",
}


def _require(sheet: Sheet, reader: Reader, kind: str, fields: Mapping[str, str]) -> None:
    missing = [title for field, title in fields.items() if not reader.has(field)]
    if missing:
        raise lacking(sheet, kind, missing, CONNECTOR.headings)


def _place(reader: Reader, field: str) -> int:
    place = reader.place(field)
    assert place is not None  # noqa: S101 - _require has seen it
    return place


def _times(reader: Reader) -> tuple[int, ...]:
    names = ("ordered_at", "paid_at", "shipped_at", "completed_at")
    return tuple(place for name in names if (place := reader.place(name)) is not None)


class _Orders:
    """订单报表, one row an order (or several rows of one number), with 宝贝报表 rows as its lines."""

    def __init__(self, orders: Reader, details: Reader | None) -> None:
        self._orders, self._details = orders, details

    def build(self, rows: Sequence[Line], detail_rows: Sequence[Line], context: Context) -> Order:
        main, get = rows[0], self._orders.get
        paid_at = _moment(get(main, "paid_at"), "订单付款时间", context)
        paid = _fen(get(main, "paid"), "买家实际支付金额")
        raw_status = clean(get(main, "status"))
        status = _status(raw_status, paid_at is not None, context)
        refunded = _back(get(main, "refunded"))
        lines = self._lines(rows, detail_rows)
        goods = sum(line.unit_price_fen * line.qty for line in lines if line.unit_price_fen is not None)
        payable_goods = _fen(get(main, "goods"), "买家应付货款")
        no = read_id(get(main, "order_no"))
        parent = read_id(get(main, "parent_order_no"))
        shipments = _shipments(get(main, "tracking_no"), clean(get(main, "carrier")))
        nick, mobile = value_of(get(main, "nick")), value_of(get(main, "mobile"))
        return Order(
            channel="taobao",
            shop_key=context.shop_key,
            order_no=no,
            parent_order_no=parent if parent != no else "",
            status=status,  # type: ignore[arg-type]
            raw_status=raw_status,
            goods_fen=goods or payable_goods,
            freight_fen=_fen(get(main, "freight"), "买家应付邮费"),
            discount_fen=max(goods - payable_goods, 0) if goods and payable_goods is not None else None,
            platform_discount_fen=sum(
                _fen(get(main, name), title) or 0
                for name, title in (("coupon", "天猫卡券抵扣"), ("points", "集分宝抵扣"))
            ),
            payable_fen=_fen(get(main, "total"), "总金额"),
            paid_fen=paid if paid_at is not None else 0,
            refunded_fen=refunded,
            merchant_income_fen=_fen(get(main, "income"), "打款商家金额"),
            ordered_at=_moment(get(main, "ordered_at"), "订单创建时间", context),
            paid_at=paid_at,
            shipped_at=_moment(get(main, "shipped_at"), "发货时间", context),
            completed_at=_moment(get(main, "completed_at"), "确认收货时间", context),
            platform_updated_at=context.exported_at,
            buyer_ref=_buyer(nick, mobile),
            receiver=self._receiver(main, mobile),
            buyer_note=clean(get(main, "buyer_note")),
            seller_note=clean(get(main, "seller_note")).lstrip("'"),
            lines=lines,
            shipments=shipments,
            refunds=self._cases(detail_rows, refunded, context) or None,
        )

    def _cases(self, detail_rows: Sequence[Line], refunded: int | None, context: Context) -> list[Refund]:
        return [] if self._details is None else _settled(_refunds(self._details, detail_rows, context), refunded)

    def _lines(self, rows: Sequence[Line], detail_rows: Sequence[Line]) -> list[OrderLine]:
        if self._details is not None and detail_rows:
            return [_detail_line(self._details, row, place) for place, row in enumerate(detail_rows, start=1)]
        get = self._orders.get
        lines = []
        for row in rows:
            title = clean(get(row, "title"))
            if title:
                qty = _count(get(row, "qty"), "宝贝总数量") if len(rows) == 1 else 1
                lines.append(OrderLine(title=title, spec=clean(get(row, "spec")), qty=qty))
        return lines

    def _receiver(self, main: Line, mobile: str) -> Receiver | None:
        get = self._orders.get
        name, address = value_of(get(main, "receiver")), value_of(get(main, "address"))
        phone = mobile or value_of(get(main, "telephone"))
        parts = [part.strip() for part in address.replace("，", ",").split(",")]
        if len(parts) >= 3 and not is_masked(address):
            name, phone, address = name or parts[0], phone or parts[1], ",".join(parts[2:])
        if not (name or phone or address):
            return None
        places = address.split()
        province, city, district = places[:3] if len(places) >= 4 else ("", "", "")
        return Receiver(name=name, phone=phone, province=province, city=city, district=district, address=address)


class _Details:
    """The newer 宝贝报表, complete in itself: one row a line, money and times on every row."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def build(self, rows: Sequence[Line], detail_rows: Sequence[Line], context: Context) -> Order:
        get, main = self._reader.get, rows[0]
        paid_at = _moment(get(main, "paid_at"), "订单付款时间", context)
        lines = [_detail_line(self._reader, row, place) for place, row in enumerate(rows, start=1)]
        paid = sum(line.paid_fen or 0 for line in lines)
        raw_status = clean(get(main, "status"))
        statuses = {_status(clean(get(row, "status")), paid_at is not None, context) for row in rows}
        goods = sum((line.unit_price_fen or 0) * line.qty for line in lines)
        payable = sum(_fen(get(row, "goods"), "买家应付货款") or 0 for row in rows)
        return Order(
            channel="taobao",
            shop_key=context.shop_key,
            order_no=read_id(get(main, "order_no")),
            status=_status_of_all(statuses),  # type: ignore[arg-type]
            raw_status=raw_status,
            goods_fen=goods,
            discount_fen=max(goods - payable, 0),
            payable_fen=payable,
            paid_fen=paid if paid_at is not None else 0,
            refunded_fen=sum(line.refunded_fen for line in lines),
            ordered_at=_moment(get(main, "ordered_at"), "订单创建时间", context),
            paid_at=paid_at,
            platform_updated_at=context.exported_at,
            lines=lines,
            refunds=_refunds(self._reader, rows, context) or None,
        )


def _detail_line(reader: Reader, row: Line, place: int) -> OrderLine:
    get = reader.get
    title = clean(get(row, "title"))
    if not title:
        raise ValueError(f"第 {row.number} 行的“标题”是空的")
    own = read_id(get(row, "line_no"))
    return OrderLine(
        line_key=own or str(place),
        title=title,
        spec=clean(get(row, "spec")),
        platform_item_id=value_of(get(row, "item"))[:80],
        merchant_sku=value_of(get(row, "sku"))[:80],
        qty=_count(get(row, "qty"), "购买数量"),
        unit_price_fen=_fen(get(row, "price"), "价格"),
        paid_fen=_fen(get(row, "paid"), "买家实际支付金额"),
        refunded_fen=_line_back(reader, row),
        line_status=clean(get(row, "status"))[:40],
    )


def _line_back(reader: Reader, row: Line) -> int:
    """What went back for a line; what is only asked for is no refund yet."""
    told = clean(reader.get(row, "refund_status"))
    return 0 if told and read_case(told) != "refunded" else _back(reader.get(row, "refunded")) or 0


def _refunds(reader: Reader, rows: Sequence[Line], context: Context) -> list[Refund]:
    cases = []
    for row in rows:
        text = clean(reader.get(row, "refund_status"))
        status = context.words.refund(text) if value_of(text) else ""
        if status:
            case = Refund(
                refund_no=f"{read_id(reader.get(row, 'line_no')) or row.number}-refund",
                status=status,  # type: ignore[arg-type]
                amount_fen=_back(reader.get(row, "refunded")) or 0,
                raw_status=text if status == "unknown" else "",
            )
            cases.append(case)
    return cases


def _settled(cases: list[Refund], refunded: int | None) -> list[Refund]:
    """The cases of 宝贝报表 so that they come to what 订单报表 says went back: freight is in no line."""
    if not refunded:
        return cases
    done = [case for case in cases if case.status == "refunded"]
    if not done:
        return []
    done[-1].amount_fen = max(done[-1].amount_fen + refunded - sum(case.amount_fen for case in done), 0)
    return cases


def _status(text: str, is_paid: bool, context: Context) -> str:
    if not text:
        return "unknown"
    # One Chinese text for two cases: closed before anything was paid, or after.
    return ended(context.words.find(text, _STATUS) or context.words.note(text), is_paid)


def _status_of_all(statuses: set[str]) -> str:
    """An order's status from its lines': closed lines do not close the others."""
    alive = statuses - {"closed", "cancelled"} or statuses
    if alive == {"paid", "shipped"}:
        return "partially_shipped"
    order = ("unknown", "pending_payment", "paid", "partially_shipped", "shipped", "completed", "cancelled", "closed")
    return min(alive, key=order.index)


def _shipments(numbers: str, carrier: str) -> list[Shipment] | None:
    found = [clean(number).removeprefix("No:") for number in numbers.replace("，", ",").split(",")]
    parcels = [
        Shipment(tracking_no=number[:80], carrier_name=carrier) for number in dict.fromkeys(found) if value_of(number)
    ]
    return parcels or None


def _buyer(nick: str, mobile: str) -> dict[str, str]:
    ids = {"taobao_nick": nick, "mobile_e164": mobile}
    return {name: value for name, value in ids.items() if value}


def _fen(cell: str, title: str) -> int | None:
    try:
        return read_fen(cell) if cell else None
    except ValueError as error:
        raise ValueError(f"“{title}”{error}") from None


def _back(cell: str) -> int | None:
    """Money that went back, which some write as a negative amount."""
    amount = _fen(cell, "退款金额")
    return None if amount is None else abs(amount)


def _count(cell: str, title: str) -> int:
    try:
        number = read_count(cell)
    except ValueError as error:
        raise ValueError(f"“{title}”{error}") from None
    return 1 if number is None else number


def _moment(cell: str, title: str, context: Context) -> datetime | None:
    try:
        return read_moment(cell, context.zone) if cell else None
    except ValueError as error:
        raise ValueError(f"“{title}”{error}") from None


_ALL = {
    normalise_heading(heading) for names in (ORDER_NAMES, DETAIL_NAMES) for group in names.values() for heading in group
}
CONNECTOR = Connector(
    key="taobao",
    title="淘宝/天猫订单",
    headings=frozenset(_ALL | {"支付详情", "店铺名称", "店铺id", "宝贝种类", "运送方式", "买家支付宝账号"}),
    marks=frozenset(("买家应付货款", "宝贝总数量", "外部系统编号", "套餐信息", "子订单编号")),
    fit=fit,
    joins=True,
)
