"""`scrm plan`: check, publish and stop plans for groups and moments; `scrm outward` shows what calls are signed with."""

import argparse
import sys
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from scrm.errors import NotFound
from scrm.services import Services
from scrm.shipped import shipped
from scrm.sop.life.published import list_files, read_text
from scrm.sop.outward import secret_for
from scrm.sop.plans import store
from scrm.sop.plans.parse import parse_plan
from scrm.sop.plans.schema import Plan
from scrm.sop.plans.words import STATES, coming
from scrm.sop.text.reading import PlaybookErrors


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Each command sets `run(arguments, services)`."""
    plan = commands.add_parser("plan", help="plans for customer groups and moments: list, lint, apply, pause, resume")
    acts = plan.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("list", help="every plan with its state and what comes next").set_defaults(run=run_list)
    for name, run, help_text in (
        ("lint", run_lint, "say what is wrong with files, with line numbers"),
        ("apply", run_apply, "publish these files"),
    ):
        act = acts.add_parser(name, help=help_text)
        act.add_argument("files", nargs="*", type=Path, metavar="FILE", help="YAML files; config/plans by default")
        act.set_defaults(run=run)
    for name, state, help_text in (
        ("pause", "paused", "send nothing more until it is resumed"),
        ("resume", "published", "go on from now; what fell due meanwhile is not made up for"),
        ("retire", "retired", "end it"),
    ):
        act = acts.add_parser(name, help=help_text)
        act.add_argument("key", help="the plan's key")
        act.set_defaults(run=run_state, state=state)
    outward = commands.add_parser("outward", help="calls of other systems (channel K)")
    outward_acts = outward.add_subparsers(dest="act", required=True, metavar="ACT")
    secret = outward_acts.add_parser("secret", help="print the secret that calls of a plain url are signed with")
    secret.add_argument("host", help="the url's host name")
    secret.set_defaults(run=run_secret)


async def run_list(arguments: argparse.Namespace, services: Services) -> int:
    now, zone = services.clock.now(), services.settings.shop.zone
    rows = await services.db.read(store.list_plans)
    for row in rows:
        comes = await services.db.read(coming, row, now, now + timedelta(days=7), zone)
        first = f"  下一条 {comes[0].when} {comes[0].title}（{comes[0].targets} 个群）" if comes else ""
        print(f"{row.key}  {STATES[row.state].text}  第 {row.version} 版  {row.title}{first}")
    if not rows:
        print("还没有计划；写好 config/plans/*.yaml 后用 scrm plan apply 发布，写法见 docs/plans.md")
    return 0


async def run_lint(arguments: argparse.Namespace, services: Services) -> int:
    """Exit code 1 when a file cannot be published."""
    plans, lines = _read(arguments.files)
    for name, plan in plans:
        print(f"{name}：没有问题（{plan.title}，{len(plan.items)} 项）")
    return _print_errors(lines)


async def run_apply(arguments: argparse.Namespace, services: Services) -> int:
    """Publishes all sound files; exit code 1 when one is refused."""
    plans, lines = _read(arguments.files)
    for name, plan in plans:
        changed = await services.db.write(store.publish, plan, by="cli", now=services.clock.now())
        print(f"{name}：{'已发布' if changed else '没有变化'}（{plan.title}）")
    return _print_errors(lines)


async def run_state(arguments: argparse.Namespace, services: Services) -> int:
    if await services.db.read(store.find_plan, arguments.key) is None:
        raise NotFound(f"没有计划 {arguments.key}，scrm plan list 列出所有计划")
    now = services.clock.now()
    changed = await services.db.write(store.set_state, arguments.key, arguments.state, by="cli", now=now)
    print(f"{arguments.key}：{STATES[arguments.state].text}{'' if changed else '（没有变化）'}")
    return 0


async def run_secret(arguments: argparse.Namespace, services: Services) -> int:
    print(secret_for(services.settings, arguments.host))
    return 0


def _read(files: Iterable[Path]) -> tuple[list[tuple[str, Plan]], list[str]]:
    """The sound plans by file name, and a line for each problem of the others."""
    found: list[tuple[str, Plan]] = []
    lines: list[str] = []
    named = list(files) or [place for place in [shipped("plans")] if place.is_dir()]
    paths = [path for each in named for path in (list_files(each) if each.is_dir() else [each])]
    if not paths:
        return [], ["没有找到计划文件：请写出文件名，或把 YAML 放进 config/plans"]
    for path in paths:
        try:
            found.append((path.name, parse_plan(read_text(path), path.name)))
        except PlaybookErrors as error:
            lines += error.lines
    return found, lines


def _print_errors(lines: Iterable[str]) -> int:
    lines = list(lines)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0
