"""The words of the console: one for each state, with the tone it is shown in."""

from scrm.commerce.words import COUPON_STATES, aftersale_state, channel, order_state
from scrm.profiles.conditions import tree as conditions
from scrm.profiles.words import Word, add_way
from scrm.sop.members import tasks

SEND_KINDS = {
    "welcome": "欢迎语",
    "app_message": "员工提醒",
    "chat": "员工发送",
    "mass": "企业群发",
    "group": "客户群群发",
    "outward": "外部推送",
    "kf_welcome": "客服欢迎语",
    "kf_reply": "客服自动回复",
}
SEND_OUTCOMES = {
    "sent": Word("已发送", "good"),
    "failed": Word("失败", "bad"),
    "too_late": Word("已超时", "bad"),
    "unknown": Word("结果未知", "warn"),
    "intent": Word("发送中", "info"),
    "waiting": Word("待员工确认", "warn"),
    "done_by_other": Word("已由其他方发出"),
    "none": Word("未发送"),
}
_TASK_TONES = {"open": "warn", "sent": "good", "expired": "bad"}
TASK_STATES = {state: Word(text, _TASK_TONES.get(state, "")) for state, text in tasks.WORDS.items()}
PLAYBOOK_STATES = {
    "published": Word("已启用", "good"),
    "paused": Word("已暂停", "warn"),
    "retired": Word("已停用"),
    "archived": Word("已归档"),
}
RUN_STATES = {
    "active": Word("进行中", "info"),
    "queued": Word("等待中", "info"),
    "paused": Word("已暂停", "warn"),
    "holdout": Word("对照组"),
    "goal": Word("已达成目标", "good"),
    "done": Word("已完成"),
    "exited": Word("已退出"),
    "merged": Word("合并关闭"),
    "failed": Word("出错", "bad"),
}
STEP_STATES = {
    "intent": Word("执行中", "info"),
    "waiting": Word("待员工确认", "warn"),
    "done": Word("已完成", "good"),
    "skipped": Word("已跳过"),
    "dropped": Word("已过期", "bad"),
    "failed": Word("失败", "bad"),
    "unknown": Word("结果未知", "warn"),
}
STEP_CHANNELS = {
    "W": "自动欢迎语",
    "T": "员工待办",
    "M": "企业群发",
    "G": "客户群群发",
    "P": "朋友圈",
    "S": "侧边栏建议",
    "I": "内部通知",
    "X": "系统自动",
    "K": "外部推送",
}
CALLBACK_STATES = {
    "new": Word("处理中", "info"),
    "done": Word("已处理", "good"),
    "unused": Word("不需要处理"),
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
    "hook": "订单推送",
    "outward": "外部推送",
    "bulk": "批量任务",
}
WORK_KINDS = {
    "callback": "处理企业微信回调",
    "callbacks.replay": "重放一批回调",
    "contact.refresh": "更新客户资料",
    "member.refresh": "更新员工资料",
    "member.rename": "员工换账号",
    "sync.run": "核对企业微信数据",
    "hooks.apply": "保存推送来的订单",
    "hooks.fetch": "按单号拉取订单",
    "sync.check_added": "确认新客户的回调",
    "group_chat.refresh": "更新客户群",
    "sop.event": "事件触发剧本",
    "person.join": "合并同一位客户",
    "person.sweep": "移动合并后晚到的记录",
    "kf.sync": "读取微信客服消息",
    "kf.welcome": "微信客服欢迎语",
    "kf.reply": "微信客服自动回复",
    "kf.visitor": "读取微信客服客户资料",
    "kf.accounts": "读取微信客服账号",
    "oa.follower": "读取公众号粉丝资料",
    "transfer.ask": "提交客户转接",
    "transfer.poll": "查询转接结果",
    "transfer.groups": "转接客户群",
    "transfer.unassigned": "读取离职待分配客户",
    "sop.remind": "提醒员工",
    "sop.card": "更新提醒卡片",
    "sop.mark_tag": "同步标签到企业微信",
    "sop.notify": "内部通知",
    "sop.outward": "外部推送",
    "sop.points": "剧本加减积分",
    "sop.rehearse": "预演剧本",
    "sop.mass_recall": "撤回剧本群发",
    "sop.mass_remind": "提醒员工确认群发",
    "sop.mass_warn": "通知群发已停发",
    "sop.hold": "暂停剧本的流程",
    "sop.wake": "恢复剧本的流程",
    "sop.end": "结束剧本的流程",
    "sop.migrate": "把流程换到新版本",
    "sop.live_moved": "直播改期",
    "webhook.deliver": "推送事件给外部系统",
    "customers.bulk": "批量操作客户",
    "segment.freeze": "把人群存成名单",
    "segment.refresh": "计算人群",
    "rfm.refresh": "计算 RFM",
    "remark.write": "写客户备注",
    "backup.make": "备份",
    "imports.run": "导入文件",
    "pulls.run": "拉取订单",
    "pulls.replay": "重放拉取的数据",
    "orders.restate": "按新的状态词重读订单",
    "sop.start_run": "剧本启动剧本",
    "sop.stop_runs": "剧本结束剧本",
    "sop.group_end": "群发到期收回",
    "tags.mark": "同步标签到企业微信",
    "tags.library": "读取企业标签库",
    "ways.apply": "更新渠道活码",
    "ways.remark": "修改客户备注",
    "acquisition.quota": "读取获客额度",
    "mass_message.prepare": "整理群发名单",
    "mass_message.create": "创建群发任务",
    "moment.create": "创建朋友圈任务",
    "tracking.abandoned": "核对加购与结算",
    "radar.notice": "提醒员工内容被看过",
}
EVENTS = conditions.EVENTS
IDENTITIES = {
    "wecom_external_userid": "企业微信客户",
    "wx_unionid": "微信 UnionID",
    "mobile_e164": "手机号",
    "oa_openid": "公众号 OpenID",
    "wx_openid": "小程序 OpenID",
    "member_no": "会员号",
    "platform_buyer_id": "平台买家 ID",
    "external_ref": "自有系统客户号",
    "anonymous_id": "匿名访客",
}


def short(value: str, head: int = 6, tail: int = 4) -> str:
    """The ends of a long id."""
    return value if len(value) <= head + tail + 1 else f"{value[:head]}…{value[-tail:]}"


__all__ = [
    "CALLBACK_STATES",
    "COUPON_STATES",
    "EVENTS",
    "IDENTITIES",
    "LANES",
    "PLAYBOOK_STATES",
    "RUN_STATES",
    "SEND_KINDS",
    "SEND_OUTCOMES",
    "STEP_CHANNELS",
    "STEP_STATES",
    "TASK_STATES",
    "WORK_KINDS",
    "Word",
    "add_way",
    "aftersale_state",
    "channel",
    "order_state",
    "short",
]
