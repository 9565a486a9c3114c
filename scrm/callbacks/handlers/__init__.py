"""To react to another callback: write a module here, and name its router below."""

from scrm.callbacks.handlers import (
    acquisition,
    card_pressed,
    contact_added,
    contact_edited,
    contact_lost,
    group_chat_changed,
    kf_told,
    member_changed,
    tag_changed,
    transfer_failed,
    upload_finished,
)
from scrm.callbacks.router import Router

# Known, counted, and nothing to do: kept in the inbox all the same, with the reason that managers read.
_REFETCHED = "由定时对账读取"
_BY_LINK = "应用页面用链接打开，不靠菜单事件"
_ALARM = "应用停用提醒，请管理员在企业微信后台查看"
UNUSED = {
    ("change_contact", "create_party"): _REFETCHED,
    ("change_contact", "update_party"): _REFETCHED,
    ("change_contact", "delete_party"): _REFETCHED,
    ("change_contact", "update_tag"): "员工标签没有用处，客户标签另有事件",
    **{
        (name, ""): reason
        for reason, names in {
            _BY_LINK: (
                "click", "view", "view_miniprogram", "scancode_push", "scancode_waitmsg", "pic_sysphoto",
                "pic_photo_or_album", "pic_weixin", "location_select",
            ),
            "不收集员工的位置": ("LOCATION",),
            "没有用到的卡片": ("template_card_menu_event", "taskcard_click"),
            "员工发给应用的消息，没有自动回复": ("text", "image", "voice", "video", "location", "link"),
            "没有发起过批量任务": ("batch_job_result",),
            "不用企业微信的审批": ("open_approval_change", "sys_approval_change"),
            "不用上下游共享": ("share_agent_change", "share_chain_change"),
            _ALARM: (
                "inactive_alert", "close_inactive_agent", "reopen_inactive_agent", "low_active_alert", "low_active",
                "active_restored",
            ),
            "没有接入会话存档": ("msgaudit_notify",),
            "接口域名解析交给系统": ("change_domain_ip",),
        }.items()
        for name in names
    },
}  # fmt: skip

router = Router(
    card_pressed.router,
    contact_added.router,
    contact_edited.router,
    contact_lost.router,
    acquisition.router,
    kf_told.router,
    member_changed.router,
    group_chat_changed.router,
    transfer_failed.router,
    tag_changed.router,
    upload_finished.router,
    unused=UNUSED,
)
