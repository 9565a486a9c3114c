"""The one list of modules: the console's menu, what rights speak of, and which addresses belong to which.

A new page needs nothing here when it lies below a module's address. A new module is one line; tests/access walks every
route of the console and the API and demands that it belongs to one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

VIEW, EDIT, APPROVE, EXPORT, REVEAL, ERASE = "view", "edit", "approve", "export", "reveal", "erase"

# What each right is called for people, in the order in which the role form shows them.
RIGHTS: Mapping[str, str] = {
    VIEW: "查看",
    EDIT: "修改",
    APPROVE: "审批",
    EXPORT: "导出",
    REVEAL: "查看隐私明文",
    ERASE: "删除资料",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One entry of the menu; without `url` it is only a scope of API keys.

    `console` and `api` are beginnings of addresses, as routes write them; the longest one wins. `is_whole`: its pages
    show customers of the whole shop, so a role that reaches only some of them has no use of it.
    """

    key: str
    title: str
    group: str
    url: str = ""
    console: tuple[str, ...] = ()
    api: tuple[str, ...] = ()
    rights: tuple[str, ...] = (VIEW, EDIT)
    is_whole: bool = False
    # Where a right has another name here.
    words: Mapping[str, str] = field(default_factory=dict)

    def word(self, right: str) -> str:
        """What a right of this module is called."""
        return self.words.get(right, RIGHTS[right])


def _page(key: str, group: str, title: str, path: str, *more: str, **rest: object) -> Module:
    return Module(key, title, group, path, (path, *more), **rest)  # type: ignore[arg-type]


_FULL = (VIEW, EDIT, EXPORT, REVEAL, ERASE)
_LISTED = (VIEW, EDIT, EXPORT)

