"""Where personal data is kept: for each table how a person's rows are found, and what an erasure does with them.

A new table stands either in HOLDINGS or in IMPERSONAL; tests/privacy walks the metadata and demands it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, cast, false, or_, select
from sqlalchemy.types import String

from scrm.db import metadata
from scrm.privacy.subject import Subject
from scrm.profiles.erased import NOBODY

Whose = Callable[[Table, Subject], ColumnElement[bool]]
# What a column gets; a function makes it from the subject and a number that differs for each row.
Value = str | bytes | int | None | dict[str, Any] | list[Any] | Callable[[Subject, int], Any]


@dataclass(frozen=True, slots=True)
class Holding:
    """One table with personal data. `blank`: the row stays, with these columns emptied ({}: it names nobody); None: the row goes.
    `hidden` columns are not in an export: hashes, tokens and bookkeeping; `sealed` ones are opened for it.
    """

    table: str
    title: str
    whose: Whose
    blank: Mapping[str, Value] | None = None
    hidden: tuple[str, ...] = ()
    sealed: tuple[str, ...] = field(default=())

    @property
    def rows_of(self) -> Table:
        return metadata.tables[self.table]


def _of_person(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.person_id.in_(subject.person_ids)


def _is_person(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.id.in_(subject.person_ids)


def _of_contact(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.external_userid.in_(subject.external_userids)


def _of_either(table: Table, subject: Subject) -> ColumnElement[bool]:
    return or_(_of_person(table, subject), _of_contact(table, subject))


def _of_order(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.order_id.in_(subject.order_ids)


def _of_enrolment(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.enrolment_id.in_(subject.enrolment_ids)


def _of_group_member(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.userid.in_(subject.external_userids)


def _of_target(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.target.in_(subject.external_userids)


def _of_openid(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.openid.in_(subject.openids)


def _of_visitor(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.anonymous_id.in_(subject.anonymous_ids)


def _tracked(table: Table, subject: Subject) -> ColumnElement[bool]:
    return or_(_of_person(table, subject), _of_visitor(table, subject))


def _of_merge(table: Table, subject: Subject) -> ColumnElement[bool]:
    return or_(table.c.kept_id.in_(subject.person_ids), table.c.gone_id.in_(subject.person_ids))


def _of_suggestion(table: Table, subject: Subject) -> ColumnElement[bool]:
    return or_(table.c.low_id.in_(subject.person_ids), table.c.high_id.in_(subject.person_ids))


def _of_field_change(table: Table, subject: Subject) -> ColumnElement[bool]:
    orders = and_(table.c.entity == "order", table.c.subject.in_([str(order_id) for order_id in subject.order_ids]))
    return or_(_of_person(table, subject), orders)


def _of_value(table: Table, subject: Subject) -> ColumnElement[bool]:
    return table.c.value.in_([*subject.phone_lookups, *subject.unionids])


def _of_radar_open(table: Table, subject: Subject) -> ColumnElement[bool]:
    link = metadata.tables["radar_link"]
    return table.c.link_id.in_(select(link.c.id).where(link.c.person_id.in_(subject.person_ids)))


def _of_order_no(table: Table, subject: Subject) -> ColumnElement[bool]:
    orders = metadata.tables["orders"]
    return table.c.order_no.in_(select(orders.c.order_no).where(orders.c.id.in_(subject.order_ids)))


def _named_in_work(table: Table, subject: Subject) -> ColumnElement[bool]:
    """Payloads of durable work name contacts and persons; what is running now ends by itself."""
    payload = cast(table.c.payload, String)
    named = [payload.contains(one, autoescape=True) for one in (*subject.external_userids, *subject.openids)]
    return and_(table.c.state != 1, or_(false(), *named))


def _stand_in(subject: Subject, number: int) -> str:
    return f"{subject.stand_in}-{number}"


# In this order: what depends on a row comes before it.
HOLDINGS: tuple[Holding, ...] = (
    Holding("follow_user_tag", "标签", _of_contact),
    Holding("tag_wish", "待同步的标签", _of_contact),
    Holding("remark_wish", "待写入企业微信的备注", _of_contact),
    Holding("follow_user_field", "跟进字段", _of_contact),
    Holding(
        "inbox_event",
        "企业微信回调",
        _of_contact,
        blank={"external_userid": "", "body": b"<xml></xml>", "error": ""},
        hidden=("digest", "body", "correlation"),
    ),
    Holding("today_mark", "工作台处理记录", _of_contact),
    Holding("follow_user", "跟进关系", _of_either),
    Holding("external_contact", "企业微信联系人", _of_either),
    Holding("identity", "身份", _of_person, hidden=("id",), sealed=("sealed",)),
    Holding("person_field", "自定义字段", _of_person),
    Holding("field_change", "字段修改记录", _of_field_change, hidden=("id",)),
    Holding("order_field", "订单字段", _of_order),
    Holding(
        "orders",
        "订单",
        _of_person,
        blank={**NOBODY, "bound_by": "erased"},
        hidden=("digest", "buyer_phone_lookup"),
        sealed=("receiver_sealed",),
    ),
    Holding("order_line", "订单商品", _of_order, blank={}),
    Holding("payment", "付款", _of_order, blank={}),
    Holding("order_coupon", "订单用券", _of_order, blank={"code": _stand_in}),
    Holding("shipment", "物流", _of_order, blank={"tracking_no": _stand_in}),
    Holding("refund", "售后", _of_order, blank={"reason": "", "raw_status": ""}),
    Holding(
        "hook_message",
        "平台推送原文",
        _of_order_no,
        blank={"body_sealed": "", "reason": ""},
        hidden=("digest",),
        sealed=("body_sealed",),
    ),
    Holding("pull_part", "ERP 拆分单", _of_order_no),
    Holding("person_stat", "累计金额", _of_person, blank={}),
    Holding(
        "coupon_issue", "优惠券", _of_person, blank={"redemption": None, "reason_key": _stand_in}, hidden=("token",)
    ),
    Holding("segment_member", "人群包", _of_person),
    Holding("person_value", "RFM 与生命周期", _of_person),
    Holding("points_account", "积分账户", _of_person, blank={}),
    Holding("points_lot", "积分批次", _of_person, blank={}),
    Holding("points_movement", "积分流水", _of_person, blank={"note": ""}),
    Holding("points_request", "积分调整申请", _of_person, blank={"note": ""}),
    Holding("growth_movement", "成长值流水", _of_person, blank={"note": ""}),
    Holding("refusal", "未进入剧本的原因", _of_person),
    Holding("entry_note", "进入剧本时的条件", _of_enrolment),
    Holding("run_act", "主管对剧本运行的操作", _of_enrolment),
    Holding("conversion", "达成目标", _of_enrolment, blank={}),
    Holding("mass_step", "群发步骤", _of_enrolment, blank={"external_userid": _stand_in}),
    Holding("step_run", "剧本步骤", _of_enrolment, blank={"facts": {}, "reason": ""}),
    Holding(
        "task", "员工待办", _of_person, blank={"external_userid": _stand_in, "title": "", "text": "", "attachments": []}
    ),
    Holding("note", "跟进记录", _of_person),
    Holding("notice", "内部通知", _of_person, blank={"external_userid": "", "text": ""}),
    Holding(
        "enrolment", "剧本运行", _of_person, blank={"external_userid": "", "run_key": _stand_in, "correlation": ""}
    ),
    Holding(
        "send",
        "发送记录",
        _of_either,
        blank={"external_userid": "", "content": {}, "once": _stand_in, "reason": "", "correlation": ""},
    ),
    Holding("mass_message_target", "群发", _of_target, blank={"target": _stand_in}),
    Holding(
        "event",
        "动态",
        _of_either,
        blank={"external_userid": "", "key": "", "facts": {}, "once": _stand_in, "correlation": ""},
    ),
    Holding("way_add", "渠道添加", _of_either, blank={"external_userid": _stand_in}),
    Holding("report_add", "渠道成效", _of_person, blank={}),
    Holding("referral", "老带新", _of_either, blank={"external_userid": _stand_in}),
    Holding("report_buyer", "复购汇总", _of_person, blank={}),
    Holding("report_buyer_news", "等待重新汇总的复购", _of_person, blank={}),
    Holding("acquisition_customer", "获客链接", _of_contact),
    Holding("missed_callback", "补偿记录", _of_either),
    Holding("transfer_customer", "客户继承", _of_either, blank={"external_userid": _stand_in, "reason": ""}),
    Holding("unassigned_contact", "待分配客户", _of_contact),
    Holding("group_chat_member", "所在客户群", _of_group_member),
    Holding("group_chat_change", "进群退群记录", _of_group_member, blank={"userid": _stand_in, "name": ""}),
    Holding("group_chat_hint", "群变动提示", _of_group_member),
    Holding("kf_message", "客服消息", _of_either),
    Holding("kf_visitor", "客服会话", _of_either),
    Holding("oa_message", "公众号消息", _of_openid),
    Holding(
        "oa_follower", "公众号关注", lambda table, subject: or_(_of_person(table, subject), _of_openid(table, subject))
    ),
    Holding("stop_entry", "停发名单", _of_person),
    Holding("pool_entry", "公海", _of_person),
    Holding("pool_pick", "公海领取记录", _of_person),
    Holding("bulk_item", "批量操作结果", _of_person),
    Holding("pre_tag", "待打的标签", _of_value, hidden=("value",)),
    Holding("tracked_event", "浏览行为", _tracked),
    Holding("visitor_claim", "访客身份", _of_visitor),
    Holding("visitor", "访客", _of_visitor),
    Holding("radar_open", "内容打开记录", _of_radar_open, blank={"view": _stand_in}),
    Holding("radar_link", "内容链接", _of_person, blank={"token": _stand_in, "external_userid": ""}, hidden=("token",)),
    Holding("merge_suggestion", "疑似同一人", _of_suggestion),
    Holding("person_merge", "合并记录", _of_merge, blank={"evidence": {}, "snapshot": {}}, hidden=("snapshot",)),
    Holding("person_redirect", "旧编号", lambda table, subject: table.c.new_id.in_(subject.person_ids), blank={}),
    Holding("privacy_act", "隐私操作记录", _of_person, blank={"reason": ""}),
    Holding("work_item", "待处理的工作", _named_in_work, hidden=("payload", "last_error")),
    Holding("person", "客户", _is_person, blank={"name": "", "stage": "", "optout": {}}),
)

# Tables without a customer in them, and why.
IMPERSONAL: dict[str, str] = {
    "acquisition_link": "the shop's own links",
    "access_role": "rules",
    "acquisition_quota": "figures",
    "acquisition_step": "figures",
    "api_answer": "what other programs were answered, sealed, gone after a day",
    "api_key": "other programs",
    "api_rate": "other programs",
    "channel_cost": "what channels cost",
    "audit_entry": "what members of staff did; of persons only numbers, and values masked",
    "consumption_cycle": "how long goods last, over all buyers",
    "contact_way": "the shop's own codes",
    "corp_tag": "names of tags",
    "corp_tag_group": "rules for groups of tags",
    "coupon_batch": "rules",
    "coupon_code": "codes; whom one was given to stands in coupon_issue",
    "custom_field": "definitions",
    "customer_columns": "members of staff",
    "customer_contact_member": "members of staff",
    "customer_view": "members of staff: how they narrow their lists",
    "date_watch": "how far a look came",
    "department": "members of staff",
    "event_type": "definitions",
    "draft_lock": "members of staff",
    "erased_identity": "keyed hashes that keep the erased from coming back",
    "erasure": "numbers only",
    "house_guard": "rules",
    "group_chat": "groups; their members stand in group_chat_member",
    "group_chat_tag": "tags on groups",
    "group_join_code": "the shop's own codes",
    "group_join_slot": "the shop's own codes",
    "group_welcome": "templates",
    "import_cursor": "how far a look came",
    "import_job": "counts of files",
    "import_mapping": "headings of files",
    "inbox_failure": "errors of handlers",
    "bulk_job": "what members of staff did; with whom stands in bulk_item",
    "callback_replay": "which callbacks somebody replayed",
    "keyword_reply": "templates",
    "kf_account": "the shop's own accounts",
    "local_account": "members of staff",
    "login_attempt": "hashes of names and addresses that tried to come in; gone after a day",
    "mass_message": "the message; who got it stands in mass_message_target",
    "mass_message_part": "members of staff",
    "mass_step_batch": "texts of the shop; whom they are for stands in mass_step",
    "mass_wave_stop": "counts",
    "media_copy": "files of the shop",
    "media_original": "files of the shop",
    "qr_logo": "which of them stands in the codes",
    "media_wish": "files of the shop",
    "member": "members of staff",
    "member_department": "members of staff",
    "member_level": "rules",
    "membership_rules": "rules",
    "moment": "the shop's own posts",
    "moment_publisher": "members of staff",
    "order_import": "counts of files",
    "plan": "text of the shop",
    "plan_claim": "groups, and what they were sent",
    "plan_day_off": "days",
    "playbook": "text of the shop",
    "playbook_change": "what members of staff did",
    "playbook_draft": "text of the shop",
    "rehearsal": "numbers; persons only by their id",
    "playbook_version": "text of the shop",
    "pool_rule": "rules",
    "pull_cursor": "how far a source was read",
    "pull_reject": "sealed records that could not be read: nobody knows whose; gone after a replay",
    "pull_token": "other programs",
    "radar_content": "the shop's own pages",
    "schedule_fire": "how far a fire of a schedule came",
    "script": "the shop's own texts",
    "script_folder": "names of folders",
    "script_habit": "members of staff",
    "script_rule": "rules",
    "script_term": "the shop's own texts",
    "script_use": "members of staff; to whom it went stands in send",
    "script_version": "the shop's own texts",
    "rfm_rules": "rules",
    "rfm_run": "counts",
    "segment": "definitions",
    "segment_day": "counts",
    "session": "members of staff",
    "state_owner": "the shop's own codes",
    "sync_night": "how far a sync came",
    "sync_part": "how far a sync came",
    "sync_run": "counts",
    "tally": "counts",
    "tally_cursor": "how far tables were counted",
    "order_hour": "counts",
    "order_status_word": "words of platforms, each with the number of one order",
    "referral_campaign": "rules",
    "report_buyer_day": "counts",
    "report_cursor": "how far tables were counted",
    "report_pin": "members of staff",
    "saved_report": "members of staff",
    "tally_open": "steps that are counted later; whose they are stands in step_run",
    "transfer": "members of staff",
    "transfer_group": "groups",
    "vault_key": "keys",
    "form_made": "digests of forms; none leads back to a customer",
    "webhook": "the shop's own systems",
    "webhook_delivery": "numbers of events; what they say is read when they go out",
    "wecom_allowance": "figures",
    "wecom_stop": "errors of WeCom",
    "wecom_token": "other programs",
}
