"""`scrm explain`: why a person is in a playbook or not, what comes next, and what blocked it."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, or_, select

from scrm.errors import NotFound, ScrmError
from scrm.profiles.models import external_contact, follow_user, person
from scrm.profiles.redirects import follow
from scrm.services import Services
from scrm.sop.models import enrolment
from scrm.sop.models import playbook as playbook_table
from scrm.sop.reasons import why
from scrm.sop.reasons.explain import Check, Leaf, RunStory, StepStory
from scrm.sop.reasons.why import SendWhy, Why
from scrm.sop.results.tables import refusal
from scrm.sop.shelf import house_of, playbooks_of

# So many of the same name are listed.
FEW = 8


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`run(arguments, services)`."""
    told = commands.add_parser("explain", help="why a person is in a playbook or not, what comes next, what blocked it")
    told.add_argument(
        "person", metavar="PERSON", help='the person\'s id, an external_userid, a remark or a name; or "send:ID"'
    )
    told.add_argument("playbook", metavar="PLAYBOOK", nargs="?", help="its key or title; without, all that know them")
    told.add_argument("--json", action="store_true", help="print what is known as JSON")
    told.set_defaults(run=run_explain)


async def run_explain(arguments: argparse.Namespace, services: Services) -> int:
    """Exit code 1 when there is no such person or playbook, or more than one; "send:ID" tells of one send."""
    if (send_id := arguments.person.removeprefix("send:")).isdigit() and send_id != arguments.person:
        return await _explain_send(int(send_id), arguments, services)
    stories = await services.db.read(_tell, services, arguments.person, arguments.playbook)
    if arguments.json:
        print(json.dumps([asdict(story) for story in stories], ensure_ascii=False, default=_written))
        return 0
    zone = services.settings.shop.zone
    print("\n\n".join("\n".join(lines(story, zone)) for story in stories) or "这位客户没有进入过剧本，也没有被拒绝过")
    return 0


async def _explain_send(send_id: int, arguments: argparse.Namespace, services: Services) -> int:
    def look(conn: Connection) -> SendWhy:
        published = playbooks_of(services)
        published.refresh(conn)
        return why.tell_send(conn, send_id, published, house_of(services))

    told = await services.db.read(look)
    if arguments.json:
        print(json.dumps(asdict(told), ensure_ascii=False, default=_written))
        return 0
    print(f"发送 {told.send_id} · {told.kind} · {told.outcome}" + (f"：{told.reason}" if told.reason else ""))
    if told.run is None:
        print("不是剧本发的")
        return 0
    zone = services.settings.shop.zone
    print(f"{told.run.playbook_title}（{told.run.playbook_key}） · 客户 {told.run.person_id}")
    print("\n".join(_run(told.run, zone)))
    if told.step is not None and told.step.checks:
        print(f"“{told.step.title}”发出前的检查")
        print("\n".join(_checks(told.step.checks)))
    return 0


def _tell(conn: Connection, services: Services, named: str, playbook: str | None) -> list[Why]:
    published, house, now = playbooks_of(services), house_of(services), services.clock.now()
    published.refresh(conn)
    person_id = find_person(conn, named)
    keys = [find_playbook(conn, playbook)] if playbook else list_keys(conn, person_id)
    return [why.tell(conn, person_id, key, published, house, now) for key in keys]


def find_person(conn: Connection, named: str) -> int:
    """By id, external_userid, remark or name; raises NotFound, or ScrmError that lists those of the same name."""
    text = named.strip()
    if text.isascii() and text.isdigit() and len(text) < 19:
        holder = follow(conn, int(text))
        if conn.execute(select(person.c.id).where(person.c.id == holder)).first() is not None:
            return holder
    contact = select(external_contact.c.person_id).where(external_contact.c.external_userid == text)
    if (found := conn.execute(contact).scalar_one_or_none()) is not None:
        return int(found)
    query = (
        select(external_contact.c.person_id, external_contact.c.name, follow_user.c.remark, follow_user.c.userid)
        .outerjoin(follow_user, follow_user.c.external_userid == external_contact.c.external_userid)
        .where(or_(external_contact.c.name == text, follow_user.c.remark == text))
        .order_by(external_contact.c.person_id)
        .limit(200)
    )
    matches: dict[int, str] = {}
    for row in conn.execute(query):
        remark = f"，备注 {row.remark}" if row.remark else ""
        matches.setdefault(row.person_id, f"{row.person_id}（{row.name}{remark}，跟进人 {row.userid or '无'}）")
    if not matches:
        raise NotFound(f"找不到客户“{text[:64]}”；请写客户编号、external_userid、完整的备注或昵称")
    if len(matches) > 1:
        few = "；".join(list(matches.values())[:FEW])
        rest = f"；等 {len(matches)} 位" if len(matches) > FEW else ""
        raise ScrmError(f"有 {len(matches)} 位客户叫“{text[:64]}”，请改用编号：{few}{rest}")
    return next(iter(matches))


