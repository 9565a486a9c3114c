"""A member changed a remark, a phone or tags: the event does not say what, so the contact is fetched anew."""

from datetime import timedelta

from scrm.callbacks.handlers.refresh import KIND
from scrm.callbacks.router import Callback, Router
from scrm.work import queue

router = Router()

# Bulk tagging fires thousands of edits in a row: those of one contact within this time are one fetch.
_PAUSE = timedelta(seconds=2)


@router.on("change_external_contact", "edit_external_contact")
async def contact_edited(callback: Callback) -> None:
    external_userid = callback.event.text("ExternalUserID")
    item = queue.Item(
        lane="sync",
        kind=KIND,
        payload={"external_userid": external_userid},
        due_at=callback.services.clock.now() + _PAUSE,
        order_key=f"contact:{external_userid}",
        dedupe_key=f"{KIND}:{external_userid}",
        correlation=callback.correlation,
    )
    services = callback.services
    await services.db.write(queue.add, item, now=services.clock.now())
