"""To react to another callback: write a module here, and name its router below."""

from scrm.callbacks.handlers import contact_added, contact_edited, contact_lost, tag_changed
from scrm.callbacks.router import Router

# Known, counted, and nothing to do (docs 92130, 90240, 97299): kept in the inbox all the same.
UNUSED = (
    ("change_external_contact", "transfer_fail"),
    ("change_external_chat", "*"),
    ("change_external_tag", "*"),
    ("customer_acquisition", "*"),
    ("change_contact", "*"),
    *(
        (name, "")
        for name in (
            "subscribe", "unsubscribe", "enter_agent", "LOCATION", "click", "view", "view_miniprogram",
            "scancode_push", "scancode_waitmsg", "pic_sysphoto", "pic_photo_or_album", "pic_weixin",
            "location_select", "template_card_event", "template_card_menu_event", "taskcard_click",
            "batch_job_result", "upload_media_job_finish", "open_approval_change", "sys_approval_change",
            "share_agent_change", "share_chain_change", "inactive_alert", "close_inactive_agent",
            "reopen_inactive_agent", "low_active_alert", "low_active", "active_restored",
            "kf_msg_or_event", "kf_account_auth_change", "msgaudit_notify", "change_domain_ip",
            "text", "image", "voice", "video", "location", "link",
        )
    ),
)  # fmt: skip

router = Router(
    contact_added.router,
    contact_edited.router,
    contact_lost.router,
    tag_changed.router,
    unused=UNUSED,
)
