"""`scrm playbook rehearse FILE --days 30 | --crowd 100000`: what a playbook would do, told in a terminal."""

import argparse
import asyncio
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from scrm.clock import SystemClock
from scrm.db import Database
from scrm.errors import WrongUse
from scrm.settings import Settings, load_settings
from scrm.sop.guards.house import house_from
from scrm.sop.rehearsal.findings import WORDS
from scrm.sop.rehearsal.playing import SMALL, Cast, Progress, cast, cast_crowd, play, play_apart, size_of
from scrm.sop.rehearsal.rehearse import settings_for
from scrm.sop.rehearsal.terms import USUAL, Behaviour, Crowd, Member, Terms
from scrm.sop.schema import Playbook
from scrm.sop.timing import parse_duration

_BAR = 30
_MARKS = {"bad": "✗", "warn": "!", "good": "✓"}


def add_options(act: argparse.ArgumentParser) -> None:
    """What makes a rehearsal out of `rehearse`, which else plays the tests."""
    act.add_argument("--days", type=int, metavar="N", help="against what this database kept of the last N days")
    act.add_argument(
        "--crowd", type=int, metavar="N", help="against N made-up customers (in --days days, 30 by default)"
    )
    act.add_argument("--members", type=int, default=20, metavar="N", help="members they are spread over (20)")
    act.add_argument("--buys", type=float, default=10, metavar="PERCENT", help="made-up customers who buy (10)")
    act.add_argument("--leaves", type=float, default=2, metavar="PERCENT", help="made-up customers who leave (2)")
    act.add_argument(
        "--confirms", type=float, metavar="PERCENT", help="of tasks that members send (80, or their history)"
    )
    act.add_argument("--after", metavar="30m", help="how long members take (30m, or their history)")
    act.add_argument("--json", action="store_true", help="print everything that was found, a line for each playbook")


def is_at_scale(arguments: argparse.Namespace) -> bool:
    return arguments.days is not None or arguments.crowd is not None


async def run_at_scale(arguments: argparse.Namespace, playbooks: Iterable[Playbook]) -> int:
    """Exit code 1 when something is found that should be mended before publishing; nothing is written."""
    terms = _terms(arguments)
    found_bad = False
    for playbook in playbooks:
        whole = await _cast(playbook, terms)
        is_small = size_of(whole) <= SMALL
        summary = play(whole) if is_small else await asyncio.to_thread(play_apart, whole, Progress())
        found_bad |= any(line["tone"] == "bad" for line in summary["words"])
        if arguments.json:
            print(json.dumps({"playbook": playbook.key, **summary}, ensure_ascii=False))
        else:
            print("\n".join(lines_of(summary, playbook)))
    return 1 if found_bad else 0


def _terms(arguments: argparse.Namespace) -> Terms:
    behaviour = None
    if arguments.confirms is not None or arguments.after is not None:
        minutes = int(_after(arguments.after).total_seconds() // 60) if arguments.after else USUAL.minutes
        share = USUAL.confirms if arguments.confirms is None else arguments.confirms / 100
        behaviour = Behaviour(Member(share, max(1, minutes)))
    crowd = None
    if arguments.crowd is not None:
        crowd = Crowd(arguments.crowd, arguments.members, arguments.buys / 100, arguments.leaves / 100)
    return Terms(arguments.days if arguments.days is not None else 30, crowd, behaviour)


def _after(text: str) -> Any:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WrongUse(f"--after：{error}") from None


async def _cast(playbook: Playbook, terms: Terms) -> Cast:
    now = SystemClock().now()
    if terms.crowd is not None:
        return cast_crowd(playbook, terms, house_from(_settings()), terms.behaviour or Behaviour(), now)
    settings = load_settings()
    db = Database(settings.database.url.get_secret_value())
    try:
        return await db.read(cast, playbook, terms, house_from(settings), now)
    finally:
        await db.close()


def _settings() -> Settings:
    """A made-up crowd needs no shop: without settings the usual ones hold."""
    try:
        return load_settings()
    except WrongUse:
        return settings_for(Path("unused.db"))


def lines_of(summary: Mapping[str, Any], playbook: Playbook) -> list[str]:
    """The report as a terminal shows it."""
    lines = [f"{playbook.title}：{summary['begins']} 到 {summary['ends']}，进入 {summary['entered']:,} 人次"]
    lines += [f"  没进入 {count:,} 次：{reason}" for reason, count in summary["refused"].items()]
    lines += [f"  {_MARKS[line['tone']]} {line['text']}" for line in summary["words"]]
    lines += ["", "每天发出（条）", *_days(summary["days"]), "", "每一步"]
    for step in playbook.steps:
        counts = summary["steps"].get(step.id, {})
        told = "，".join(f"{words} {counts[state]:,}" for state, words in WORDS.items() if counts.get(state))
        lines.append(f"  {step.id}（{step.channel.value}）：{told or '没有人走到'}")
    lines += ["", "员工（待办最多的 10 位）"]
    for member in summary["members"][:10]:
        lines.append(
            f"  {member['userid']}：{member['asked']:,} 条，发出 {member['sent']:,}，过期 {member['expired']:,}，"
            f"一天最多 {member['peak']}（{member['peak_day'][5:]}）"
        )
    for name, title in (("as_of_today", "按今天的数据判断的条件"), ("assumed", "没有数据、当作满足的条件")):
        if summary[name]:
            lines += ["", title, *(f"  {words}（{count:,} 次）" for words, count in summary[name].items())]
    return lines


def _days(days: Iterable[Mapping[str, Any]]) -> list[str]:
    shown = [day for day in days if day.get("sent") or day.get("asked")]
    most = max((day.get("sent", 0) for day in shown), default=0) or 1
    lines = []
    for day in shown:
        sent = day.get("sent", 0)
        weekday = "一二三四五六日"[datetime.fromisoformat(day["day"]).weekday()]
        over = f"  {day['over']} 人超上限" if day["over"] else ""
        bar = "█" * round(_BAR * sent / most)
        lines.append(f"  {day['day'][5:]} 周{weekday} {sent:>8,}  待办人均 {day['mean']:>5}{over}  {bar}")
    return lines
