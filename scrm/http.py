"""What every page shares: who is signed in, proof against forged writes, and errors a reader can use."""

import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import structlog
from aiohttp import web
from sqlalchemy import Connection

from scrm import audit, sessions
from scrm.access.senders import describe_agent, sender_of
from scrm.db.away import why_away
from scrm.errors import Forbidden, Invalid, NotFound, ScrmError, Unauthorized
from scrm.services import SERVICES, Services
from scrm.sessions import SignedIn
from web.languages import LANG_COOKIE, language_of
from web.render import render
from web.texts import LANGUAGES, N_, _, speaking
from web.texts.kept import retold

log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "scrm_session"
MEMBER = web.RequestKey("member", SignedIn)

_CONSOLE = "/console/"
_PAGES = ("/sidebar/", _CONSOLE)
_SAFE = {"GET", "HEAD", "OPTIONS"}
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class StalePage(Forbidden):
    """The page was made for a session that another login has replaced: it has to be loaded anew."""

    code = "stale_page"


def signed_in(request: web.Request) -> SignedIn:
    """The member; raises Unauthorized when nobody is signed in."""
    member = find_signed_in(request)
    if member is None:
        raise Unauthorized(_("登录已过期，请重新打开页面"))
    return member


def find_signed_in(request: web.Request) -> SignedIn | None:
    member: SignedIn | None = request.get(MEMBER)
    return member


async def sign_in(
    request: web.Request,
    response: web.StreamResponse,
    userid: str,
    *,
    way: str = "wecom",
    words: str = "用企业微信登录",
) -> None:
    """Open a session and put its token into the cookie; the one that this browser had ends."""
    services = request.app[SERVICES]
    now, lives = services.clock.now(), timedelta(hours=services.settings.security.session_hours)
    address, agent = sender_of(request), describe_agent(request.headers.get("User-Agent", ""))

    def enter(conn: Connection) -> str:
        if old := request.cookies.get(COOKIE):
            sessions.close_session(conn, old)
        token = sessions.open_session(conn, userid, now=now, lives=lives, way=way, address=address, agent=agent)
        member = sessions.find_session(conn, token, now=now)
        name = member.name if member is not None else ""
        audit.note(conn, _deed(request, userid, name, "login", words))
        return token

    token = await services.db.write(enter)
    response.set_cookie(
        COOKIE,
        token,
        httponly=True,
        samesite="Lax",
        secure=services.settings.server.public_url.startswith("https://"),
        path="/",
    )


async def sign_out(request: web.Request, response: web.StreamResponse) -> None:
    services = request.app[SERVICES]
    if token := request.cookies.get(COOKIE):
        await services.db.write(sessions.close_session, token)
    response.del_cookie(COOKIE, path="/")


def _deed(request: web.Request, userid: str, name: str, act: str, words: str) -> audit.Deed:
    actor = audit.Actor(userid, name, sender_of(request), "login")
    return audit.Deed(actor, request.app[SERVICES].clock, "", act, words)


_SPEAKING = ("/sidebar", "/login")


