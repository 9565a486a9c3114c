"""Sends notices to members and managers: urgent ones at once, the others as one message for half an hour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.profiles.members import member_names
from scrm.services import Services
from scrm.sop import ledger, timing
from scrm.sop.guards.answers import House
from scrm.sop.members import app_messages, notice_store
from scrm.sop.members.app_messages import Message
from scrm.sop.members.reminders import LIFE, SLOT, slot_of
from scrm.sop.shelf import house_of
from scrm.work import queue

log = structlog.get_logger()

KIND = "sop.notify"
TICK_SECONDS = 1.0
# Complaints are worth trying for longer than a reminder.
URGENT_LIFE = timedelta(hours=12)

_LINES = 8
_TITLE_BYTES, _TEXT_BYTES = 120, 500


async def tick(services: Services, house: House | None = None) -> int:
    """Take up overdue tasks and waiting notices; returns how many messages will go out. Several processes may tick."""
    now, house = services.clock.now(), house or house_of(services)
    if await services.db.read(notice_store.has_overdue, now):
        await services.db.write(escalate, now)
    if not await services.db.read(notice_store.has_waiting, now):
        return 0
    managers = tuple(services.settings.playbooks.managers)
    return await services.db.write(plan, Rules(house, managers), now)


@dataclass(frozen=True, slots=True)
class Rules:
    """When nobody is disturbed, and who is told when a member has no leader."""

    house: House
    managers: tuple[str, ...] = ()


def escalate(conn: Connection, now: datetime) -> int:
    """A manager hears once of each task that waits too long."""
    rows = notice_store.take_overdue(conn, now)
    notice_store.add_notices(conn, [_escalation(row, now) for row in rows])
    return len(rows)


def _escalation(row: Row[Any], now: datetime) -> dict[str, Any]:
    return {
        "once": f"escalate:{row.id}",
        "step_run_id": None,
        "task_id": row.id,
        "person_id": row.person_id,
        "external_userid": row.external_userid,
        "of_userid": row.userid,
        "userid": "",
        "notify": "manager",
        "title": row.title,
        "text": "",
        "is_urgent": False,
        "state": "waiting",
        "look_at": now,
        "created_at": now,
    }


def plan(conn: Connection, rules: Rules, now: datetime) -> int:
    """Look up who is told, put the notices into messages, and book the messages; returns how many."""
    _look_up(conn, notice_store.claim_waiting(conn, now), rules, now)
    rows = [row for row in notice_store.claim_waiting(conn, now) if row.userid]
    quiet = rules.house.quiet
    quiet_until = timing.quiet_until(now, quiet, rules.house.zone) if quiet is not None else None
    planned = 0
    for once, group in _bundles(rows, now).items():
        if not group[0].is_urgent and quiet_until is not None:
            notice_store.change_notices(conn, [row.id for row in group], look_at=quiet_until)
        elif _book(conn, once, group, now):
            planned += 1
        else:
            # Told in this half hour already: these go with the next.
            notice_store.change_notices(conn, [row.id for row in group], look_at=slot_of(now) + SLOT)
    return planned


def _bundles(rows: Sequence[Row[Any]], now: datetime) -> dict[str, list[Row[Any]]]:
    """By the key of the message. Pure."""
    bundles: dict[str, list[Row[Any]]] = {}
    for row in rows:
        once = f"notice:{row.id}" if row.is_urgent else f"notices:{row.userid}:{slot_of(now):%Y-%m-%dT%H:%M}Z"
        bundles.setdefault(once, []).append(row)
    return bundles


def _look_up(conn: Connection, rows: Sequence[Row[Any]], rules: Rules, now: datetime) -> None:
    """The first who is found takes the row, others get a copy; when nobody is found the notice ends."""
    unknown = [row for row in rows if not row.userid]
    if not unknown:
        return
    leaders = notice_store.list_leaders(conn, {row.of_userid for row in unknown if row.of_userid})
    roles = {row.notify for row in unknown if row.notify.startswith("role:")}
    by_role = {notify: notice_store.list_with_role(conn, notify.partition(":")[2]) for notify in roles}
    copies, steps = [], set()
    for row in unknown:
        told = by_role.get(row.notify) or _managers(row, leaders, rules) if row.notify else []
        if not told:
            reason = "没有可以通知的人：请在设置 playbooks.managers 里写上管理者，或给员工设置上级"
            notice_store.change_notices(conn, [row.id], state="none", reason=reason, ended_at=now)
            steps |= {row.step_run_id} - {None}
            continue
        notice_store.change_notices(conn, [row.id], userid=told[0])
        copies += [_copy(row, userid) for userid in told[1:]]
    notice_store.add_notices(conn, copies)
    notice_store.settle_steps(conn, steps, now)


def _managers(row: Row[Any], leaders: Mapping[str, list[str]], rules: Rules) -> list[str]:
    if row.notify != "manager":
        return []
    found = leaders.get(row.of_userid.casefold(), [])
    return found or [each for each in rules.managers if each.casefold() != row.of_userid.casefold()]


def _copy(row: Row[Any], userid: str) -> dict[str, Any]:
    kept = {key: value for key, value in row._mapping.items() if key != "id"}
    return {**kept, "userid": userid, "once": f"{row.once}:{userid}"[:160]}


def _book(conn: Connection, once: str, group: Sequence[Row[Any]], now: datetime) -> bool:
    """The ledger's row, the work that sends it and the notices' mark commit together."""
    first = group[0]
    alone = len(group) == 1
    row = {
        "kind": "app_message",
        "userid": first.userid,
        "external_userid": first.external_userid if alone else "",
        "person_id": first.person_id if alone else None,
        "once": once,
        "content": {"notice_ids": [each.id for each in group]},
        "decided_at": now,
        "outcome": "intent",
    }
    if ledger.add_send(conn, row) is None:
        return False
    notice_store.change_notices(conn, [each.id for each in group], bundle=once)
    queue.add(
        conn,
        queue.Item(
            lane="send",
            kind=KIND,
            payload={"once": once},
            dedupe_key=once,
            give_up_at=now + (URGENT_LIFE if first.is_urgent else LIFE),
        ),
        now=now,
    )
    return True


async def run_notify(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.notify", payload {"once"}: see `app_messages.send`."""
    once = str(item.payload["once"])
    message = Message(
        once,
        "通知",
        compose=partial(_compose_waiting, once=once, services=services),
        end=lambda conn, state, reason: notice_store.end_bundle(conn, once, state, reason, services.clock.now()),
    )
    await app_messages.send(services, message)


