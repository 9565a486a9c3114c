"""Customers come, go, are confirmed and handed over; who they are becomes known."""

from scrm.sop.triggers.trigger import Trigger

_MEMBER = {"userid": "员工账号"}
_ADD = {
    "state": "渠道码的 state",
    "channel.kind": "渠道类型",
    "channel.title": "渠道名称",
    "is_half": "员工还没有通过（true）",
    "add_way": "添加方式",
    **_MEMBER,
}
_YEARLY = ("person+year",)

TRIGGERS = (
    Trigger("contact.added", "客户添加了员工", _ADD, _YEARLY),
    Trigger("contact.confirmed", "员工通过了客户的添加", _ADD, _YEARLY),
    Trigger("contact.chat_started", "获客链接的客户第一次发言", {"link_id": "获客链接", **_MEMBER}, _YEARLY),
    Trigger("contact.archiving_agreed", "客户同意会话存档", _MEMBER, _YEARLY),
    Trigger("contact.taken_over", "客户转给了另一位员工", {"handover_userid": "原来的员工", **_MEMBER}, _YEARLY),
    Trigger("contact.transfer_failed", "客户转接失败", {"reason": "原因", **_MEMBER}, _YEARLY),
    Trigger("contact.lost_by_customer", "客户删除了员工", {"source": "怎样删除的", **_MEMBER}, _YEARLY),
    Trigger("contact.lost_by_member", "员工删除了客户", {"source": "怎样删除的", **_MEMBER}, _YEARLY),
    Trigger("optout.changed", "客户修改了消息偏好", {}, _YEARLY),
    Trigger("identity.bound", "客户的订单或身份绑定上了", {"way": "怎样绑定的", "kind": "身份种类"}, _YEARLY),
    Trigger("person.merged", "两份客户档案合并", {}, _YEARLY),
    Trigger("oa.subscribed", "客户关注了公众号", {"app_id": "公众号", "scene": "来源"}, _YEARLY),
    Trigger("oa.unsubscribed", "客户取消关注公众号", {"app_id": "公众号"}, _YEARLY),
    Trigger("oa.scanned", "客户扫了公众号二维码", {"app_id": "公众号", "scene": "来源"}, _YEARLY),
    Trigger("kf.entered", "客户进入微信客服", {"open_kfid": "客服账号", "scene": "来源"}, _YEARLY),
)
