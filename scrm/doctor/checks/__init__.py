"""The list of checks: a new one is a function of `Look` that returns a Finding, and a line here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scrm.doctor.checks import access, apps, backup, callbacks, domain_file, house, permissions, stops, webhooks
from scrm.doctor.findings import Finding
from scrm.doctor.look import Look


@dataclass(frozen=True, slots=True)
class Check:
    """`key` is for programs, `title` for people; WeComError that `examine` lets through becomes a failure."""

    key: str
    group: str
    title: str
    examine: Callable[[Look], Awaitable[Finding]]


_HOUSE, _ACCESS, _CALLBACKS, _PERMISSIONS = "本服务", "连接企业微信", "回调与欢迎语", "接口权限"

CHECKS = (
    Check("database", _HOUSE, "数据库", house.database),
    Check("queue", _HOUSE, "任务队列", house.queue),
    Check("playbooks", _HOUSE, "剧本目录", house.playbooks),
    Check("public_url", _HOUSE, "外网地址", house.public_url),
    Check("backup", _HOUSE, "备份", backup.backup),
    Check("webhooks", _HOUSE, "事件推送", webhooks.webhooks),
    Check("token", _ACCESS, "企业 ID 与 Secret", access.token),
    Check("trusted_ip", _ACCESS, "企业可信 IP", access.trusted_ip),
    Check("app", _ACCESS, "应用", access.app),
    Check("stops", _ACCESS, "停下的调用", stops.stopped),
    Check("visible_range", _ACCESS, "应用可见范围", access.visible_range),
    Check("clock", _ACCESS, "服务器时钟", access.clock),
    Check("trusted_domain", _ACCESS, "可信域名", access.trusted_domain),
    Check("domain_file", _ACCESS, "域名校验文件", domain_file.domain_file),
    Check("jsapi_ticket", _ACCESS, "企业票据（侧边栏签名）", access.jsapi_ticket),
    Check("agent_ticket", _ACCESS, "应用票据（侧边栏签名）", access.agent_ticket),
    Check("other_apps", _ACCESS, "其他应用", apps.other_apps),
    Check("callback_reachable", _CALLBACKS, "回调地址", callbacks.reachable),
    Check("callback_fresh", _CALLBACKS, "最近的回调", callbacks.fresh),
    Check("welcome_conflicts", _CALLBACKS, "欢迎语", callbacks.welcome_conflicts),
    Check("customer_contact", _PERMISSIONS, "客户联系", permissions.customer_contact),
    Check("corp_tags", _PERMISSIONS, "企业标签", permissions.corp_tags),
    Check("contact_ways", _PERMISSIONS, "渠道活码", permissions.contact_ways),
    Check("group_chats", _PERMISSIONS, "客户群", permissions.group_chats),
    Check("mass_messages", _PERMISSIONS, "企业群发", permissions.mass_messages),
    Check("moments", _PERMISSIONS, "客户朋友圈", permissions.moments),
    Check("transfers", _PERMISSIONS, "客户继承", permissions.transfers),
    Check("address_book", _PERMISSIONS, "部门", permissions.address_book),
    Check("kf", _PERMISSIONS, "微信客服", permissions.kf),
    Check("acquisition", _PERMISSIONS, "获客助手", permissions.acquisition),
)
