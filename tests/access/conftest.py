"""Every route of the console and the API, with an address that reaches it; and somebody of each role."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from argon2 import PasswordHasher

from scrm.access import passwords
from scrm.app import ROUTES
from tests.console.conftest import manager, sign_in

__all__ = ["manager", "sign_in"]

# Values that names in addresses may have, tried in this order.
_VALUES = (
    *("999999", "nope", "0123456789abcdef", "a" * 64, "on", "pause", "publish", "archive", "svg", "csv", "xlsx"),
    *("orders", "person", "end", "state1", "2026-01-01", "up", "delete", "hide"),
)


@dataclass(frozen=True, slots=True)
class Door:
    """One route: its method, its address as it is written and one that reaches it."""

    method: str
    pattern: str
    path: str

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD", "OPTIONS")

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


def _doors() -> Iterator[Door]:
    app = web.Application()
    for routes in ROUTES:
        app.add_routes(routes)
    for route in app.router.routes():
        if route.resource is not None and route.method != "HEAD":
            pattern = route.resource.canonical
            if pattern.startswith(("/console", "/api/")):
                yield Door(route.method, pattern, _path(route.resource))


def _path(resource: web.AbstractResource) -> str:
    info: Any = resource.get_info()
    if "path" in info:
        return str(info["path"])
    names = re.findall(r"\{(\w+)\}", info["formatter"])
    for values in itertools.product(_VALUES, repeat=len(names)):
        path = str(info["formatter"].format(**dict(zip(names, values, strict=True))))
        if info["pattern"].fullmatch(path):
            return path
    raise AssertionError(f"{info['formatter']}: add a value that fits to tests/access/conftest.py")


DOORS = tuple(_doors())
CONSOLE = tuple(door for door in DOORS if door.pattern.startswith("/console"))
API = tuple(door for door in DOORS if door.pattern.startswith("/api/v1/"))


@pytest.fixture(scope="session")
def doors() -> tuple[Door, ...]:
    return DOORS


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with next to no work: what it costs in earnest is not what these tests are about."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._nobodys.cache_clear()
