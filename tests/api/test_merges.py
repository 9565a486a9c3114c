"""/api/v1/merges: another program joins two customers and takes it back; both ids lead to what there is."""

from typing import Any

import pytest

from scrm.services import Services
from tests.commerce.conftest import add_person


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """Joining itself is tested on both databases."""
    return sqlite_url


async def test_two_customers_become_one_and_two_again(api: Any, services: Services) -> None:
    one, two = await services.db.write(lambda conn: [add_person(conn, name, wx_unionid=name) for name in "甲乙"])
    answer = await api.post("/api/v1/merges", json={"kept": one, "gone": two})
    merge_id = (await answer.json())["id"]
    assert answer.status == 200
    found = await (await api.get(f"/api/v1/customers/{two}")).json()
    assert (found["id"], sorted(each["value"] for each in found["identities"])) == (one, ["乙", "甲"])
    (log,) = (await (await api.get(f"/api/v1/merges?person_id={two}")).json())["items"]
    assert (log["kept"], log["gone"], log["by"], log["counts"]) == (one, two, "api:erp", {"identity": 1})
    assert (await api.post("/api/v1/merges", json={"kept": one, "gone": two})).status == 409
    parted = await api.post(f"/api/v1/merges/{merge_id}/undo")
    assert await parted.json() == {"kept": one, "back": two}
    assert (await (await api.get(f"/api/v1/customers/{two}")).json())["id"] == two
    assert (await api.post(f"/api/v1/merges/{merge_id}/undo")).status == 409


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{}", 422),
        (b"not json", 422),
        (b'{"kept": 1, "gone": 99999999999999999999}', 422),
        (b'{"kept": 1, "gone": 2}', 404),
    ],
)
async def test_what_cannot_be_joined_is_refused_in_one_line(api: Any, body: bytes, status: int) -> None:
    answer = await api.post("/api/v1/merges", data=body, headers={"Content-Type": "application/json"})
    assert answer.status == status, await answer.text()
