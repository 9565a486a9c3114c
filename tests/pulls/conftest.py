"""The application with three sources that are asked for orders, each a server on loopback."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from scrm.app import open_services
from scrm.commerce import order_views
from scrm.commerce.pulls import run, store
from scrm.events import event
from scrm.profiles.models import identity, person
from scrm.services import Services
from tests.fakes.clock import FakeClock
from tests.fakes.erp import FakeJushuitan, FakeShop, FakeWangdiantong
from tests.world import make_settings


class HurriedClock(FakeClock):
    """Whoever waits finds that the time has passed."""

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds=seconds)


@pytest.fixture
def clock() -> FakeClock:
    return HurriedClock()


@dataclass
class Mill:
    """What the sources hold, and what became of it here."""

    services: Services
    clock: FakeClock
    jst: FakeJushuitan
    wdt: FakeWangdiantong
    shop: FakeShop

    async def pull(self, **later: float) -> None:
        """Time goes on, and everything that is due is asked for."""
        self.clock.advance(**(later or {"minutes": 20}))
        await run.tick(self.services)
        await self.services.worker.drain()

    async def order(self, order_no: str) -> order_views.OrderView:
        (view,) = await self.services.db.read(order_views.find_orders, None, order_no)
        return view

    async def cursor(self, source: str, stream: str) -> Any:
        return await self.services.db.read(store.find_cursor, source, stream)

    async def know(self, unionid: str) -> int:
        def add(conn: Any) -> int:
            made = person.insert().values(name="小满", created_at=self.clock.now()).returning(person.c.id)
            person_id = int(conn.execute(made).scalar_one())
            conn.execute(
                identity.insert().values(
                    person_id=person_id, kind="wx_unionid", value=unionid, source="test", created_at=self.clock.now()
                )
            )
            return person_id

        return await self.services.db.write(add)

    async def events(self) -> list[tuple[str, bool]]:
        """(name, is it history) in the order in which they were told."""
        query = select(event.c.name, event.c.facts).where(event.c.name.like("order.%") | event.c.name.like("refund.%"))
        rows = await self.services.db.read(lambda conn: conn.execute(query.order_by(event.c.id)).all())
        return [(row.name, bool(row.facts.get("historic"))) for row in rows]


@pytest.fixture
async def mill(database_url: str, clock: FakeClock, aiohttp_server: Any) -> AsyncIterator[Mill]:
    jst, wdt, shop = FakeJushuitan(), FakeWangdiantong(), FakeShop()
    urls = [str((await aiohttp_server(one.app)).make_url("")).rstrip("/") for one in (jst, wdt, shop)]
    settings = make_settings(
        database_url,
        urls[0],
        sources={
            "jst": {
                "kind": "jushuitan",
                "app_key": "jst_demo",
                "app_secret": "jst_secret",
                "access_token": "tok",
                "refresh_token": "ref",
                "api_base": urls[0],
                "shops": {"10001": "taobao/qingyu"},
                "since_days": 3,
            },
            "wdt": {
                "kind": "wangdiantong",
                "sid": "demo_sid",
                "app_key": "demo_app",
                "app_secret": "wdt_secret",
                "api_base": f"{urls[1]}/openapi2",
                "since_days": 0,
            },
            "mall": {"kind": "generic_rest", "url": f"{urls[2]}/orders", "token": "shop-token", "page_size": 2},
        },
    )
    async with open_services(settings, clock) as services:
        yield Mill(services, clock, jst, wdt, shop)


def ago(clock: FakeClock, **by: float) -> Any:
    return clock.now() - timedelta(**by)
