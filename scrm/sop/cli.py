"""`scrm playbook`: check, rehearse, compare, publish and stop playbooks from a terminal."""

import argparse
import json
import logging
import os
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Row, make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from scrm.clock import SystemClock
from scrm.db import Database
from scrm.errors import NotFound, WrongUse
from scrm.settings import Settings, load_settings
from scrm.shipped import shipped
from scrm.sop.channels import ready
from scrm.sop.life import drafts, estimates, library, lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.life import published as publishing
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.drafts import Terms
from scrm.sop.life.published import By, Draft, Published
from scrm.sop.rehearsal import cli as rehearsal_cli
from scrm.sop.results import tally
from scrm.sop.schema import Playbook
from scrm.sop.shelf import terms_from
from scrm.sop.text import beside, diff
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import Known, PlaybookErrors

_MEDIA_LIST = "素材清单.txt"
_MOST_FILES = 1000
_MOST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """A playbook's text that somebody gave, and what to call it."""

    name: str
    path: Path
    text: str


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`scrm playbook lint|test|rehearse|diff|apply|rollback|export|schema|list|recount|pause|resume|retire|migrate`."""
    playbook = commands.add_parser("playbook", help="check, rehearse, publish and stop playbooks (SOP)")
    acts = playbook.add_subparsers(dest="act", required=True, metavar="ACT")
    files = "YAML files, directories or .zip files of them; playbooks.dir of your settings by default"
    made = {}
    for name, run, help_text in (
        ("lint", run_lint, "say what is wrong with files, with line numbers"),
        ("test", run_test, "play the tests that stand in files"),
        ("rehearse", run_rehearse, "play the tests and tell what happens, minute by minute"),
        ("diff", run_diff, "what publishing these files would change"),
        ("apply", run_apply, "publish these files"),
    ):
        act = made[name] = acts.add_parser(name, help=help_text)
        act.add_argument("files", nargs="*", type=Path, metavar="FILE", help=files)
        act.set_defaults(run=run, needs_settings=name in ("diff", "apply"))
    rehearsal_cli.add_options(made["rehearse"])
    made["diff"].add_argument("--words", action="store_true", help="in words: which step, from what to what")
    made["apply"].add_argument("--approve", action="store_true", help="also above the limits of audience and budget")
    made["apply"].add_argument("--over", action="store_true", help="also over what was changed in the console since")
    made["apply"].add_argument("--why", default="", help="kept in the playbook's history")
    export = acts.add_parser("export", help="print the published text of a playbook, or list what is published")
    export.add_argument("key", nargs="?", help="the playbook's key")
    export.add_argument("--to", type=Path, metavar="DIR|FILE.zip", help="write them there, to be applied elsewhere")
    export.set_defaults(run=run_export, needs_settings=True)
    schema = acts.add_parser("schema", help="print the format as JSON Schema, for editors")
    schema.set_defaults(run=run_schema, needs_settings=False)
    again = acts.add_parser("recount", help="count anew what the pages of results show, from what really happened")
    again.set_defaults(run=run_recount, needs_settings=True)
    _add_life(acts)


def _add_life(acts: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    listed = acts.add_parser("list", help="every playbook with its state and who is under way")
    listed.set_defaults(run=run_list, needs_settings=True)
    for name, run, help_text in (
        ("pause", run_pause, "let nobody enter any more"),
        ("resume", run_resume, "let people enter again, from now on"),
        ("retire", run_retire, "end its use"),
        ("rollback", run_rollback, "publish the text of an older version again, as a new one"),
        ("migrate", run_migrate, "move those under way in older versions to the current one; shows who first"),
    ):
        act = acts.add_parser(name, help=help_text)
        act.add_argument("key", help="the playbook's key")
        act.add_argument("--why", default="", help="kept in the playbook's history")
        act.set_defaults(run=run, needs_settings=True)
        if name == "pause":
            act.add_argument("--hold", action="store_true", help="those under way stand still too")
        elif name == "resume":
            act.add_argument("--keep-dates", action="store_true", help="held runs keep their dates; late steps go")
        elif name == "retire":
            act.add_argument("--end-runs", action="store_true", help="those under way end now; else they run out")
        elif name == "rollback":
            act.add_argument("version", nargs="?", type=int, help="the one before the current by default")
        else:
            act.add_argument("--mode", choices=("migrate", "restart"), help="do it; without, only show who is affected")


async def run_lint(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Exit code 1 when a file cannot be published; with a database at hand also for what is not there."""
    sound, lines = _read_all(_sources(arguments.files, settings))
    lines += await _find_lacking(sound)
    _print_errors(lines)
    for source, playbook in sound:
        if any(line.startswith(source.name) for line in lines):
            continue
        print(f"{source.name}：没有问题（{playbook.title}，{len(playbook.steps)} 步，{len(playbook.tests)} 个测试）")
        if usual := [step.id for step in playbook.steps if ready.is_left_to_us(step)]:
            print(f"{source.name}：{'、'.join(usual)} 没有写 ttl，按 24h：员工一天内没发就作废")
    return 1 if lines else 0