MODULES: tuple[Module, ...] = (
    _page("today", "", "今日", "/console/", rights=(VIEW,), is_whole=True),
    _page("customers", "客户", "客户列表", "/console/customers", "/console/search", api=("/api/v1/customers", "/api/v1/relations"), rights=_FULL, words={ERASE: "导出全部资料或删除"}),
    _page("tags", "客户", "企业标签", "/console/tags", "/console/tags-library"),
    _page("segments", "客户", "人群包", "/console/segments", api=("/api/v1/segments",), rights=_LISTED, is_whole=True),
    _page("merge", "客户", "合并客户", "/console/merge", api=("/api/v1/merges",), is_whole=True),
    _page("transfers", "客户", "客户继承", "/console/transfers", is_whole=True),
    _page("pool", "客户", "公海", "/console/pool", words={EDIT: "领取、分配与规则"}, is_whole=True),
    _page("own_fields", "客户", "自定义字段", "/console/fields", api=("/api/v1/fields",)),
    _page("contact_ways", "获客", "渠道活码", "/console/contact-ways"),
    _page("acquisition", "获客", "获客链接", "/console/acquisition", "/console/acquisition-quota"),
    _page(
        "referrals", "获客", "老带新", "/console/referrals", api=("/api/v1/referrals",),
        rights=(VIEW, EDIT, APPROVE, EXPORT), words={APPROVE: "判有效与无效"}, is_whole=True,
    ),
    _page("group_codes", "获客", "群活码", "/console/group-codes"),
    _page("group_chats", "客户群", "群列表", "/console/group-chats", api=("/api/v1/group_chats",), rights=_LISTED, is_whole=True),
    _page("group_welcomes", "客户群", "入群欢迎语", "/console/group-welcomes"),
    _page(
        "playbooks", "营销", "剧本 SOP", "/console/playbooks", "/console/playbooks.zip", "/console/why", "/console/playbook-conditions",
        api=("/api/v1/playbooks", "/api/v1/runs", "/api/v1/customers/{person_id}/why"),
        rights=(VIEW, EDIT, APPROVE, EXPORT), words={APPROVE: "批准自己提交的"},
    ),
    _page(
        "mass_messages", "营销", "群发", "/console/mass-messages",
        rights=(VIEW, EDIT, APPROVE), words={APPROVE: "批准自己提交的"}, is_whole=True,
    ),
    _page("moments", "营销", "朋友圈", "/console/moments", is_whole=True),
    _page("plans", "营销", "群与朋友圈计划", "/console/plans", is_whole=True),
    _page("library", "营销", "素材与话术", "/console/library", rights=(VIEW, EDIT, APPROVE, EXPORT), words={APPROVE: "批准自己提交的"}),
    _page("media", "营销", "素材库", "/console/media"),
    _page("radar", "营销", "雷达内容", "/console/radar", api=("/api/v1/radar",), is_whole=True),
    _page(
        "guards", "营销", "勿扰与频控", "/console/guards",
        rights=(VIEW, EDIT, APPROVE), words={EDIT: "改停发名单", APPROVE: "改全店规则"}, is_whole=True,
    ),
    _page("sends", "营销", "发送记录", "/console/sends", api=("/api/v1/sends",), rights=(VIEW,)),
    Module("tasks", "员工待办", "营销", api=("/api/v1/tasks",), rights=(VIEW,)),
    Module("members", "员工与部门", "系统", api=("/api/v1/members", "/api/v1/departments"), rights=(VIEW,)),
    Module("events", "自有事件", "营销", api=("/api/v1/events", "/api/v1/event_types", "/api/v1/track")),
    _page("orders", "商城与会员", "订单与物流", "/console/orders", api=("/api/v1/orders", "/api/v1/shipments"), rights=_LISTED),
    _page("coupons", "商城与会员", "优惠券", "/console/coupons", api=("/api/v1/coupons", "/api/v1/coupon_batches", "/api/v1/customers/{person_id}/coupons"), rights=_LISTED, is_whole=True),
    _page(
        "membership", "商城与会员", "会员与积分", "/console/membership", "/console/customers/{person_id}/points",
        api=("/api/v1/customers/{person_id}/points",), rights=(VIEW, EDIT, APPROVE), words={APPROVE: "审批积分调整"}, is_whole=True,
    ),
    _page("sources", "商城与会员", "订单拉取", "/console/sources"),
    _page("hooks", "商城与会员", "订单推送", "/console/hooks", is_whole=True),
    _page("imports", "商城与会员", "导入", "/console/imports", is_whole=True),
    _page("rfm", "数据", "RFM 与生命周期", "/console/rfm", is_whole=True),
    _page("reports", "数据", "经营报表", "/console/reports", rights=(VIEW, EDIT, EXPORT), words={EDIT: "制作报表"}),
    _page("kf", "微信", "微信客服", "/console/kf", is_whole=True),
    _page("official_account", "微信", "公众号", "/console/official-account", rights=(VIEW,), is_whole=True),
    _page("replies", "微信", "关键词回复", "/console/replies"),
    _page("operations", "系统", "运行一览", "/console/operations", rights=(VIEW,), is_whole=True),
    _page("callbacks", "系统", "企业微信回调", "/console/callbacks", rights=(VIEW, EDIT, REVEAL), words={EDIT: "重放", REVEAL: "查看回调原文"}, is_whole=True),
    _page("sync", "系统", "同步与补漏", "/console/sync", is_whole=True),
    _page("work", "系统", "任务队列", "/console/work", words={EDIT: "重试与丢弃"}, is_whole=True),
    _page("backups", "系统", "备份", "/console/backups"),
    _page("doctor", "系统", "体检", "/console/doctor", rights=(VIEW,)),
    _page("access", "系统", "员工与权限", "/console/access"),
    _page("api_keys", "系统", "接口密钥", "/console/api-keys", "/console/api"),
    _page("webhooks", "系统", "事件推送", "/console/webhooks", api=("/api/v1/webhooks",), is_whole=True),
    _page("audit", "系统", "操作日志", "/console/audit", "/console/audit.csv", rights=(VIEW, EXPORT), is_whole=True),
)  # fmt: skip

BY_KEY: Mapping[str, Module] = {module.key: module for module in MODULES}

# Pages whose figures and lists tell who may do what, or hold keys: only for administrators and roles made for it.
INNERMOST = frozenset({"access", "api_keys", "audit", "webhooks"})


def right(module: str, what: str) -> str:
    """How a right is written where it is kept: customers:view."""
    return f"{module}:{what}"


EVERY_RIGHT: frozenset[str] = frozenset(right(module.key, what) for module in MODULES for what in module.rights)
