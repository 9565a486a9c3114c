"""Who is it: WeCom's OAuth2 inside its client (doc 91022), its login page in any other browser (doc 98152)."""

import base64
import binascii
import re
import secrets
import string
from datetime import timedelta
from functools import partial
from urllib.parse import quote, urlencode, urlsplit

import structlog
from aiohttp import web

from scrm import audit, sessions
from scrm.access import account_store as accounts
from scrm.access import passwords
from scrm.access.senders import sender_of
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
    """Inside WeCom, and for the sidebar, straight on; managers in other browsers choose how where there is a choice."""
    services = request.app[SERVICES]
    target = local_path(request.query.get("next", ""))
    is_in_client = bool(_WECOM.search(request.headers.get("User-Agent", "")))
    may_choose = target.startswith("/console") and not is_in_client and request.query.get("way") != "wecom"
    if may_choose and await services.db.read(accounts.is_any_account):
        return _show_ways(request, target)
    return _to_wecom(request, target)


def _to_wecom(request: web.Request, target: str) -> web.Response:
    """Off to WeCom, with a state that only this browser can bring back."""
    services = request.app[SERVICES]
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


# With a password ------------------------------------------------------------------------------------------------------

_FORM = "scrm_login_form"
_FORM_PURPOSE = "login-form"
_WRONG = "用户名或密码不对。连续输错会暂停登录，错得越多停得越久。"


def _show_ways(
    request: web.Request, target: str, *, name: str = "", problem: str = "", status: int = 200
) -> web.Response:
    """The page with both ways; the form carries a proof that it was asked for by this browser."""
    services = request.app[SERVICES]
    nonce = secrets.token_urlsafe(16)
    response = render(
        request,
        "console/login.html",
        status=status,
        target=target,
        typed=name,
        problem=problem,
        proof=services.vault.sign(_FORM_PURPOSE, nonce),
        wecom=f"/login?{urlencode({'next': target, 'way': 'wecom'})}",
    )
    response.set_cookie(
        _FORM,
        nonce,
        max_age=3600,
        httponly=True,
        samesite="Strict",
        secure=services.settings.server.public_url.startswith("https://"),
        path="/login",
    )
    return response


@routes.post("/login/local")
async def enter(request: web.Request) -> web.StreamResponse:
    """A name and a password; a name that nobody has is answered like a wrong password, after as much work."""
    services, form = request.app[SERVICES], await request.post()
    name, password = (str(form.get(field, "")) for field in ("name", "password"))
    target = local_path(str(form.get("next", "")))
    show = partial(_show_ways, request, target, name=name[:40])
    if not _is_our_form(request, str(form.get("proof", ""))):
        return show(problem="页面已过期，请重新输入", status=403)
    now, address = services.clock.now(), sender_of(request)
    waits = await services.db.write(accounts.begin_attempt, name, address, now=now)
    if waits:
        await _note_refusal(request, name, "失败次数过多，暂停登录")
        return show(problem=f"失败次数过多，请 {_minutes(waits)} 分钟后再试", status=429)
    account = await services.db.read(accounts.find_account, name)
    kept = account.password_hash if account is not None and account.is_active else None
    if not await passwords.is_right(kept, password) or account is None:
        await _note_refusal(request, name, "用户名或密码不对")
        return show(problem=_WRONG, status=401)
    anew = await passwords.hash_password(password) if passwords.is_old(account.password_hash) else None
    await services.db.write(accounts.note_login, account.userid, address, now=now, password_hash=anew)
    response = web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})
    await sign_in(request, response, account.userid, way="local", words="用密码登录")
    response.del_cookie(_FORM, path="/login")
    return response


def _is_our_form(request: web.Request, proof: str) -> bool:
    """Another site cannot make a browser come in as somebody else."""
    nonce, vault = request.cookies.get(_FORM, ""), request.app[SERVICES].vault
    return bool(nonce) and proof.isascii() and vault.is_signed(_FORM_PURPOSE, nonce, proof)


def _minutes(waits: timedelta) -> int:
    return int(-(-waits // timedelta(minutes=1)))


async def _note_refusal(request: web.Request, name: str, problem: str) -> None:
    """Who tried, in the log of the house: the name as it was typed is no secret, the password is not kept."""
    services = request.app[SERVICES]
    typed = "".join(letter for letter in name.strip().lower()[:32] if letter.isprintable())
    actor = audit.Actor(f"local:{typed}", "", sender_of(request), "login")
    deed = audit.Deed(actor, services.clock, "", "login", "用密码登录")
    await services.db.write(audit.note, deed, "refused", problem)
    log.warning("login.refused_local", address=actor.address)


# With WeCom -----------------------------------------------------------------------------------------------------------


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
