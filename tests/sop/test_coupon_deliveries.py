"""A reserved coupon is the customer's when it was perhaps sent, and free again when it surely was not."""

import pytest

from scrm.commerce.models import coupon_batch, coupon_issue
from scrm.sop import coupon_deliveries
from scrm.sop.coupon_deliveries import judge
from scrm.sop.models import task
from tests.world import ANING, XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.mark.parametrize(
    ("fates", "verdict"),
    [
        ([], "lost"),
        (["failed"], "lost"),
        (["too_late", "skipped", "withdrawn", "expired"], "lost"),
        (["intent"], "waiting"),
        (["failed", "open"], "waiting"),
        (["unknown"], "delivered"),
        (["failed", "sent"], "delivered"),
        (["open", "released"], "delivered"),
    ],
)
def test_the_fates_of_what_showed_a_coupon(fates: list[str], verdict: str) -> None:
    assert judge("tok", "CODE", [(f"see https://x/c/tok {fate}", fate) for fate in fates]) == verdict
    assert judge("other", "ELSE", [("see https://x/c/tok", "sent")]) == "lost"


async def test_a_welcome_that_failed_frees_its_coupon_and_one_that_went_out_keeps_it(world: World) -> None:
    await world.add(XIAOMAN)
    world.wecom.say("externalcontact/send_welcome_msg", 84061)
    await world.add(ANING)
    assert len(await world.rows(coupon_issue)) == 2
    assert await coupon_deliveries.tick(world.services) == 0  # too soon
    world.clock.advance(hours=3)
    assert await coupon_deliveries.tick(world.services) == 0  # the member was asked to send it instead
    await world.services.db.write(lambda conn: conn.execute(task.update().values(state="skipped")))
    assert await coupon_deliveries.tick(world.services) == 1
    states = [(row.state, row.delivered_at is not None) for row in await world.rows(coupon_issue)]
    assert sorted(states) == [("issued", True), ("released", False)]
    (counted,) = {row.issued_count for row in await world.rows(coupon_batch) if row.issued_count}
    assert counted == 1
    assert await coupon_deliveries.tick(world.services) == 0
