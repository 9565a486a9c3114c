"""The phone's tabs beside the chats: the Official Account and customer service."""

from urllib.parse import urlencode

from aiohttp import web

from .kf import Session
from .rendering import Pages
from .sandbox import Sandbox
from .talking import api_routes
from .world import WechatUser

ACCOUNT, SERVICE = "oa", "kf"
STATES = {0: "机器人接待", 1: "机器人接待", 2: "排队中", 3: "人工接待", 4: "会话已结束"}


def routes(sandbox: Sandbox, pages: Pages) -> list[web.AbstractRouteDef]:
    """GET {base}/phone/oa and /phone/kf, each with its /screen, and the account's own API."""
    base = sandbox.config.base_path

    def user_of(request: web.Request) -> WechatUser | None:
        users = sandbox.world.wechat_users
        return users.get(request.query.get("user", "")) or next(iter(users.values()), None)

    def values_of(request: web.Request, user: WechatUser, tab: str) -> dict[str, object]:
        accounts = list(sandbox.world.kf.accounts.values())
        account = next((one for one in accounts if one.open_kfid == request.query.get("account")), None)
        account = account or (accounts[0] if accounts else None)
        session = account.sessions.get(user.external_userid, Session("")) if account else Session("")
        state = sandbox.world.official_account
        return {
            "user": user,
            "tab": tab,
            "account": account,
            "follows": user.key in state.followers,
            "lines": state.chats.get(user.key, []) if tab == ACCOUNT else session.lines,
            "state": STATES[session.state],
            "has_account": sandbox.config.official_account is not None,
            "scene": request.query.get("scene", ""),
        }

    def page(tab: str) -> web.AbstractRouteDef:
        async def show(request: web.Request) -> web.Response:
            user = user_of(request)
            if user is None:
                values: dict[str, object] = {"title": "还没有微信用户", "text": "演示数据还没有加载，请稍后刷新。"}
                return pages.respond("notice.html", values)
            users = sandbox.world.first_users(12)
            title = "公众号" if tab == ACCOUNT else "微信客服"
            values = values_of(request, user, tab) | {"title": f"{user.name}的手机 · {title}", "users": users}
            return pages.respond("phone_wechat.html", values)

        return web.get(f"{base}/phone/{tab}", show)

    def screen(tab: str) -> web.AbstractRouteDef:
        async def show(request: web.Request) -> web.Response:
            user = sandbox.world.wechat_users.get(request.query.get("user", ""))
            if user is None:
                return web.Response(status=404)
            return pages.fragment(request, "phone_wechat_screen.html", values_of(request, user, tab))

        return web.get(f"{base}/phone/{tab}/screen", show)

    return [*(make(tab) for tab in (ACCOUNT, SERVICE) for make in (page, screen)), *api_routes(sandbox)]


def phone_address(sandbox: Sandbox, tab: str, user: str) -> str:
    """Where a person's tab is."""
    return f"{sandbox.config.base_url}/phone/{tab}?{urlencode({'user': user})}"
