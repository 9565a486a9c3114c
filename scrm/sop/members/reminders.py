"""Tells members what waits for them: one app message for what comes due in one half hour."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, Row

from scrm.services import Services
from scrm.sop import ledger, timing
from scrm.sop.guards.answers import House
from scrm.sop.members import app_messages, cards, task_store
from scrm.sop.members.app_messages import Message
from scrm.sop.shelf import house_of
from scrm.work import queue

log = structlog.get_logger()

SLOT = timedelta(minutes=30)
# A little later than the first task, so that its neighbours come along.
GATHER = timedelta(minutes=2)
# What waited longer than that (after a stop, or a clock that jumped) is told at once.
OVERDUE = timedelta(minutes=5)
# After that a reminder only disturbs; the task itself lives on in the sidebar.
LIFE = timedelta(hours=2)

_NAMES_SHOWN = 5
_TITLE_CHARS, _DESC_CHARS, _VALUE_CHARS = 36, 44, 30


@dataclass(frozen=True, slots=True)
class Bundle:
    """One member's tasks that are told of together."""

    userid: str
    task_ids: tuple[int, ...]
    slot: datetime

    @property
    def once(self) -> str:
        """One message for each member and half hour."""
        return f"reminder:{self.userid}:{self.slot:%Y-%m-%dT%H:%M}Z"


def slot_of(moment: datetime) -> datetime:
    """The start of the half hour; every zone in use is off by whole quarters, China's by whole hours."""
    return moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)


def choose_bundles(untold: Sequence[Row[Any]], now: datetime) -> list[Bundle]:
    """Whom to tell now, and of what. Pure; `untold` are rows (id, userid, open_at), the first to open first.

    A member is told two minutes after his first task opened, and then of all that opens in this half hour; never in
    the first minutes of a half hour, when everybody's reminders go out (doc 90236).
    """
    by_member: dict[str, list[Row[Any]]] = {}
    for row in untold:
        by_member.setdefault(row.userid, []).append(row)
    slot = slot_of(now)
    return [
        Bundle(userid, tuple(row.id for row in rows), slot)
        for userid, rows in by_member.items()
        if _is_time(userid, rows[0].open_at, slot, now)
    ]


def _is_time(userid: str, first: datetime, slot: datetime, now: datetime) -> bool:
    if now - first >= OVERDUE:
        return True
    return now >= max(first + GATHER, slot + _offset(userid))


def _offset(userid: str) -> timedelta:
    """One to four minutes, always the same for one member."""
    return timedelta(seconds=60 + int(hashlib.blake2b(userid.encode(), digest_size=4).hexdigest(), 16) % 181)


async def plan(services: Services, house: House) -> int:
    """Write down which members are to be told of what; the work item that tells them commits with it."""
    now = services.clock.now()
    if house.quiet is not None and timing.quiet_until(now, house.quiet, house.zone) is not None:
        return 0
    if not await services.db.read(task_store.has_untold, now):
        return 0
    return await services.db.write(plan_due, now, house)


def plan_due(conn: Connection, now: datetime, house: House | None = None) -> int:
    """Returns how many messages will go out; a member who was told in this half hour is told in the next.

    Beyond the house's tasks a day the less important ones are shown beside the chat only, and nobody is told of them.
    """
    planned = 0
    bundles = choose_bundles(task_store.list_untold(conn, slot_of(now) + SLOT), now)
    if house is not None and bundles:
        bundles = _spare(conn, bundles, house, now)
    for bundle in bundles:
        row = {
            "kind": "app_message",
            "userid": bundle.userid,
            "once": bundle.once,
            "content": {"task_ids": list(bundle.task_ids)},
            "decided_at": now,
            "outcome": "intent",
        }
        if ledger.add_send(conn, row) is None:
            continue
        task_store.set_reminder(conn, bundle.task_ids, "sent")
        queue.add(
            conn,
            queue.Item(
                lane="send",
                kind="sop.remind",
                payload={"userid": bundle.userid, "task_ids": list(bundle.task_ids), "once": bundle.once},
                dedupe_key=bundle.once,
                give_up_at=now + LIFE,
            ),
            now=now,
        )
        planned += 1
    return planned


