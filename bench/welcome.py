"""From callback to outgoing welcome, with a WeCom that answers every call after 150 ms."""

import http.client
import json
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench import processor_time
from bench.figures import Figure, percentile, say, tell
from bench.load_generator import run
from bench.messages import add_event, http_request, welcome_code
from bench.stores import both
from scrm.db.migrate import migrate
from tests.fakes import wecom as fake
from tests.server_process import ServerProcess, environment, serving, start

DELAY_SECONDS = 0.15
ONE_BY_ONE = 60
STORM = 3_000
CODE_LIFE = 20.0
_PATIENCE = 60.0


def main() -> list[Figure]:
    return [figure for store in both("welcome") for figure in measured(*store)]


def measured(store: str, url: str, folder: Path) -> list[Figure]:
    migrate(url)
    with wecom_server(folder) as wecom, serving(environment(url, wecom.url), folder / "scrm.log") as server:
        return [*one_by_one(store, server, wecom), *storm(store, server, wecom, folder)]


def one_by_one(store: str, server: ServerProcess, wecom: ServerProcess) -> list[Figure]:
    """Each add waits for the welcome of the one before: what a customer sees on a quiet day."""
    took = [add_and_wait(server, wecom, f"one{number}") for number in range(-5, ONE_BY_ONE)][5:]
    name = f"welcome, {store}, one at a time, callback in to call out"
    say(f"welcome: one at a time: worst {max(took) * 1000:.0f} ms")
    return [
        tell(Figure(f"{name}, p50", percentile(took, 0.5) * 1000, "ms")),
        tell(Figure(f"{name}, p99", percentile(took, 0.99) * 1000, "ms", goal=400, at_most=True)),
    ]


def storm(store: str, server: ServerProcess, wecom: ServerProcess, folder: Path) -> list[Figure]:
    """3,000 customers at once; ages are counted from the events' CreateTime, as WeCom counts a code's life."""
    requests = folder / "storm"
    created_at = int(time.time()) + 4
    with requests.open("wb") as file:
        for number in range(STORM):
            request = http_request(add_event(f"storm{number}", created_at=created_at))
            file.write(struct.pack(">I", len(request)) + request)
    time.sleep(max(0.0, created_at - time.time()))
    spent = processor_time.of_tree(server.process.pid)
    load = run(server.port, requests, skip=0, count=STORM, connections=64, seconds=30.0)
    assert load.answered == STORM, f"answers {load.statuses} of {STORM}"
    arrivals = _wait_for_all(wecom)
    spent = processor_time.of_tree(server.process.pid) - spent
    ages = sorted(times[0] - created_at for times in arrivals.values())
    in_time = sum(age <= CODE_LIFE for age in ages) / STORM
    most = max((len(times) for times in arrivals.values()), default=0)
    name = f"welcome, {store}, {STORM} adds at once"
    say(
        f"welcome: storm: acknowledged in {load.seconds:.2f} s (p99 {load.p99_ms:.0f} ms), {len(ages)} welcomes,"
        f" median age {percentile(ages, 0.5):.1f} s, {spent / STORM * 1000:.2f} ms processor time each"
    )
    return [
        tell(Figure(f"{name}, inside their 20 s", in_time * 100, "%", goal=99.9)),
        tell(Figure(f"{name}, oldest", ages[-1] if ages else float("inf"), "s", goal=CODE_LIFE, at_most=True)),
        tell(Figure(f"{name}, acknowledged within", load.seconds, "s")),
        tell(Figure(f"{name}, most calls with one code", most, "calls", goal=1, at_most=True)),
    ]


@contextmanager
def wecom_server(folder: Path) -> Iterator[ServerProcess]:
    server = start(["-m", "bench.wecom_server", str(DELAY_SECONDS)], environment("", ""), folder / "wecom.log")
    try:
        yield server
    finally:
        server.stop()


def add_and_wait(server: ServerProcess, wecom: ServerProcess, number: str) -> float:
    """Seconds from a customer's callback until the welcome for it arrives at WeCom."""
    query, body = fake.callback(add_event(number))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    began = time.time()
    connection.request("POST", f"/callbacks/wecom?{urlencode(query)}", body)
    assert connection.getresponse().status == 200
    connection.close()
    return float(_ask(wecom, f"/arrivals/{welcome_code(number)}")[0]) - began


def _wait_for_all(wecom: ServerProcess) -> dict[str, list[float]]:
    """Arrivals of the storm, once all are there or patience ends; a while longer, to see second calls."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        found = {code: times for code, times in _ask(wecom, "/arrivals").items() if "storm" in code}
        if len(found) >= STORM or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    time.sleep(1.0)
    return {code: times for code, times in _ask(wecom, "/arrivals").items() if "storm" in code}


def _ask(wecom: ServerProcess, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", wecom.port, timeout=35)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer
