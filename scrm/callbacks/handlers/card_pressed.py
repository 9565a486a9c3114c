"""A member pressed a button of one of our cards: the task ends or is put off (doc 90240)."""

from scrm.callbacks.router import Callback, Router
from scrm.sop.members import cards
from scrm.wecom.events import CardClicked

router = Router()


@router.on("template_card_event")
async def card_pressed(callback: Callback) -> None:
    """Cards of other kinds, and those somebody else's app made, are left alone."""
    event, services = CardClicked.of(callback.event), callback.services
    await services.db.write(
        cards.press,
        userid=event.userid,
        pressed=event.task_id,
        key=event.event_key,
        response_code=event.response_code,
        zone=services.settings.shop.zone,
        now=services.clock.now(),
    )
