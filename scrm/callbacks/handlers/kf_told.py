"""Customer service has news: the event carries none of it, the account is read (kf_msg_or_event)."""

from scrm.callbacks.router import Callback, Router
from scrm.wechat.kf_sync import accounts_work, sync_work
from scrm.work import queue

router = Router()


@router.on("kf_msg_or_event")
async def kf_msg_or_event(callback: Callback) -> None:
    """The token in it makes reading cheap for ten minutes."""
    event, services = callback.event, callback.services
    open_kfid = event.text("OpenKfId")
    if open_kfid:
        await services.db.write(queue.add, sync_work(open_kfid, event.text("Token")), now=services.clock.now())


@router.on("kf_account_auth_change")
async def kf_account_auth_change(callback: Callback) -> None:
    """Which accounts are ours to manage has changed: the list says."""
    services = callback.services
    await services.db.write(queue.add, accounts_work(), now=services.clock.now())
