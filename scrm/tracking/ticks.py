"""Every so often: visitors whose person has come are joined to it, and what is half a year old is dropped."""

from dataclasses import dataclass

from scrm.db import Priority
from scrm.services import Services
from scrm.tracking import store

# As many identities as are looked at in one tick; after a start it takes a few to see all.
MOST = 20_000


@dataclass(slots=True)
class Place:
    """The last identity that this process looked at."""

    identity_id: int = 0


async def tick(services: Services) -> int:
    """How many claims were settled."""
    now, place = services.clock.now(), services.memory.setdefault(Place, Place())
    joined = 0
    last, is_claimed = await services.db.read(store.find_claimed, place.identity_id, MOST)
    if is_claimed:
        joined = await services.db.write(store.settle_claims, place.identity_id, last, now)
    if joined < store.MOST_SETTLED:
        place.identity_id = last
    if await services.db.read(store.has_old, now):
        await services.db.write_as(Priority.IMPORT, store.forget_old, now)
    return joined
