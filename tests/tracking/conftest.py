"""A shop whose mall may tell what its visitors do."""

from collections.abc import AsyncIterator

import pytest

from scrm.app import open_services, publish_playbooks
from scrm.clock import Clock
from scrm.services import Services
from tests.console.conftest import SignIn, Visitor, manager, sign_in
from tests.fakes.wecom import FakeWeCom
from tests.world import make_settings

KEY = "mall_write_key_0001"
DOMAINS = ["mall.example.com", "*.shop.example.com", "127.0.0.1"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Flows are the same on both databases; what locks is tested on PostgreSQL too."""
    return sqlite_url


@pytest.fixture
async def services(database_url: str, clock: Clock, wecom: FakeWeCom) -> AsyncIterator[Services]:
    tracking = {"write_key": KEY, "domains": ",".join(DOMAINS), "per_minute": 60}
    settings = make_settings(database_url, wecom.url, tracking=tracking)  # type: ignore[attr-defined]
    async with open_services(settings, clock) as services:
        assert await publish_playbooks(services) == []
        yield services


__all__ = ["DOMAINS", "KEY", "SignIn", "Visitor", "manager", "sign_in"]
