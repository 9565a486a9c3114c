"""Servers for tests leave nothing behind, even when the run before was killed."""

import os
import time
from pathlib import Path

from tests.postgresql_server import LEFT_SECONDS, PREFIX, sweep


def left(place: Path, name: str, *, pid: int | None, age: float) -> Path:
    folder = place / f"{PREFIX}{name}"
    (folder / "data").mkdir(parents=True)
    if pid is not None:
        (folder / "data" / "postmaster.pid").write_text(f"{pid}\n{folder}/data\n")
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder


def test_only_old_folders_without_a_living_server_are_taken_away(tmp_path: Path) -> None:
    ended = 4_194_305  # above the largest number that Linux gives to a process
    old = LEFT_SECONDS + 60
    dead = left(tmp_path, "dead", pid=ended, age=old)
    never_started = left(tmp_path, "never", pid=None, age=old)
    alive = left(tmp_path, "alive", pid=os.getpid(), age=old)
    starting = left(tmp_path, "starting", pid=None, age=10)
    sweep(tmp_path)
    assert not dead.exists()
    assert not never_started.exists()
    assert alive.exists()
    assert starting.exists()