@web.middleware
async def speak(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What members see beside a chat is in their language; `?lang=` chooses one for good. The console is Chinese."""
    if not request.path.startswith(_SPEAKING):
        return await handler(request)
    with speaking(language_of(request.headers, request.cookies, request.query)):
        if request.query.get("lang") not in LANGUAGES:
            return await handler(request)
        try:
            response = await handler(request)
        except web.HTTPException as redirect:
            _remember_language(request, redirect)
            raise
        _remember_language(request, response)
        return response


def _remember_language(request: web.Request, response: web.StreamResponse) -> None:
    response.set_cookie(
        LANG_COOKIE,
        request.query["lang"],
        max_age=int(timedelta(days=365).total_seconds()),
        httponly=True,
        samesite="Lax",
        secure=request.app[SERVICES].settings.server.public_url.startswith("https://"),
        path="/",
    )


@web.middleware
async def show_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors become a page, a piece of a page or JSON; a bug is logged with a number, which is all the reader sees."""
    try:
        return await handler(request)
    except ScrmError as error:
        return _answer(request, error.status, error.code, error.text, dict(error.details))
    except web.HTTPException as error:
        if error.status < 400 or request.path.startswith("/callbacks/"):
            raise
        answer = _answer(
            request,
            error.status,
            error.reason.lower().replace(" ", "_"),
            _(_HTTP_TEXTS.get(error.status, "请求无法处理")),
        )
        if "Allow" in error.headers:
            answer.headers["Allow"] = error.headers["Allow"]
        return answer
    except ConnectionResetError:
        # The reader went on (typed more, closed the page) before the request was read: nobody waits for an answer.
        return web.Response(status=400)
    except Exception as error:
        if cause := why_away(error):
            log.error("http.database_away", path=request.path, cause=cause)
            answer = _answer(request, 503, "unavailable", _("数据库暂时用不了，请稍后再试"))
            answer.headers["Retry-After"] = "10"
            return answer
        number = secrets.token_hex(4)
        log.exception("http.failed", path=request.path, number=number, error=type(error).__name__)
        return _answer(request, 500, "failed", _("页面出错了，请稍后重试。反馈时请提供编号 {number}", number=number))


# The customers' own pages say in their own words that there is nothing.
_OWN_WORDS = "/c/"


@web.middleware
async def refuse_unkeepable(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A NUL in the address or in a page's form is nobody's typing, and PostgreSQL cannot even look for it."""
    if "%00" in request.raw_path:
        if "\0" in request.path and not request.path.startswith(_OWN_WORDS):
            raise NotFound(_(_HTTP_TEXTS[404]))
        require_keepable(request.query)
    if request.method not in _SAFE and request.path.startswith(_PAGES) and request.content_type in _FORMS:
        require_keepable(await request.post())
    return await handler(request)


def require_keepable(values: Mapping[Any, Any]) -> None:
    """Raises Invalid when a text cannot be kept: NUL, which PostgreSQL refuses, or half a character."""
    for name, value in values.items():
        for text in (name, value):
            if isinstance(text, str) and _UNKEEPABLE.search(text):
                shown = _UNKEEPABLE.sub("�", str(name))[:40]
                raise Invalid(_("“{name}”含有无法保存的字符（空字符或残缺的字符），请删去后再提交", name=shown))


_UNKEEPABLE = re.compile("[\0\ud800-\udfff]")

_HTTP_TEXTS = {
    404: N_("没有这个页面"),
    405: N_("不支持这样访问"),
    413: N_("提交的内容太大了"),
}


def _answer(
    request: web.Request, status: int, code: str, text: str, details: dict[str, object] | None = None
) -> web.Response:
    text = retold(text) or _("请求无法处理")
    if request.path.startswith("/api/"):
        return _problem(status, code, text, details or {})
    if request.path.startswith("/hooks/") or wants_json(request):
        return web.json_response({"error": {"code": code, "message": text}, **(details or {})}, status=status)
    if request.headers.get("HX-Request"):
        return render(request, "error.html", block="message", status=status, text=text, code=code)
    back = _form_of(request) if code in (Unauthorized.code, StalePage.code) else ""
    return render(request, "error.html", status=status, text=text, code=code, back=back)


def _form_of(request: web.Request) -> str:
    """The console's page on which something was written, to be filled in again there; empty when nobody can say."""
    came_from = urlsplit(request.headers.get("Referer", ""))
    if came_from.netloc not in _own_hosts(request) or not came_from.path.startswith(_CONSOLE):
        return ""
    query = [(name, value) for name, value in parse_qsl(came_from.query, keep_blank_values=True) if name != "unsent"]
    return f"{came_from.path}?{urlencode([*query, ('unsent', '1')])}"


def _problem(status: int, code: str, text: str, details: Mapping[str, object]) -> web.Response:
    """RFC 9457, with `error` beside it, which was there first."""
    problem = {"type": f"urn:scrm:error:{code}", "title": HTTPStatus(status).phrase, "status": status, "detail": text}
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    if (waits := details.get("retry_after")) is not None:
        headers["Retry-After"] = str(waits)
    return web.json_response(
        {**details, **problem, "error": {"code": code, "message": text}},
        status=status,
        content_type="application/problem+json",
        headers=headers,
        dumps=readable_json,
    )


def readable_json(value: object, default: Callable[[Any], Any] | None = None) -> str:
    """Chinese as it is, for whoever reads it in a terminal; half a character, which no encoding has, as a mark."""
    text = json.dumps(value, ensure_ascii=False, default=default)
    return _UNKEEPABLE.sub("�", text)


def wants_json(request: web.Request) -> bool:
    return "application/json" in request.headers.get("Accept", "")


@web.middleware
async def know_member(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Pages only: find the session, and refuse writes that another site could have made."""
    if not request.path.startswith(_PAGES):
        return await handler(request)
    services = request.app[SERVICES]
    if token := request.cookies.get(COOKIE):
        member = await services.db.read(sessions.find_session, token, now=services.clock.now())
        if member is not None:
            request[MEMBER] = member
            await _note_seen(services, member, token)
    if request.method not in _SAFE:
        await _refuse_forgery(request)
    elif "HX-Request" in request.headers and request.path.startswith(_CONSOLE):
        # The login is no piece of a page.
        signed_in(request)
    return await handler(request)


async def _note_seen(services: Services, member: SignedIn, token: str) -> None:
    now = services.clock.now()
    if member.seen_at is None or now - member.seen_at > sessions.SEEN:
        await services.db.write(sessions.note_seen, token, now=now)


async def _refuse_forgery(request: web.Request) -> None:
    """The token of the session in a header or field, and no foreign Origin."""
    member = signed_in(request)
    given = request.headers.get("X-CSRF", "")
    if not given and request.content_type in _FORMS:
        given = str((await request.post()).get("csrf", ""))
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc not in _own_hosts(request):
        raise Forbidden(_("请求来自其他网站，已拒绝"))
    if not hmac.compare_digest(given.encode(), member.csrf.encode()):
        raise StalePage(_("页面已过期，请刷新后再试"))


def _own_hosts(request: web.Request) -> set[str]:
    return {urlsplit(request.app[SERVICES].settings.server.public_url).netloc, request.host}


MIDDLEWARES = (speak, show_errors, know_member, refuse_unkeepable)
