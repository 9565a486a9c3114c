"""Sends prepared requests over N keep-alive connections as fast as they are answered, in a process of its own.

Plain sockets and one epoll loop: about a tenth of what the fastest server here spends on a request.
`python -m bench.load_generator PORT FILE SKIP COUNT CONNECTIONS SECONDS PER_SECOND` prints one JSON line.
"""

import json
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import percentile
from bench.messages import read_requests

_STALLED_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """What one round brought: answers by status, requests per second, latencies in milliseconds."""

    sent: int
    statuses: dict[str, int]
    seconds: float
    p50_ms: float
    p99_ms: float
    worst_ms: float

    @property
    def answered(self) -> int:
        """Requests that were answered 200."""
        return self.statuses.get("200", 0)

    @property
    def per_second(self) -> float:
        return self.answered / self.seconds


def run(
    port: int,
    requests: Path,
    *,
    skip: int,
    count: int,
    connections: int = 64,
    seconds: float = 3.0,
    per_second: float = 0,
) -> Load:
    """One round from a process of its own; ends after `seconds` or when the requests are used up.

    With `per_second` it sends at that rate, else as fast as it is answered.
    """
    arguments = [port, requests, skip, count, connections, seconds, per_second]
    command = [sys.executable, "-m", "bench.load_generator", *map(str, arguments)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60)
    return Load(**json.loads(said.stdout))


@dataclass
class _Connection:
    socket: socket.socket
    sent_at: float = 0.0
    answer: bytes = b""


@dataclass
class _Generator:
    port: int
    requests: list[bytes]
    per_second: float = 0.0
    next: int = 0
    waiting: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def run(self, connections: int, seconds: float) -> Load:
        self.epoll = select.epoll()
        self.open: dict[int, _Connection] = {}
        self.idle = [self._connect() for _ in range(connections)]
        self.started = time.perf_counter()
        self.until = self.started + seconds
        while True:
            while self.idle and self._is_due():
                self._send(self.idle.pop())
            if not self.waiting and not self._has_more():
                break
            ready = self.epoll.poll(self._pause())
            if not ready and not self.per_second:
                self.statuses["none"] = self.waiting
                break
            for number, _ in ready:
                self._receive(self.open[number])
        took = time.perf_counter() - self.started
        return Load(
            sent=self.next,
            statuses=self.statuses,
            seconds=took,
            p50_ms=percentile(self.latencies, 0.5) * 1000,
            p99_ms=percentile(self.latencies, 0.99) * 1000,
            worst_ms=max(self.latencies, default=0.0) * 1000,
        )

    def _connect(self) -> _Connection:
        connected = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(connected)
        self.open[connected.fileno()] = connection
        self.epoll.register(connected.fileno(), select.EPOLLIN)
        return connection

    def _has_more(self) -> bool:
        return self.next < len(self.requests) and time.perf_counter() < self.until

    def _is_due(self) -> bool:
        return self._has_more() and (not self.per_second or self._due_in() <= 0)

    def _due_in(self) -> float:
        return self.started + self.next / self.per_second - time.perf_counter()

    def _pause(self) -> float:
        if self.per_second and self.idle and self._has_more():
            return max(0.0, self._due_in())
        return _STALLED_SECONDS

    def _send(self, connection: _Connection) -> None:
        request = self.requests[self.next]
        self.next += 1
        self.waiting += 1
        connection.answer = b""
        connection.sent_at = time.perf_counter()
        connection.socket.sendall(request)

    def _receive(self, connection: _Connection) -> None:
        try:
            chunk = connection.socket.recv(65536)
        except ConnectionError:
            chunk = b""
        connection.answer += chunk
        answer = connection.answer
        if chunk and not _is_whole(answer):
            return
        self.waiting -= 1
        self.latencies.append(time.perf_counter() - connection.sent_at)
        status = answer[9:12].decode() if _is_whole(answer) else "broken"
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if not chunk or b"connection: close" in answer[:400].lower():
            self._close(connection)  # gunicorn's sync workers do so after each answer
            connection = self._connect()
        self.idle.append(connection)

    def _close(self, connection: _Connection) -> None:
        number = connection.socket.fileno()
        self.epoll.unregister(number)
        del self.open[number]
        connection.socket.close()


def _is_whole(answer: bytes) -> bool:
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[:end].lower()
    start = head.find(b"content-length:")
    length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
    return len(answer) >= end + 4 + length


def main(arguments: list[str]) -> None:
    port, skip, count, connections = (int(arguments[place]) for place in (0, 2, 3, 4))
    requests = read_requests(Path(arguments[1]), skip, count)
    load = _Generator(port, requests, float(arguments[6])).run(connections, float(arguments[5]))
    told: dict[str, Any] = {name: getattr(load, name) for name in Load.__dataclass_fields__}
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