async def _find_lacking(sound: list[tuple[Source, Playbook]]) -> list[str]:
    """Members, tags, fields, playbooks and endpoints that files name and this shop does not have."""
    try:
        settings = load_settings()
        terms = terms_from(settings)
    except WrongUse:
        return []
    if not _is_there(settings.database.url.get_secret_value()):
        return []

    def look(conn: Connection) -> list[str]:
        found = []
        for source, playbook in sound:
            others = [other for _, other in sound if other is not playbook]
            found += beside.problems(conn, playbook, terms.needs._replace(others=others), name=source.name)
        return found

    async with _database(settings) as db:
        try:
            return await db.read(look)
        except (OperationalError, ProgrammingError, OSError):
            print("没有连上数据库，或还没有建表：员工、标签、字段和推送地址要到发布时才核对", file=sys.stderr)
            return []


def _is_there(url: str) -> bool:
    """Looking must not make an empty database."""
    found = make_url(url)
    return found.get_backend_name() != "sqlite" or Path(found.database or "").is_file()


async def run_test(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Exit code 1 when a test came otherwise than expected."""
    return await _play(arguments, settings, tells_story=False)


async def run_rehearse(arguments: argparse.Namespace, settings: Settings | None) -> int:
    """Like `test`, with the story of each; with --days or --crowd against many customers at once."""
    if rehearsal_cli.is_at_scale(arguments):
        sound, lines = _read_all(_sources(arguments.files, settings))
        _print_errors(lines)
        found = await rehearsal_cli.run_at_scale(arguments, [playbook for _, playbook in sound])
        return 1 if lines else found
    return await _play(arguments, settings, tells_story=True)


async def run_diff(arguments: argparse.Namespace, settings: Settings) -> int:
    """Prints unified diffs, or words; exit code 0 also when there are differences."""
    async with _database(settings) as db:
        kept = await db.read(publishing.list_sources)
        known = await db.read(publishing.known_from, quiet=terms_from(settings).quiet)
    sound, lines = _read_all(_sources(arguments.files, settings), known)
    _print_errors(lines)
    for source, playbook in sound:
        before = kept.get(playbook.key, "")
        if before == playbook.source:
            print(f"{source.name}：和已发布的一致")
        elif arguments.words:
            print(f"{source.name}（{playbook.title}）")
            old = _parse_kept(before, known)
            print("\n".join(f"  {change.words}" for change in diff.list_changes(old, playbook)) or "  只改了注释或写法")
        else:
            sys.stdout.writelines(diff.unified(before, playbook.source, f"{playbook.key}（已发布）", source.name))
    return 1 if lines else 0


async def run_apply(arguments: argparse.Namespace, settings: Settings) -> int:
    """Publishes all sound files, each in one transaction; exit code 1 when one is refused."""
    now, by = SystemClock().now(), By("", "cli", arguments.why)
    async with _database(settings) as db:
        terms = terms_from(settings)
        known = await db.read(publishing.known_from, quiet=terms.quiet)
        sound, lines = _read_all(_sources(arguments.files, settings), known)
        _print_errors(lines)
        for source, playbook in sound:
            others = tuple(other for _, other in sound if other is not playbook)
            draft = Draft(source.name, playbook)
            apply = partial(_apply, now=now, by=by, over=arguments.over, approves=arguments.approve)
            changed, refused = await db.write(apply, draft, replace(terms, others=others))
            _print_errors(refused)
            lines += refused
            if not refused:
                print(f"{source.name}：{'已发布' if changed else '没有变化'}（{playbook.title}）")
                row = await db.read(lifecycle_store.find_playbook, playbook.key)
                if row is not None and row.state != "published":
                    print(f"  {_still(playbook.key, row.state)}")
    return 1 if lines else 0


def _still(key: str, state: str) -> str:
    """A text does not bring back what somebody has stopped."""
    first = "先在后台取消归档，再运行" if state == "archived" else "要让客户进入，请运行"
    return f"这个剧本{lifecycle.WORDS[state]}，没有客户进入；{first} scrm playbook resume {key}"


def _apply(
    conn: Connection, draft: Draft, terms: Terms, *, now: datetime, by: By, over: bool, approves: bool
) -> tuple[bool, list[str]]:
    """Whether it is a new version now, and the lines that say why it is not; what one should know is printed."""
    playbook = draft.playbook
    before = publishing.find_current(conn, playbook.key)
    if before is not None and before.digest == playbook.digest:
        publishing.bring_file(conn, draft, now=now, by=by, over=over)
        return False, []
    if lacking := beside.problems(conn, playbook, terms.needs):
        return False, lacking
    found = estimates.estimate(conn, playbook, now)
    reasons = estimates.reasons_to_approve(playbook, found, terms.limits)
    if reasons and not approves:
        return False, [f"{draft.file_name}：{'；'.join(reasons)}，要加 --approve 才会发布"]
    for warning in estimates.warnings(found):
        print(f"{draft.file_name}：{warning}", file=sys.stderr)
    lines = publishing.bring_file(conn, draft, now=now, by=by, over=over)
    return not lines, lines


async def run_export(arguments: argparse.Namespace, settings: Settings) -> int:
    """The YAML as it was published; without a key, the list of keys, or with --to all of them as files."""
    async with _database(settings) as db:
        kept = await db.read(publishing.list_sources)
        known = await db.read(publishing.known_from, quiet=None)
    if arguments.key is not None and arguments.key not in kept:
        raise NotFound(f"没有已发布的剧本“{arguments.key}”，已发布的有：{'、'.join(kept) or '无'}")
    wanted = {arguments.key: kept[arguments.key]} if arguments.key else kept
    if arguments.to is not None:
        _write(arguments.to, wanted, _media_needed(wanted, known))
        print(f"{arguments.to}：{len(wanted)} 个剧本")
    elif arguments.key is None:
        print("\n".join(kept))
    else:
        print(kept[arguments.key], end="")
    return 0


def _media_needed(sources: dict[str, str], known: Known) -> list[str]:
    """Files that the other shop needs in its library, by name."""
    playbooks = (_parse_kept(source, known) for source in sources.values())
    return sorted({name for playbook in playbooks if playbook for name in beside.media_names(playbook)})


def _write(to: Path, sources: dict[str, str], media: list[str]) -> None:
    files = {f"{key}.yaml": text for key, text in sources.items()}
    if media:
        files[_MEDIA_LIST] = "导入后请在「素材库」上传这些文件，名称要一样：\n" + "\n".join(media) + "\n"
    if to.suffix == ".zip":
        with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, text in files.items():
                packed.writestr(name, text)
        return
    to.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (to / name).write_text(text, "utf-8")


async def run_schema(arguments: argparse.Namespace, settings: Settings | None) -> int:
    from scrm.sop.text.json_schema import json_schema

    print(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    return 0


# The life of a playbook -----------------------------------------------------------------------------------------------


async def run_list(arguments: argparse.Namespace, settings: Settings) -> int:
    """A line for each playbook and each draft: state, version, people under way."""
    async with _database(settings) as db:
        rows, drafts, living = await db.read(_look)
    for row in rows:
        people = f"，{living[row.key]:,} 位客户在途" if living[row.key] else ""
        draft = f"，有{lifecycle.WORDS[drafts.pop(row.key)]}" if row.key in drafts else ""
        print(f"{row.key}  {lifecycle.WORDS[row.state]}  第 {row.version} 版  {row.title}{people}{draft}")
    for key, state in drafts.items():
        print(f"{key}  {lifecycle.WORDS[state]}")
    return 0


def _look(conn: Connection) -> tuple[list[Row[Any]], dict[str, str], dict[str, int]]:
    rows = lifecycle_store.list_playbooks(conn)
    drafts = {draft.playbook_key: draft.state for draft in lifecycle_store.list_drafts(conn)}
    living = {row.key: sum(each.people for each in lifecycle_store.count_living(conn, row.key)) for row in rows}
    return rows, drafts, living


async def run_recount(arguments: argparse.Namespace, settings: Settings) -> int:
    """A line for each playbook whose kept counts were other than what its runs and steps come to."""
    published = Published()
    async with _database(settings) as db:
        await db.read(published.load)
        changed = await tally.recount(db, published, settings.shop.zone, SystemClock().now())
    for key, (before, after) in changed.items():
        print(f"{key}：统计已改正（合计 {before:,} → {after:,}）")
    print("剧本的统计已按账本重算" + ("" if changed else "，全部一致"))
    return 0


async def run_pause(arguments: argparse.Namespace, settings: Settings) -> int:
    await _act(settings, partial(lifecycle.pause, hold=arguments.hold), arguments)
    print("已暂停，新客户不再进入；" + ("在途的客户停在原地" if arguments.hold else "在途的客户会走完"))
    return 0


async def run_resume(arguments: argparse.Namespace, settings: Settings) -> int:
    await _act(settings, partial(lifecycle.resume, shift=not arguments.keep_dates), arguments)
    print("已启用：从现在起发生的事件才会让客户进入")
    return 0


async def run_retire(arguments: argparse.Namespace, settings: Settings) -> int:
    await _act(settings, partial(lifecycle.retire, end_runs=arguments.end_runs), arguments)
    print("已停用；" + ("在途的客户会结束" if arguments.end_runs else "在途的客户会走完"))
    return 0


async def run_rollback(arguments: argparse.Namespace, settings: Settings) -> int:
    """The old text as a new version; those under way keep theirs."""
    by = By("", "cli", arguments.why)

    def roll_back(conn: Connection) -> drafts.Outcome:
        kept = lifecycle_store.find_playbook(conn, arguments.key)
        if kept is None:
            raise NotFound(f"没有编号为 {arguments.key} 的剧本")
        version = arguments.version or kept.version - 1
        if version < 1:
            raise WrongUse(f"“{arguments.key}”只有第 1 版，没有更早的可以回滚")
        return drafts.roll_back(conn, arguments.key, version, by, terms_from(settings), now=SystemClock().now())

    async with _database(settings) as db:
        outcome = await db.write(roll_back)
    print(
        f"已回滚，现在是第 {outcome.version} 版；在途的客户按原来的版本走完"
        if outcome.version
        else "和当前版本一样，没有变化"
    )
    return 0


async def run_migrate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Shows who is affected; with --mode it is asked for, and the running server does it."""
    published = Published()
    async with _database(settings) as db:
        await db.read(published.load)
        found = await db.read(migrate_runs.preview, published, arguments.key)
        print("\n".join(migrate_runs.words_of(found)))
        if arguments.mode and found.people:
            start = partial(migrate_runs.start, now=SystemClock().now())
            by = By("", "cli", arguments.why)
            people = await db.write(start, published, arguments.key, arguments.mode, by)
            print(f"已开始：{people:,} 位客户，{migrate_runs.MODES[arguments.mode]}")
    return 0


async def _act(settings: Settings, act: Callable[..., None], arguments: argparse.Namespace) -> None:
    async with _database(settings) as db:
        await db.write(partial(act, now=SystemClock().now()), arguments.key, By("", "cli", arguments.why))


# Playing tests --------------------------------------------------------------------------------------------------------


async def _play(arguments: argparse.Namespace, settings: Settings | None, *, tells_story: bool) -> int:
    from scrm.sop.rehearsal.rehearse import run_tests

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    sound, lines = _read_all(_sources(arguments.files, settings))
    _print_errors(lines)
    passed = failed = 0
    for source, playbook in sound:
        for result in await run_tests(playbook, _beside(source, sound)):
            failed += bool(result.problems)
            passed += not result.problems
            print(f"{'✗' if result.problems else '✓'} {Path(source.name).name} {result.name}")
            story = result.story if tells_story or result.problems else []
            for line in (*(f"第 {result.line} 行：{problem}" for problem in result.problems), *story):
                print("    " + line.replace("\n", "\n                 "))
    print(f"{passed} 个通过，{failed} 个不符" + (f"，{len(lines)} 处错误" if lines else ""))
    return 1 if failed or lines else 0


def _beside(source: Source, sound: list[tuple[Source, Playbook]]) -> list[Playbook]:
    """Those that are published together with it, and meet the same customers."""
    if source.path.suffix == ".zip":
        return [playbook for other, playbook in sound if other is not source and other.path == source.path]
    others, _ = _read_all(_sources_in(path) for path in publishing.list_beside(source.path))
    return [playbook for _, playbook in others]


# Files ----------------------------------------------------------------------------------------------------------------


def _sources(named: Iterable[Path], settings: Settings | None) -> Iterator[Source | PlaybookErrors]:
    """Directories and .zip files stand for the playbooks in them; raises WrongUse for what is not there."""
    for path in list(named) or [settings.playbooks.dir if settings else _directory()]:
        if path.is_dir():
            yield from (_sources_in(each) for each in publishing.list_files(path))
        elif path.suffix == ".zip" and path.is_file():
            yield from _unpacked(path)
        elif path.is_file():
            yield _sources_in(path)
        else:
            raise WrongUse(f"{path}: found no such file; expected a playbook (YAML) or a directory of them")


def _sources_in(path: Path) -> Source | PlaybookErrors:
    try:
        return Source(str(path), path, publishing.read_text(path))
    except PlaybookErrors as error:
        error.file_name = str(path)
        return error


def _unpacked(path: Path) -> Iterator[Source]:
    try:
        with zipfile.ZipFile(path) as packed:
            names = [each for each in packed.infolist() if each.filename.endswith((".yaml", ".yml"))]
            if len(names) > _MOST_FILES or any(each.file_size > _MOST_BYTES for each in names):
                raise WrongUse(f"{path}: found more than expected; at most {_MOST_FILES} files of {_MOST_BYTES} bytes")
            for each in sorted(names, key=lambda each: each.filename):
                text = packed.read(each).decode("utf-8-sig", "replace")
                yield Source(f"{path}/{each.filename}", path, text)
    except zipfile.BadZipFile:
        raise WrongUse(f"{path}: found no readable .zip file; expected one that `export --to` wrote") from None


def _directory() -> Path:
    """`playbooks.dir`, also where the other settings are not complete: files are checked before there is a server."""
    if directory := os.environ.get("SCRM_PLAYBOOKS__DIR"):
        return Path(directory)
    try:
        return load_settings().playbooks.dir
    except WrongUse:
        if (named := os.environ.get("SCRM_CONFIG")) and not Path(named).is_file():
            raise
        return shipped("playbooks")


# Without a database nobody knows what the library holds, nor the shop's coupons.
_OFFLINE = Known(coupons=None, contents=library.Unseen())


def _read_all(
    sources: Iterable[Source | PlaybookErrors], known: Known | None = None
) -> tuple[list[tuple[Source, Playbook]], list[str]]:
    sound: list[tuple[Source, Playbook]] = []
    lines: list[str] = []
    for source in sources:
        if isinstance(source, PlaybookErrors):
            lines += source.lines
            continue
        try:
            sound.append((source, parse_playbook(source.text, file_name=source.name, known=known or _OFFLINE)))
        except PlaybookErrors as error:
            lines += error.lines
    return sound, lines


def _parse_kept(source: str, known: Known) -> Playbook | None:
    try:
        return parse_playbook(source, file_name="", known=known) if source else None
    except PlaybookErrors:
        return None


def _print_errors(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Database]:
    db = Database(settings.database.url.get_secret_value())
    try:
        yield db
    finally:
        await db.close()
