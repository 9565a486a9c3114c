"""The shop's own fields beside a chat, changed where they stand."""

from typing import Any

import pytest
from sqlalchemy import Connection

from scrm.profiles import custom_fields
from scrm.profiles import store as profiles
from scrm.profiles.custom_fields import Definition
from tests.sidebar.conftest import Member, words
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def test_a_field_is_changed_where_it_stands(world: World, lina: Member, wanghao: Member) -> None:
    await world.add()
    now = world.clock.now()

    def define(conn: Connection) -> int:
        for said in (
            Definition("肤质", "select", key="skin", options=("油皮", "干皮")),
            Definition("功效", "multi_select", key="wants", options=("美白", "保湿")),
            Definition("预算", "money", key="budget", most="1000"),
        ):
            custom_fields.define(conn, "person", said, now)
        custom_fields.define(conn, "relation", Definition("亲密度", "number", key="close"), now)
        contact = profiles.find_contact(conn, XIAOMAN)
        assert contact is not None
        return int(contact.person_id)

    person_id = await world.services.db.write(define)
    own = f"/sidebar/contacts/{XIAOMAN}/fields"
    assert f'hx-get="{own}"' in await lina.page(f"/sidebar/contacts/{XIAOMAN}")
    assert "肤质 未填写" in words(await lina.page(own, htmx=True))
    filled: dict[str, Any] = {"own.skin": "油皮"}
    assert "肤质 油皮" in words(await lina.press(f"{own}/person/skin", **filled))
    assert "功效 美白" in words(await lina.press(f"{own}/person/wants", **{"own.wants": "美白"}))
    assert "亲密度 5" in words(await lina.press(f"{own}/relation/close", **{"own.close": "5"}))
    refused = await lina.press(f"{own}/person/budget", **{"own.budget": "9999"})
    assert "“预算”不能大于 1000" in refused
    assert 'value="9999"' in refused
    told = await world.services.db.read(custom_fields.list_changes, "person", (person_id,))
    assert {(row.key, row.source, row.actor) for row in told if row.entity == "person"} == {
        ("skin", "sidebar", "lina"),
        ("wants", "sidebar", "lina"),
    }
    assert (await wanghao.get(own, htmx=True)).status == 403
