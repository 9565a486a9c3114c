"""The API's description: whole, valid, and the same list that the page shows."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from openapi_spec_validator import validate

from scrm.api.openapi import describe
from scrm.app import ROUTES
from tests.console.conftest import SignIn, sign_in
from tests.world import World

__all__ = ["sign_in"]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Nothing here depends on the database."""
    return sqlite_url


def web_routes() -> Iterable[Any]:
    app = web.Application()
    for routes in ROUTES:
        app.add_routes(routes)
    return app.router.resources()


def bare(path: str) -> str:
    """Names in an address do not matter, nor what they must look like."""
    return re.sub(r"{\w+}", "{}", path)


def test_every_route_is_described_and_everything_described_is_a_route() -> None:
    routes = {
        (route.method.lower(), bare(resource.canonical))
        for resource in web_routes()
        for route in resource
        if resource.canonical.startswith("/api/") and route.method != "HEAD"
    }
    told = {(method, bare(path)) for path, methods in describe()["paths"].items() for method in methods}
    assert told == routes


async def test_another_method_is_405_with_what_the_description_allows_also_beside_a_name_in_the_address() -> None:
    app = web.Application()
    for routes in ROUTES:
        app.add_routes(routes)
    for path, methods in describe()["paths"].items():
        told = {method.upper() for method in methods}
        if re.search(r"{(?!\w*id})", path):
            continue  # what may stand there is its own matter
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - told:
            found = await app.router.resolve(make_mocked_request(method, re.sub(r"{\w+}", "7", path)))
            refusal = found.http_exception
            assert isinstance(refusal, web.HTTPMethodNotAllowed), (method, path)
            assert refusal.allowed_methods - {"HEAD", "OPTIONS"} == told, (method, path)


def test_it_is_valid_openapi() -> None:
    validate(describe())


def test_each_operation_says_its_scope_its_errors_and_names_every_part_of_its_address() -> None:
    ids = set()
    for path, methods in describe()["paths"].items():
        for method, told in methods.items():
            ids.add(told["operationId"])
            named = {one["name"] for one in told.get("parameters", ()) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path
            assert {"401", "403", "422", "429"} <= set(told["responses"]), path
            assert ("x-scope" in told) == (path != "/api/openapi.json"), path
            assert (method == "post") == any(one["name"] == "Idempotency-Key" for one in told.get("parameters", ()))
    assert len(ids) == sum(map(len, describe()["paths"].values()))


async def test_the_page_shows_every_operation_by_module_with_a_call_to_copy(world: World, sign_in: SignIn) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    page = await boss.get("/console/api")
    assert page.status == 200
    for path, methods in describe()["paths"].items():
        for told in methods.values():
            assert told["summary"] in page, path
        assert path in page
    assert 'curl -X POST "https://crm.example.test/api/v1/coupons/redeem"' in page
    assert "Idempotency-Key" in page
    assert 'curl "https://crm.example.test/api/v1/customers?external_userid=…"' in page
    assert '"next_cursor": ' in page
    assert "orders:edit" in page
    assert (await (await sign_in("lina", "丽娜", "manager")).get("/console/api")).status == 403
