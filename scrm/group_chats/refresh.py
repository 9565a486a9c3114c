"""Hears of changes in groups and fetches them anew: once for a storm of events, again while the answer is old."""

from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from scrm import events
from scrm.group_chats import store
from scrm.group_chats.keep import is_external, keep
from scrm.services import Services
from scrm.wecom.errors import WeComError
from scrm.wecom.events import GroupChatChanged
from scrm.wecom.group_chats import GroupChat
from scrm.work import queue

log = structlog.get_logger()

KIND = "group_chat.refresh"
DISMISSED = 49008
_NOT_OURS = (40050, 90501)  # unknown, or no customer group: no later try will show it

# Details are written some time after the event: "for example 2 seconds" (doc 92130).
_LAG = timedelta(seconds=2)
# Events of one group within this time are one fetch. The spans follow the clock: an event that comes while a fetch
# runs belongs to a later span, so it is never taken for work that is already under way.
_SPAN = 3
_MOST_TRIES = 4


def note_changes(conn: Connection, notes: list[tuple[GroupChatChanged, datetime, str]]) -> list[None]:
    """For `Database.together`: (event, now, correlation); a storm of events is a few transactions."""
    for told, now, correlation in notes:
        note_change(conn, told, told.created_at, now, correlation)
    return [None] * len(notes)


def note_change(
    conn: Connection, told: GroupChatChanged, created_at: datetime, now: datetime, correlation: str
) -> None:
    """A group event: keep what it says of people until the fetch, and have the group fetched."""
    group = store.find_group(conn, told.chat_id)
    hints: list[dict[str, Any]] = [
        {
            "chat_id": told.chat_id,
            "userid": userid[:64],
            "kind": "joined" if told.update_detail == "add_member" else "left",
            "at": created_at,
            "scene": _scene(told),
        }
        for userid in told.changed_members
        if told.update_detail in ("add_member", "del_member")
    ]
    if group is not None and told.current_version and told.current_version == group.member_version:
        for hint in hints:  # the fetch was faster than the event
            store.take_hint(conn, **hint, member_type=store.CUSTOMER if is_external(hint["userid"]) else 1, now=now)
        return
    if group is None:
        store.ensure_group(conn, told.chat_id, created_at=created_at)
    elif told.last_version and told.last_version not in ("", group.member_version, group.told_version):
        log.info("group_chat.gap", detail="events of this group were lost or come out of order; it is fetched whole")
    if told.current_version:
        store.set_group(conn, told.chat_id, {"told_version": told.current_version[:64]})
    store.add_hints(conn, hints)
    want_refresh(conn, told.chat_id, now=now, correlation=correlation)


def _scene(told: GroupChatChanged) -> int:
    scene = told.join_scene if told.update_detail == "add_member" else told.quit_scene
    return scene if scene is not None and 0 <= scene < 100 else -1


def note_dismissed(conn: Connection, chat_id: str, at: datetime, now: datetime, correlation: str = "") -> bool:
    """The group is over: kept with the members it had; nothing of it is fetched any more."""
    store.ensure_group(conn, chat_id, created_at=at)
    group = store.find_group(conn, chat_id)
    if group is None or group.dismissed_at is not None:
        return False
    store.set_group(conn, chat_id, {"dismissed_at": at})
    over = events.Event(
        "group.dismissed",
        at,
        userid=group.owner,
        key=chat_id,
        facts={"chat_id": chat_id, "title": group.name, "members": group.members},
        once=f"group.dismissed:{chat_id}",
    )
    events.publish(conn, [over], now=now, correlation=correlation)
    return True


def want_refresh(conn: Connection, chat_id: str, *, now: datetime, correlation: str = "", tries: int = 0) -> None:
    """Have the group fetched in two to five seconds."""
    span = int(now.timestamp()) // _SPAN
    due_at = now + _LAG + timedelta(seconds=(span + 1) * _SPAN - now.timestamp())
    item = queue.Item(
        lane="sync",
        kind=KIND,
        payload={"chat_id": chat_id, "tries": tries},
        due_at=due_at,
        order_key=f"group:{chat_id}",
        dedupe_key=f"{KIND}:{chat_id}:{span}",
        correlation=correlation,
    )
    queue.add(conn, item, now=now)


async def run_refresh(services: Services, item: queue.Claimed) -> None:
    """Work of kind group_chat.refresh."""
    chat_id, tries = item.payload["chat_id"], int(item.payload.get("tries", 0))
    group, hints = await services.db.read(_known, chat_id)
    if group is not None and group.dismissed_at is not None:
        return
    chat = await fetch(services, chat_id, item.correlation)
    now = services.clock.now()
    if chat is None:
        return
    if group is not None and _is_old(group, chat) and tries < _MOST_TRIES:
        await services.db.write(want_refresh, chat_id, now=now, correlation=item.correlation, tries=tries + 1)
        return
    heard = "" if group is None else group.told_version
    kept = await services.db.write(keep, chat, now=now, hints=hints, heard=heard, correlation=item.correlation)
    if kept.missed:
        log.warning("group_chat.missed", changes=kept.missed)


def _known(conn: Connection, chat_id: str) -> tuple[Any, Any]:
    return store.find_group(conn, chat_id), store.list_hints(conn, chat_id)


def _is_old(group: Any, chat: GroupChat) -> bool:
    """An event told of a newer member list than the one in the answer."""
    return bool(group.told_version) and chat.member_version == group.member_version != group.told_version


async def fetch(services: Services, chat_id: str, correlation: str = "") -> GroupChat | None:
    """The group as WeCom has it; None when it is no more (then that is kept) or is none of ours."""
    try:
        return await services.wecom.group_chats.get_group_chat(chat_id)
    except WeComError as error:
        now = services.clock.now()
        if error.errcode == DISMISSED:
            await services.db.write(note_dismissed, chat_id, now, now, correlation)
            return None
        if error.errcode in _NOT_OURS:
            log.warning("group_chat.not_ours", errcode=error.errcode)
            return None
        raise
