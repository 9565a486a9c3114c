"""Conditions that were written down in Chinese, told in the reader's language: what a playbook asked, and what it found.

The author's own words (a shop's field, a product, a tag) stay as they are.
"""

import re
from functools import cache

from web.texts import CHINESE, LANGUAGE, N_, _
from web.texts.kept import pattern_of

_OPERATORS = (
    "等于",
    "不等于",
    "大于",
    "不少于",
    "小于",
    "不超过",
    "属于",
    "不属于",
    "包含",
    "有值",
    "没有值",
    "的月份是",
)
# What a group of a shape may be, where that is not just anything.
_GROUPS = {
    "compare": rf"(?:{'|'.join(_OPERATORS)})(?: .+?)?",
    "span": r"\d+ [^“”（）]+?",
    "value": ".*",
    "number": r"\d+",
}

# The longest first; a shape's parts are told the same way.
_SHAPES = (
    N_("并非：{leaf}"),
    # What a segment found.
    N_("不符合 {leaf}（现为 {found}）"),
    N_("符合 {leaf}（现为 {found}）"),
    N_("不符合 {leaf}"),
    N_("符合 {leaf}"),
    N_("{span}内“{event}”次数 {compare}，{details}"),
    N_("{span}内“{event}”次数 {compare}"),
    N_("“{event}”次数 {compare}，{details}"),
    N_("“{event}”次数 {compare}"),
    N_("{span}内打开{content}的次数 {compare}"),
    N_("打开{content}的次数 {compare}"),
    N_("{span}内收到营销消息的次数 {compare}"),
    N_("收到营销消息的次数 {compare}"),
    N_("{span}内客户没有回复"),
    N_("{span}内买过（{goods}）的订单数 {compare}"),
    N_("买过（{goods}）的订单数 {compare}"),
    N_("券“{coupon}”{state}，{span}内到期"),
    N_("券“{coupon}”{state}"),
    N_("任一张券{state}，{span}内到期"),
    N_("任一张券{state}"),
    N_("在人群包“{segment}”里"),
    N_("有标签“{tag}”（本次跟进的员工打的）"),
    N_("有标签“{tag}”"),
    N_("自定义字段“{field}” {compare}"),
    N_("触发事件的{field} {compare}"),
    "{field} {compare}",
    # Comparisons.
    N_("不等于 {value}"),
    N_("等于 {value}"),
    N_("大于 {value}"),
    N_("不少于 {value}"),
    N_("小于 {value}"),
    N_("不超过 {value}"),
    N_("不属于 {value}"),
    N_("属于 {value}"),
    N_("包含 {value}"),
    N_("的月份是 {value}"),
    N_("{key} 是 {value}"),
    # Spans.
    N_("{number} 天"),
    N_("{number} 小时"),
    N_("{number} 分钟"),
    N_("{number} 秒"),
)
# Of fields, events and states; what an author named himself is none of them.
_WORDS = frozenset(
    {
        *(N_("有值"), N_("没有值"), N_("素材"), N_("任何商品"), N_("不存在或已删除"), N_("是空的")),
        *(N_("已付款订单数"), N_("订单数"), N_("累计实付（元）"), N_("累计实付（分）"), N_("累计退款（元）")),
        *(N_("进行中的售后"), N_("距上次付款天数"), N_("距首次付款天数"), N_("首次付款时间"), N_("上次付款时间")),
        *(N_("客单价（元）"), N_("平均复购间隔（天）"), N_("超过复购间隔的天数"), N_("在联系的员工数"), N_("客户阶段")),
        *(N_("客户姓名"), N_("性别"), N_("客户类型"), N_("渠道码 state"), N_("添加方式"), N_("跟进员工"), N_("备注名")),
        *(N_("添加天数"), N_("会话存档"), N_("本次跟进的渠道码 state"), N_("本次跟进的添加方式")),
        *(N_("本次跟进的备注名"), N_("本次跟进的添加天数"), N_("本次跟进的会话存档"), N_("本次跟进的员工")),
        *(N_("员工姓名"), N_("员工角色"), N_("员工所在部门"), N_("RFM 客户群"), N_("R 得分（最近下单）")),
        *(N_("F 得分（订单数）"), N_("M 得分（金额）"), N_("统计周期内有效订单数"), N_("统计周期内净消费（元）")),
        *(N_("生命周期"), N_("AIPL 阶段"), N_("复购周期（天，中位数）"), N_("可用积分"), N_("成长值"), N_("会员等级")),
        *(N_("距下一等级还差（%）"), N_("用券率（%）"), N_("大促期间付款订单数"), N_("平日付款订单数")),
        *(N_("应付金额（元）"), N_("应付金额（分）"), N_("实付金额（元）"), N_("实付金额（分）"), N_("金额（元）")),
        *(N_("金额（分）"), N_("券面额（元）"), N_("券面额（分）"), N_("渠道"), N_("店铺"), N_("商品"), N_("标题")),
        *(N_("原因"), N_("等级"), N_("人群包"), N_("规格编码"), N_("商品编号"), N_("名称含")),
        *(N_("未用"), N_("已核销"), N_("已过期"), N_("未领取")),
        *(N_("客户拒绝一切消息"), N_("客户拒绝促销消息"), N_("客户拒绝群发"), N_("客户拒绝员工剧本消息")),
        *(N_("客户拒绝生日消息"), N_("客户拒绝直播消息"), N_("客户没有回复")),
    }
)
_AUTHORS = frozenset({"value", "coupon", "segment", "tag", "key", "number"})


def asked(text: str) -> str:
    """A leaf of a condition, or what was found for it, as a reader of any language reads it."""
    return text if LANGUAGE.get() == CHINESE else _told(text)


def _told(text: str, name: str = "") -> str:
    if name in _AUTHORS:
        return text
    if name == "details":
        return ", ".join(_told(each) for each in text.split("，"))
    if name == "goods":
        return ", ".join(" ".join(_told(word) for word in each.split(" ", 1)) for each in text.split("，"))
    for shape, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return _(shape, **{group: _told(value, group) for group, value in found.groupdict().items()})
    # Titles of events are in the catalogue with the events.
    return _(text) if name in ("event", "field") or text in _WORDS else text


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((shape, pattern_of(shape, _GROUPS)) for shape in _SHAPES)
