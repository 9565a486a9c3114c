"""Keys that reach only some customers: each operation keeps to them or stays closed."""

import re
from typing import Any

import pytest

from scrm.access.modules import EVERY_RIGHT
from scrm.access.roles import OWN
from scrm.api.openapi import TABLES
from scrm.api.operation import operation_of
from scrm.api.store import make_key
from scrm.profiles.models import external_contact
from scrm.sop.models import enrolment
from tests.access.conftest import API, Door
from tests.console.conftest import SignIn, sign_in
from tests.world import ANING, XIAOMAN, World

__all__ = ["sign_in"]

Call = Any


@pytest.fixture
async def known(world: World) -> dict[str, int]:
    """lina follows 小满, wanghao follows 阿宁."""
    world.wecom.add_contact(ANING, "阿宁", "wanghao")
    await world.add(XIAOMAN, "lina")
    await world.add(ANING, "wanghao")
    return {row.external_userid: row.person_id for row in await world.rows(external_contact)}


@pytest.fixture
async def ask(world: World, known: dict[str, int]) -> Call:
    write, now = world.services.db.write, world.clock.now()
    key = await write(make_key, "lina", "scoped", now=now, scopes=EVERY_RIGHT, reach=OWN, userid="lina")

    async def call(method: str, path: str, **body: Any) -> tuple[int, Any]:
        answer = await world.client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **body)
        return answer.status, await answer.json() if answer.status != 204 else None

    return call


async def test_lists_have_only_the_customers_within_reach(world: World, ask: Call, known: dict[str, int]) -> None:
    mine, theirs = known[XIAOMAN], known[ANING]
    _, found = await ask("GET", "/api/v1/customers/search")
    assert [(one["id"], one["followed_by"]) for one in found["items"]] == [(mine, ["lina"])]
    for path in ("/api/v1/tasks", "/api/v1/runs?playbook=new-customer&state=active"):
        status, page = await ask("GET", path)
        assert (status, {one["person_id"] for one in page["items"]} <= {mine}) == (200, True), path
    for contact, status in ((XIAOMAN, 200), (ANING, 403)):
        assert (await ask("GET", f"/api/v1/customers?external_userid={contact}"))[0] == status
        assert (await ask("GET", f"/api/v1/sends?external_userid={contact}"))[0] == status
    status, told = await ask("GET", "/api/v1/sends")
    assert (status, "只看一部分客户" in told["detail"]) == (422, True)
    for path in ("", "/timeline", "/coupons", "/points", "/fields", "/why?playbook=new-customer"):
        assert (await ask("GET", f"/api/v1/customers/{mine}{path}"))[0] == 200, path
        assert (await ask("GET", f"/api/v1/customers/{theirs}{path}"))[0] == 403, path
    (run,) = await world.rows(enrolment, enrolment.c.person_id == theirs)
    assert (await ask("GET", f"/api/v1/runs/{run.id}"))[0] == 403
    assert (await ask("POST", f"/api/v1/runs/{run.id}/stop"))[0] == 403
    assert (await ask("PATCH", f"/api/v1/customers/{theirs}/tags", json={"add": ["老客"]}))[0] == 403
    order = {"channel": "mall", "order_no": "M1", "status": "paid", "buyer_ref": {"wecom_external_userid": ANING}}
    assert (await ask("POST", "/api/v1/orders", json=[order]))[0] == 403


def keeps_to_it(door: Door) -> bool:
    told = next(
        operation_of(route.handler)
        for table in TABLES
        for route in table
        if (route.method, _bare(route.path)) == (door.method, door.pattern)  # type: ignore[attr-defined]
    )
    return "{person_id}" in door.pattern or (told is not None and told.is_scoped)


def _bare(path: str) -> str:
    return re.sub(r"{(\w+)(?::(?:[^{}]|{[^{}]*})+)?}", r"{\1}", path)


async def test_what_does_not_keep_to_the_reach_stays_closed(ask: Call) -> None:
    closed = 0
    for door in API:
        status, told = await ask(door.method, door.path)
        if keeps_to_it(door):
            assert status < 500, door
        else:
            closed += 1
            assert (status, "涉及全店" in told["detail"]) == (403, True), door
    assert closed > 25


async def test_the_console_makes_such_a_key_and_says_so(world: World, known: dict[str, int], sign_in: SignIn) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    form = {"csrf": boss.csrf, "name": "门店屏", "scopes": "customers:view", "reach": "own"}
    for userid, status, words in (
        ("", 422, "请填写员工账号"),
        ("nobody", 422, "没有账号是“nobody”的员工"),
        ("LINA", 200, "只看一位员工跟进的客户（lina）"),
    ):
        data = {**form, "userid": userid}
        answer = await world.client.post("/console/api-keys", data=data, headers=boss.cookie)
        assert (answer.status, words in await answer.text()) == (status, True), userid
