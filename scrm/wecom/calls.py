"""How a call of WeCom's server API is made: token, pace, deadline, and the answer judged by its errcode first."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import aiohttp
import msgspec

from scrm.clock import Clock, monotonic
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.wecom.pacing import Pace, is_bulk, is_in_background, patience, seconds_left
from scrm.wecom.reading import Answer, without_nulls
from scrm.wecom.stops import WHOLE_APP, MemoryStops, Stops, StopStore
from scrm.wecom.tokens import Fetch, MemoryTokens, TokenKeeper, TokenStore
from scrm.wecom.windows import Ledger, MemoryLedger, Windows

Json = dict[str, Any]
Observer = Callable[[str, int | None, float], None]


@dataclass(frozen=True, slots=True)
class OtherApp:
    """Another app of the corp; what begins with one of `families` is called with its token (doc 91039)."""

    agent_id: int | None
    secret: str = field(repr=False)
    families: tuple[str, ...] = ()


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
    account_cap: int = 200
    others: tuple[OtherApp, ...] = ()

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


def family_of(path: str) -> str:
    """How the paths of one family begin: `kf/` of `kf/send_msg`."""
    return path[: path.find("/") + 1]


# A file of 20 MB needs longer than an ordinary call.
UPLOAD_SECONDS = 60.0


class Calls:
    """Calls as one app. Each raises WeComError with WeCom's code, WindowFull, or WeComUnreachable.

    `tokens`, `ledger` and `stops` are what processes share: tokens and tickets, how often each endpoint was called,
    and what is not called until an administrator has acted.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        clock: Clock,
        app: App,
        tokens: TokenStore | None = None,
        ledger: Ledger | None = None,
        stops: StopStore | None = None,
    ) -> None:
        self.app = app
        self._http = http
        self.clock = clock
        self._tokens = tokens or MemoryTokens()
        self._windows = Windows(ledger or MemoryLedger(), clock, app.corp_id, app.account_cap)
        self._paces: dict[str, Pace] = {
            "externalcontact/send_welcome_msg": Pace(app.welcome_concurrency),
            "message/send": Pace(16),
        }
        self._token = self.keeper("access_token", self._fetch_token)
        self._others = {
            family: self.as_app(each.agent_id, each.secret) for each in app.others for family in each.families
        }
        self.stops = Stops(self._name("stops"), stops or MemoryStops(), clock)
        self._observers: list[Observer] = []

    def keeper(self, kind: str, fetch: Fetch) -> TokenKeeper:
        """Keeps a token or ticket of this app, shared with every process that has the same secret."""
        return TokenKeeper(self._name(kind), self._tokens, self.clock, fetch)

    def agent_of(self, path: str) -> int:
        """The app as which this endpoint is called."""
        return self._others.get(family_of(path), self).app.agent_id

    def as_app(self, agent_id: int | None, secret: str) -> "Calls":
        """Calls as another app of the corp; its token is the one that its family of endpoints uses."""
        app = replace(self.app, agent_id=agent_id or 0, secret=secret, others=())
        return Calls(self._http, self.clock, app, self._tokens)

    def _name(self, kind: str) -> str:
        app = self.app
        return "|".join((app.api_base, app.corp_id, str(app.agent_id), app.secret, kind))

    def observe(self, observer: Observer) -> None:
        """`observer(path, errcode, seconds)` is told of every answer; None stands for no answer."""
        self._observers.append(observer)

    def has_room(self, path: str) -> bool:
        """Whether a call of this endpoint would start at once."""
        return self._pace(path).has_room and not self._windows.is_closed(path)

    async def get(self, path: str, **params: str) -> Json:
        return await self._call(_Request("GET", path, params))

    async def post(self, path: str, body: Json) -> Json:
        return await self._call(_Request("POST", path, {}, body))

    async def upload(self, path: str, form: Form, **params: str) -> Json:
        """A POST of a file; answers and errors as with `post`, but it may take a minute."""
        return await self._call(_Request("POST", path, params, form))

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

    async def _call(self, request: "_Request") -> Json:
        family = family_of(request.path)
        whole, token = (family, self._others[family]._token) if family in self._others else (WHOLE_APP, self._token)
        if is_in_background():
            await self.stops.refuse(request.path, whole)
        try:
            return await self._with_token(request, token)
        except WeComError as error:
            await self.stops.note(error, whole)
            raise

    async def _with_token(self, request: "_Request", keeper: TokenKeeper) -> Json:
        token = await keeper.get()
        try:
            return await self._in_turn(request, token)
        except WeComError as error:
            if error.errcode in (40001, 40013):
                await keeper.refuse(error)
            if error.retry_class is not RetryClass.TOKEN:
                raise
        return await self._in_turn(request, await keeper.refresh(token))

    async def _in_turn(self, request: "_Request", token: str) -> Json:
        """When the endpoint's rate window and its concurrency allow it, or not at all."""
        path = request.path
        body = request.body if isinstance(request.body, dict) else {}
        await self._windows.enter(path, body, is_bulk=is_bulk(), patience=patience())
        try:
            async with self._pace(path).one():
                return await self._request(request, token)
        except TimeoutError:
            raise WeComUnreachable("its deadline came before its turn", path=path, perhaps_done=False) from None

    async def _request(self, request: "_Request", token: str) -> Json:
        started, errcode = monotonic(), None
        path = request.path
        try:
            answer = await self._exchange(request, token)
            errcode = _errcode(answer, path)
            if errcode:
                raise self._judged(errcode, str(answer.get("errmsg", "")), path)
            self._pace(path).faster()
            self._windows.opened(path)
            return Answer(answer, path)
        finally:
            for observer in self._observers:
                observer(path, errcode, monotonic() - started)

    def _judged(self, errcode: int, errmsg: str, path: str) -> WeComError:
        if errcode == 45033:
            self._pace(path).slower()
        rest = self._windows.close(path) if errcode == 45009 else None
        return WeComError(errcode, errmsg, path=path, retry_after=rest)

    async def _exchange(self, request: "_Request", token: str) -> Json:
        path = request.path
        data, content_type = request.payload()
        try:
            async with self._http.request(
                request.method,
                f"{self.app.api_base}/cgi-bin/{path}",
                params={**request.params, "access_token": token} if token else request.params,
                data=data,
                headers={"Content-Type": content_type} if content_type else {},
                timeout=self._timeout(request),
                allow_redirects=False,
            ) as response:
                raw = await response.read()
        except aiohttp.ClientConnectorError as error:
            raise WeComUnreachable(type(error).__name__, path=path, perhaps_done=False) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            # The address holds the token: the error's own text must not travel on.
            raise WeComUnreachable(type(error).__name__, path=path) from None
        answer = _object(raw)
        if response.status != 200 and not (answer and answer.get("errcode")):
            raise WeComUnreachable(f"HTTP {response.status}", path=path)
        if answer is None:
            raise WeComUnreachable("the answer is no JSON object", path=path)
        return answer

    def _timeout(self, request: "_Request") -> aiohttp.ClientTimeout:
        most = self.app.timeout_seconds
        if isinstance(request.body, Form):
            most = max(UPLOAD_SECONDS, most)
        left = seconds_left()
        return aiohttp.ClientTimeout(total=most if left is None else max(0.001, min(most, left)))

    def _pace(self, path: str) -> Pace:
        pace = self._paces.get(path)
        if pace is None:
            pace = self._paces[path] = Pace(self.app.read_concurrency)
        return pace

    async def _fetch_token(self) -> tuple[str, int]:
        params = {"corpid": self.app.corp_id, "corpsecret": self.app.secret}
        return living(await self._in_turn(_Request("GET", "gettoken", params), ""), "access_token", "gettoken")


def living(answer: Json, key: str, path: str) -> tuple[str, int]:
    """A token or ticket and the seconds it lives; raises WeComUnreachable when the answer holds none."""
    value, seconds = answer.get(key), answer.get("expires_in", 7200)
    if not isinstance(value, str) or not value or not isinstance(seconds, int):
        raise WeComUnreachable(f"the answer holds no {key}", path=path)
    return value, seconds


@dataclass(frozen=True, slots=True)
class _Request:
    method: Literal["GET", "POST"]
    path: str
    params: dict[str, str]
    body: Json | Form | None = None

    def payload(self) -> tuple[bytes | None, str]:
        if isinstance(self.body, Form):
            return self.body.content, self.body.content_type
        return (None, "") if self.body is None else (msgspec.json.encode(self.body), "application/json")


def _object(raw: bytes) -> Json | None:
    try:
        answer = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(answer, dict):
        return None
    # Nearly every answer is without: looking through each of them would take longer than decoding it.
    return without_nulls(answer) if b"null" in raw else answer


def _errcode(answer: Json, path: str) -> int:
    try:
        return int(answer.get("errcode") or 0)
    except (TypeError, ValueError):
        raise WeComUnreachable("the answer's errcode is no number", path=path) from None
