"""Processor seconds that a process and its children have used (Linux): the steadiest figure on a busy machine."""

import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def of_tree(pid: int) -> float:
    """User and system time of the process and of every living descendant."""
    return sum(_own(one) for one in _descendants(pid))


def _own(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def _descendants(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += _descendants(int(child))
    return found
