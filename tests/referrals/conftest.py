"""A shop on the whole WeCom of tests in which customers bring friends."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scrm.contact_ways.models import contact_way
from scrm.events import event
from scrm.referrals import addresses, campaigns, run
from scrm.referrals.models import referral
from scrm.referrals.rules import Draft, Terms
from tests.fakes.clock import FakeClock
from tests.sop.shop import Customer
from tests.sop.stage import Stage, open_stage


class Friends(Stage):
    """A stage on which a campaign runs."""

    async def begin(self, **terms: Any) -> int:
        draft = Draft("老带新", self.clock.now(), None, "谢礼是优惠券。", shows_names=True, terms=Terms(**terms))
        return int(await self.services.db.write(campaigns.add, draft, by="", now=self.clock.now()))

    async def page(self, who: Customer) -> tuple[int, str]:
        path = addresses.path_of(self.services.vault, who.person_id)
        async with self.http.get(self.url + path) as response:
            return response.status, await response.text()

    async def code(self, who: Customer) -> str:
        """The config_id of the customer's own code, made by opening the page."""
        await self.page(who)
        await self.settle()
        (row,) = await self.rows(
            contact_way, contact_way.c.inviter_id == who.person_id, contact_way.c.deleted_at.is_(None)
        )
        return str(row.config_id)

    async def brings(self, who: Customer, name: str, userid: str = "lina") -> None:
        """A friend who scans this customer's own code."""
        if name not in self.sandbox.world.wechat_users:
            self.sandbox.add_wechat_user(name, name, unionid=f"oU{name}")
        external_userid = await self.sandbox.scan(name, await self.code(who))
        await self.settle()
        await self.sandbox.confirm(userid, external_userid)
        await self.settle()

    async def days(self, days: float) -> None:
        """Time passes, and the ledger is looked at once a day."""
        for _ in range(int(days)):
            self.clock.advance(days=1)
            await run.tick(self.services)
        await self.settle()

    async def ledger(self) -> list[tuple[str, str]]:
        return [(row.state, row.reason) for row in await self.rows(referral)]

    async def told(self) -> list[tuple[str, int]]:
        named = event.c.name.like("custom.referral%")
        return [(row.name, row.person_id) for row in await self.rows(event, named)]


@pytest.fixture
async def stage(database_url: str, clock: FakeClock, tmp_path: Path) -> AsyncIterator[Friends]:
    async with open_stage(database_url, clock, tmp_path) as stage:
        stage.__class__ = Friends
        assert isinstance(stage, Friends)
        yield stage


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
