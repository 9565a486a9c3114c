"""`python -m bench [callbacks] [entry] [events] [imports] [hooks] [rehearsal] [reports] [segments] [sidebar] [steps] [sync] [welcome]`: measure all, or what is named; exit code 1 when a goal is missed."""

import sys

from bench import callbacks, entry, events, hooks, imports, rehearsal, reports, segments, sidebar, steps, sync, welcome
from bench.figures import machine, say

BENCHMARKS = {
    "callbacks": callbacks.main,
    "entry": entry.main,
    "events": events.main,
    "imports": imports.main,
    "hooks": hooks.main,
    "rehearsal": rehearsal.main,
    "reports": reports.main,
    "segments": segments.main,
    "sidebar": sidebar.main,
    "steps": steps.main,
    "sync": sync.main,
    "welcome": welcome.main,
}


def main(names: list[str]) -> int:
    if "--small" in names:
        names = [name for name in names if name != "--small"]
        BENCHMARKS["sidebar"] = lambda: sidebar.main(small=True)
        BENCHMARKS["segments"] = lambda: segments.main(small=True)
    if unknown := [name for name in names if name not in BENCHMARKS]:
        print(f"bench：不认识 {' '.join(unknown)}，可用的有 {' '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    say(f"bench: {machine()}")
    figures = [figure for name, run in BENCHMARKS.items() if not names or name in names for figure in run()]
    missed = [figure.figure for figure in figures if figure.ok is False]
    for name in missed:
        say(f"bench: goal missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
