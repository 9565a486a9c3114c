"""How a call of WeCom's server API is made: token, pace, deadline, and the answer judged by its errcode first."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import msgspec

from scrm.clock import Clock, monotonic
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.wecom.pacing import Pace
from scrm.wecom.tokens import TokenKeeper

Json = dict[str, Any]


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


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its items, the whole answer, and the cursor to go on from (empty at the end)."""

    items: list[Any]
    next_cursor: str
    answer: Json


@dataclass(frozen=True, slots=True)
class Form:
    """A body that is no JSON: a file with its multipart frame, ready to be sent."""

    content_type: str
    content: bytes


# A file of 20 MB needs longer than an ordinary call.
UPLOAD_SECONDS = 60.0


class Calls:
    """Calls as one app. Each raises WeComError with WeCom's code, or WeComUnreachable."""

    def __init__(self, http: aiohttp.ClientSession, clock: Clock, app: App) -> None:
        self.app = app
        self._http = http
        self.clock = clock
        self._timeout = aiohttp.ClientTimeout(total=app.timeout_seconds)
        self._paces: dict[str, Pace] = {
            "externalcontact/send_welcome_msg": Pace(app.welcome_concurrency),
            "message/send": Pace(16),
        }
        self._token = TokenKeeper(clock, self._fetch_token)
        self._observers: list[Any] = []

    def observe(self, observer: Any) -> None:
        """`observer(path, errcode, seconds)` is told of every answer; None stands for no answer."""
        self._observers.append(observer)

    def has_room(self, path: str) -> bool:
        """Whether a call of this endpoint would start at once."""
        return self._pace(path).has_room

    async def get(self, path: str, **params: str) -> Json:
        return await self._call("GET", path, params, None)

    async def post(self, path: str, body: Json) -> Json:
        return await self._call("POST", path, {}, body)

    async def upload(self, path: str, form: Form, **params: str) -> Json:
        """A POST of a file; answers and errors as with `post`, but it may take a minute."""
        return await self._call("POST", path, params, form)

    async def pages(
        self, path: str, body: Json, items_key: str, *, start: str = "", method: Literal["GET", "POST"] = "POST"
    ) -> AsyncIterator[Page]:
        """The pages of a list with `cursor` and `next_cursor`; keep `next_cursor` and pass it as `start` to resume.

        An empty or short page is no end, only an empty cursor is; so is one that was seen before, which would never
        end. 50100 says that the cursor is no longer known: begin again without one.
        """
        cursor, seen = start, {start}
        while True:
            asked = {**body, "cursor": cursor} if cursor else body
            answer = await (self.post(path, asked) if method == "POST" else self.get(path, **asked))
            cursor = str(answer.get("next_cursor") or "")
            is_last = not cursor or cursor in seen
            seen.add(cursor)
            yield Page(list(answer.get(items_key) or []), "" if is_last else cursor, answer)
            if is_last:
                return

    async def _call(
        self, method: Literal["GET", "POST"], path: str, params: dict[str, str], body: Json | Form | None
    ) -> Json:
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

    async def _request(self, method: str, path: str, params: dict[str, str], body: Json | Form | None) -> Json:
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

    async def _exchange(self, method: str, path: str, params: dict[str, str], body: Json | Form | None) -> Json:
        url = f"{self.app.api_base}/cgi-bin/{path}"
        data, headers, timeout = None, {}, self._timeout
        if isinstance(body, Form):
            data, headers = body.content, {"Content-Type": body.content_type}
            timeout = aiohttp.ClientTimeout(total=max(UPLOAD_SECONDS, self.app.timeout_seconds))
        elif body is not None:
            data, headers = msgspec.json.encode(body), {"Content-Type": "application/json"}
        try:
            async with self._http.request(
                method, url, params=params, data=data, headers=headers, timeout=timeout, allow_redirects=False
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
