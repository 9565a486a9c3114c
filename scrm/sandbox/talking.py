"""What customers do in WeChat customer service and with the Official Account, and how the app's answers reach them."""

import secrets
from collections.abc import Awaitable, Callable
from xml.etree import ElementTree  # reads only what our own app answered

import aiohttp
from aiohttp import web

from scrm.errors import Conflict, Invalid, NotFound, Unavailable

from .config import OfficialAccountConfig
from .envelope import Envelope, xml_document
from .kf import CODE_LIFE, ENDED, HUMAN, NEW, POOL, WINDOW, Code, KfAccount, Line
from .sandbox import Sandbox
from .world import Json, WechatUser

Act = Callable[[Json], Awaitable[Json]]
_FIVE_SECONDS = aiohttp.ClientTimeout(total=5)

# Customer service ---------------------------------------------------------------------------------------------------------


def add_kf_account(sandbox: Sandbox, name: str, servicers: list[str]) -> KfAccount:
    """An account that the app may manage; its id follows from the name."""
    account = KfAccount(sandbox.world.make_id("wk", f"kf/{name}"), name, servicers)
    sandbox.world.kf.accounts[account.open_kfid] = account
    sandbox.world.touch()
    return account


def find_account(sandbox: Sandbox, open_kfid: str) -> KfAccount:
    """The account, or the first when none is named."""
    accounts = sandbox.world.kf.accounts
    account = accounts.get(open_kfid) if open_kfid else next(iter(accounts.values()), None)
    if account is None:
        raise NotFound("还没有这个客服账号。")
    return account


def enter(sandbox: Sandbox, user: WechatUser, account: KfAccount, scene: str = "") -> None:
    """By the link: a code for a welcome, unless there was one within 48 hours or the customer has spoken."""
    session, now = account.session(user.external_userid), sandbox.clock.now()
    event: Json = {
        "event_type": "enter_session",
        "open_kfid": account.open_kfid,
        "external_userid": user.external_userid,
        "scene": scene,
        "scene_param": "",
    }
    greeted = session.last_welcome_at is not None and now - session.last_welcome_at < WINDOW
    if not greeted and not session.window_is_open(now):
        code = sandbox.world.make_id("KC", f"enter/{sandbox.world.next_number()}", 43)
        sandbox.world.kf.codes[code] = Code(
            account.open_kfid, user.external_userid, now.replace(microsecond=0), CODE_LIFE
        )
        event["welcome_code"] = code
    _happened(sandbox, account, {"origin": 4, "msgtype": "event", "event": event})


def write(
    sandbox: Sandbox, user: WechatUser, account: KfAccount, text: str, kind: str = "text", content: Json | None = None
) -> None:
    """A customer's message opens the window anew, and a session that had ended; `content` is of one that is no text."""
    session = account.session(user.external_userid)
    session.last_customer_at, session.sent_since = sandbox.clock.now(), 0
    if session.state == ENDED:
        session.state = NEW
    session.lines.append(Line(sandbox.clock.now(), "customer", text))
    _happened(
        sandbox,
        account,
        {
            "external_userid": user.external_userid,
            "origin": 3,
            "msgtype": kind,
            kind: {"content": text} if content is None else content,
        },
    )


def answer_as_servicer(sandbox: Sandbox, user: WechatUser, account: KfAccount, userid: str, text: str) -> None:
    """A member takes the customer from the pool and writes."""
    session = account.session(user.external_userid)
    if session.state == POOL or session.servicer_userid != userid:
        session.state, session.servicer_userid = HUMAN, userid
        event = {
            "event_type": "session_status_change",
            "open_kfid": account.open_kfid,
            "external_userid": user.external_userid,
            "change_type": 1,
            "new_servicer_userid": userid,
        }
        _happened(sandbox, account, {"origin": 4, "msgtype": "event", "event": event})
    session.lines.append(Line(sandbox.clock.now(), "account", text))
    _happened(
        sandbox,
        account,
        {
            "external_userid": user.external_userid,
            "origin": 5,
            "servicer_userid": userid,
            "msgtype": "text",
            "text": {"content": text},
        },
    )


def _happened(sandbox: Sandbox, account: KfAccount, message: Json) -> None:
    now = sandbox.clock.now()
    head = {
        "msgid": sandbox.world.make_id("", f"kfmsg/{sandbox.world.next_number()}"),
        "open_kfid": account.open_kfid,
        "send_time": int(now.timestamp()),
    }
    account.messages.append((now, {**head, **message}))
    token = sandbox.world.make_id("ENC", f"kftoken/{sandbox.world.next_number()}", 43)
    sandbox.world.kf.tokens[token] = now
    sandbox.tell("微信客服有新消息", "kf_msg_or_event", [("Token", token), ("OpenKfId", account.open_kfid)])


