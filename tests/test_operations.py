"""What operators and their tools ask for."""

from datetime import timedelta

from sqlalchemy import Connection, text

from scrm.work import queue
from tests.world import World


async def test_a_healthy_house_is_ready(world: World) -> None:
    assert await (await world.client.get("/healthz")).json() == {"status": "ok"}
    response = await world.client.get("/readyz")
    told = await response.json()
    assert response.status == 200
    assert {name: one["ok"] for name, one in told["checks"].items()} == {
        "database": True,
        "migrations": True,
        "queue": True,
    }


async def test_work_that_nobody_does_makes_it_unready(world: World) -> None:
    item = queue.Item(lane="event", kind="nobody", due_at=world.clock.now() - timedelta(minutes=10))
    await world.services.db.write(queue.add, item, now=world.clock.now())
    response = await world.client.get("/readyz")
    told = await response.json()
    assert response.status == 503
    assert told["checks"]["queue"]["oldest_seconds"] == 600
    metrics = await (await world.client.get("/metrics")).text()
    assert "scrm_queue_age_seconds 600.0" in metrics
    assert 'scrm_queue_items{lane="event",state="waiting"} 1.0' in metrics


async def test_a_database_of_another_version_makes_it_unready(world: World) -> None:
    def age(conn: Connection) -> None:
        conn.execute(text("UPDATE alembic_version SET version_num = '0000'"))

    await world.services.db.write(age)
    response = await world.client.get("/readyz")
    assert response.status == 503
    assert (await response.json())["checks"]["migrations"]["mend"] == "scrm migrate"


async def test_a_page_that_does_not_exist_says_so_calmly(world: World) -> None:
    response = await world.client.get("/console/nothing/here")
    assert response.status == 404
    assert "没有这个页面" in await response.text()
