"""Who serves a SQLite file, and what another process does beside the server."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from scrm.db.serving import REST, SMALL, in_turns, is_served, serve_alone
from scrm.errors import ScrmError
from tests.server_process import ROOT

SERVE = """
import sys
from scrm.db.serving import serve_alone
with serve_alone(sys.argv[1]):
    print("serving", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_serves(url: str) -> Iterator[None]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", SERVE, url], stdin=pipe, stdout=pipe, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serving\n"
        try:
            yield
        finally:
            process.communicate()


class Rests:
    """A clock that only remembers how long somebody slept."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 3, 2, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def pieces(url: str, rests: Rests, rows: int) -> list[Any]:
    return [len(turn.rows) async for turn in in_turns(url, rests, range(rows))]


def test_a_file_that_nobody_serves_is_free(sqlite_url: str) -> None:
    assert not is_served(sqlite_url)
    with serve_alone(sqlite_url):
        assert not is_served(sqlite_url)  # this process writes in turns anyhow
    assert not is_served("sqlite:///nowhere/there.db")
    assert not is_served("postgresql://user:pw@127.0.0.1:1/none")


def test_another_process_is_seen_and_a_second_server_refused_until_it_ends(sqlite_url: str) -> None:
    with another_process_serves(sqlite_url):
        assert is_served(sqlite_url)
        with pytest.raises(ScrmError, match=r"scrm\.db is served by another process"), serve_alone(sqlite_url):
            pass
    assert not is_served(sqlite_url)
    with serve_alone(sqlite_url):
        pass


async def test_beside_a_server_pieces_are_small_and_each_is_followed_by_a_rest(sqlite_url: str) -> None:
    rests = Rests()
    with another_process_serves(sqlite_url):
        assert await pieces(sqlite_url, rests, 2 * SMALL + 1) == [SMALL, SMALL, 1]
    assert len(rests.seconds) == 3
    assert min(rests.seconds) >= REST


async def test_alone_everything_goes_at_once(sqlite_url: str) -> None:
    rests = Rests()
    assert await pieces(sqlite_url, rests, 2 * SMALL + 1) == [2 * SMALL + 1]
    assert await pieces(sqlite_url, rests, 0) == []
    assert rests.seconds == []
