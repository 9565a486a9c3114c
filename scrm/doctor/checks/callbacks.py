"""Whether WeCom's events reach us, and whether welcome messages are ours to send."""

import os
from datetime import timedelta
from urllib.parse import urlencode

import aiohttp

from scrm.callbacks.receivers import receivers_of
from scrm.doctor import store
from scrm.doctor.findings import Finding, bad, good, warn
from scrm.doctor.look import Look, why_silent
from scrm.wecom.crypto import CallbackCrypto

_RECEIVE = "企微管理后台 → 应用管理 → 自建 → 你的应用 → 接收消息 → 设置API接收"
_QUIET = timedelta(days=3)
_WEEK = timedelta(days=7)


async def reachable(look: Look) -> Finding:
    return await hears(look, "")


async def hears(look: Look, name: str) -> Finding:
    """Asks one of our own public addresses what WeCom asks when the administrator presses save (doc 90930)."""
    settings = look.services.settings
    url = f"{settings.server.public_url}/callbacks/wecom{'/' if name else ''}{name}"
    echo, query = _signed_echo(look, receivers_of(settings).named(name))
    try:
        status, text = await look.fetch(f"{url}?{query}")
    except (aiohttp.ClientError, TimeoutError) as error:
        return bad(
            f"从本机打不开自己的外网地址 {url}（{why_silent(error)}）。",
            "检查域名解析、证书和反向代理；若只是内网不能回访外网地址，请在手机上打开 /healthz 确认。",
        )
    if status != 200:
        return bad(f"{url} 回答了 HTTP {status}。", "检查反向代理是否把这个地址原样转给本服务，中间没有登录或 WAF。")
    if text != echo:
        return bad(
            f"{url} 的回答不是本服务的（Token 或 EncodingAESKey 不同，或转到了别处）。",
            f"检查反向代理；并核对 {_RECEIVE} 里的 Token 和 EncodingAESKey 与设置相同。",
        )
    return good()


def _signed_echo(look: Look, crypto: CallbackCrypto) -> tuple[str, str]:
    echo, nonce = os.urandom(12).hex(), os.urandom(8).hex()
    timestamp = str(int(look.services.clock.now().timestamp()))
    encrypted = crypto.encrypt(echo.encode())
    signature = crypto.signature(timestamp, nonce, encrypted)
    query = {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce, "echostr": encrypted.decode()}
    return echo, urlencode(query)


async def fresh(look: Look) -> Finding:
    last = await look.services.db.read(store.last_callback)
    mend = f"{_RECEIVE}：保存网址，并勾选“外部联系人变更回调”。"
    if last is None:
        return warn("还没有收到过企业微信的回调。", mend)
    age = look.services.clock.now() - last
    if age > _QUIET:
        return warn(f"最后一次回调在 {age.days} 天前。", f"若这几天确实有客户添加，检查 {mend}")
    hours, minutes = divmod(int(age.total_seconds()) // 60, 60)
    return good(f"最后一次在 {hours} 小时 {minutes} 分钟前" if hours else f"最后一次在 {minutes} 分钟前")


async def welcome_conflicts(look: Look) -> Finding:
    """Adds without a code: WeCom gives none while the console has a welcome of its own (doc 92137)."""
    adds = await look.services.db.read(store.count_adds, look.services.clock.now() - _WEEK)
    if not adds.all:
        return good("最近 7 天没有新好友")
    found = f"最近 7 天 {adds.all} 次添加，{adds.without_code} 次没有欢迎语 code"
    if adds.without_code * 10 > adds.all:
        return bad(
            f"{found}，这些客户收不到我们的欢迎语。",
            "企微管理后台 → 客户与上下游 → 客户联系 → 欢迎语，删掉给导购设的欢迎语；也检查其他应用是否设了。",
        )
    return good(found)
