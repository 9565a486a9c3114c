"""Who serves a SQLite file, and how another process writes beside the server without starving it."""

import fcntl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.engine import URL

from scrm.clock import Clock, monotonic
from scrm.errors import ScrmError

P = ParamSpec("P")
T = TypeVar("T")
Row = TypeVar("Row")

# Rows of a transaction beside a server, and the least seconds of rest behind it.
SMALL = 100
REST = 0.02

_served_here: set[Path] = set()


@contextmanager
def serve_alone(url: str | URL) -> Iterator[None]:
    """SQLite mode is one serving process: raises ScrmError at once for a second one. PostgreSQL takes many."""
    path = _lock_path(url)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        if not _take(lock.fileno()):
            raise ScrmError(
                f"{path.with_suffix('')} is served by another process: stop it first, or use PostgreSQL for several"
            )
        _served_here.add(path)
        try:
            yield
        finally:
            _served_here.discard(path)


def is_served(url: str | URL) -> bool:
    """Whether another process serves this SQLite file; with PostgreSQL nobody is in anybody's way."""
    path = _lock_path(url)
    if path is None or path in _served_here:
        return False
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


class Turn(Generic[Row]):
    """Rows for one transaction, and when it really began: waiting for the file is already a rest."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self._began = monotonic()

    def timed(self, work: Callable[Concatenate[Connection, P], T]) -> Callable[Concatenate[Connection, P], T]:
        """`work`, which notes when its transaction has the file."""

        def run(conn: Connection, /, *args: P.args, **kwargs: P.kwargs) -> T:
            self._began = monotonic()
            return work(conn, *args, **kwargs)

        return run

    def seconds(self) -> float:
        """Since the transaction began."""
        return monotonic() - self._began


async def in_turns(url: str | URL, clock: Clock, rows: Sequence[Row]) -> AsyncIterator[Turn[Row]]:
    """`rows` in pieces for one transaction each: all at once, or little by little while another process serves.

    SQLite's writers do not queue: who waits asks again every few milliseconds, and meets a file that is always locked
    when another one never rests. So after a piece the file is left alone for at least as long as the piece took.
    """
    start = 0
    while start < len(rows):
        served = is_served(url)
        turn = Turn(rows[start : start + SMALL] if served else rows[start:])
        yield turn
        start += len(turn.rows)
        if served:
            await clock.sleep(max(REST, turn.seconds()))


def _lock_path(url: str | URL) -> Path | None:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database + ".lock").absolute()


def _take(lock: int) -> bool:
    """Who asks `is_served` holds the lock for an instant, so one refusal says nothing yet."""
    for _ in range(5):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False
