"""A member changed a remark, a phone or tags: the event does not say what, so the contact is fetched anew."""

from scrm.callbacks.handlers.refresh import KIND
from scrm.callbacks.router import Callback, Router
from scrm.work import queue

router = Router()


@router.on("change_external_contact", "edit_external_contact")
async def contact_edited(callback: Callback) -> None:
    """Bulk tagging fires thousands of these: one fetch per contact waits at a time."""
    external_userid = callback.event.text("ExternalUserID")
    item = queue.Item(
        lane="sync",
        kind=KIND,
        payload={"external_userid": external_userid},
        order_key=f"contact:{external_userid}",
        dedupe_key=f"{KIND}:{external_userid}",
        correlation=callback.correlation,
    )
    services = callback.services
    await services.db.write(queue.add, item, now=services.clock.now())
