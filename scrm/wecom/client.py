"""Calls to WeCom's server API: one method per endpoint, named as WeCom names it."""

from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import msgspec

from scrm.clock import Clock, monotonic
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.wecom.pacing import Pace
from scrm.wecom.tokens import TokenKeeper

Json = dict[str, Any]

_WELCOME = "externalcontact/send_welcome_msg"


@dataclass(frozen=True, slots=True)
class App:
    """The self-built app we call as."""

    corp_id: str
    agent_id: int
    secret: str
    api_base: str = "https://qyapi.weixin.qq.com"
    timeout_seconds: float = 5.0
    read_concurrency: int = 5
    welcome_concurrency: int = 64

    def __repr__(self) -> str:
        return f"App(corp_id={self.corp_id!r}, agent_id={self.agent_id})"


class WeCom:
    """The API as one app sees it. Every method raises WeComError with WeCom's code, or WeComUnreachable."""

    def __init__(self, http: aiohttp.ClientSession, clock: Clock, app: App) -> None:
        self.app = app
        self._http = http
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=app.timeout_seconds)
        self._paces: dict[str, Pace] = {_WELCOME: Pace(app.welcome_concurrency), "message/send": Pace(16)}
        self._token = TokenKeeper(clock, self._fetch_token)
        self._tickets = {
            "config": TokenKeeper(clock, lambda: self._fetch_ticket("get_jsapi_ticket")),
            "agent_config": TokenKeeper(clock, lambda: self._fetch_ticket("ticket/get", type="agent_config")),
        }
        self._observers: list[Any] = []

    def observe(self, observer: Any) -> None:
        """`observer(path, errcode, seconds)` is told of every answer; None stands for no answer."""
        self._observers.append(observer)

    def has_room(self, path: str) -> bool:
        """Whether a call of this endpoint would start at once."""
        return self._pace(path).has_room

    # Contacts ---------------------------------------------------------------------------------------------------

    async def get_external_contact(self, external_userid: str) -> Json:
        """`external_contact` and all of `follow_user` (pages of 500 joined); 84061 no relation (doc 92114)."""
        answer = await self.get("externalcontact/get", external_userid=external_userid)
        follow_users = list(answer.get("follow_user", []))
        while cursor := answer.get("next_cursor"):
            answer = await self.get("externalcontact/get", external_userid=external_userid, cursor=cursor)
            follow_users += answer.get("follow_user", [])
        return {"external_contact": answer["external_contact"], "follow_user": follow_users}

    async def get_follow_user_list(self) -> list[str]:
        """Userids of members with the customer-contact function (doc 92571)."""
        return list((await self.get("externalcontact/get_follow_user_list")).get("follow_user", []))

    async def send_welcome_msg(self, welcome_code: str, text: str, attachments: list[Json]) -> None:
        """Text <= 4000 bytes, <= 9 attachments; the code lives 20 s and works once (doc 92137).

        One try: what to do after 41051, 41096, 41050 or a time-out is the caller's to decide.
        """
        body: Json = {"welcome_code": welcome_code}
        if text:
            body["text"] = {"content": text}
        if attachments:
            body["attachments"] = attachments
        await self.post(_WELCOME, body)

    async def remark(self, userid: str, external_userid: str, **fields: Any) -> None:
        """remark <= 20 characters, description <= 150, remark_mobiles overwrites (doc 92115)."""
        await self.post("externalcontact/remark", {"userid": userid, "external_userid": external_userid, **fields})

    async def mark_tag(
        self,
        userid: str,
        external_userid: str,
        *,
        add_tag: list[str] | None = None,
        remove_tag: list[str] | None = None,
    ) -> None:
        """Tags by id on one pair; never two calls on one pair at a time, that is 45035 (doc 92118)."""
        body: Json = {"userid": userid, "external_userid": external_userid}
        if add_tag:
            body["add_tag"] = add_tag
        if remove_tag:
            body["remove_tag"] = remove_tag
        await self.post("externalcontact/mark_tag", body)

    async def get_corp_tag_list(self) -> list[Json]:
        """Tag groups with their tags, the whole library in one answer (doc 92117)."""
        return list((await self.post("externalcontact/get_corp_tag_list", {})).get("tag_group", []))

    async def add_corp_tag(self, group_name: str, names: list[str]) -> Json:
        """The group with its new tags; joins the group of that name when there is one (doc 92117)."""
        body = {"group_name": group_name, "tag": [{"name": name} for name in names]}
        group: Json = (await self.post("externalcontact/add_corp_tag", body))["tag_group"]
        return group

    async def add_contact_way(self, **fields: Any) -> Json:
        """`config_id` and `qr_code`; state <= 30 characters, at most 100 members (doc 92228)."""
        return await self.post("externalcontact/add_contact_way", fields)

    # Members and messages to them -------------------------------------------------------------------------------

    async def get_user(self, userid: str) -> Json:
        """A member inside the app's visible range: userid, name, alias, status, avatar (doc 90196); 60111 unknown."""
        return await self.get("user/get", userid=userid)

    async def get_user_info(self, code: str) -> Json:
        """Who logged in: `userid`, or `openid` and `external_userid`; 40029 for a used or old code (doc 91023)."""
        return await self.get("auth/getuserinfo", code=code)

    async def send_message(self, body: Json, *, duplicate_check: bool = False) -> Json:
        """An app message to members; `agentid` is filled in (doc 90236).

        With `duplicate_check` WeCom does not deliver the same request again for 30 minutes.
        """
        body = {"agentid": self.app.agent_id, **body}
        if duplicate_check:
            body |= {"enable_duplicate_check": 1, "duplicate_check_interval": 1800}
        return await self.post("message/send", body)

    # JS-SDK -----------------------------------------------------------------------------------------------------

    async def jsapi_ticket(self) -> str:
        """The corp's ticket, for config signatures (doc 90506)."""
        return await self._tickets["config"].get()

    async def agent_ticket(self) -> str:
        """The app's ticket, for agentConfig signatures (doc 90506)."""
        return await self._tickets["agent_config"].get()

    # The call itself --------------------------------------------------------------------------------------------

    async def get(self, path: str, **params: str) -> Json:
        return await self._call("GET", path, params, None)

    async def post(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, {}, body)

    async def _call(self, method: Literal["GET", "POST"], path: str, params: dict[str, str], body: Json | None) -> Json:
        token = await self._token.get()
        async with self._pace(path).one():
            try:
                return await self._request(method, path, {**params, "access_token": token}, body)
            except WeComError as error:
                if error.retry_class is not RetryClass.TOKEN:
                    raise
        token = await self._token.refresh(token)
        async with self._pace(path).one():
            return await self._request(method, path, {**params, "access_token": token}, body)

    async def _request(self, method: str, path: str, params: dict[str, str], body: Json | None) -> Json:
        started, errcode = monotonic(), None
        pace = self._pace(path)
        try:
            answer = await self._exchange(method, path, params, body)
            errcode = int(answer.get("errcode") or 0)
            if errcode:
                if errcode == 45033:
                    pace.slower()
                raise WeComError(errcode, str(answer.get("errmsg", "")), path=path)
            pace.faster()
            return answer
        finally:
            for observer in self._observers:
                observer(path, errcode, monotonic() - started)

    async def _exchange(self, method: str, path: str, params: dict[str, str], body: Json | None) -> Json:
        url = f"{self.app.api_base}/cgi-bin/{path}"
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            async with self._http.request(
                method, url, params=params, data=data, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                raw = await response.read()
                if response.status != 200:
                    raise WeComUnreachable(f"HTTP {response.status}", path=path)
        except aiohttp.ClientConnectorError as error:
            raise WeComUnreachable(type(error).__name__, path=path, perhaps_done=False) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            # The address holds the token: the error's own text must not travel on.
            raise WeComUnreachable(type(error).__name__, path=path) from None
        try:
            answer = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            raise WeComUnreachable("the answer is not JSON", path=path) from None
        if not isinstance(answer, dict):
            raise WeComUnreachable("the answer is not a JSON object", path=path)
        return answer

    def _pace(self, path: str) -> Pace:
        pace = self._paces.get(path)
        if pace is None:
            pace = self._paces[path] = Pace(self.app.read_concurrency)
        return pace

    async def _fetch_token(self) -> tuple[str, int]:
        params = {"corpid": self.app.corp_id, "corpsecret": self.app.secret}
        answer = await self._request("GET", "gettoken", params, None)
        return str(answer["access_token"]), int(answer["expires_in"])

    async def _fetch_ticket(self, path: str, **params: str) -> tuple[str, int]:
        answer = await self.get(path, **params)
        return str(answer["ticket"]), int(answer["expires_in"])
