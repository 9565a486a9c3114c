"""Every so often: visitors whose person has come are joined to it, and what is half a year old is dropped."""

from scrm.db import Priority
from scrm.services import Services
from scrm.tracking import store


async def tick(services: Services) -> int:
    """How many visitors were joined; without tracking there is nothing to do."""
    now = services.clock.now()
    if not await services.db.read(store.has_work, now):
        return 0
    joined = await services.db.write(store.settle_claims, now)
    await services.db.write_as(Priority.IMPORT, store.forget_old, now)
    return joined
