"""The real `scrm serve` in a process of its own, for tests that kill it and for benchmarks."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes import wecom as fake
from tests.postgresql_server import die_with_parent

ROOT = Path(__file__).parent.parent
START_SECONDS = 120.0  # only an end for what never starts: a busy machine takes many times what an idle one does


@dataclass
class ServerProcess:
    """A running server: where it listens, and what it said on stderr."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def environment(database_url: str, api_base: str, **more: str) -> dict[str, str]:
    """Settings of a complete app, given by variables alone."""
    mine = {
        "SCRM_DATABASE__URL": database_url,
        "SCRM_SERVER__PUBLIC_URL": "https://crm.example.test",
        "SCRM_WECOM__CORP_ID": fake.CORP_ID,
        "SCRM_WECOM__AGENT_ID": str(fake.AGENT_ID),
        "SCRM_WECOM__SECRET": fake.SECRET,
        "SCRM_WECOM__TOKEN": fake.TOKEN,
        "SCRM_WECOM__ENCODING_AES_KEY": fake.AES_KEY,
        "SCRM_WECOM__API_BASE": api_base,
        "SCRM_SECURITY__SECRET_KEY": "a key of more than thirty-two characters",
        "SCRM_PLAYBOOKS__DIR": str(ROOT / "config/playbooks"),
        "SCRM_SHOP__NAME": "晴屿美妆",
        **more,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("SCRM_")}
    return {**others, **mine}


def start(command: Sequence[str], environ: Mapping[str, str], log: Path) -> ServerProcess:
    """Start `python COMMAND...` and wait until it says on stderr where it listens."""
    with log.open("ab") as out:
        began = out.tell()
        process = subprocess.Popen(
            [sys.executable, *command],
            env=dict(environ),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            preexec_fn=die_with_parent if threading.current_thread() is threading.main_thread() else None,
        )
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        said = log.read_bytes()[began:].decode(errors="replace")
        if found := re.search(r"[Ll]istening (?:on|at):? http://127\.0\.0\.1:(\d+)", said):
            return ServerProcess(process, int(found[1]), log)
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise RuntimeError(f"{' '.join(command)} did not start: {log.read_text(errors='replace')[-1500:]}")


def start_serve(environ: Mapping[str, str], log: Path, *arguments: str, port: int = 0) -> ServerProcess:
    """`scrm serve` on a free port of loopback."""
    return start(["-m", "scrm", "serve", "--host", "127.0.0.1", "--port", str(port), *arguments], environ, log)


@contextmanager
def serving(environ: Mapping[str, str], log: Path, *arguments: str) -> Iterator[ServerProcess]:
    server = start_serve(environ, log, *arguments)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
