"""JD's order export (docs: commerce 1.11): one row a SKU, the order's money repeated on each, GBK, a trailing comma."""

import re

from scrm.commerce.connectors.platform_file import Dialect, words

_PARENT = re.compile(r"(?:父|原|拆分前|主)订?单号?[:：\s]*(\d{8,20})")


def _plain(status: str) -> str:
    """(删除)等待出库 is an order that was cancelled, (锁定)等待出库 one on hold."""
    text = status.strip().replace("（", "(").replace("）", ")")
    if text.startswith("(删除)"):
        return "已取消"
    return "锁定" if text.startswith(("(锁定)", "(暂停)")) else text


def _parent(note: str) -> str:
    found = _PARENT.search(note)
    return found[1] if found else ""


CONNECTOR = Dialect(
    key="jd",
    title="京东订单",
    names={
        "order_no": ("订单号", "订单编号"),
        "parent_order_no": ("父订单号",),
        "status": ("订单状态",),
        "item": ("商品ID",),
        "line_no": ("商品ID",),
        "sku": ("商家SKUID",),
        "merchant_sku": ("货号",),
        "title": ("商品名称",),
        "qty": ("订购数量",),
        "price": ("京东价",),
        "ordered_at": ("下单时间",),
        "paid_at": ("付款确认时间",),
        "completed_at": ("订单完成时间",),
        "freight": ("运费金额",),
        "payable": ("应付金额",),
        "balance": ("余额支付",),
        "income": ("商家应收",),
        "listed": ("订单金额",),
        "settled": ("结算金额",),
        "buyer": ("下单帐号", "下单账号"),
        "receiver": ("客户姓名",),
        "address": ("客户地址",),
        "phone": ("联系电话",),
        "buyer_note": ("订单备注",),
        "seller_note": ("商家备注",),
    },
    statuses=words(
        pending_payment=("等待付款", "未付款", "NOT_PAY", "等待付款确认"),
        paid=(
            "等待出库",
            "等待发货",
            "正在出库",
            "WAIT_SELLER_STOCK_OUT",
            "WAIT_SELLER_DELIVERY",
            "等待打印",
            "已付款",
            "SEND_TO_DISTRIBUTION_CENER",
            "DISTRIBUTION_CENTER_RECEIVED",
        ),
        shipped=("等待确认收货", "已发货", "已出库", "WAIT_GOODS_RECEIVE_CONFIRM", "RECEIPTS_CONFIRM", "配送中"),
        completed=("完成", "已完成", "FINISHED_L"),
        # An order on hold is where it was: nothing is said of its state.
        unknown=("暂停", "锁定", "POP_ORDER_PAUSE", "PAUSE", "LOCKED"),
        closed=("已取消", "取消", "TRADE_CANCELED", "锁定取消", "已关闭"),
    ),
    marks=frozenset(("下单帐号", "下单账号", "京东价", "订购数量", "结算金额", "商家skuid")),
    unused=(
        *("支付方式", "订单类型", "发票类型", "发票抬头", "发票内容", "商家备注等级(等级1-5为由高到低)", "增值税发票"),
        *("订单来源", "订单渠道", "送装服务", "服务费", "仓库id", "仓库名称", "是否为品牌商订单", "是否为toplife订单"),
    ),
    repeats_money=True,
    pays_on_delivery=True,
    buyer="jd_pin",
    plain_status=_plain,
    parent_of=_parent,
).connector()