KINDS_OF_CUSTOMERS = ("image", "voice", "video", "file", "location", "link", "miniprogram", "merged_msg")


# The Official Account -----------------------------------------------------------------------------------------------------


def openid_of(sandbox: Sandbox, user: WechatUser) -> str:
    """The same person has another openid at each account."""
    return sandbox.world.make_id("o", f"openid/{user.key}", 28)


async def tell_account(sandbox: Sandbox, user: WechatUser, fields: list[tuple[str, str | int]]) -> str:
    """Post a message as WeChat does and show the passive answer, which is also returned; '' for none."""
    account = _account(sandbox)
    now = sandbox.clock.now()
    head: list[tuple[str, str | int]] = [
        ("ToUserName", "gh_sandbox"),
        ("FromUserName", openid_of(sandbox, user)),
        ("CreateTime", int(now.timestamp())),
    ]
    envelope = Envelope(account.token, account.encoding_aes_key, account.app_id)
    encrypted = envelope.encrypt(xml_document(head + fields))
    timestamp, nonce = str(int(now.timestamp())), secrets.token_hex(8)
    query = {
        "timestamp": timestamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "msg_signature": envelope.sign(timestamp, nonce, encrypted),
    }
    body = xml_document([("ToUserName", "gh_sandbox"), ("Encrypt", encrypted)])
    try:
        async with sandbox.deliveries.http.post(
            account.callback_url, params=query, data=body.encode(), timeout=_FIVE_SECONDS, allow_redirects=False
        ) as response:
            text, status = await response.text(), response.status
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"公众号消息没有送到（{type(error).__name__}），请检查服务是否已启动。") from None
    if status != 200:
        raise Unavailable(f"公众号回调返回了 {status}，应返回 200。")
    answer = _open(envelope, text)
    if answer:
        sandbox.world.official_account.say(user.key, sandbox.clock.now(), "account", answer)
    sandbox.world.touch()
    return answer


def _open(envelope: Envelope, text: str) -> str:
    if text in ("", "success"):
        return ""
    outer = ElementTree.fromstring(text)  # noqa: S314 - our own app's answer
    encrypted = outer.findtext("Encrypt", "")
    signed = envelope.sign(outer.findtext("TimeStamp", ""), outer.findtext("Nonce", ""), encrypted)
    if signed != outer.findtext("MsgSignature"):
        raise Unavailable("公众号的被动回复签名不对。")
    return ElementTree.fromstring(envelope.decrypt(encrypted)).findtext("Content", "")  # noqa: S314 - as above


def _account(sandbox: Sandbox) -> OfficialAccountConfig:
    if sandbox.config.official_account is None:
        raise Conflict("沙箱没有配置公众号。")
    return sandbox.config.official_account


async def follow(sandbox: Sandbox, user: WechatUser, scene: str = "") -> None:
    """Follow, by a code when there is a scene; who follows already only scans."""
    state, is_new = sandbox.world.official_account, user.key not in sandbox.world.official_account.followers
    fields: list[tuple[str, str | int]] = [("MsgType", "event")]
    if is_new:
        fields += [("Event", "subscribe"), ("EventKey", f"qrscene_{scene}" if scene else "")]
        state.followers.add(user.key)
        state.say(user.key, sandbox.clock.now(), "system", "你已关注该公众号")
    elif scene:
        fields += [("Event", "SCAN"), ("EventKey", scene)]
    else:
        raise Conflict("已经关注了。")
    if scene:
        fields.append(("Ticket", "sandbox-ticket"))
    await tell_account(sandbox, user, fields)


async def unfollow(sandbox: Sandbox, user: WechatUser) -> None:
    """Nothing reaches who has left."""
    if user.key not in sandbox.world.official_account.followers:
        raise Conflict("还没有关注。")
    sandbox.world.official_account.followers.discard(user.key)
    await tell_account(sandbox, user, [("MsgType", "event"), ("Event", "unsubscribe"), ("EventKey", "")])


async def message(sandbox: Sandbox, user: WechatUser, text: str) -> str:
    """A follower writes; the answer that comes back."""
    state = sandbox.world.official_account
    if user.key not in state.followers:
        raise Conflict("先关注公众号，才能发消息。")
    state.say(user.key, sandbox.clock.now(), "customer", text)
    number = sandbox.world.next_number() + 23_000_000_000_000_000
    return await tell_account(sandbox, user, [("MsgType", "text"), ("Content", text), ("MsgId", number)])


# What scripts and pages call ------------------------------------------------------------------------------------------------


