"""One harmless call for each permission that is used; a function that no shop needs may be missing."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from scrm.doctor.findings import Finding, bad, good, unused
from scrm.doctor.look import Look
from scrm.wecom.errors import RetryClass, WeComError

_CONTACT = "企微管理后台 → 客户与上下游 → 客户联系"

Body = Callable[[Look], dict[str, Any]]
Examine = Callable[[Look], Awaitable[Finding]]


def may_call(path: str, body: Body, *, allowed: tuple[int, ...] = ()) -> Examine:
    """A permission that everything rests on; `allowed` are refusals that come only after the permission was found."""

    async def examine(look: Look) -> Finding:
        try:
            await look.ask(path, body(look))
        except WeComError as error:
            if error.errcode not in allowed:
                raise
        return good()

    return examine


def may_use(path: str, body: Body, mend: str) -> Examine:
    """A function that a shop may do without: a refusal is no failure."""

    async def examine(look: Look) -> Finding:
        try:
            await look.ask(path, body(look))
        except WeComError as error:
            if error.retry_class not in (RetryClass.CONFIGURATION, RetryClass.RELATION):
                raise
            return unused(f"没有开通，或没有勾选本应用（{error.errcode}）。不用这个功能可以忽略。", mend, error.errcode)
        return good()

    return examine


def first_one(look: Look) -> dict[str, Any]:
    return {"limit": 1}


def nothing(look: Look) -> dict[str, Any]:
    return {}


def of_last_day(look: Look) -> dict[str, Any]:
    now = look.services.clock.now()
    return {"start_time": int((now - timedelta(days=1)).timestamp()), "end_time": int(now.timestamp()), "limit": 1}


def mass_messages_of_last_day(look: Look) -> dict[str, Any]:
    return {"chat_type": "single", **of_last_day(look)}


async def customer_contact(look: Look) -> Finding:
    """The list of members who may have customers; an empty one means that nobody was put into the range."""
    members = (await look.ask("externalcontact/get_follow_user_list")).get("follow_user") or []
    if not members:
        return bad("没有一名成员开通了客户联系。", f"{_CONTACT} → 权限配置 → 使用范围，添加全部导购。")
    return good(f"{len(members)} 名成员")


corp_tags = may_call("externalcontact/get_corp_tag_list", nothing)
contact_ways = may_call("externalcontact/list_contact_way", first_one)
group_chats = may_call("externalcontact/groupchat/list", first_one, allowed=(81017,))
mass_messages = may_call("externalcontact/get_groupmsg_list_v2", mass_messages_of_last_day)
moments = may_use("externalcontact/get_moment_list", of_last_day, f"{_CONTACT} → 客户朋友圈 → 开启并勾选本应用。")
transfers = may_use(
    "externalcontact/get_unassigned_list",
    lambda look: {"page_size": 1},
    f"{_CONTACT} → 权限配置 → 离职继承，勾选本应用。",
)
address_book = may_use(
    "department/simplelist", lambda look: {}, "企微管理后台 → 应用管理 → 自建 → 你的应用 → 可见范围，添加部门。"
)
kf = may_use(
    "kf/account/list",
    lambda look: {"offset": 0, "limit": 1},
    "企微管理后台 → 应用管理 → 微信客服 → API → 可调用接口的应用，勾选本应用。",
)
acquisition = may_use(
    "externalcontact/customer_acquisition/list_link",
    first_one,
    "企微管理后台 → 客户与上下游 → 获客助手 → 可调用接口的应用，勾选本应用。",
)
