"""A customer group was made, changed or dismissed: the event says little of it, so the group is fetched anew."""

from scrm.callbacks.router import Callback, Router
from scrm.errors import Invalid
from scrm.group_chats.refresh import note_changes, note_dismissed
from scrm.wecom.events import GroupChatChanged

router = Router()


@router.on("change_external_chat", "create")
@router.on("change_external_chat", "update")
@router.on("change_external_chat", "")
async def group_chat_changed(callback: Callback) -> None:
    """Without a ChangeType (the form of 2020) it says only that something changed."""
    told, services = _read(callback), callback.services
    await services.db.together(note_changes, (told, services.clock.now(), callback.correlation))


@router.on("change_external_chat", "dismiss")
async def group_chat_dismissed(callback: Callback) -> None:
    told, services = _read(callback), callback.services
    now = services.clock.now()
    await services.db.write(note_dismissed, told.chat_id, callback.event.created_at, now, callback.correlation)


def _read(callback: Callback) -> GroupChatChanged:
    told = GroupChatChanged.of(callback.event)
    if not told.chat_id or len(told.chat_id) > 64:
        raise Invalid("客户群事件里没有可用的 ChatId")
    return told
