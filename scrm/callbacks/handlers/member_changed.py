"""Members join, change, leave, or come into the app's sight: what they are now is asked of WeCom (docs 90240, 90970)."""

from scrm.callbacks.coalesced import fetch_soon
from scrm.callbacks.router import Callback, Router
from scrm.profiles.refresh_member import KIND
from scrm.profiles.store import find_member, save_member_left
from scrm.renaming import KIND as KIND_RENAME
from scrm.settings import Settings
from scrm.wecom.events import MemberChanged
from scrm.work import queue

router = Router()


@router.on("change_contact", "create_user")
@router.on("change_contact", "update_user")
async def member_changed(callback: Callback) -> None:
    """Which fields are sent depends on who is asked and since when: none of them is relied on."""
    event = MemberChanged.of(callback.event)
    if event.userid and event.new_userid:
        await _rename(callback, event.userid, event.new_userid)
    for userid in {event.userid, event.new_userid} - {""}:
        await _refresh(callback, userid)


@router.on("change_contact", "delete_user")
async def member_deleted(callback: Callback) -> None:
    await _left(callback, MemberChanged.of(callback.event).userid)


@router.on("subscribe")
async def came_into_range(callback: Callback) -> None:
    await _refresh(callback, callback.event.text("FromUserName"))


@router.on("unsubscribe")
async def left_the_range(callback: Callback) -> None:
    """Out of the app's visible range, disabled, or gone: may not log in until WeCom says otherwise."""
    userid = callback.event.text("FromUserName")
    if callback.event.text("AgentID") in _other_agents(callback.services.settings):
        await _refresh(callback, userid)  # what another app sees says nothing of ours
        return
    await _left(callback, userid)


@router.on("enter_agent")
async def app_opened(callback: Callback) -> None:
    """Each time a member opens the app; only one whom we do not know as active is news."""
    userid = callback.event.text("FromUserName")
    member = await callback.services.db.read(find_member, userid)
    if member is None or not member.is_active:
        await _refresh(callback, userid)


def _other_agents(settings: Settings) -> set[str]:
    return {str(app.agent_id) for app in settings.apps.values() if app.agent_id is not None}


async def _rename(callback: Callback, userid: str, new_userid: str) -> None:
    """Before anything is asked about the new name: it follows in a moment."""
    payload = {"userid": userid, "new_userid": new_userid}
    item = queue.Item(lane="event", kind=KIND_RENAME, payload=payload, correlation=callback.correlation)
    await callback.services.db.write(queue.add, item, now=callback.services.clock.now())


async def _refresh(callback: Callback, userid: str) -> None:
    if userid:
        await fetch_soon(callback, KIND, f"member:{userid.lower()}", {"userid": userid})


async def _left(callback: Callback, userid: str) -> None:
    """At once, and then WeCom is asked: the event may be old, or the member back."""
    if not userid:
        return
    now = callback.services.clock.now()
    await callback.services.db.write(save_member_left, userid, left_at=callback.event.created_at, now=now)
    await _refresh(callback, userid)
