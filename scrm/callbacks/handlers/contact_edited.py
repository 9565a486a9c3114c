"""A member changed a remark, a phone or tags: the event does not say what, so the contact is fetched anew."""

from scrm.callbacks.coalesced import fetch_soon
from scrm.callbacks.handlers.refresh import KIND
from scrm.callbacks.router import Callback, Router
from scrm.wecom.events import ContactEdited

router = Router()


@router.on("change_external_contact", "edit_external_contact")
async def contact_edited(callback: Callback) -> None:
    """Bulk tagging fires thousands of edits in a row."""
    external_userid = ContactEdited.of(callback.event).external_userid
    await fetch_soon(callback, KIND, f"contact:{external_userid}", {"external_userid": external_userid})
