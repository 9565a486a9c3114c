"""A live-stream's burst: 50,000 order updates pushed over 64 connections, while customers add members beside it.

Ten updates of each of 5,000 orders, shuffled; at the end every order must stand where its newest update left it.
"""

import asyncio
import hmac
import json
import random
import struct
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench import processor_time
from bench.figures import Figure, percentile, say, tell
from bench.load_generator import Load, run
from bench.stores import both
from bench.welcome import add_and_wait, wecom_server
from scrm.db import Database
from scrm.db.migrate import migrate
from tests.server_process import ServerProcess, environment, serving

UPDATES = 50_000
OF_EACH = 10
IDLE_WELCOMES = 30
SECRET = "a secret of the benchmark's mall"
_SOURCE = {"SCRM_SOURCES__MALL__KIND": "generic", "SCRM_SOURCES__MALL__SECRET": SECRET}
_STATES = (
    "pending_payment",
    "paid",
    "paid",
    "paid",
    "shipped",
    "shipped",
    "shipped",
    "shipped",
    "shipped",
    "completed",
)
_PATIENCE = 300.0


def main(updates: int = UPDATES) -> list[Figure]:
    return [figure for store in both("hooks") for figure in measured(*store, updates)]


def measured(store: str, url: str, folder: Path, updates: int) -> list[Figure]:
    migrate(url)
    with (
        wecom_server(folder) as wecom,
        serving(environment(url, wecom.url, **_SOURCE), folder / "scrm.log") as server,
    ):
        idle = [add_and_wait(server, wecom, f"idle{number}") for number in range(-5, IDLE_WELCOMES)][5:]
        requests = folder / "hooks"
        write_requests(requests, updates)
        beside = _Welcomes(server, wecom)
        spent = processor_time.of_tree(server.process.pid)
        began = time.monotonic()
        load = run(server.port, requests, skip=0, count=updates, connections=64, seconds=240.0)
        waiting = _count(url, "SELECT count(*) FROM hook_message WHERE state = 'new'")
        _wait_until_applied(url)
        drained = time.monotonic() - began
        took = beside.stop()
        spent = processor_time.of_tree(server.process.pid) - spent
        say(
            f"hooks: {store}: {load.answered} of {updates} acknowledged in {load.seconds:.1f} s, {waiting} waited then, "
            f"all applied after {drained:.1f} s, {spent / updates * 1000:.2f} ms processor time each, "
            f"{len(took)} welcomes beside it"
        )
        return told(store, url, load, updates, drained, idle, took)


def told(
    store: str, url: str, load: Load, updates: int, drained: float, idle: list[float], took: list[float]
) -> list[Figure]:
    name = f"hooks, {store}, {updates} order updates over 64 connections"
    calm, busy = percentile(idle, 0.5) * 1000, percentile(took, 0.5) * 1000
    return [
        tell(Figure(f"{name}, acknowledged and on disk", load.answered / updates * 100, "%", goal=100)),
        tell(Figure(f"{name}, acknowledged", load.per_second, "1/s")),
        tell(Figure(f"{name}, acknowledged, p99", load.p99_ms, "ms")),
        tell(Figure(f"{name}, applied", updates / drained, "1/s")),
        tell(
            Figure(f"{name}, orders that are not at their newest", _wrong(url, updates), "orders", goal=0, at_most=True)
        ),
        tell(Figure(f"{name}, left in the queue", _left(url), "items", goal=0, at_most=True)),
        tell(Figure(f"welcome beside it, {store}, p50", busy, "ms", "without the burst", calm, busy / calm)),
        tell(Figure(f"welcome beside it, {store}, p99", percentile(took, 0.99) * 1000, "ms", goal=1000, at_most=True)),
    ]


class _Welcomes:
    """Customers who add a member one after the other until `stop`."""

    def __init__(self, server: ServerProcess, wecom: ServerProcess) -> None:
        self._took: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go, args=(server, wecom))
        self._thread.start()

    def _go(self, server: ServerProcess, wecom: ServerProcess) -> None:
        while not self._stopped.is_set():
            self._took.append(add_and_wait(server, wecom, f"burst{len(self._took)}"))
            self._stopped.wait(0.05)

    def stop(self) -> list[float]:
        self._stopped.set()
        self._thread.join()
        return self._took


def write_requests(path: Path, updates: int) -> None:
    """Signed requests, each with one update; an order's updates lie far apart and in no order."""
    numbers = list(range(updates))
    random.Random(7).shuffle(numbers)
    with path.open("wb") as file:
        for number in numbers:
            request = _request(number, _update(number // OF_EACH, number % OF_EACH))
            file.write(struct.pack(">I", len(request)) + request)


def _update(order: int, version: int) -> dict[str, Any]:
    paid = {"paid_fen": 12800, "paid_at": "2026-06-18T20:01:00+08:00"} if version else {}
    return {
        "order_no": f"L{order:0>10}",
        "status": _STATES[version],
        "updated_at": f"2026-06-18T20:{version:0>2}:00+08:00",
        "ordered_at": "2026-06-18T20:00:00+08:00",
        "payable_fen": 12800,
        **paid,
        "buyer_ref": {"mobile_e164": f"+86138{order:0>8}"},
        "receiver": {"name": "林小满", "phone": f"138{order:0>8}", "city": "杭州市", "address": f"文三路 {order} 号"},
        "seller_note": f"update {version}",
        "lines": [{"line_key": "1", "title": "桂花乌龙礼盒", "qty": 1, "unit_price_fen": 12800, "merchant_sku": "T1"}],
    }


def _request(number: int, update: dict[str, Any]) -> bytes:
    body, at, nonce = json.dumps(update, ensure_ascii=False).encode(), str(int(time.time())), f"bench{number}"
    signature = hmac.new(SECRET.encode(), f"{at}\n{nonce}\n".encode() + body, "sha256").hexdigest()
    head = (
        "POST /hooks/mall HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Scrm-Timestamp: {at}\r\nX-Scrm-Nonce: {nonce}\r\nX-Scrm-Signature: {signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _wait_until_applied(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and _count(url, "SELECT count(*) FROM hook_message WHERE state = 'new'"):
        time.sleep(0.2)


def _wrong(url: str, updates: int) -> int:
    """Orders that are missing, or whose newest update was lost."""
    newest = "SELECT count(*) FROM orders WHERE status = 'completed' AND seller_note = 'update 9' AND paid_fen = 12800"
    return updates // OF_EACH - _count(url, newest)


def _left(url: str) -> int:
    deadline = time.monotonic() + 30
    query = "SELECT count(*) FROM work_item WHERE lane = 'hook'"
    while time.monotonic() < deadline and _count(url, query):
        time.sleep(0.2)
    return _count(url, query)


def _count(url: str, query: str) -> int:
    async def ask() -> int:
        db = Database(url, pool_size=1)
        try:
            return await db.read(lambda conn: int(conn.execute(text(query)).scalar_one()))
        finally:
            await db.close()

    return asyncio.run(ask())
