"""`python -m bench [callbacks] [entry] [events] [imports] [hooks] [rehearsal] [reports] [segments] [sidebar] [steps] [sync] [welcome]`: measure all, or what is named; exit code 1 when a goal is missed."""

import sys
from importlib import import_module

from bench.figures import Figure, machine, say

BENCHMARKS = [
    "callbacks",
    "entry",
    "events",
    "imports",
    "hooks",
    "rehearsal",
    "reports",
    "segments",
    "sidebar",
    "steps",
    "sync",
    "welcome",
]
SMALL = ("sidebar", "segments")


def main(names: list[str]) -> int:
    is_small = "--small" in names
    names = [name for name in names if name != "--small"]
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"bench：不认识 {' '.join(unknown)}，可用的有 {' '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    say(f"bench: {machine()}")
    figures = [figure for name in BENCHMARKS if not names or name in names for figure in run(name, small=is_small)]
    missed = [figure.figure for figure in figures if figure.ok is False]
    for name in missed:
        say(f"bench: goal missed: {name}")
    return 1 if missed else 0


def run(name: str, *, small: bool) -> list[Figure]:
    """One benchmark; what others are compared with is not loaded, its memory would count as ours."""
    module = import_module(f"bench.{name}")
    figures: list[Figure] = module.main(small=True) if small and name in SMALL else module.main()
    return figures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
