"""What an audience is chosen by: shown at once however many customers there are."""

from scrm.mass_messages.choices import list_choices
from scrm.services import Services
from scrm.transfers.list_store import list_givers
from tests.plans import plans_of


async def test_customers_of_members_and_channels_are_counted_along_indexes(services: Services) -> None:
    choosing = await services.db.write(plans_of, list_choices)
    givers = await services.db.write(plans_of, list_givers)
    assert any("ix_follow_user_living" in plan for plan in choosing)
    assert any("ix_follow_user_state" in plan for plan in choosing)
    assert all("ix_follow_user_living" in plan for plan in givers)
