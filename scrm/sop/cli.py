"""`scrm playbook`: check, rehearse, compare and publish playbooks from a terminal."""

import argparse
import difflib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog

from scrm.clock import SystemClock
from scrm.db import Database
from scrm.errors import NotFound, WrongUse
from scrm.settings import Settings, load_settings
from scrm.sop import published as publishing
from scrm.sop.reading import Known, PlaybookErrors
from scrm.sop.schema import Playbook, Window
from scrm.sop.timing import parse_window

DIRECTORY = Path("config/playbooks")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`scrm playbook lint|test|rehearse|diff|apply|export|schema`."""
    playbook = commands.add_parser("playbook", help="check, rehearse and publish playbooks (SOP)")
    acts = playbook.add_subparsers(dest="act", required=True, metavar="ACT")
    files = "YAML files or directories; playbooks.dir of your settings by default"
    for name, run, help_text in (
        ("lint", run_lint, "say what is wrong with files, with line numbers"),
        ("test", run_test, "play the tests that stand in files"),
        ("rehearse", run_rehearse, "play the tests and tell what happens, minute by minute"),
        ("diff", run_diff, "what publishing these files would change"),
        ("apply", run_apply, "publish these files"),
    ):
        act = acts.add_parser(name, help=help_text)
        act.add_argument("files", nargs="*", type=Path, metavar="FILE", help=files)
        act.set_defaults(run=run, needs_settings=name in ("diff", "apply"))
    export = acts.add_parser("export", help="print the published text of a playbook, or list what is published")
    export.add_argument("key", nargs="?", help="the playbook's key")
    export.set_defaults(run=run_export, needs_settings=True)
    schema = acts.add_parser("schema", help="print the format as JSON Schema, for editors")
    schema.set_defaults(run=run_schema, needs_settings=False)


async def run_lint(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Exit code 1 when a file cannot be published."""
    sound, lines = _read_all(_files(arguments.files, settings))
    _print_errors(lines)
    for path, playbook in sound:
        print(f"{path}：没有问题（{playbook.title}，{len(playbook.steps)} 步，{len(playbook.tests)} 个测试）")
    return 1 if lines else 0


async def run_test(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Exit code 1 when a test came otherwise than expected."""
    return await _play(arguments, settings, tells_story=False)


async def run_rehearse(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Like `test`, with the story of each."""
    return await _play(arguments, settings, tells_story=True)


async def run_diff(arguments: argparse.Namespace, settings: Settings) -> int:
    """Prints unified diffs; exit code 0 also when there are differences."""
    sound, lines = _read_all(_files(arguments.files, settings))
    _print_errors(lines)
    async with _database(settings) as db:
        kept = await db.read(publishing.list_sources)
    for path, playbook in sound:
        before = kept.get(playbook.key, "")
        if before == playbook.source:
            print(f"{path}：和已发布的一致")
        sys.stdout.writelines(_diff(before, playbook.source, playbook.key, str(path)))
    return 1 if lines else 0


async def run_apply(arguments: argparse.Namespace, settings: Settings) -> int:
    """Publishes all sound files in one transaction; exit code 1 when one is refused."""
    async with _database(settings) as db:
        known = await db.read(publishing.known_from, quiet=_quiet(settings))
        sound, lines = _read_all(_files(arguments.files, settings), known)
        _print_errors(lines)
        for path, playbook in sound:
            changed = await db.write(partial(publishing.publish, now=SystemClock().now()), playbook)
            print(f"{path}：{'已发布' if changed else '没有变化'}（{playbook.title}）")
    return 1 if lines else 0


async def run_export(arguments: argparse.Namespace, settings: Settings) -> int:
    """The YAML as it was published; without a key, the list of keys."""
    async with _database(settings) as db:
        kept = await db.read(publishing.list_sources)
    if arguments.key is None:
        print("\n".join(kept))
        return 0
    if arguments.key not in kept:
        raise NotFound(f"没有已发布的剧本“{arguments.key}”，已发布的有：{'、'.join(kept) or '无'}")
    print(kept[arguments.key], end="")
    return 0


async def run_schema(arguments: argparse.Namespace, settings: Settings | None) -> int:
    from scrm.sop.json_schema import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    return 0


async def _play(arguments: argparse.Namespace, settings: Settings | None, *, tells_story: bool) -> int:
    from scrm.sop.rehearse import run_tests

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sound, lines = _read_all(_files(arguments.files, settings))
    _print_errors(lines)
    passed = failed = 0
    for path, playbook in sound:
        for result in await run_tests(playbook, _beside(path)):
            failed += bool(result.problems)
            passed += not result.problems
            print(f"{'✗' if result.problems else '✓'} {path.name} {result.name}")
            story = result.story if tells_story or result.problems else []
            for line in (*(f"第 {result.line} 行：{problem}" for problem in result.problems), *story):
                print("    " + line.replace("\n", "\n                 "))
    print(f"{passed} 个通过，{failed} 个不符" + (f"，{len(lines)} 处错误" if lines else ""))
    return 1 if failed or lines else 0


def _beside(path: Path) -> list[Playbook]:
    """The other playbooks of the same directory: they are published together, and meet the same customers."""
    sound, _ = _read_all(other for other in publishing.list_files(path.parent) if other != path)
    return [playbook for _, playbook in sound]


def _files(named: Iterable[Path], settings: Settings | None) -> list[Path]:
    """Directories stand for the playbooks in them; raises WrongUse for what is not there."""
    files: list[Path] = []
    for path in list(named) or [settings.playbooks.dir if settings else _directory()]:
        if path.is_dir():
            files += publishing.list_files(path)
        elif path.is_file():
            files.append(path)
        else:
            raise WrongUse(f"{path}: found no such file; expected a playbook (YAML) or a directory of them")
    return files


def _directory() -> Path:
    """`playbooks.dir`, also where the other settings are not complete: files are checked before there is a server."""
    if directory := os.environ.get("SCRM_PLAYBOOKS__DIR"):
        return Path(directory)
    try:
        return load_settings().playbooks.dir
    except WrongUse:
        if (named := os.environ.get("SCRM_CONFIG")) and not Path(named).is_file():
            raise
        return DIRECTORY


def _read_all(files: Iterable[Path], known: Known | None = None) -> tuple[list[tuple[Path, Playbook]], list[str]]:
    sound: list[tuple[Path, Playbook]] = []
    lines: list[str] = []
    for path in files:
        try:
            sound.append((path, publishing.read_file(path, known)))
        except PlaybookErrors as error:
            lines += [f"{path.parent / line}" for line in error.lines]
    return sound, lines


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def _diff(before: str, after: str, key: str, path: str) -> Iterator[str]:
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return difflib.unified_diff(old, new, f"{key}（已发布）", path)


def _quiet(settings: Settings) -> Window | None:
    quiet = settings.playbooks.quiet
    return None if quiet == "none" else parse_window(quiet)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    db = Database(settings.database.url.get_secret_value())
    try:
        yield db
    finally:
        await db.close()