def acts(sandbox: Sandbox) -> dict[str, Act]:
    """Control acts of customers in WeChat."""

    def user_of(body: Json) -> WechatUser:
        return sandbox.get_wechat_user(str(body.get("user", "")))

    def text_of(body: Json) -> str:
        text = str(body.get("text", "")).strip()
        if not text:
            raise Invalid("不能发送空白消息。")
        return text

    async def kf_enter(body: Json) -> Json:
        """{user, account?, scene?}: the customer opens the link of customer service."""
        enter(sandbox, user_of(body), find_account(sandbox, str(body.get("account", ""))), str(body.get("scene", "")))
        return {}

    async def kf_say(body: Json) -> Json:
        """{user, account?, text} or {user, account?, msgtype, content}: a picture, a link, a mini program ..."""
        account, kind, content = (
            find_account(sandbox, str(body.get("account", ""))),
            body.get("msgtype"),
            body.get("content"),
        )
        if kind is None:
            write(sandbox, user_of(body), account, text_of(body))
        elif isinstance(content, dict) and str(kind) in KINDS_OF_CUSTOMERS:
            write(sandbox, user_of(body), account, f"[{kind}]", str(kind), content)
        else:
            raise Invalid(f"msgtype 可以是 {'、'.join(KINDS_OF_CUSTOMERS)}，content 是它的内容（对象）。")
        return {}

    async def kf_answer(body: Json) -> Json:
        """{user, account?, userid, text}: a member answers in the client."""
        member = sandbox.get_member(str(body.get("userid", "")))
        account = find_account(sandbox, str(body.get("account", "")))
        answer_as_servicer(sandbox, user_of(body), account, member.userid, text_of(body))
        return {}

    async def oa_follow(body: Json) -> Json:
        """{user, scene?}: follow, or scan a code of the account."""
        await follow(sandbox, user_of(body), str(body.get("scene", "")))
        return {}

    async def oa_unfollow(body: Json) -> Json:
        """{user}"""
        await unfollow(sandbox, user_of(body))
        return {}

    async def oa_say(body: Json) -> Json:
        """{user, text}; `answer` is what came back within the five seconds."""
        return {"answer": await message(sandbox, user_of(body), text_of(body))}

    return {
        "kf_enter": kf_enter,
        "kf_say": kf_say,
        "kf_answer": kf_answer,
        "oa_follow": oa_follow,
        "oa_unfollow": oa_unfollow,
        "oa_say": oa_say,
    }


# The account's own API (api.weixin.qq.com) ------------------------------------------------------------------------------------


def api_routes(sandbox: Sandbox) -> list[web.AbstractRouteDef]:
    """POST {base}/oa/cgi-bin/stable_token and GET {base}/oa/cgi-bin/user/info."""

    async def stable_token(request: web.Request) -> web.Response:
        account, body = sandbox.config.official_account, await request.json()
        if account is None or body.get("appid") != account.app_id:
            return web.json_response({"errcode": 40013, "errmsg": "invalid appid"})
        if body.get("secret") != account.secret:
            return web.json_response({"errcode": 40125, "errmsg": "invalid appsecret"})
        now, tokens = sandbox.clock.now(), sandbox.world.official_account.tokens
        living = [token for token, until in tokens.items() if until > now]
        if body.get("force_refresh") or not living:
            living = [secrets.token_urlsafe(48)]
            tokens.clear()
            tokens[living[0]] = now + CODE_LIFE * 360  # 7200 s
        left = int((tokens[living[0]] - now).total_seconds())
        return web.json_response({"access_token": living[0], "expires_in": left})

    async def user_info(request: web.Request) -> web.Response:
        until = sandbox.world.official_account.tokens.get(request.query.get("access_token", ""))
        if until is None:
            return web.json_response({"errcode": 40001, "errmsg": "invalid credential, access_token is invalid"})
        if until <= sandbox.clock.now():
            return web.json_response({"errcode": 42001, "errmsg": "access_token expired"})
        openid = request.query.get("openid", "")
        for user in sandbox.world.wechat_users.values():
            if openid_of(sandbox, user) == openid:
                follows = user.key in sandbox.world.official_account.followers
                told: Json = {"subscribe": int(follows), "openid": openid}
                if follows:
                    told |= {"language": "zh_CN", "nickname": "", "sex": 0, "subscribe_scene": "ADD_SCENE_QR_CODE"}
                if user.unionid:
                    told["unionid"] = user.unionid
                return web.json_response(told)
        return web.json_response({"errcode": 40003, "errmsg": "invalid openid"})

    base = sandbox.config.base_path + "/oa/cgi-bin"
    return [web.post(base + "/stable_token", stable_token), web.get(base + "/user/info", user_info)]
