"""Who is it: WeCom's OAuth2 inside its client (doc 91022), its login page in any other browser (doc 98152)."""

import base64
import binascii
import re
import secrets
import string
from datetime import timedelta
from urllib.parse import quote, urlencode, urlsplit

import structlog
from aiohttp import web

from scrm import sessions
from scrm.errors import Forbidden, ScrmError, Unavailable
from scrm.http import COOKIE, sign_in
from scrm.profiles import store as profiles
from scrm.services import SERVICES, Services
from scrm.wecom.errors import WeComError
from web.render import render

log = structlog.get_logger()

# The sandbox's bridge stands in for WeCom's client, whose user agent only its script knows.
BRIDGE_SCRIPT = web.AppKey("bridge_script", str)

HOME = "/sidebar/"
LIFE = timedelta(minutes=10)
_LETTERS = string.ascii_letters + string.digits  # all that OAuth2 allows in a state (84025)
_STATE_LENGTH = 32
_PURPOSE = "login"
_WECOM = re.compile(r"wxwork/", re.IGNORECASE)

routes = web.RouteTableDef()


class LoginFailed(Forbidden):
    """The login came back and did not succeed; the page offers another try."""

    code = "login_failed"


def login_url(request: web.Request) -> str:
    """Where a page sends a reader without a session, to come back to it."""
    return f"/login?{urlencode({'next': request.path_qs})}"


def local_path(given: str) -> str:
    """`given` when it is a path of ours, else the sidebar: a login must not lead to another site."""
    is_ours = given.startswith("/") and not given.startswith(("//", "/\\", "/login"))
    has_tricks = "\\" in given or any(ord(letter) < 32 for letter in given)
    return given if is_ours and not has_tricks and not urlsplit(given).netloc else HOME


