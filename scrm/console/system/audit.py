"""操作日志: who did what, to which thing, when and from where; before and after; and as a file."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from aiohttp import web

from scrm.access.history import PAGE, Wanted, list_entries
from scrm.access.modules import MODULES, right
from scrm.access.roles import BUILT_IN, REACHES
from scrm.access.roles import FIELDS as PRIVATE
from scrm.console.door import before_of, for_managers, page
from scrm.profiles.words import Word
from scrm.services import SERVICES, Services

routes = web.RouteTableDef()

EXPORT_PAGE = 1_000
ACTS = {
    "edit": "修改",
    "approve": "审批与规则",
    "export": "导出",
    "reveal": "查看隐私明文",
    "erase": "导出全部或删除资料",
    "login": "登录",
    "logout": "退出",
}
OUTCOMES = {
    "done": Word("已完成", "good"),
    "none": Word("没有改动"),
    "refused": Word("被拒绝", "warn"),
    "failed": Word("出错", "bad"),
}
WAYS = {"console": "后台", "api": "接口", "login": "登录", "sidebar": "侧边栏", "cli": "命令行"}
# What a thing is called, and where its page is.
ENTITIES: dict[str, tuple[str, str]] = {
    "account": ("本地账号", "/console/access/accounts"),
    "acquisition_link": ("获客链接", "/console/acquisition"),
    "api_key": ("接口密钥", "/console/api-keys"),
    "channel_cost": ("渠道成本", "/console/contact-ways/{}/costs"),
    "saved_report": ("自定义报表", "/console/reports/saved/{}"),
    "bulk_job": ("批量操作", "/console/customers/bulk/{}"),
    "coupon": ("优惠券", "/console/coupons"),
    "day_off": ("停发日", "/console/plans"),
    "event_type": ("自有事件", ""),
    "group_chat": ("客户群", "/console/group-chats/{}"),
    "group_code": ("群活码", "/console/group-codes/{}"),
    "group_code_slot": ("群活码里的群", "/console/group-codes"),
    "group_welcome": ("入群欢迎语", "/console/group-welcomes"),
    "import": ("导入", "/console/imports/{}"),
    "import_mapping": ("列映射", "/console/imports"),
    "media": ("素材", "/console/media"),
    "order": ("订单", "/console/orders"),
    "referral": ("推荐记录", "/console/referrals"),
    "referral_campaign": ("老带新活动", "/console/referrals/campaigns/{}"),
    "relation": ("好友关系", ""),
    "session": ("登录", ""),
    "suggestion": ("重复客户", "/console/merge"),
    "tag_group": ("标签组", "/console/tags"),
    "order_file": ("订单文件", "/console/orders/files/{}"),
    "callback": ("回调", "/console/callbacks/{}"),
    "callback_replay": ("重放回调", "/console/callbacks"),
    "contact_way": ("渠道活码", "/console/contact-ways/{}"),
    "qr_logo": ("二维码中间的标志", "/console/contact-ways"),
    "coupon_batch": ("券批次", "/console/coupons/{}"),
    "customer_view": ("客户视图", "/console/customers"),
    "custom_field": ("自定义字段", "/console/fields"),
    "draft": ("剧本草稿", "/console/playbooks/{}/versions"),
    "erasure": ("客户", "/console/customers/{}/privacy"),
    "guards": ("全店规则", "/console/guards"),
    "keyword_reply": ("关键词回复", "/console/replies"),
    "level": ("会员等级", "/console/membership"),
    "mass_message": ("群发", "/console/mass-messages/{}"),
    "member": ("员工", "/console/access?q={}"),
    "membership_rules": ("会员规则", "/console/membership"),
    "merge": ("合并", "/console/merge"),
    "moment": ("朋友圈", "/console/moments/{}"),
    "person": ("客户", "/console/customers/{}"),
    "plan": ("计划", "/console/plans/{}"),
    "pool": ("公海客户", "/console/pool"),
    "pool_rule": ("公海规则", "/console/pool/rules"),
    "playbook": ("剧本", "/console/playbooks/{}"),
    "playbook_run": ("客户的剧本运行", "/console/customers/{}"),
    "points": ("客户积分", "/console/customers/{}/points"),
    "radar_content": ("雷达内容", "/console/radar/{}"),
    "role": ("角色", "/console/access/roles/{}"),
    "rfm_rules": ("RFM 规则", "/console/rfm/rules"),
    "segment": ("人群包", "/console/segments/{}"),
    "status_word": ("订单状态的说法", "/console/imports"),
    "stop_entry": ("停发名单", "/console/guards#stop"),
    "tag": ("标签", "/console/tags"),
    "work_item": ("任务", "/console/work"),
    "webhook": ("事件推送", "/console/webhooks/{}"),
    "transfer": ("转接", "/console/transfers/{}"),
}
# Names of fields as people know them; what is not here is shown as it is kept.
FIELDS = {
    "accounts": "账号",
    "added": "加入",
    "archived_at": "归档时间",
    "balance": "余额",
    "budget_fen": "预算（分）",
    "daily_most": "每天上限",
    "decided_by": "判定人",
    "ended": "结束的登录",
    "ends_at": "结束时间",
    "expires_at": "到期时间",
    "fields": "隐私字段",
    "gone_id": "并入的客户",
    "group": "组",
    "is_active": "启用",
    "kept_id": "保留的客户",
    "kind": "种类",
    "most": "名额",
    "name": "名称",
    "networks": "允许的地址",
    "note": "说明",
    "order_days": "几天内下单",
    "optout": "退订",
    "password": "密码",
    "reach": "数据范围",
    "reason": "原因",
    "removed": "移出",
    "return_days": "退货期（天）",
    "review_above": "有效几位后核对",
    "revoked_at": "停用时间",
    "rights": "权限",
    "rules": "规则",
    "role": "角色",
    "scopes": "权限",
    "seen": "查看的字段",
    "sees_private": "可看隐私明文",
    "shows_names": "显示完整昵称",
    "starts_at": "开始时间",
    "state": "状态",
    "stay_days": "至少留几天",
    "stopped_at": "停止时间",
    "tag_name": "标签名",
    "tags": "标签",
    "text": "文字",
    "title": "标题",
    "userids": "员工",
    "version": "版本",
}
_RIGHTS = {right(one.key, what): f"{one.title}：{one.word(what)}" for one in MODULES for what in one.rights}
# What kept values are called.
VALUES: dict[str, Mapping[str, str]] = {
    "rights": _RIGHTS,
    "scopes": _RIGHTS,
    "reach": REACHES,
    "fields": PRIVATE,
    "seen": PRIVATE,
    "role": {**{role.key: role.title for role in BUILT_IN.values()}, "scoped": "按权限"},
}
_HEADINGS = ["时间", "谁", "账号", "途径", "地址", "做了什么", "结果", "原因", "对象", "编号", "之前", "之后", "请求"]


@routes.get("/console/audit")
@for_managers
async def show(request: web.Request) -> web.StreamResponse:
    services = request.app[SERVICES]
    asked = _asked(request)
    wanted = _wanted(asked, services.settings.shop.zone)
    rows = await services.db.read(list_entries, wanted, before=before_of(request), limit=PAGE + 1)
    return await page(
        request,
        "audit.html",
        active="audit",
        rows=rows[:PAGE],
        before=rows[PAGE - 1].id if len(rows) > PAGE else None,
        asked=asked,
        query=urlencode({name: value for name, value in asked.items() if value}),
        modules=[module for module in MODULES if module.url or module.api],
        acts=ACTS,
        outcomes=OUTCOMES,
        ways=WAYS,
        thing=thing_of,
        differences=differences,
    )


@routes.get("/console/audit.csv")
@for_managers
async def export(request: web.Request) -> web.StreamResponse:
    """What the page would show, all of it, as UTF-8 that Excel opens."""
    services = request.app[SERVICES]
    wanted = _wanted(_asked(request), services.settings.shop.zone)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/csv; charset=utf-8",
            "Content-Disposition": 'attachment; filename="audit.csv"',
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    await response.write(b"\xef\xbb\xbf" + _lines([_HEADINGS]))
    async for piece in _pieces(services, wanted):
        await response.write(piece)
    await response.write_eof()
    return response


async def _pieces(services: Services, wanted: Wanted) -> AsyncIterator[bytes]:
    zone, before = services.settings.shop.zone, None
    while rows := await services.db.read(list_entries, wanted, before=before, limit=EXPORT_PAGE):
        yield _lines([_line(row, zone) for row in rows])
        before = rows[-1].id


def _line(row: Any, zone: ZoneInfo) -> list[str]:
    told = [json.dumps(value, ensure_ascii=False) if value else "" for value in (row.before, row.after)]
    outcome = OUTCOMES[row.outcome].text if row.outcome in OUTCOMES else row.outcome
    at, thing = f"{row.at.astimezone(zone):%Y-%m-%d %H:%M:%S}", thing_of(row)[0]
    who = [row.actor_name, row.actor, WAYS.get(row.way, row.way), row.address]
    return [at, *who, row.words, outcome, row.problem, thing, row.key, *told, row.request]


def _lines(rows: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
    return text.getvalue().encode()


def _harmless(cell: str) -> str:
    """A cell that begins like a formula would be one when somebody opens the file."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell


def _asked(request: web.Request) -> dict[str, str]:
    return {
        name: request.query.get(name, "").strip()[:120]
        for name in ("who", "module", "act", "key", "outcome", "since", "until")
    }


def _wanted(asked: dict[str, str], zone: ZoneInfo) -> Wanted:
    """Days are the shop's; a last day is meant whole."""
    since, until = _day(asked["since"], zone), _day(asked["until"], zone)
    return Wanted(
        who=asked["who"],
        module=asked["module"],
        act=asked["act"] if asked["act"] in ACTS else "",
        key=asked["key"],
        outcome=asked["outcome"] if asked["outcome"] in OUTCOMES else "",
        since=since,
        until=None if until is None else until + timedelta(days=1),
    )


def _day(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        return datetime.combine(date.fromisoformat(text), time(), zone)
    except ValueError:
        return None


def thing_of(row: Any) -> tuple[str, str]:
    """What a row is about, in words, and the address of its page."""
    title, path = ENTITIES.get(row.entity, ("", ""))
    return title, path.replace("{}", row.key) if row.key else path


def differences(row: Any, zone: ZoneInfo) -> list[tuple[str, str, str]]:
    """(field, before, after) of a row, as people read it; of lists only what came and went."""
    found = []
    for name in {**(row.before or {}), **(row.after or {})}:
        old, new = (row.before or {}).get(name), (row.after or {}).get(name)
        if isinstance(old, list) and isinstance(new, list):
            old, new = [one for one in old if one not in new], [one for one in new if one not in old]
        told = (_told(name, old, zone), _told(name, new, zone))
        if row.before is not None and row.after is not None and not isinstance(new, list):
            told = (told[0] or "空", told[1] or "空")
        found.append((FIELDS.get(name, name), *told))
    return found


def _told(name: str, value: Any, zone: ZoneInfo) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, list):
        return "、".join(_told(name, one, zone) for one in value)
    if isinstance(value, dict):
        return "；".join(f"{FIELDS.get(key, key)} {_told(key, one, zone) or '空'}" for key, one in value.items())
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return f"{datetime.fromisoformat(value).astimezone(zone):%Y-%m-%d %H:%M:%S}"
    return VALUES.get(name, {}).get(str(value), str(value))


_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")
