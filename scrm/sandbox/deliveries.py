"""Callbacks to the app: sealed anew for every try, repeated when they fail, and written down."""

import asyncio
import json
import random
import secrets
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from scrm.clock import Clock, SystemClock, monotonic

from .config import SandboxConfig
from .envelope import Envelope, xml_document
from .faults import Faults

TIME_OUT = aiohttp.ClientTimeout(total=5)
VERIFY_TIME_OUT = aiohttp.ClientTimeout(total=1)


@dataclass
class Delivery:
    """One event on its way; `tries` holds a status or a reason per try."""

    number: int
    at: datetime
    title: str
    plain: str
    tries: list[str] = field(default_factory=list)
    milliseconds: float = 0.0
    state: str = "waiting"  # waiting, delivered, failed, dropped


@dataclass
class Deliveries:
    """Sends callbacks beside everything else; the order of arrival is not promised, as with WeCom."""

    config: SandboxConfig
    faults: Faults
    clock: Clock
    http: aiohttp.ClientSession
    log: deque[Delivery] = field(default_factory=lambda: deque(maxlen=200))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _held: Delivery | None = None
    _count: int = 0
    _dice: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311  # repeatable on purpose

    @property
    def envelope(self) -> Envelope:
        """The seal that the app's callback settings ask for."""
        return Envelope(self.config.token, self.config.encoding_aes_key, self.config.corp_id)

    def push(self, title: str, plain: str) -> Delivery:
        """Start sending an event and return at once."""
        self._count += 1
        delivery = Delivery(self._count, self.clock.now(), title, plain)
        self.log.append(delivery)
        if self._is_dropped():
            delivery.state = "dropped"
            return delivery
        if self.faults.reorder_callbacks and self._held is None:
            self._held = delivery
            # Nobody may come after it: then it goes out alone, only late.
            self._start(self._release_held(delivery))
            return delivery
        self._send(delivery)
        if held := self._held:
            self._held = None
            self._send(held)
        return delivery

    def _is_dropped(self) -> bool:
        if self.faults.drop_callbacks > 0:
            self.faults.drop_callbacks -= 1
            return True
        return self._falls(self.faults.drop_percent)

    def _falls(self, percent: int) -> bool:
        return percent > 0 and self._dice.random() * 100 < percent

    def _send(self, delivery: Delivery) -> None:
        self._start(self._deliver(delivery))
        if self.faults.duplicate_callbacks or self._falls(self.faults.duplicate_percent):
            self._start(self._deliver(delivery))

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release_held(self, delivery: Delivery) -> None:
        await SystemClock().sleep(1.5)
        if self._held is delivery:
            self._held = None
            self._send(delivery)

    async def _deliver(self, delivery: Delivery) -> None:
        real = SystemClock()
        await real.sleep((self.faults.callback_delay_ms + self._dice.random() * self.faults.spread_callbacks_ms) / 1000)
        started = monotonic()
        for delay in (*self.faults.retry_delays, None):
            outcome, is_final = await self._try(delivery.plain)
            delivery.tries.append(outcome)
            delivery.milliseconds = (monotonic() - started) * 1000
            if is_final:
                delivery.state = "delivered" if outcome == "200" else "failed"
                return
            if delay is not None:
                await real.sleep(delay)
        delivery.state = "failed"

    async def _try(self, plain: str) -> tuple[str, bool]:
        try:
            async with self.http.post(
                self.config.callback_url,
                params=(sealed := self._seal(plain))[0],
                data=sealed[1].encode(),
                headers={"Content-Type": "application/json" if sealed[1].startswith("{") else "text/xml"},
                timeout=TIME_OUT,
                allow_redirects=False,
            ) as response:
                await response.read()
                is_final = response.status == 200 or not self.faults.retry_on_non_200
                return str(response.status), is_final
        except TimeoutError:
            return "超过 5 秒未应答", False
        except aiohttp.ClientError as error:
            return f"连接失败（{type(error).__name__}）", False

    def _seal(self, plain: str) -> tuple[dict[str, str], str]:
        """Query and body of one try: nonce, timestamp and ciphertext are new each time."""
        envelope = self.envelope
        encrypted = envelope.encrypt(plain)
        query = self._signed(envelope, encrypted)
        if self.faults.wrong_signatures > 0:
            self.faults.wrong_signatures -= 1
            query["msg_signature"] = "0" * 40
        corp_id, agent_id = self.config.corp_id, str(self.config.agent_id)
        if self.faults.json_callbacks:
            return query, json.dumps({"tousername": corp_id, "encrypt": encrypted, "agentid": agent_id})
        return query, xml_document([("ToUserName", corp_id), ("AgentID", agent_id), ("Encrypt", encrypted)])

    def _signed(self, envelope: Envelope, encrypted: str) -> dict[str, str]:
        timestamp, nonce = str(int(self.clock.now().timestamp())), secrets.token_hex(8)
        return {
            "msg_signature": envelope.sign(timestamp, nonce, encrypted),
            "timestamp": timestamp,
            "nonce": nonce,
        }

    async def verify_url(self) -> str:
        """What the admin console does on save: empty when the app answered the plain echo within 1 s, else why not."""
        envelope = self.envelope
        echo = str(secrets.randbelow(10**19))
        encrypted = envelope.encrypt(echo)
        query = {**self._signed(envelope, encrypted), "echostr": encrypted}
        try:
            async with self.http.get(self.config.callback_url, params=query, timeout=VERIFY_TIME_OUT) as response:
                body = await response.text()
        except TimeoutError:
            return "回调地址 1 秒内没有应答，请检查服务是否已启动。"
        except aiohttp.ClientError as error:
            return f"连接不上回调地址（{type(error).__name__}），请检查地址和端口。"
        if response.status != 200:
            return f"回调地址返回了 {response.status}，应返回 200；请检查 Token 和 EncodingAESKey。"
        return "" if body == echo else "回调地址返回的不是解密后的明文，请检查 EncodingAESKey 和 CorpID。"

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Give up what is still under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
