"""The way to WeCom: secret, trusted IP, the app and who sees it, clock, tickets."""

from urllib.parse import urlsplit

import aiohttp

from scrm.doctor.findings import Finding, bad, good, warn
from scrm.doctor.look import Look, why_silent
from scrm.wecom.errors import WeComError

_APP = "企微管理后台 → 应用管理 → 自建 → 你的应用"
_OF_THE_ADDRESS = (60020, 301042)
_MOST_SKEW_SECONDS = 60


async def token(look: Look) -> Finding:
    """Any call will do; this one needs no permission at all (doc 92521).

    Whoever is refused for his address was given a token: `trusted_ip` says so.
    """
    try:
        await look.ask("getcallbackip")
    except WeComError as error:
        if error.errcode not in _OF_THE_ADDRESS:
            raise
    return good()


async def trusted_ip(look: Look) -> Finding:
    """60020 is raised for every business call, and says which address WeCom saw."""
    await look.agent()
    return good()


async def app(look: Look) -> Finding:
    agent = await look.agent()
    if agent.get("close"):
        return bad("应用已被停用。", f"{_APP} → 启用应用。")
    return good(str(agent.get("name") or ""))


async def visible_range(look: Look) -> Finding:
    agent = await look.agent()
    users = len(agent.get("allow_userinfos", {}).get("user", []))
    parties = len(agent.get("allow_partys", {}).get("partyid", []))
    tags = len(agent.get("allow_tags", {}).get("tagid", []))
    if users + parties + tags == 0:
        return bad("应用的可见范围里没有任何人。", f"{_APP} → 可见范围，添加全部导购或他们的部门。")
    parts = ((users, "名成员"), (parties, "个部门"), (tags, "个标签"))
    return good("、".join(f"{count} {unit}" for count, unit in parts if count))


async def trusted_domain(look: Look) -> Finding:
    """Login and the sidebar's signatures need our own host there (docs 91335, 90509)."""
    agent = await look.agent()
    ours = urlsplit(look.services.settings.server.public_url).netloc
    theirs = str(agent.get("redirect_domain") or "").removeprefix("https://").removeprefix("http://").strip("/")
    where = f"{_APP} → 网页授权及JS-SDK → 设置可信域名，两处都填 {ours}。"
    if not theirs:
        return warn("应用还没有设置可信域名，登录和侧边栏会失败（50001、40093）。", where)
    if theirs != ours:
        return bad(f"可信域名是 {theirs}，而外网地址是 {ours}。", where)
    return good(theirs)


async def clock(look: Look) -> Finding:
    try:
        behind = await look.behind_wecom()
    except (aiohttp.ClientError, TimeoutError) as error:
        return bad(f"连不上企业微信（{why_silent(error)}）。", "检查服务器能否访问外网，以及设置里的 wecom.api_base。")
    if behind is None:
        return warn("企业微信的回答没有带时间，无法比较时钟。", "确认服务器开着 NTP 时间同步。")
    seconds = abs(behind.total_seconds())
    if seconds > _MOST_SKEW_SECONDS:
        side = "慢" if behind.total_seconds() > 0 else "快"
        return bad(
            f"服务器时钟比企业微信{side} {seconds:.0f} 秒，令牌和限频会算错。",
            "在服务器上打开时间同步：timedatectl set-ntp true。",
        )
    return good(f"相差不到 {int(seconds) + 1} 秒")


async def jsapi_ticket(look: Look) -> Finding:
    await look.services.wecom.tickets.jsapi_ticket()
    return good()


async def agent_ticket(look: Look) -> Finding:
    await look.services.wecom.tickets.agent_ticket()
    return good()
