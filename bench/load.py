"""A steady day in fast motion: `python -m bench.load [--rate N] [--seconds N]`, customers adding members at that rate.

Says every few seconds what the server uses and what waits, and at the end whether everything was done.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from bench import processor_time
from bench.figures import Figure, say, tell
from bench.load_generator import Load, run
from bench.messages import write_requests
from bench.welcome import wecom_server
from scrm.db.migrate import migrate
from tests.server_process import ServerProcess, environment, serving

_PATIENCE = 120.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="bench.load", description="持续压力：每秒若干位客户添加员工（只在本机）")
    parser.add_argument("--rate", type=int, default=30, help="每秒添加数，默认 30")
    parser.add_argument("--seconds", type=int, default=60, help="持续秒数，默认 60")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scrm-load-") as folder:
        figures = loaded(Path(folder), wanted.rate, wanted.seconds)
    return 1 if any(figure.ok is False for figure in figures) else 0


def loaded(folder: Path, rate: int, seconds: int) -> list[Figure]:
    url = f"sqlite:///{folder}/scrm.db"
    migrate(url)
    requests = folder / "requests"
    write_requests(requests, 0, rate * seconds)
    with wecom_server(folder) as wecom, serving(environment(url, wecom.url), folder / "scrm.log") as server:
        began = processor_time.of_tree(server.process.pid)
        before, loads = memory_mb(server), []
        for slice_ in range(0, seconds, 10):
            part = min(10, seconds - slice_)
            loads.append(
                run(server.port, requests, skip=rate * slice_, count=rate * part, seconds=part + 30.0, per_second=rate)
            )
            say(
                f"load: {slice_ + part} s: p99 {loads[-1].p99_ms:.0f} ms, {memory_mb(server):.0f} MB, {waiting(url)} wait"
            )
        left = settled(url)
        spent = processor_time.of_tree(server.process.pid) - began
        return told(loads, left, memory_mb(server) - before, spent)


def told(loads: list[Load], left: int, grown_mb: float, spent: float) -> list[Figure]:
    answered = sum(load.answered for load in loads)
    lost = sum(load.sent for load in loads) - answered
    return [
        tell(Figure("load, answered", answered, "callbacks")),
        tell(Figure("load, not answered 200", lost, "callbacks", goal=0, at_most=True)),
        tell(
            Figure(
                "load, p99 of the worst ten seconds", max(load.p99_ms for load in loads), "ms", goal=1000, at_most=True
            )
        ),
        tell(Figure("load, work left undone", left, "items", goal=0, at_most=True)),
        tell(Figure("load, memory grown", grown_mb, "MB")),
        tell(Figure("load, processor time per customer, all told", spent / max(answered, 1) * 1000, "ms")),
    ]


def memory_mb(server: ServerProcess) -> float:
    """Resident memory of the server, in megabytes (Linux)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def waiting(url: str) -> int:
    """Work items that are due and not done."""
    engine = create_engine(url)
    with engine.connect() as conn:
        due = text("SELECT count(*) FROM work_item WHERE state < 2 AND due_at <= :now")
        found = int(conn.execute(due, {"now": int(time.time() * 1000)}).scalar_one())
    engine.dispose()
    return found


def settled(url: str) -> int:
    """What is left once nothing waits any more, or patience ends."""
    deadline = time.monotonic() + _PATIENCE
    while (left := waiting(url)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return left


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
