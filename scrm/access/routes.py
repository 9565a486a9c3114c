"""Which right each route of the console and the API asks for, and what the log calls it. Pure.

A route belongs to the module whose address it lies below; reading it asks for `view`, writing for `edit`. Only what
differs from that stands here. tests/access/test_routes.py walks the application's routes and demands an answer for each.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from scrm.access.modules import APPROVE, BY_KEY, EDIT, ERASE, EXPORT, MODULES, REVEAL, VIEW, Module

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Need:
    """The right that a route asks for; without a module it is open to everybody who is signed in, and `right` says what
    the log calls it."""

    module: str
    right: str
    # Whether the log keeps it: writes, and taking data out.
    is_logged: bool
    # Whether it shows customers of the whole shop, though its module's other pages do not.
    is_whole: bool = False

    @property
    def title(self) -> str:
        """剧本 SOP：修改"""
        found = BY_KEY.get(self.module)
        return f"{found.title}：{found.word(self.right)}" if found else ""


# One's own things, and what the API tells everybody.
_EVERYBODYS = ("/console", "/console/logout", "/console/left", "/console/account", "/api/openapi.json")

# Routes whose right is not the usual one.
_RIGHTS: Mapping[str, str] = {
    "POST /console/customers/{person_id}/privacy/reveal": REVEAL,
    "POST /console/customers/{person_id}/privacy/export": ERASE,
    "POST /console/customers/{person_id}/privacy/erase": ERASE,
    "GET /api/v1/customers/{person_id}/private": REVEAL,
    "GET /api/v1/customers/{person_id}/export": ERASE,
    "POST /api/v1/customers/{person_id}/erase": ERASE,
    "POST /console/callbacks/{id}/reveal": REVEAL,
    "POST /console/customers/bulk/export": EXPORT,
    "POST /console/orders/export": EXPORT,
    "POST /console/orders/files/{id}/cancel": EXPORT,
    "POST /console/guards": APPROVE,
    "POST /console/referrals/ledger/{id}/approve": APPROVE,
    "POST /console/referrals/ledger/{id}/void": APPROVE,
    "POST /console/referrals/ledger/{id}/undo": APPROVE,
    "POST /console/membership/requests/{id}": APPROVE,
}

# What is posted only because it is long: it changes nothing.
_ASKS = frozenset(
    {
        "POST /console/segments/count",
        "POST /console/segments/conditions/check",
        "POST /console/playbook-conditions/check",
        "POST /console/mass-messages/forecast",
        "POST /console/mass-messages/preview",
        "POST /console/contact-ways/new/week",
        "POST /console/playbooks/{key}/board/tests",
        "POST /console/library/preview",
    }
)
# A draft is kept at every pause of typing; what came of it is in the log when it is published.
_DRAFTS = frozenset({"POST /console/playbooks/{key}/edit/check", "POST /console/playbooks/{key}/board/edit"})
_FILES = (".csv", ".xlsx", ".zip")


def need_of(method: str, pattern: str) -> Need | None:
    """None for a route that belongs to no module: nobody may use it."""
    if pattern in _EVERYBODYS or pattern.startswith("/console/account/"):
        return Need("", "logout" if pattern.endswith("/logout") else "edit", is_logged=method not in SAFE)
    module = module_of(pattern)
    if module is None:
        return None
    route = f"{'GET' if method in SAFE else method} {pattern}"
    if route in _ASKS:
        return Need(module.key, VIEW, is_logged=False)
    if route in _DRAFTS:
        return Need(module.key, EDIT, is_logged=False)
    right = _RIGHTS.get(route) or _usual(method, pattern, module)
    return Need(module.key, right, is_logged=right != VIEW, is_whole="/rehearsal" in pattern)


def _usual(method: str, pattern: str, module: Module) -> str:
    if method not in SAFE:
        return EDIT
    takes_out = pattern.endswith(_FILES) or "/export" in pattern
    return EXPORT if takes_out and EXPORT in module.rights else VIEW


def module_of(pattern: str) -> Module | None:
    """The module with the longest address that `pattern` lies below."""
    found = [
        (len(path), module)
        for module in MODULES
        for path in (*module.console, *module.api)
        if _lies_below(_same_names(pattern), _same_names(path))
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _lies_below(pattern: str, path: str) -> bool:
    return pattern == path or (not path.endswith("/") and pattern.startswith(path + "/"))


def _same_names(pattern: str) -> str:
    """Routes call one number by several names: {id}, {person_id}."""
    return pattern.replace("{person_id}", "{id}")


# What the log says ----------------------------------------------------------------------------------------------------

# By the last word of an address, or by the act that stands in it.
_VERBS: Mapping[str, str] = {
    "add": "加入",
    "allow": "移出",
    "apart": "标为不是同一人",
    "approve": "批准",
    "archive": "归档",
    "cancel": "停止",
    "channels": "新增渠道",
    "codes": "补充券码",
    "days-off": "设置停发日",
    "delete": "删除",
    "down": "下移",
    "drop": "删除",
    "edit": "保存草稿",
    "end": "结束一个登录",
    "end-others": "退出其他登录",
    "end-sessions": "让员工退出登录",
    "erase": "删除客户资料",
    "event_types": "定义事件",
    "export": "导出",
    "fields": "修改自定义字段",
    "folder": "移到分组",
    "groups": "加入客户群",
    "hide": "隐藏",
    "import": "导入",
    "issue": "发券",
    "levels": "保存等级",
    "link": "生成链接",
    "links": "生成链接",
    "logout": "退出登录",
    "look": "查找重复客户",
    "mapping": "保存列映射",
    "migrate": "迁移在途客户",
    "new": "新建",
    "off": "停用",
    "on": "启用",
    "optout": "修改退订",
    "password": "修改密码",
    "pause": "暂停",
    "private": "查看隐私明文",
    "place": "移动",
    "publish": "发布",
    "pull": "立即拉取",
    "rebase": "以新版本为底",
    "redeem": "核销",
    "refresh": "重新读取",
    "refuse": "退回",
    "remind": "提醒员工",
    "replay": "重放",
    "requests": "审批",
    "restore": "恢复",
    "resume": "恢复",
    "retire": "停用",
    "retry": "重试",
    "reveal": "查看隐私明文",
    "revoke": "停用",
    "role": "设置角色",
    "rollback": "回滚",
    "rules": "修改规则",
    "show": "撤销删除",
    "start": "手动开始",
    "stop": "停发",
    "tags": "修改标签",
    "test": "发送测试",
    "unassigned": "读取待分配客户",
    "undo": "撤销",
    "up": "上移",
    "void": "作废",
}
_WHOLE: Mapping[str, str] = {
    "POST /console/guards": "修改全店规则",
    "POST /console/guards/stop": "加入停发名单",
    "POST /console/guards/stop/{person_id}/delete": "移出停发名单",
    "POST /console/mass-messages": "创建群发",
    "POST /console/moments": "创建朋友圈任务",
    "POST /console/transfers": "开始转接",
    "POST /console/merge": "合并客户",
    "POST /console/merge/{merge_id}/undo": "撤销合并",
    "POST /console/sync": "开始核对",
    "POST /console/callbacks/{id}/reveal": "查看回调原文",
    "POST /console/callbacks/replay": "重放一批",
    "POST /console/work/retry": "全部重试",
    "POST /console/work/{id}/discard": "丢弃任务",
    "POST /console/tags": "新建标签",
    "POST /console/tags-library": "读取企业标签库",
    "POST /console/tags/groups/{group_id}/exclusive": "设置标签组是否互斥",
    "POST /console/acquisition-quota": "读取获客额度",
    "POST /console/kf/accounts": "读取客服账号",
    "PUT /console/imports": "上传文件",
    "POST /console/customers/bulk": "批量操作",
    "POST /console/customers/bulk/export": "批量导出",
    "POST /console/customers/bulk/{id}/cancel": "取消批量操作",
    "POST /console/customers/bulk/{id}/undo": "撤销批量操作",
    "POST /console/customers/bulk/{id}/again": "重试批量操作",
    "GET /console/customers/bulk/{id}/export": "下载导出的文件",
    "POST /console/customers/views": "保存视图",
    "POST /console/pool/pick": "领取客户",
    "POST /console/pool/assign": "分配客户",
    "POST /console/pool/rules": "修改规则",
    "POST /console/customers/views/{id}/delete": "删除视图",
    "POST /console/customers/columns": "选择列",
    "POST /console/imports/{id}": "开始导入",
    "POST /console/imports/{id}/stop": "停下导入",
    "POST /console/imports/status-words": "说明订单状态的意思",
    "POST /console/sources/status-words": "说明订单状态的意思",
    "POST /console/hooks/status-words": "说明订单状态的意思",
    "POST /console/membership/requests/{id}": "审批积分调整",
    "POST /console/segments/{key}/edit": "修改",
    "POST /console/segments/{key}/freeze": "冻结成名单",
    "POST /console/rfm/rules": "修改规则",
    "POST /console/rfm/refresh": "重新计算",
    "POST /console/segments/{key}/refresh": "重新计算",
    "POST /console/acquisition": "新建",
    "POST /console/radar": "新建",
    "POST /console/referrals/campaigns/new": "新建活动",
    "POST /console/referrals/campaigns/{id}": "修改活动",
    "POST /console/referrals/campaigns/{id}/stop": "停止或恢复活动",
    "POST /console/referrals/ledger/{id}/undo": "撤销判定",
    "PUT /console/media": "上传",
    "PUT /console/contact-ways/new/logo": "换二维码的标志",
    "POST /console/contact-ways/new/logo/remove": "去掉二维码的标志",
    "POST /console/customers/{person_id}/privacy/export": "导出全部资料",
    "GET /api/v1/customers/{person_id}/export": "导出全部资料",
    "POST /console/playbooks/{key}/rehearsal": "开始预演",
    "POST /console/customers/{person_id}/points": "调整积分",
    "POST /console/playbooks/{key}/edit": "离开编辑",
    "POST /console/playbooks/{key}/lock": "接手编辑",
    "POST /console/playbooks/{key}/runs/{run_id}/stop": "停止一位客户的运行",
    "POST /console/playbooks/{key}/runs/{run_id}/skip": "让一位客户跳过一步",
    "POST /console/playbooks/{key}/runs/{run_id}/undo": "撤销对一位客户的操作",
    "DELETE /console/playbooks/{key}/pause": "恢复",
    "POST /api/v1/customers/{person_id}/points": "调整积分",
    "POST /console/orders/export": "导出订单",
    "POST /console/orders/files/{id}/cancel": "取消导出",
    "GET /console/orders/files/{id}/export": "下载导出的文件",
    "POST /api/v1/orders": "写入订单",
    "POST /api/v1/shipments": "写入物流",
    "POST /api/v1/events": "写入自有事件",
    "POST /api/v1/track/tokens": "签发访客令牌",
    "POST /api/v1/merges": "合并客户",
    "POST /console/library/folders": "新建分组",
    "POST /console/library/folders/{folder_id}": "修改分组",
    "POST /console/library/rules": "修改敏感词与审批",
    "GET /console/library/export.{suffix}": "导出",
    "POST /console/access/roles/new": "新建角色",
    "POST /console/access/roles/{key}": "修改角色",
    "POST /console/access/roles/{key}/delete": "删除角色",
    "POST /console/access/accounts/new": "新建本地账号",
    "POST /console/access/accounts/{name}/password": "重设本地账号的密码",
    "POST /console/api-keys": "新建密钥",
    "POST /console/webhooks": "新建",
    "POST /api/v1/webhooks": "新建",
    "POST /console/webhooks/{id}/secret": "换签名密钥",
}
_BY_METHOD: Mapping[str, str] = {"PUT": "保存", "PATCH": "修改", "DELETE": "删除", "GET": "读取"}


def words_of(method: str, pattern: str, params: Mapping[str, str]) -> str:
    """What somebody does by this route: 剧本 SOP：暂停."""
    module = module_of(pattern)
    act = _WHOLE.get(f"{method} {pattern}") or _verb(method, pattern, params)
    return f"{module.title}：{act}" if module else act


def _verb(method: str, pattern: str, params: Mapping[str, str]) -> str:
    last = pattern.rstrip("/").rpartition("/")[2]
    if last.startswith("{"):
        act = params.get(last.strip("{}"), "") if last in ("{act}", "{verdict}") else ""
        return _VERBS.get(act) or _BY_METHOD.get(method, "修改")
    if method == "GET":
        return _VERBS.get(last, "导出")
    return _VERBS.get(last) or _BY_METHOD.get(method, "保存")


def object_of(params: Mapping[str, str]) -> str:
    """What the address is about: the first thing that it names."""
    return next((value for name, value in params.items() if name not in ("act", "verdict", "kind", "suffix")), "")