def find_playbook(conn: Connection, named: str) -> str:
    """By key or title; raises NotFound that names those there are."""
    rows = conn.execute(select(playbook_table.c.key, playbook_table.c.title).order_by(playbook_table.c.key)).all()
    found = [row.key for row in rows if named in (row.key, row.title)]
    if found:
        return str(found[0])
    listed = "、".join(row.key for row in rows) or "无"
    raise NotFound(f"没有剧本“{named[:64]}”，现有的有：{listed}")


def list_keys(conn: Connection, person_id: int) -> list[str]:
    """Every playbook that this person is or was in, or was refused by."""
    was_in = select(enrolment.c.playbook_key).where(enrolment.c.person_id == person_id)
    refused = select(refusal.c.playbook_key).where(refusal.c.person_id == person_id)
    return sorted({*conn.scalars(was_in), *conn.scalars(refused)})


# In words ---------------------------------------------------------------------------------------------------------------


def lines(story: Why, zone: ZoneInfo) -> Iterator[str]:
    """The whole story, one fact on each line."""
    yield f"{story.playbook_title}（{story.playbook_key}，第 {story.version} 版） · 客户 {story.person_id}"
    yield f"  {story.summary}"
    if story.next is not None:
        at = f"{when(story.next.at, zone)} " if story.next.at else ""
        reason = f"：{story.next.reason}" if story.next.reason else ""
        yield f"下一步  {at}{story.next.title or '—'} · {story.next.verdict}{reason}"
        yield from _checks(story.next.checks)
    if story.not_in is not None:
        cause = f"，由“{story.not_in.cause.words}”引起" if story.not_in.cause else ""
        yield f"未进入  {when(story.not_in.at, zone)} {story.not_in.reason}{cause}"
    if story.entry and not any(run.state in ("active", "paused", "queued") for run in story.runs):
        yield "进入条件（按现在的资料）"
        yield from _leaves(story.entry)
    for run in story.runs:
        yield from _run(run, zone)


def _run(run: RunStory, zone: ZoneInfo) -> Iterator[str]:
    cause = f"因“{run.cause.words}”" if run.cause else ""
    yield (
        f"{run.word}  {when(run.enrolled_at, zone)} {cause}进入第 {run.version} 版"
        f"（{run.run_key}，{run.userid or '无员工'}）" + (f" · {run.reason}" if run.reason else "")
    )
    if run.entry:
        yield "  进入时的条件"
        yield from _leaves(run.entry)
    if run.held:
        yield f"  被推迟：{run.held}"
    for fork, arm in run.ways:
        yield f"  {fork} → {arm}"
    for step in run.steps:
        yield from _step(step, zone)


def _step(step: StepStory, zone: ZoneInfo) -> Iterator[str]:
    variant = f"（{step.variant}）" if step.variant else ""
    reason = f"：{step.reason}" if step.reason else ""
    at = f"{when(step.at, zone)} " if step.at else ""
    yield f"  {at}{step.title}{variant} · {step.word}{reason}"
    yield from _checks(tuple(check for check in step.checks if not check.ok))


def _checks(checks: tuple[Check, ...]) -> Iterator[str]:
    for check in checks:
        yield f"    {'✓' if check.ok else '✗'} {check.name}{f'：{check.words}' if check.words else ''}"


def _leaves(leaves: tuple[Leaf, ...]) -> Iterator[str]:
    for leaf in leaves:
        yield f"    {'✓' if leaf.holds else '✗'} {leaf.words}{f'（现为 {leaf.found}）' if leaf.found else ''}"


def when(moment: datetime, zone: ZoneInfo) -> str:
    """In the shop's zone: 「03-05 10:40」."""
    return f"{moment.astimezone(zone):%m-%d %H:%M}"


def _written(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
