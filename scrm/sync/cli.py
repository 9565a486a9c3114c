"""`scrm sync`: compare everything with WeCom now, with a progress bar, counts and an exit code."""

import argparse
import json
import sys

from scrm.clock import monotonic
from scrm.services import Services
from scrm.sync.runs import Outcome, run_sources
from scrm.sync.sources import SOURCES, Source, choose
from scrm.wecom.errors import WeComError
from scrm.wecom.pacing import in_bulk
from scrm.work.progress import Progress


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> argparse.ArgumentParser:
    """Add `sync`; it sets `run(arguments, services)`."""
    sync = commands.add_parser("sync", help="compare with WeCom and repair what no callback told us")
    sync.add_argument("--full", action="store_true", help="begin anew, also where a run was cut off")
    sync.add_argument("--only", default="", metavar=",".join(source.key for source in SOURCES))
    sync.add_argument("--json", action="store_true", help="the last line is a JSON object of counts by source")
    sync.set_defaults(run=run_sync)
    return sync


async def run_sync(arguments: argparse.Namespace, services: Services) -> int:
    """0 when every source was compared, 1 when one failed; what was cut off goes on the next time."""
    sources = choose(key.strip() for key in arguments.only.split(",") if key.strip())
    bar = _Bar()
    with in_bulk():
        outcomes = await run_sources(
            services, sources, full=arguments.full, asked_at=services.clock.now(), watch=bar.show
        )
    out = sys.stderr if arguments.json else sys.stdout
    for outcome in outcomes:
        print(_line(outcome), file=out)
        for note in outcome.progress.notes:
            print(f"  · {note}", file=out)
    if arguments.json:
        sys.stdout.flush()
        print(json.dumps({outcome.source.key: _counts(outcome) for outcome in outcomes}))
    return 1 if any(outcome.error for outcome in outcomes) else 0


def _line(outcome: Outcome) -> str:
    progress = outcome.progress
    counts = (
        f"{outcome.source.title}：核对 {progress.done:,}，新增 {progress.added:,}，"
        f"更新 {progress.changed:,}，结束 {progress.ended:,}"
    )
    if outcome.error is None:
        return counts
    error = outcome.error
    why = error.text if isinstance(error, WeComError) else f"程序出错（{type(error).__name__}），请查看日志"
    return f"{counts}；没有做完：{why.rstrip('。')}。再次运行 scrm sync 会从中断处继续"


def _counts(outcome: Outcome) -> dict[str, int]:
    progress = outcome.progress
    return {name: getattr(progress, name) for name in ("done", "added", "changed", "ended")}


class _Bar:
    """A progress line on stderr, only for people."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._source = ""
        self._began, self._first = monotonic(), 0

    def show(self, source: Source, progress: Progress, is_over: bool) -> None:
        """Draws the line anew; a source that is over leaves it."""
        if not self._is_shown:
            return
        if source.key != self._source:
            self._source, self._began, self._first = source.key, monotonic(), progress.done
        share = 1.0 if is_over else progress.share
        done = int(share * 30)
        speed = (progress.done - self._first) / max(monotonic() - self._began, 0.001)
        bar = "█" * done + "░" * (30 - done)
        rest = f"{share:4.0%}  {progress.done:,}/{max(progress.total, progress.done):,}  {speed:,.0f} 条/秒"
        sys.stderr.write(f"\r{source.title} {bar} {rest} \x1b[K" + ("\n" if is_over else ""))
        sys.stderr.flush()
