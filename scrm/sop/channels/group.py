"""G, a message into the run's customer group: one for the group and day, however many have joined; the owner confirms."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, select

from scrm import events
from scrm.content import programs
from scrm.content.media.store import find_by_name
from scrm.content.render import WELCOME_TEXT_BYTES, variables_of
from scrm.errors import ScrmError
from scrm.group_chats.models import group_chat
from scrm.mass_messages import plan as mass_messages
from scrm.sop import engine, ledger
from scrm.sop.channels.ready import Outcome, Ready, Release, missing_content, needless_acts, undecided
from scrm.sop.schema import Step
from scrm.work import queue

letter = "G"
title = "客户群群发（群主确认）"
opening = "intent"
keys: frozenset[str] = frozenset()

KIND = "sop.group_end"
# WeCom tells nobody of a confirmation: results are asked for every few minutes, and read from there.
LOOK_EVERY = timedelta(minutes=5)
TRIGGER = "group.joined"


def problems(step: Step, keys: Collection[str]) -> list[str]:
    """What the owner must act on, and words that are the same for the whole group."""
    found = [*undecided(step, keys), *needless_acts(step), *missing_content(step)]
    for content in step.contents:
        if named := variables_of(content.text) - {"shop"}:
            found.append(f"步骤“{step.id}”发到整个群里，不能用变量 {'、'.join(sorted(named))}")
        if any("coupon" in part for part in content.attachments):
            found.append(f"步骤“{step.id}”发到整个群里，不能放每人一张的券；新成员专享的券请用员工待办（T）单独发")
        if len(content.text.encode()) > WELCOME_TEXT_BYTES:
            found.append(f"步骤“{step.id}”的文字超过 {WELCOME_TEXT_BYTES} 字节，请改短")
        if content.variants or (step.content and step.content.variants):
            found.append(f"步骤“{step.id}”发到整个群里，不能写 variants")
            break
    return found


def release(conn: Connection, ready: Sequence[Ready], release: Release) -> list[Outcome]:
    """The first run of a group and day brings the message; the others have nothing to add."""
    facts = events.list_facts(conn, {one.due.row.event_id or 0 for one in ready})
    chats = {one.step_run_id: str(facts.get(one.due.row.event_id or 0, {}).get("chat_id") or "") for one in ready}
    living = _living(conn, {chat_id for chat_id in chats.values() if chat_id})
    over, seen = [], set()
    for one in ready:
        group = living.get(chats[one.step_run_id])
        if group is None:
            over.append(Outcome(one.step_run_id, "skipped", "客户加入的群已经解散，或找不到了"))
            continue
        once = _once(one, group.chat_id, release)
        if once in seen or not _claim(conn, one, group, once, release.now):
            over.append(Outcome(one.step_run_id, "skipped", "这个群今天已经安排过这一条"))
            continue
        seen.add(once)
        over += _send(conn, one, group, once, release)
    return over


def _living(conn: Connection, chat_ids: Collection[str]) -> dict[str, Row[Any]]:
    query: Select[Any] = select(group_chat.c.chat_id, group_chat.c.owner).where(
        group_chat.c.chat_id.in_(list(chat_ids)), group_chat.c.dismissed_at.is_(None)
    )
    return {row.chat_id: row for row in conn.execute(query)} if chat_ids else {}


def _once(one: Ready, chat_id: str, release: Release) -> str:
    day = release.now.astimezone(release.house.zone).date()
    return f"group:{one.due.playbook.key}:{one.step.id}:{chat_id}:{day}"[:160]


def _claim(conn: Connection, one: Ready, group: Row[Any], once: str, now: datetime) -> bool:
    row = {
        "kind": "group",
        "userid": group.owner,
        "playbook_key": one.due.playbook.key,
        "step_id": one.step.id,
        "once": once,
        "content": {"chat_id": group.chat_id, "text": one.said.text},
        "decided_at": now,
        "outcome": "intent",
        "correlation": one.due.row.correlation,
    }
    return ledger.add_send(conn, row) is not None


def _send(conn: Connection, one: Ready, group: Row[Any], once: str, release: Release) -> list[Outcome]:
    digest = hashlib.blake2b(once.encode(), digest_size=24).hexdigest()
    try:
        number = mass_messages.create_for_groups(
            conn,
            [(group.chat_id, group.owner)],
            title=f"{one.due.playbook.title} · {one.step.title}",
            text=one.said.text,
            attachments=_attachments(conn, one),
            once=f"g:{digest}",
            now=release.now,
        )
    except ScrmError as error:
        ledger.change_send(conn, once, outcome="failed", reason=error.text[:300])
        return [Outcome(one.step_run_id, "failed", error.text)]
    expires_at = engine.expires_at(one.step, release.now)
    payload = {"message_id": number, "once": once, "step_run_id": one.step_run_id, "chat_id": group.chat_id}
    look_again(conn, {**payload, "expires_at": expires_at.isoformat()}, release.now)
    return []


def look_again(conn: Connection, payload: dict[str, Any], now: datetime) -> None:
    """Ask in a while what became of the message, and for the last time when the step's time is over."""
    due_at = min(now + LOOK_EVERY, datetime.fromisoformat(payload["expires_at"]))
    key = f"{KIND}:{payload['message_id']}:{int(due_at.timestamp())}"
    queue.add(conn, queue.Item(lane="send", kind=KIND, payload=payload, due_at=due_at, dedupe_key=key), now=now)


def _attachments(conn: Connection, one: Ready) -> list[dict[str, Any]]:
    parts = one.due.content.attachments
    names = [name for part in parts if (name := programs.file_of(part))]
    found = find_by_name(conn, names) if names else {}
    if lost := [name for name in names if name not in found]:
        raise ScrmError(f"素材库里没有“{lost[0]}”，请重新上传")
    return [programs.kept(part, found) for part in parts]
