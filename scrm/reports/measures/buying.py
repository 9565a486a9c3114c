"""Orders of the whole shop, by the time they were paid."""

from scrm.reports.measures.kinds import Counted, Measure, Unit, Value, share

_VALID = "测试单、零元单和没有付清的订单不算"


def _paid(each: Counted) -> Value:
    return each.trade.paid_fen


def _orders(each: Counted) -> Value:
    return each.trade.orders


def _first_buyers(each: Counted) -> Value:
    return each.trade.first_buyers


def _repeat_rate(each: Counted) -> Value:
    return share(each.trade.repeaters, each.trade.buyers)


def _average(each: Counted) -> Value:
    return share(each.trade.paid_fen, each.trade.orders)


def _refund_rate(each: Counted) -> Value:
    return share(each.trade.refunded_fen, each.trade.paid_fen)


PAID = Measure(
    "paid",
    "实付金额",
    f"这段时间付款的订单实付之和，退款不扣；含还没有识别出客户的订单。{_VALID}",
    Unit.MONEY,
    _paid,
    people="buyers",
)
ORDERS = Measure("orders", "付款订单", f"这段时间付款的订单数。{_VALID}", Unit.COUNT, _orders, people="buyers")
FIRST_BUYERS = Measure(
    "first_buyers",
    "首单客户",
    "有史以来第一次付款落在这段时间的客户数，不论是什么时候添加的",
    Unit.COUNT,
    _first_buyers,
    people="first_buyers",
)
REPEAT_RATE = Measure(
    "repeat_rate",
    "复购率",
    "这段时间付款 2 单及以上的客户 ÷ 这段时间付款的客户（人数口径，只算已识别的客户）",
    Unit.SHARE,
    _repeat_rate,
    people="repeaters",
)
AVERAGE = Measure("average", "笔单价", "实付金额 ÷ 付款订单", Unit.MONEY, _average)
REFUND_RATE = Measure(
    "refund_rate",
    "退款率",
    "这段时间付款的订单里已退金额 ÷ 实付金额，按付款时间算",
    Unit.SHARE,
    _refund_rate,
    is_good_up=False,
)