def _compose_waiting(conn: Connection, once: str, services: Services) -> dict[str, Any] | None:
    waiting = [each for each in notice_store.list_bundle(conn, once) if each.task_state in (None, "open")]
    if not waiting:
        return None
    names = member_names(conn, {each.of_userid for each in waiting if each.of_userid})
    return compose(waiting[0].userid, waiting, names, services.settings.server.public_url)


# What it says ---------------------------------------------------------------------------------------------------------


def compose(userid: str, rows: Sequence[Row[Any]], names: Mapping[str, str], public_url: str) -> dict[str, Any]:
    """A card (doc 90236): of one notice its words and the customer's page, of several a line each. Pure."""
    overdue = [row for row in rows if row.task_id is not None]
    if len(rows) == 1:
        title, text = _single(rows[0], names)
    elif len(overdue) == len(rows):
        title, text = f"{len(rows)} 条待办还没有人确认", _lines(rows, names)
    else:
        title, text = f"{len(rows)} 条客户提醒", _lines(rows, names)
    return {
        "touser": userid,
        "msgtype": "textcard",
        "textcard": {
            "title": _cut(title, _TITLE_BYTES),
            "description": _cut(text, _TEXT_BYTES),
            "url": _url(userid, rows, public_url),
            "btntxt": "查看",
        },
    }


def _single(row: Row[Any], names: Mapping[str, str]) -> tuple[str, str]:
    if row.task_id is None:
        return str(row.title), str(row.text)
    who = names.get(row.of_userid.lower(), row.of_userid)
    return (
        f"{who}有一条待办还没确认",
        f"客户：{row.customer_name or '微信用户'}\n事项：{row.title}\n请提醒{who}尽快处理，过期会自动作废。",
    )


def _lines(rows: Sequence[Row[Any]], names: Mapping[str, str]) -> str:
    lines = [_line(row, names) for row in rows[:_LINES]]
    more = len(rows) - _LINES
    return "\n".join([*lines, f"还有 {more} 条"] if more > 0 else lines)


def _line(row: Row[Any], names: Mapping[str, str]) -> str:
    customer = row.customer_name or "微信用户"
    if row.task_id is not None:
        return f"{names.get(row.of_userid.lower(), row.of_userid)}｜{customer}｜{row.title}"
    about = f"{customer}｜" if row.person_id or row.external_userid else ""
    return f"{about}{row.title}：{' '.join(row.text.split())[:40]}"


def _url(userid: str, rows: Sequence[Row[Any]], public_url: str) -> str:
    """The chat's page for the member himself, the console's for everybody else."""
    first = rows[0]
    if len(rows) > 1:
        return f"{public_url}/sidebar/tasks" if first.of_userid == userid else f"{public_url}/console/"
    if first.of_userid == userid and first.external_userid:
        return f"{public_url}/sidebar/contacts/{first.external_userid}"
    return f"{public_url}/console/customers/{first.person_id}" if first.person_id else f"{public_url}/console/"


def _cut(text: str, most: int) -> str:
    """WeCom counts bytes and cuts without a mark."""
    if len(text.encode()) <= most:
        return text
    return text.encode()[: most - 3].decode(errors="ignore") + "…"


EXECUTORS = {KIND: run_notify}
