"""Login pages: inside WeCom without a question (doc 91022), in a browser by choosing (doc 98152)."""

import re
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from .rendering import Pages
from .sandbox import Sandbox

STATE = re.compile(r"[A-Za-z0-9]{0,128}")
MEMBER_COOKIE = "sandbox_member"


class LoginPages:
    """Who is logged in comes from the desk's cookie; without one the page asks."""

    def __init__(self, sandbox: Sandbox, pages: Pages) -> None:
        self.sandbox = sandbox
        self.pages = pages

    async def authorize(self, request: web.Request) -> web.Response:
        """GET connect/oauth2/authorize: 302 back with code and state."""
        query = request.query
        if problem := self._problem(query.get("appid", ""), query.get("redirect_uri", "")):
            return self._refuse(problem)
        if query.get("response_type") != "code":
            return self._refuse(f"response_type 参数错误：收到「{query.get('response_type', '')}」，应为 code。")
        if query.get("scope") not in ("snsapi_base", "snsapi_privateinfo"):
            return self._refuse(f"scope 参数错误：收到「{query.get('scope', '')}」，应为 snsapi_base。")
        if not STATE.fullmatch(query.get("state", "")):
            return self._refuse("state 参数错误：只能用字母和数字，最多 128 个字节（84025）。")
        return self._continue(request, request.cookies.get(MEMBER_COOKIE, ""))

    async def sso(self, request: web.Request) -> web.Response:
        """GET wwlogin/sso/login: an ordinary browser, so somebody must be chosen."""
        query = request.query
        if query.get("login_type") not in ("CorpApp", "ServiceApp"):
            return self._refuse(f"login_type 参数错误：收到「{query.get('login_type', '')}」，应为 CorpApp。")
        if query.get("agentid", "") != str(self.sandbox.config.agent_id):
            return self._refuse(f"agentid 参数错误：收到「{query.get('agentid', '')}」，不是本应用。")
        if problem := self._problem(query.get("appid", ""), query.get("redirect_uri", "")):
            return self._refuse(problem)
        return self._continue(request, "")

    def _problem(self, appid: str, redirect_uri: str) -> str:
        config = self.sandbox.config
        if appid != config.corp_id:
            return f"appid 参数错误：收到「{appid}」，不是本企业的 CorpID。"
        if not config.trusts(redirect_uri):
            host = urlsplit(redirect_uri).netloc or redirect_uri
            return f"redirect_uri 参数错误：「{host}」不是应用的可信域名，域名和端口都要完全一致。"
        return ""

    def _continue(self, request: web.Request, known: str) -> web.Response:
        userid = request.query.get("sandbox_member", "") or known
        customer = request.query.get("sandbox_customer", "")
        if member := self.sandbox.world.find_member(userid):
            return self._send_back(request, "member", member.userid)
        if customer in self.sandbox.world.wechat_users:
            return self._send_back(request, "customer", customer)
        return self._choose(request)

    def _send_back(self, request: web.Request, kind: str, name: str) -> web.Response:
        code = self.sandbox.identity.login_code(kind, name, self.sandbox.clock.now())
        parts = urlsplit(request.query["redirect_uri"])
        added = urlencode({"code": code, "state": request.query.get("state", "")})
        location = urlunsplit(parts._replace(query=f"{parts.query}&{added}" if parts.query else added))
        return web.Response(status=302, headers={"Location": location, "Cache-Control": "no-store"})

    def _choose(self, request: web.Request) -> web.Response:
        def link(name: str, value: str) -> str:
            return f"{request.path}?{urlencode({**request.query, name: value})}"

        world = self.sandbox.world
        members = [(member, link("sandbox_member", member.userid)) for member in world.members.values()]
        customers = [(user, link("sandbox_customer", user.key)) for user in world.first_users(200)]
        values = {"title": "选择登录身份", "members": members, "customers": customers[:6]}
        return self.pages.respond("login.html", values)

    def _refuse(self, text: str) -> web.Response:
        return self.pages.respond("notice.html", {"title": "无法登录", "text": text}, status=400)
