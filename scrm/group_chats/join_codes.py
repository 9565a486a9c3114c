"""群活码: one address of ours for many groups; it shows the code of the group whose turn it is."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.contact_ways import registry
from scrm.errors import Conflict, Invalid, NotFound
from scrm.group_chats import code_store, store
from scrm.services import Services
from scrm.wecom.errors import WeComError

OWNER_KIND = "group_join_code"
# A code that ends today would end in somebody's hand.
EXPIRES_EARLY = timedelta(hours=12)
MOST_TITLE, MOST_GUIDANCE, MOST_ROOM_NAME = 30, 100, 40
FEWEST_MEMBERS, MOST_MEMBERS = 10, 500
_UNKNOWN_CODE = 41044


@dataclass(frozen=True, slots=True)
class Settings:
    """What a manager sets; a group of `most_members` people gives way to the next one.

    With `auto_create_room` WeCom itself makes a new group when the last one is full.
    """

    title: str
    guidance: str = ""
    most_members: int = 200
    auto_create_room: bool = False
    room_base_name: str = ""
    room_base_id: int = 1

    def check(self) -> "Settings":
        """Itself; raises Invalid with one line."""
        if not 1 <= len(self.title) <= MOST_TITLE:
            raise Invalid(f"名称：收到 {len(self.title)} 个字，需要 1 到 {MOST_TITLE} 个字")
        if len(self.guidance) > MOST_GUIDANCE:
            raise Invalid(f"引导语：收到 {len(self.guidance)} 个字，最多 {MOST_GUIDANCE} 个字")
        if not FEWEST_MEMBERS <= self.most_members <= MOST_MEMBERS:
            raise Invalid(f"满员人数：收到 {self.most_members}，需要 {FEWEST_MEMBERS} 到 {MOST_MEMBERS}")
        if self.auto_create_room and not 1 <= len(self.room_base_name) <= MOST_ROOM_NAME:
            raise Invalid(f"自动建群要填群名前缀，1 到 {MOST_ROOM_NAME} 个字")
        return self

    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def why_not(slot: Any, most_members: int, now: datetime) -> str:
    """Why a slot is passed over: dismissed, expired, full; empty when its code may be shown."""
    if slot.dismissed_at is not None:
        return "dismissed"
    if slot.expires_at is not None and now >= slot.expires_at - EXPIRES_EARLY:
        return "expired"
    return "full" if (slot.members or 0) >= most_members else ""


def choose_slot(
    slots: Iterable[Any], most_members: int, now: datetime, *, auto_create_room: bool = False
) -> Any | None:
    """The first slot with room; when all are full the last one whose code makes a new group; else None."""
    last = None
    for slot in slots:
        reason = why_not(slot, most_members, now)
        if not reason:
            return slot
        if reason == "full":
            last = slot
    return last if auto_create_room else None


async def make_code(services: Services, settings: Settings, chat_ids: Sequence[str]) -> str:
    """A new code with a first line of groups; returns its state. WeCom's refusal of a group is raised as it is."""
    settings.check()
    if not chat_ids:
        raise Invalid("请至少选择一个客户群")
    state = registry.new_state("group")
    now = services.clock.now()

    def add(conn: Connection) -> None:
        registry.claim(conn, state, registry.Owner(OWNER_KIND, state), now=now)
        token = secrets.token_urlsafe(15)
        code_store.add_code(conn, {"state": state, "token": token, "created_at": now, **settings.values()})

    await services.db.write(add)
    try:
        for chat_id in chat_ids:
            await add_group(services, state, chat_id)
    except WeComError:
        if not await services.db.read(code_store.list_slots, [state]):
            await services.db.write(code_store.drop_code, state)
        raise
    return state


async def add_group(services: Services, state: str, chat_id: str, expires_at: datetime | None = None) -> None:
    """One more group at the end of the line, with a code of its own at WeCom."""
    code, group, slots = await services.db.read(_look, state, chat_id)
    if group is None or group.dismissed_at is not None:
        raise NotFound("没有这个客户群，或它已经解散。请刷新后重选")
    if any(slot.chat_id == chat_id for slot in slots):
        raise Conflict("这个群已经在群活码里了")
    wecom = services.wecom.group_chats
    config_id = await wecom.add_join_way([chat_id], state=state, **_at_wecom(code))
    way = await wecom.get_join_way(config_id)
    await services.db.write(
        code_store.add_slot, state, chat_id=chat_id, config_id=config_id, qr_code=way.qr_code, expires_at=expires_at
    )


def _look(conn: Connection, state: str, chat_id: str) -> tuple[Any, Any, list[Any]]:
    return get_code(conn, state), store.find_group(conn, chat_id), code_store.list_slots(conn, [state])


def get_code(conn: Connection, state: str) -> Any:
    """Raises NotFound."""
    code = code_store.find_code(conn, state)
    if code is None:
        raise NotFound("没有这个群活码，可能已被删除。请回到列表")
    return code


def _at_wecom(code: Any) -> dict[str, Any]:
    return {
        "remark": code.title,
        "auto_create_room": code.auto_create_room,
        "room_base_name": code.room_base_name,
        "room_base_id": code.room_base_id,
    }


async def change_code(services: Services, state: str, settings: Settings) -> None:
    """The new settings here, and in each group's code at WeCom, where a change overwrites everything."""
    settings.check()
    await services.db.write(code_store.set_code, state, settings.values())
    code = await services.db.read(get_code, state)
    for slot in await services.db.read(code_store.list_slots, [state]):
        await services.wecom.group_chats.update_join_way(slot.config_id, [slot.chat_id], state=state, **_at_wecom(code))


async def drop_group(services: Services, state: str, slot_id: int) -> None:
    """Out of the line; its code at WeCom ends."""
    slots = await services.db.read(code_store.list_slots, [state])
    slot = next((slot for slot in slots if slot.id == slot_id), None)
    if slot is None:
        raise NotFound("这个群已经不在群活码里。请刷新")
    await _end_at_wecom(services, slot.config_id)
    await services.db.write(code_store.drop_slot, slot_id)


async def drop_code(services: Services, state: str) -> None:
    """The address shows from now on that the code is no more."""
    await services.db.read(get_code, state)
    for slot in await services.db.read(code_store.list_slots, [state]):
        await _end_at_wecom(services, slot.config_id)
        await services.db.write(code_store.drop_slot, slot.id)
    await services.db.write(code_store.drop_code, state)


async def _end_at_wecom(services: Services, config_id: str) -> None:
    try:
        await services.wecom.group_chats.del_join_way(config_id)
    except WeComError as error:
        if error.errcode != _UNKNOWN_CODE:
            raise
