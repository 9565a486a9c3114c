"""Customers who came, who left, and what became of those who came."""

from scrm.reports.cohort import KEPT_DAYS
from scrm.reports.measures.kinds import Counted, Measure, Unit, Value, share


def _added(each: Counted) -> Value:
    return each.came.adds


def _lost(each: Counted) -> Value:
    return each.trade.lost


def _net(each: Counted) -> Value:
    return each.came.adds - each.trade.lost


def _stayed(each: Counted) -> Value:
    return each.came.adds - each.came.ended


def _talk_rate(each: Counted) -> Value:
    return share(each.came.talked, each.came.people)


def _first_rate(each: Counted) -> Value:
    return share(each.came.bought, each.came.people)


def _again_rate(each: Counted) -> Value:
    return share(each.came.again, each.came.bought)


def _kept_rate(each: Counted) -> Value:
    return share(each.came.kept, each.came.aged)


def _ended_rate(each: Counted) -> Value:
    return share(each.came.ended, each.came.adds)


def _brought(each: Counted) -> Value:
    return each.came.net_fen


def _brought_30(each: Counted) -> Value:
    return each.came.net_30_fen


def _brought_90(each: Counted) -> Value:
    return each.came.net_90_fen


_TALK = (
    "开口人数 ÷ 新增人数。开口指添加后到期末有记录的发言：获客链接首次发言、微信客服或公众号来信、"
    "员工标记客户在等回复或已回复；没有会话存档，看不到其他单聊"
)
ADDED = Measure(
    "added",
    "新增客户",
    "这段时间添加员工的次数；同一位客户添加多位员工各算一次",
    Unit.COUNT,
    _added,
    people="added",
)
LOST = Measure(
    "lost",
    "流失客户",
    "这段时间客户删除员工、员工删除客户的次数，不论是什么时候添加的",
    Unit.COUNT,
    _lost,
    people="lost",
    is_good_up=False,
)
NET = Measure("net", "净增客户", "新增客户 − 流失客户", Unit.COUNT, _net)
STAYED = Measure("stayed", "净增", "新增客户里到期末还是好友的次数：新增 − 其中已流失的", Unit.COUNT, _stayed)
TALK_RATE = Measure("talk_rate", "开口率", _TALK, Unit.SHARE, _talk_rate, people="talked")
FIRST_RATE = Measure(
    "first_rate",
    "首单率",
    "新增客户里添加之后、期末之前第一次付款的人数 ÷ 新增人数；刚加的客户还有机会下单",
    Unit.SHARE,
    _first_rate,
    people="bought",
)
AGAIN_RATE = Measure(
    "again_rate",
    "新客复购率",
    "新增客户里首单之后、期末之前再次付款的人数 ÷ 首单人数",
    Unit.SHARE,
    _again_rate,
    people="again",
)
KEPT_RATE = Measure(
    "kept_rate",
    f"{KEPT_DAYS} 日留存",
    f"添加满 {KEPT_DAYS} 天的新增里，{KEPT_DAYS} 天内没有互删的次数 ÷ 添加满 {KEPT_DAYS} 天的次数",
    Unit.SHARE,
    _kept_rate,
)
ENDED_RATE = Measure(
    "ended_rate",
    "流失率",
    "这段时间新增、期末之前又互删的次数 ÷ 新增次数",
    Unit.SHARE,
    _ended_rate,
    is_good_up=False,
)
BROUGHT = Measure(
    "brought",
    "归因成交",
    "新增客户从添加到期末的实付 − 退款；客户按这段时间第一次添加的渠道归属，不重复计算",
    Unit.MONEY,
    _brought,
    people="bought",
)
BROUGHT_30 = Measure(
    "brought_30",
    "30 天成交",
    "新增客户添加后 30 天内的实付 − 退款；不满 30 天的算到现在",
    Unit.MONEY,
    _brought_30,
)
BROUGHT_90 = Measure(
    "brought_90",
    "90 天成交",
    "新增客户添加后 90 天内的实付 − 退款；不满 90 天的算到现在",
    Unit.MONEY,
    _brought_90,
)
