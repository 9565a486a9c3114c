"""When the ledger is looked at: as a friend comes, and whenever a row is due."""

from functools import partial

from sqlalchemy import Connection

from scrm.commerce.receivers import open_receiver
from scrm.contact_ways.received import Invited
from scrm.events import Event
from scrm.referrals import ledger
from scrm.referrals.knowing import Open
from scrm.services import Services

TICK_SECONDS = 60.0


def listener(services: Services) -> Invited:
    """Writes down whom a customer's own code brought, in the transaction that hears of the add."""
    now, zone, open_ = services.clock.now(), services.settings.shop.zone, opener(services)

    def invited(conn: Connection, told: Event, inviter_id: int) -> None:
        ledger.note_add(conn, told, inviter_id, open_, zone, now)

    return invited


def opener(services: Services) -> Open:
    """Opens sealed receivers, to compare them; nothing of them is kept or shown."""
    return partial(open_receiver, vault=services.vault)


async def tick(services: Services) -> int:
    """Look again at every row that is due; returns how many."""
    now, zone, done = services.clock.now(), services.settings.shop.zone, 0
    while await services.db.read(ledger.has_due, now):
        done += await services.db.write(ledger.settle_due, opener(services), zone, now)
    return done