@routes.get("/login")
async def begin(request: web.Request) -> web.StreamResponse:
    """Off to WeCom, with a state that only this browser can bring back."""
    services = request.app[SERVICES]
    target = local_path(request.query.get("next", ""))
    state = "".join(secrets.choice(_LETTERS) for _ in range(_STATE_LENGTH))
    is_in_client = bool(_WECOM.search(request.headers.get("User-Agent", "")))
    is_played = bool(request.app[BRIDGE_SCRIPT]) and target.startswith("/sidebar")
    response = web.Response(
        status=302,
        headers={
            "Location": authorize_url(services, state) if is_in_client or is_played else sso_url(services, state),
            "Cache-Control": "no-store",
        },
    )
    response.set_cookie(
        _cookie(state),
        _pack(services, state, target),
        max_age=int(LIFE.total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=services.settings.server.public_url.startswith("https://"),
        path="/login",
    )
    return response


def authorize_url(services: Services, state: str) -> str:
    """The silent login of a member inside WeCom (doc 91022); `#wechat_redirect` must be the fragment."""
    wecom = services.settings.wecom
    query = {
        "appid": wecom.corp_id,
        "redirect_uri": _return_url(services),
        "response_type": "code",
        "scope": "snsapi_base",
        "state": state,
        "agentid": str(wecom.agent_id),
    }
    return f"{wecom.oauth_base}/connect/oauth2/authorize?{urlencode(query)}#wechat_redirect"


def sso_url(services: Services, state: str) -> str:
    """The page that shows a code to scan, or asks the running client (doc 98152)."""
    wecom = services.settings.wecom
    query = {
        "login_type": "CorpApp",
        "appid": wecom.corp_id,
        "agentid": str(wecom.agent_id),
        "redirect_uri": _return_url(services),
        "state": state,
        "lang": "zh",
    }
    return f"{wecom.login_base}/wwlogin/sso/login?{urlencode(query)}"


def _return_url(services: Services) -> str:
    return f"{services.settings.server.public_url}/login/return"


@routes.get("/login/return")
async def finish(request: web.Request) -> web.StreamResponse:
    """Exchange the code, once, and go on to a clean address."""
    services = request.app[SERVICES]
    state, code = request.query.get("state", ""), request.query.get("code", "")
    target = _unpack(services, state, request.cookies.get(_cookie(state), ""))
    if target is None:
        return await _without_state(request, services)
    try:
        if not code:
            raise LoginFailed("你取消了登录，没有拿到企业微信的授权。")
        userid = await identify(services, code)
    except ScrmError as error:
        response: web.StreamResponse = _refusal(request, error, target)
    else:
        response = web.Response(status=302, headers={"Location": target, "Cache-Control": "no-store"})
        await sign_in(request, response, userid)
        log.info("login.done", userid=userid)
    response.del_cookie(_cookie(state), path="/login")
    return response


async def _without_state(request: web.Request, services: Services) -> web.StreamResponse:
    """An old address opened again, or a login that began in another browser."""
    token = request.cookies.get(COOKIE, "")
    member = await services.db.read(sessions.find_session, token, now=services.clock.now())
    if member is not None:
        return web.Response(status=302, headers={"Location": HOME, "Cache-Control": "no-store"})
    return _refusal(request, LoginFailed("这次登录已经用过或超过了 10 分钟，请重新登录。"), HOME)


def _refusal(request: web.Request, error: ScrmError, target: str) -> web.Response:
    retry = f"/login?next={quote(target, safe='')}"
    return render(
        request, "error.html", status=error.status, text=error.text, code=error.code, retry=retry, retry_text="重新登录"
    )


async def identify(services: Services, code: str) -> str:
    """The userid behind a login code, known as an active member from here on (doc 91023).

    Raises LoginFailed with the reason in words, Unavailable when WeCom does not answer.
    """
    try:
        told = await services.wecom.members.get_user_info(code)
    except WeComError as error:
        log.warning("login.refused", errcode=error.errcode)
        if error.errcode in (40029, 42003, 42022):
            raise LoginFailed("这次登录已经用过或过期了，请重新登录。") from None
        if error.errcode <= 0:
            raise Unavailable("企业微信暂时没有回应，请稍后重试。") from None
        raise LoginFailed(f"企业微信没有允许这次登录：{error.text}") from None
    userid = str(told.get("userid") or "")
    if not userid:
        raise LoginFailed("只有本企业的员工可以登录，你当前的微信不是本企业成员。")
    if "/" in userid:
        raise LoginFailed("你是互联企业的成员，目前只支持本企业员工登录。")
    return await _know_member(services, userid)


async def _know_member(services: Services, userid: str) -> str:
    """WeCom names every member of the corp, so those we have not met are learnt now."""
    member = await services.db.read(profiles.find_member, userid)
    if member is None:
        profile = await _profile(services, userid)
        await services.db.write(
            profiles.save_member,
            userid,
            name=str(profile.get("name") or userid),
            alias=str(profile.get("alias") or ""),
            avatar=str(profile.get("avatar") or ""),
            now=services.clock.now(),
        )
        return userid
    if not member.is_active:
        raise LoginFailed("你的账号已停用，请联系管理员。")
    return str(member.userid)


async def _profile(services: Services, userid: str) -> dict[str, object]:
    """What we may read of a member; outside the app's visible range that is nothing (60111, 60011)."""
    try:
        return await services.wecom.members.get_user(userid)
    except WeComError as error:
        log.info("login.profile_unreadable", errcode=error.errcode)
        return {}


# The cookie says where to go afterwards; it is signed, bound to its state and gone after one use.


def _cookie(state: str) -> str:
    """A name of its own for each login, because two views of one client may log in at once."""
    prefix = state[:8] if re.fullmatch(rf"[A-Za-z0-9]{{{_STATE_LENGTH}}}", state) else "none"
    return f"scrm_login_{prefix}"


def _pack(services: Services, state: str, target: str) -> str:
    until = int((services.clock.now() + LIFE).timestamp())
    where = base64.urlsafe_b64encode(target.encode()).decode().rstrip("=")
    return f"{until}.{where}.{services.vault.sign(_PURPOSE, f'{state}.{until}.{where}')}"


def _unpack(services: Services, state: str, packed: str) -> str | None:
    """Where the login leads, or None when it is not of this browser or too old."""
    until, _, rest = packed.partition(".")
    where, _, proof = rest.partition(".")
    if not proof.isascii() or not services.vault.is_signed(_PURPOSE, f"{state}.{until}.{where}", proof):
        return None
    if int(until) < services.clock.now().timestamp():
        return None
    try:
        return local_path(base64.urlsafe_b64decode(where + "=" * (-len(where) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError):
        return None
