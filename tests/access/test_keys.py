"""Keys of the API as the console makes them."""

import re
from typing import Any

import pytest

from scrm.api import store
from scrm.api.models import api_key
from scrm.cli import run
from tests.console.conftest import SignIn, Visitor
from tests.world import World


@pytest.fixture
async def boss(sign_in: SignIn) -> Visitor:
    return await sign_in("boss", "周总", "administrator")


async def make(boss: Visitor, **form: Any) -> tuple[int, str, str]:
    data = [("csrf", boss.csrf), *((name, each) for name, value in form.items() for each in _many(value))]
    response = await boss.world.client.post("/console/api-keys", data=data, headers=boss.cookie)
    html = await response.text()
    found = re.search(r"scrm_[\w-]{40,}", html)
    return response.status, found[0] if found else "", html


def _many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


async def ask(world: World, key: str, path: str = "/api/v1/orders?channel=tmall&order_no=1", **more: str) -> int:
    return (await world.client.get(path, headers={"Authorization": f"Bearer {key}", **more})).status


async def test_a_key_is_shown_once_and_may_only_what_was_ticked(boss: Visitor, world: World, sign_in: SignIn) -> None:
    status, key, _ = await make(boss, name="聚水潭", scopes=["orders:view", "nonsense", "access:edit"], days="90")
    assert status == 200
    page = await boss.get("/console/api-keys")
    assert key not in page.html
    assert "聚水潭" in page
    assert "订单与物流（读）" in page
    assert "没有用过" in page
    (row,) = await world.rows(api_key)
    assert row.scopes == ["orders:view"]
    assert key not in str(row)
    assert await ask(world, key) == 200
    assert await ask(world, key, "/api/v1/tasks?userid=lina") == 403
    assert "刚刚" in await boss.get("/console/api-keys")
    world.clock.advance(days=91)
    assert await ask(world, key) == 401
    boss = await sign_in("boss", "周总", "administrator")
    assert "已到期" in await boss.get("/console/api-keys")


async def test_a_revoked_key_opens_nothing_from_that_moment(boss: Visitor, world: World) -> None:
    _, key, _ = await make(boss, name="数据仓库", scopes=["orders:view"], days="0")
    response = await boss.post(f"/console/api-keys/{store.name_of(key)}/revoke")
    assert response.status == 303
    assert await ask(world, key) == 401
    assert "已停用" in await boss.get("/console/api-keys")


async def test_a_key_works_only_from_its_addresses(boss: Visitor, world: World) -> None:
    _, key, _ = await make(boss, name="erp", scopes=["orders:view"], addresses="203.0.113.8，198.51.100.0/24")
    for address, status in (("203.0.113.8", 200), ("198.51.100.77", 200), ("203.0.113.9", 403), ("nonsense", 403)):
        assert await ask(world, key, **{"X-Forwarded-For": address}) == status, address


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "", "scopes": "orders:view"}, "请填写名称"),
        ({"name": "erp"}, "请至少选择一项权限"),
        ({"name": "erp", "scopes": "orders:view", "addresses": "随便"}, "“随便”不是 IP 地址或网段"),
    ],
)
async def test_what_is_missing_is_told_and_what_was_ticked_stays(boss: Visitor, form: Any, words: str) -> None:
    status, key, html = await make(boss, **form)
    assert (status, key) == (422, "")
    assert words in html
    assert ("checked" in html) == ("scopes" in form)


async def test_keys_of_the_command_line_do_what_they_always_did(boss: Visitor, world: World) -> None:
    write, now = world.services.db.write, world.clock.now()
    readonly = await write(store.make_key, "bi", "readonly", now=now)
    manager = await write(store.make_key, "erp", "manager", now=now)
    assert await ask(world, readonly) == 200
    response = await world.client.post("/api/v1/orders", json=[], headers={"Authorization": f"Bearer {readonly}"})
    assert (response.status, (await response.json())["missing_scope"]) == (403, "orders:edit")
    response = await world.client.post("/api/v1/orders", json=[], headers={"Authorization": f"Bearer {manager}"})
    assert response.status == 200
    assert "全部读写" in await boss.get("/console/api-keys")


def test_the_command_prints_the_key_alone_and_a_password_alone(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SCRM_DATABASE__URL": sqlite_url,
        "SCRM_WECOM__CORP_ID": "ww1",
        "SCRM_WECOM__AGENT_ID": "1",
        "SCRM_WECOM__SECRET": "s",
        "SCRM_WECOM__TOKEN": "t",
        "SCRM_WECOM__ENCODING_AES_KEY": "a" * 43,
        "SCRM_SECURITY__SECRET_KEY": "k" * 40,
    }.items():
        monkeypatch.setenv(name, value)
    assert run(["user", "add", "erp", "--role", "administrator", "--api-key"]) == 0
    assert re.fullmatch(r"scrm_[\w-]{43}\n", capsys.readouterr().out)
    assert run(["user", "add", "admin", "--role", "administrator", "--password"]) == 0
    assert re.fullmatch(r"(\w{4}-){3}\w{4}\n", capsys.readouterr().out)
    assert run(["user", "add", "lina", "--role", "staff"]) == 0
    assert run(["user", "add", "lina", "--role", "operator"]) == 0
    capsys.readouterr()
    assert run(["user", "add", "lina", "--role", "nonsense"]) == 1
    assert "没有角色“nonsense”，可用的有：员工（member）" in capsys.readouterr().err
    assert run(["user", "add", "lina", "--role", "member", "--api-key"]) == 2
    assert run(["user", "add", "lina", "--api-key", "--password"]) == 2
