"""The words of the console: one for each state, with the tone it is shown in."""

from typing import NamedTuple

from scrm.profiles import conditions
from scrm.sop import tasks


class Word(NamedTuple):
    """`tone` is good, warn, bad, busy or empty: never the only sign, the text says it too."""

    text: str
    tone: str = ""


SEND_KINDS = {"welcome": "欢迎语", "app_message": "员工提醒", "chat": "员工发送"}
SEND_OUTCOMES = {
    "sent": Word("已发送", "good"),
    "failed": Word("失败", "bad"),
    "too_late": Word("已超时", "bad"),
    "unknown": Word("结果未知", "warn"),
    "intent": Word("发送中", "busy"),
    "done_by_other": Word("已由其他方发出"),
    "none": Word("未发送"),
}
_TASK_TONES = {"open": "warn", "sent": "good", "expired": "bad"}
TASK_STATES = {state: Word(text, _TASK_TONES.get(state, "")) for state, text in tasks.WORDS.items()}
PLAYBOOK_STATES = {
    "published": Word("运行中", "good"),
    "paused": Word("已暂停", "warn"),
    "retired": Word("已停用"),
}
RUN_STATES = {
    "active": Word("进行中", "busy"),
    "goal": Word("达成目标", "good"),
    "done": Word("已走完"),
    "exited": Word("已退出"),
    "failed": Word("出错", "bad"),
}
STEP_STATES = {
    "intent": Word("执行中", "busy"),
    "waiting": Word("待员工确认", "warn"),
    "done": Word("已完成", "good"),
    "skipped": Word("已跳过"),
    "dropped": Word("已过期", "bad"),
    "failed": Word("失败", "bad"),
    "unknown": Word("结果未知", "warn"),
}
STEP_CHANNELS = {"W": "自动欢迎语", "T": "员工待办", "X": "系统自动"}
CALLBACK_STATES = {
    "failed": Word("处理失败", "bad"),
    "unreadable": Word("无法解析", "warn"),
    "unknown": Word("不认识的事件"),
}
LANES = {
    "welcome": "欢迎语",
    "event": "事件",
    "step": "剧本步骤",
    "send": "消息发送",
    "sync": "同步企业微信",
    "bulk": "批量任务",
}
WORK_KINDS = {
    "callback": "处理企业微信回调",
    "contact.refresh": "更新客户资料",
    "sop.event": "事件触发剧本",
    "sop.remind": "提醒员工",
    "sop.mark_tag": "同步标签到企业微信",
}
ORDER_STATES = {
    "unknown": Word("状态未知"),
    "pending_payment": Word("待付款", "warn"),
    "paid": Word("已付款", "busy"),
    "partially_shipped": Word("部分发货", "busy"),
    "shipped": Word("已发货", "busy"),
    "completed": Word("交易成功", "good"),
    "cancelled": Word("已取消"),
    "closed": Word("交易关闭"),
}
ORDER_CHANNELS = {
    "taobao": "淘宝",
    "tmall": "天猫",
    "jd": "京东",
    "pdd": "拼多多",
    "doudian": "抖店",
    "kuaishou": "快手",
    "xhs": "小红书",
    "wxstore": "微信小店",
    "youzan": "有赞",
    "shopify": "Shopify",
    "offline": "线下",
}
COUPON_STATES = {
    "issued": Word("未使用", "busy"),
    "redeemed": Word("已核销", "good"),
    "expired": Word("已过期"),
    "void": Word("已作废"),
}
# Doc 92114; WeCom adds numbers now and then.
ADD_WAYS = {
    1: "扫描二维码",
    2: "搜索手机号",
    3: "名片分享",
    4: "群聊",
    5: "手机通讯录",
    6: "微信联系人",
    8: "安装第三方应用时添加",
    9: "搜索邮箱",
    10: "视频号",
    11: "日程参与人",
    12: "会议参与人",
    13: "微信好友的企业微信",
    14: "智慧硬件客服",
    15: "上门服务客服",
    16: "获客链接",
    17: "定制开发",
    18: "需求回复",
    21: "第三方售前客服",
    22: "可能的商务伙伴",
    24: "接受微信好友申请",
    201: "同事共享",
    202: "管理员分配",
}
EVENTS = {
    **conditions.EVENTS,
    "contact.confirmed": "员工通过了客户的添加",
    "order.bound": "员工绑定了订单",
    "task.sent": "员工发送了待办消息",
}
IDENTITIES = {
    "wecom_external_userid": "企业微信客户",
    "wx_unionid": "微信 UnionID",
    "mobile_e164": "手机号",
}


def short(value: str, head: int = 6, tail: int = 4) -> str:
    """The ends of a long id."""
    return value if len(value) <= head + tail + 1 else f"{value[:head]}…{value[-tail:]}"
