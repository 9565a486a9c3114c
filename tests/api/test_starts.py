"""Other programs start playbooks: by name for one customer, or by telling what only they can know."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from sqlalchemy import Connection, insert, select

from scrm.events import event
from scrm.profiles.models import follow_user
from scrm.services import Services
from scrm.sop.life.published import publish
from scrm.sop.models import enrolment
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from tests.commerce.conftest import add_person

Api = TestClient[Any, Any]

TEXT = """
playbook: {key}
title: {title}
priority: P2
trigger: {{event: {event}}}
run_key: {run_key}
reentry: per_key
exit_if: {exit_if}
goal: none
holdout: 0%
steps:
  - {{id: say, at: "{at}", channel: T, late: drop, ttl: 24h, quiet: none, content: {{text: 您好}}}}
"""


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def bring(services: Services, *texts: str) -> None:
    def write(conn: Connection) -> None:
        for text in texts:
            publish(conn, parse_playbook(text, file_name="some.yaml"), now=services.clock.now())

    await services.db.write(write)
    await services.db.read(playbooks_of(services).load)


async def meet(services: Services, external_userid: str) -> int:
    def write(conn: Connection) -> int:
        person_id = add_person(conn)
        row = {"userid": "lina", "external_userid": external_userid, "person_id": person_id}
        conn.execute(insert(follow_user).values(**row, followed_at=services.clock.now()))
        return person_id

    return await services.db.write(write)


async def rows(services: Services, query: Any) -> list[Any]:
    return await services.db.read(lambda conn: list(conn.execute(query)))


async def test_a_program_starts_a_playbook_once_for_each_request(api: Api, services: Services) -> None:
    person_id = await meet(services, "wmA")
    by_hand = TEXT.format(key="care", title="回访", event="manual.started", run_key="batch", exit_if="none", at="T0+1h")
    paid = TEXT.format(key="paid", title="付款后", event="order.paid", run_key="order", exit_if="none", at="T0")
    await bring(services, by_hand, paid)
    body = {"person": {"id": person_id}, "userid": "lina", "request_id": "r1", "facts": {"why": "差评"}}
    response = await api.post("/api/v1/playbooks/care/start", json=body)
    assert response.status == 201, await response.text()
    answer = await response.json()
    assert answer["message"].startswith("“回访”已开始，下一步")
    for key, said, words in (
        ("care", body, "这次开始已经处理过"),
        ("paid", body, "由“订单已付款”自动开始，不能手动开始"),
        ("gone", body, "没有正在运行的 SOP“gone”"),
        ("care", {"person": {"id": 999}}, "没有客户 999"),
        ("care", {}, "missing required field `person`"),
        ("care", {"person": {}}, "缺少 person"),
    ):
        response = await api.post(f"/api/v1/playbooks/{key}/start", json=said)
        assert response.status in (404, 409, 422)
        assert words in (await response.json())["error"]["message"]
    (run,) = await rows(services, select(enrolment))
    assert (run.id, run.person_id, run.state) == (answer["enrolment_id"], person_id, "active")


async def test_when_a_live_is_moved_everybody_who_booked_it_hears_of_it_once(api: Api, services: Services) -> None:
    """Scenario 11: the old reminder goes, one notice comes, however often the new time is told."""
    people = [await meet(services, f"wm{number}") for number in range(3)]
    await bring(
        services,
        TEXT.format(
            key="remind", title="开播", event="live.booked", run_key="live", exit_if="{event: live.moved}", at="T0+1m"
        ),
        TEXT.format(key="notice", title="改期", event="live.moved", run_key="live", exit_if="none", at="T0+2m"),
    )
    starts = {"starts_at": "2030-03-02T20:00:00+08:00"}
    booked = [
        {"name": "live.booked", "person": {"id": person_id}, "key": "L1", "facts": starts, "event_id": f"b{person_id}"}
        for person_id in people[:2]
    ]
    assert (await (await api.post("/api/v1/events", json=booked)).json())["counts"]["created"] == 2
    await services.worker.drain()
    assert len(await rows(services, select(enrolment).where(enrolment.c.playbook_key == "remind"))) == 2
    moved = {"name": "live.moved", "key": "L1", "facts": {"starts_at": "2030-03-03T20:00:00+08:00"}}
    for _ in range(2):
        assert (await (await api.post("/api/v1/events", json=moved)).json())["counts"]["created"] == 1
        await services.worker.drain()
    runs = await rows(services, select(enrolment))
    assert sorted((run.playbook_key, run.state) for run in runs) == [
        *[("notice", "active")] * 2,
        *[("remind", "exited")] * 2,
    ]
    assert {run.anchor_at.isoformat() for run in runs if run.playbook_key == "notice"} == {"2030-03-03T12:00:00+00:00"}
    assert len(await rows(services, select(event.c.id).where(event.c.name == "live.moved"))) == 2
    # Moved once more: one more notice.
    moved["facts"] = {"starts_at": "2030-03-04T20:00:00+08:00"}
    await api.post("/api/v1/events", json=moved)
    await services.worker.drain()
    assert len(await rows(services, select(enrolment).where(enrolment.c.playbook_key == "notice"))) == 4
    wrong = {"name": "live.moved", "facts": {"starts_at": "2030-03-04"}}
    assert "key（直播编号）" in (await (await api.post("/api/v1/events", json=wrong)).json())["items"][0]["error"]
