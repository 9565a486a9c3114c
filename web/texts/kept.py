"""Sentences that were written down in Chinese, in a ledger or a task, told in the reader's language when they are shown.

What is kept is for everybody and stays as it was said; here are the shapes of such sentences, the longest first.
"""

import re
from collections.abc import Mapping
from functools import cache

from web.texts import CHINESE, LANGUAGE, N_, _

_SHAPES = (
    # The frames around a reason.
    N_("被频控放弃：{reason}，推迟后会超过有效期"),
    N_("被频控放弃：{reason}"),
    N_("{reason}，推迟后会超过有效期"),
    N_("{reason}。已推迟到 {when}。"),
    N_("{reason}，无需催付。"),
    N_("客户已不是{name}的好友，任务已撤回。"),
    N_("{reason}，任务已撤回。"),
    N_("当天还有更重要的：{name}"),
    N_("条件已不满足：{reason}。"),
    N_("条件不满足：{reason}"),
    N_("现在是{hours}"),
    N_("{reason}，先回复再发"),
    N_("{reason}，{time}内不再打扰"),
    # Hours.
    N_("勿扰时段（{hours}）"),
    N_("不在发送时段（{hours}）"),
    N_("{name}（到 {month}月{day}日），生命周期的营销等结束再接着走"),
    N_("大促期间"),
    N_("还没到时间"),
    N_("错过了时段，当天内仍可发"),
    N_("晚了 {time}，超过有效期，未再发送"),
    N_("已超过有效期，员工未发送"),
    N_("已超过有效期，这条待办已过期。"),
    N_("缺少变量：{names}"),
    # Refusals.
    N_("客户已拒绝接收消息"),
    N_("客户已拒绝员工的剧本消息"),
    N_("客户已拒绝群发消息"),
    N_("客户已拒绝接收营销消息"),
    N_("客户已拒绝{kind}消息"),
    N_("生日"),
    N_("直播"),
    N_("客户在停发名单：{kind}"),
    N_("员工亲友"),
    N_("同行"),
    N_("测试号"),
    N_("黑名单"),
    N_("停发名单"),
    N_("标签“{name}”"),
    N_("对照组，不发送"),
    # Cases, talks, caps.
    N_("客户有退款在处理中，暂停营销"),
    N_("客户有投诉在处理中，暂停营销"),
    N_("客户有售后在处理，暂停营销"),
    N_("客户的售后还没有结束，暂停营销"),
    N_("售后结束不久，{when} 起恢复营销"),
    N_("客户 {when} 的消息还没有回复"),
    N_("客户 {when} 刚说过话"),
    N_("本流程已发 {n} 次，达到上限"),
    N_("{days} 天内已发 {n} 次营销消息，上限 {most} 次"),
    N_("{when} 刚发过营销消息"),
    N_("{when} 已有{what}"),
    N_("刚给这位客户发过消息"),
    N_("一条待员工确认的消息"),
    N_("一条营销消息"),
    N_("员工从侧边栏发的消息"),
    N_("另一条同时到点的消息"),
    N_("一条群发「{title}」"),
    N_("一条群发"),
    # Runs.
    N_("排队中：这位客户还有别的跟进没有走完"),
    N_("暂停超过 {n} 天"),
    N_("排队超过 {n} 天"),
    N_("流程已结束"),
    N_("流程已走完"),
    N_("等待超时，流程结束"),
    N_("重新检查时已不符合进入条件"),
    N_("找不到剧本 {key} 的第 {n} 版"),
    N_("员工已失去这位客户，等待交给同事"),
    N_("发生了“{name}”"),
    N_("客户添加了员工"),
    N_("客户删除了员工"),
    N_("员工删除了客户"),
    N_("客户加入了客户群"),
    N_("客户离开了客户群"),
    N_("客户已下单"),
    N_("订单已付款"),
    N_("订单已发货"),
    N_("订单已签收"),
    N_("订单已完成"),
    N_("订单已取消"),
    N_("订单已关闭"),
    N_("客户申请了退款"),
    N_("商家已同意退款"),
    N_("商家已拒绝退款"),
    N_("已退款"),
    N_("退款已结束"),
    N_("优惠券已发放"),
    N_("优惠券已核销"),
    N_("员工跳过"),
    # Playbooks that are begun by hand.
    N_("没有正在运行的 SOP“{name}”，可能已暂停或下线"),
    N_("“{name}”由“{trigger}”自动开始，不能手动开始"),
    N_("“{name}”已排队，轮到时自动开始"),
    N_("“{name}”已开始，暂停中"),
    N_("“{name}”已开始，下一步 {month} 月 {day} 日 {time}"),
    N_("“{name}”已开始"),
    N_("“{name}”已执行"),
    N_("这次开始已经处理过"),
    # Welcomes.
    N_("没有匹配的欢迎语"),
    N_("企业微信没有给欢迎语 code：员工在企微后台已设欢迎语、已经开口聊过，或客户来自其他企业的企业微信"),
    N_("上一次请求没有等到回应，20 秒已过，无法确认是否送达"),
    N_("超过 20 秒，欢迎语 code 已失效"),
    N_("企业微信没有及时回应，无法确认欢迎语是否送达"),
    N_("客户还没有同意会话存档，同意后会再发欢迎语"),
    N_("其他应用一直占用着欢迎语，20 秒内没能发出"),
    N_("企业微信繁忙（{code}），20 秒内没能发出"),
    N_("欢迎语可能没有送达，请看一眼聊天"),
    N_("欢迎语没有送达，请亲自打个招呼"),
    # What other rooms refuse.
    N_("符合退出条件：{reason}"),
    N_("符合退出条件"),
    N_("客户拒绝促销消息"),
    N_("没有这条话术，或者它不是你的。"),
    N_("每人每天最多领取 {most} 位，今天还能领 {left} 位，这次选了 {more} 位"),
    N_("只有企业成员能领取客户；本地账号可以把客户分配给员工"),
    N_("公海没有启用，不能领取。请主管在“公海规则”里启用"),
    N_("这些客户已经不在公海里，可能刚被同事领走。请刷新页面"),
    N_("这位客户正在转接中，等这一次有结果后再试"),
    # Moments and spans.
    N_("{month}月{day}日 {time}"),
    N_("{hours} 小时 {minutes} 分钟"),
    N_("{n} 小时"),
    N_("{n} 分钟"),
    N_("{n} 天"),
    N_("{n} 秒"),
)
_SHORT = {"n", "days", "most", "month", "day", "code", "minutes"}


def retold(text: str) -> str:
    """`text` as it is for Chinese readers; for others its shape is found and translated, with what it speaks of."""
    return text if LANGUAGE.get() == CHINESE else _told(text)


def _told(text: str) -> str:
    for shape, pattern in _patterns():
        if found := pattern.fullmatch(text):
            return _(shape, **{name: _value(value) for name, value in found.groupdict().items()})
    return _(text)


def _value(value: str) -> object:
    """Numbers decide between one and many."""
    return int(value) if value.isdecimal() and len(value) < 9 else _told(value)


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((shape, pattern_of(shape, dict.fromkeys(_SHORT, r"\d+"))) for shape in _SHAPES)


def pattern_of(shape: str, groups: Mapping[str, str]) -> re.Pattern[str]:
    """Finds what stands in the {names} of a shape: what `groups` says of them, else anything. Pure."""
    found = re.sub(r"\\\{(\w+)\\\}", lambda name: f"(?P<{name[1]}>{groups.get(name[1], '.+?')})", re.escape(shape))
    return re.compile(found, re.DOTALL)
