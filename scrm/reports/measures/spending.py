"""What channels cost and what came back for it."""

from scrm.reports.measures.kinds import Counted, Measure, Unit, Value


def _cost(each: Counted) -> Value:
    return each.cost_fen


def _roi(each: Counted) -> Value:
    return each.came.net_fen / each.cost_fen if each.cost_fen else None


def _cost_of_one(each: Counted) -> Value:
    return each.cost_fen / each.came.people if each.cost_fen and each.came.people else None


COST = Measure(
    "cost",
    "投放成本",
    "在渠道的“成交与成本”里填写的金额，按天平均分摊到这段时间；没有填写显示“—”",
    Unit.MONEY,
    _cost,
    is_good_up=False,
)
ROI = Measure(
    "roi",
    "投入产出",
    "归因成交 ÷ 投放成本：新增客户从添加到期末的实付 − 退款，除以这段时间的成本；没有填写成本显示“—”",
    Unit.TIMES,
    _roi,
)
COST_OF_ONE = Measure(
    "cost_of_one", "获客成本", "投放成本 ÷ 新增人数；没有填写成本显示“—”", Unit.MONEY, _cost_of_one, is_good_up=False
)
