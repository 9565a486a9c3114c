"""A program defines fields, and reads and writes what customers, orders and relations have in them."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from sqlalchemy import Connection, insert

from scrm.profiles.models import follow_user
from scrm.profiles.own_fields import fields as custom_fields
from scrm.services import Services
from tests.commerce.conftest import add_person

Api = TestClient[Any, Any]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def ask(api: Api, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    response = await api.request(method, path, json=body)
    return response.status, await response.json() if response.status != 204 else None


async def test_fields_are_defined_set_and_read(api: Api, services: Services) -> None:
    def prepare(conn: Connection) -> int:
        person_id = add_person(conn)
        row = {"userid": "lina", "external_userid": "wmX", "person_id": person_id}
        conn.execute(insert(follow_user).values(**row, followed_at=services.clock.now()))
        return person_id

    person_id = await services.db.write(prepare)
    for body in (
        {"title": "预算", "type": "money", "key": "budget", "max": "10000"},
        {"title": "备用手机", "type": "phone", "key": "phone2"},
        {"title": "肤质", "type": "select", "options": ["油皮", "干皮"]},
        {"title": "亲密度", "type": "number", "key": "close", "entity": "relation"},
    ):
        assert (await ask(api, "POST", "/api/v1/fields", body))[0] == 201
    assert (await ask(api, "POST", "/api/v1/fields", {"title": "肤质", "type": "text"}))[0] == 409
    status, found = await ask(api, "GET", "/api/v1/fields?entity=person")
    assert [each["key"] for each in found["items"]] == ["budget", "phone2", "肤质"]

    own = f"/api/v1/customers/{person_id}/fields"
    given = {"budget": "199.9", "phone2": "13800138000", "肤质": "油皮"}
    status, found = await ask(api, "PATCH", own, given)
    assert (status, found["fields"]["budget"]["value"], found["fields"]["budget"]["text"]) == (200, 19990, "¥199.90")
    assert found["fields"]["phone2"]["value"] == "138****8000"
    status, found = await ask(api, "PATCH", own, {"肤质": "干皮", "budget": 1_000_001})
    assert (status, found["error"]["message"]) == (422, "“预算”不能大于 10000，填的是“10000.01”")
    assert (await ask(api, "GET", own))[1]["fields"]["肤质"]["value"] == "油皮"  # all or nothing
    told = await services.db.read(custom_fields.list_changes, "person", (person_id,))
    assert {row.actor for row in told} == {"erp"}

    relation = "/api/v1/relations/lina/wmX/fields"
    assert (await ask(api, "PATCH", relation, {"close": 5}))[1]["fields"]["close"]["text"] == "5"
    assert (await ask(api, "GET", "/api/v1/relations/lina/wmNobody/fields"))[0] == 404
    assert (await ask(api, "PUT", "/api/v1/fields/person/budget", {"title": "年预算", "type": "money"}))[0] == 200
    assert (await ask(api, "DELETE", "/api/v1/fields/person/budget"))[0] == 204
    assert (await ask(api, "PATCH", own, {"budget": 5}))[0] == 422


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v1/fields", [], 422),
        ("POST", "/api/v1/fields", {"title": "甲"}, 422),
        ("POST", "/api/v1/fields", {"title": "甲\0", "type": "text"}, 422),
        ("POST", "/api/v1/fields", {"title": "甲", "type": "text", "entity": "shop"}, 422),
        ("GET", "/api/v1/fields?entity=shop", None, 422),
        ("PATCH", "/api/v1/customers/999999/fields", {}, 404),
        ("PATCH", "/api/v1/customers/99999999999999999999/fields", {}, 404),
        ("PATCH", "/api/v1/orders/1/fields", {}, 404),
        ("PUT", "/api/v1/fields/person/nothing", {"title": "甲", "type": "text"}, 404),
    ],
)
async def test_what_cannot_be_used_is_refused(api: Api, method: str, path: str, body: Any, status: int) -> None:
    found, answer = await ask(api, method, path, body)
    assert (found, bool(answer["error"]["message"])) == (status, True)
