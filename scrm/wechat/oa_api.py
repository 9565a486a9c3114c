"""The two calls of the Official Account's API that we need: a token, and who a follower is."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import structlog

from scrm.clock import Clock
from scrm.services import Services
from scrm.wechat.oa_keep import learn_unionid
from scrm.work import queue

log = structlog.get_logger()

_SECONDS = 5.0
_TOKEN_ENDED = (40001, 40014, 42001)
# Trying again does not help: no such follower, no right to ask, our IP is not on the list, a wrong secret.
_FINAL = {
    40003: "没有这个粉丝",
    40013: "公众号 AppID 不对",
    40125: "公众号 AppSecret 不对，请到 设置与开发 → 基本配置 重置后填写",
    40164: "服务器 IP 不在公众号的 IP 白名单。请到 设置与开发 → 基本配置 → IP白名单 添加",
    48001: "公众号没有获取用户信息的权限，需要认证的服务号",
}


class OaError(Exception):
    """The Official Account answered with an error code; it never carries the token."""

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(f"{errcode} {errmsg}"[:200])
        self.errcode = errcode


class OaApi:
    """Calls as one account. Its token is a stable one: processes that ask beside each other do not end it."""

    def __init__(self, http: aiohttp.ClientSession, clock: Clock, api_base: str, app_id: str, secret: str) -> None:
        self._http, self._clock, self._base = http, clock, api_base
        self._app_id, self._secret = app_id, secret
        self._token, self._until = "", datetime.min.replace(tzinfo=clock.now().tzinfo)
        self._lock = asyncio.Lock()

    async def user_info(self, openid: str) -> dict[str, Any]:
        """subscribe, openid, unionid? of a follower; the name has been empty since 2021."""
        params = {"openid": openid, "lang": "zh_CN"}
        try:
            return await self._get("user/info", {**params, "access_token": await self._access_token()})
        except OaError as error:
            if error.errcode not in _TOKEN_ENDED:
                raise
        return await self._get("user/info", {**params, "access_token": await self._access_token(anew=True)})

    async def _access_token(self, *, anew: bool = False) -> str:
        async with self._lock:
            if not anew and self._token and self._clock.now() < self._until:
                return self._token
            body = {"grant_type": "client_credential", "appid": self._app_id, "secret": self._secret}
            answer = await self._exchange("POST", "stable_token", {}, {**body, "force_refresh": anew})
            self._token = str(answer["access_token"])
            self._until = self._clock.now() + timedelta(seconds=int(answer.get("expires_in") or 7200) * 0.9)
            return self._token

    async def _get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        return await self._exchange("GET", path, params, None)

    async def _exchange(
        self, method: str, path: str, params: dict[str, str], body: dict[str, Any] | None
    ) -> dict[str, Any]:
        try:
            async with self._http.request(
                method,
                f"{self._base}/cgi-bin/{path}",
                params=params,
                json=body,
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as response:
                answer = msgspec.json.decode(await response.read())
        except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
            # The address holds the token: the error's own text must not travel on.
            raise OaError(-1, type(error).__name__) from None
        if not isinstance(answer, dict) or answer.get("errcode"):
            code = answer.get("errcode") if isinstance(answer, dict) else -1
            raise OaError(int(code or -1), str(answer.get("errmsg", "")) if isinstance(answer, dict) else "no object")
        return answer


def oa_api_of(services: Services) -> OaApi:
    """One for the whole process."""
    account = services.settings.official_account
    api = services.memory.get(OaApi)
    if api is None:
        secret = account.secret.get_secret_value()
        api = services.memory[OaApi] = OaApi(services.http, services.clock, account.api_base, account.app_id, secret)
    assert isinstance(api, OaApi)  # noqa: S101 - kept under its type
    return api


async def run_follower(services: Services, item: queue.Claimed) -> None:
    """Work of kind oa.follower: the unionid, if the account is in an open-platform account."""
    await services.db.write(queue.give_up_dedupe_key, item.id)
    app_id, openid = str(item.payload["app_id"]), str(item.payload["openid"])
    try:
        told = await oa_api_of(services).user_info(openid)
    except OaError as error:
        if error.errcode not in _FINAL:
            raise
        log.warning("oa.follower_unreadable", errcode=error.errcode, reason=_FINAL[error.errcode])
        return
    if unionid := str(told.get("unionid") or ""):
        await services.db.write(learn_unionid, app_id, openid, unionid, services.clock.now())
