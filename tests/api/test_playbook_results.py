"""What playbooks achieved and why a customer is in one, as programs outside read it."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from scrm.sop import run_acts
from scrm.sop.life.board_tables import run_act
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The SQL behind it is tried on both databases in tests/sop."""
    return sqlite_url


async def test_playbooks_their_results_and_the_reason_are_told(world: World, api: "TestClient[Any, Any]") -> None:
    await world.add()
    listed = await (await api.get("/api/v1/playbooks")).json()
    assert {"key": "new-customer", "state": "published", "version": 1}.items() <= {
        item["key"]: item for item in listed["items"]
    }["new-customer"].items()

    found = await (await api.get("/api/v1/playbooks/new-customer/results")).json()
    assert (found["runs"]["entered"], found["runs"]["under_way"], found["uplift"]) == (1, 1, None)
    welcome = found["steps"][0]
    assert (welcome["id"], welcome["delivered"], welcome["annoyance_per_1000"]) == ("welcome", 1, 0)
    before = await (await api.get("/api/v1/playbooks/new-customer/results?until=2020-01-01")).json()
    assert (before["since"], before["runs"]["under_way"]) == ("2019-12-03", 0)

    why = await (await api.get("/api/v1/customers/1/why?playbook=new-customer")).json()
    assert why["summary"] == "因“客户添加了员工”进入，进行中"
    assert why["runs"][0]["cause"]["name"] == "contact.added"
    assert why["next"]["verdict"] == "到时会发出"


async def test_a_run_tells_who_ended_it(world: World, api: "TestClient[Any, Any]") -> None:
    await world.add()

    async def ended() -> dict[str, tuple[str, str]]:
        told = await (await api.get("/api/v1/runs?person_id=1")).json()
        return {run["playbook"]: (run["state"], run["ended_by"]) for run in told["items"]}

    assert (await ended())["new-customer"] == ("active", "")
    runs = await (await api.get("/api/v1/runs?person_id=1")).json()
    number = next(run["enrolment_id"] for run in runs["items"] if run["playbook"] == "new-customer")
    assert (await api.post(f"/api/v1/runs/{number}/stop")).status == 200
    assert (await ended())["new-customer"] == ("exited", "api:erp")
    act = await world.rows(run_act)
    await world.services.db.write(run_acts.undo, act[0].id, now=world.clock.now())
    assert (await ended())["new-customer"] == ("active", "")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("playbooks/nothing/results", 404, "没有编号为 nothing 的剧本"),
        ("playbooks/new-customer/results?since=soon", 422, "收到“soon”，应写成 2026-03-05"),
        ("playbooks/new-customer/results?since=2026-03-05&until=2026-03-01", 422, "应为先后两天"),
        ("customers/1/why", 422, "缺少参数 playbook"),
        ("customers/99/why?playbook=new-customer", 404, "没有这位客户"),
    ],
)
async def test_what_cannot_be_told_is_refused_in_words(
    world: World, api: "TestClient[Any, Any]", path: str, status: int, words: str
) -> None:
    response = await api.get(f"/api/v1/{path}")
    assert response.status == status
    assert words in (await response.json())["error"]["message"]