def _spare(conn: Connection, bundles: Sequence[Bundle], house: House, now: datetime) -> list[Bundle]:
    """The bundles without what is too much for one day; complaints, notices and promises are never too much."""
    if house.tasks_per_day is None:
        return list(bundles)
    local = now.astimezone(house.zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    told = task_store.count_told(conn, {bundle.userid for bundle in bundles}, midnight)
    priorities = task_store.find_priorities(conn, [task_id for bundle in bundles for task_id in bundle.task_ids])
    kept, spared = [], []
    for bundle in bundles:
        room = house.tasks_per_day - told.get(bundle.userid, 0)
        chosen = choose_told(bundle.task_ids, priorities, room)
        spared += [task_id for task_id in bundle.task_ids if task_id not in chosen]
        if chosen:
            kept.append(replace(bundle, task_ids=tuple(each for each in bundle.task_ids if each in chosen)))
    if spared:
        task_store.set_reminder(conn, spared, "spared")
    return kept


def choose_told(task_ids: Sequence[int], priorities: Mapping[int, str], room: int) -> set[int]:
    """Which tasks a member is told of when `room` are left for today: the most important ones first. Pure."""
    ranked = sorted(task_ids, key=lambda task_id: (priorities.get(task_id, ""), task_id))
    always = {task_id for task_id in ranked if priorities.get(task_id, "") not in _MAY_WAIT}
    rest = [task_id for task_id in ranked if task_id not in always]
    return always | set(rest[: max(room - len(always), 0)])


_MAY_WAIT = frozenset({"P3", "P4", "P5"})


async def run_remind(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.remind", payload {"once", "userid", "task_ids"}: see `app_messages.send`."""
    payload = item.payload
    message = Message(
        str(payload["once"]),
        "提醒",
        compose=partial(_compose_waiting, payload=payload, services=services),
        end=partial(_end, task_ids=payload["task_ids"]),
    )
    await app_messages.send(services, message)


def _compose_waiting(conn: Connection, payload: dict[str, Any], services: Services) -> dict[str, Any] | None:
    waiting = task_store.list_tasks_to_tell(conn, payload["task_ids"])
    if not waiting:
        return None
    zone, public_url = house_of(services).zone, services.settings.server.public_url
    return compose(payload["userid"], waiting, public_url, zone, str(payload["once"]))


def _end(conn: Connection, state: str, reason: str, task_ids: Sequence[int]) -> None:
    """Tasks that ended before their reminder have none to keep."""
    if state != "none":
        task_store.set_reminder(conn, task_ids, "sent" if state == "sent" else "unsent")


def compose(userid: str, tasks: Sequence[Row[Any]], public_url: str, zone: ZoneInfo, once: str) -> dict[str, Any]:
    """The card (doc 90236): of one task with buttons to end it or put it off, of several a link to the list. Pure."""
    first = tasks[0]
    several = len(tasks) > 1
    title = f"{len(tasks)} 位客户等你跟进" if several else _headline(first)
    url = f"{public_url}/sidebar/tasks" + ("" if several else f"?task={first.id}")
    if several:
        shape = {"card_type": "text_notice", "jump_list": [{"type": 1, "title": "打开待办", "url": url}]}
    else:
        task_id = cards.card_id(first.id, once)
        shape = {"card_type": "button_interaction", "task_id": task_id, "button_list": cards.buttons(url)}
    return {
        "touser": userid,
        "msgtype": "template_card",
        "template_card": {
            **shape,
            "source": {"desc": "客户跟进", "desc_color": 0},
            "main_title": {"title": title[:_TITLE_CHARS], "desc": _deadline(tasks, zone)[:_DESC_CHARS]},
            "sub_title_text": "" if several else _shortened(first.text, 80),
            "horizontal_content_list": [
                {"keyname": "客户" if several else "事项", "value": _line(task, several)[:_VALUE_CHARS]}
                for task in tasks[:_NAMES_SHOWN]
            ],
            "card_action": {"type": 1, "url": url},
        },
    }


def _headline(task: Row[Any]) -> str:
    return f"你答应{_name(task)}的事到时间了" if task.kind == "promise" else f"{_name(task)}等你跟进"


def _name(task: Row[Any]) -> str:
    return str(task.customer_remark or task.customer_name or "一位客户")


def _line(task: Row[Any], several: bool) -> str:
    return f"{_name(task)}｜{task.title}" if several else str(task.title)


def _deadline(tasks: Sequence[Row[Any]], zone: ZoneInfo) -> str:
    ends = min((end for task in tasks if (end := task.expires_at or task.due_at) is not None), default=None)
    to_send = "" if all(task.kind == "promise" for task in tasks) else "点开一键发送"
    if ends is None:
        return to_send and "点开卡片，一键发送"
    local = ends.astimezone(zone)
    return "，".join(filter(None, (f"最晚 {local.month} 月 {local.day} 日 {local:%H:%M} 前", to_send)))


def _shortened(text: str, chars: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"
