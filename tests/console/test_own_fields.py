"""自定义字段 as a manager makes them, fills them in, and sees who changed what."""

from typing import Any

import pytest
from sqlalchemy import Connection, select

from scrm.profiles.models import external_contact, person_field
from scrm.profiles.own_fields.tables import custom_field
from tests.console.conftest import Visitor
from tests.world import XIAOMAN, World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(visitor: Visitor, path: str, **fields: Any) -> tuple[int, str]:
    data = [("csrf", visitor.csrf)]
    for name, value in fields.items():
        data += [(name.replace("__", "."), each) for each in (value if isinstance(value, list) else [value])]
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, await response.text()


async def test_a_manager_makes_fields_fills_them_in_and_sees_who_changed_what(world: World, manager: Visitor) -> None:
    await world.add()
    assert "还没有客户字段" in await manager.get("/console/fields")
    new = "/console/fields/new"
    assert (await post(manager, new, title="肤质", type="select", options="油皮\n干皮", key="skin"))[0] == 303
    assert (await post(manager, new, title="功效", type="multi_select", options="美白\n保湿", key="wants"))[0] == 303
    assert (await post(manager, new, title="预算", type="money", key="budget", most="1000", is_required="1"))[0] == 303
    assert (await post(manager, new, title="备用手机", type="phone", key="phone2"))[0] == 303
    assert (await post(manager, new, of="relation", title="亲密度", type="number", key="close"))[0] == 303
    assert (await post(manager, new, of="order", title="赠品", type="text", key="gift"))[0] == 303
    status, body = await post(manager, new, title="会员号", type="text", key="skin")
    assert (status, "已存在" in body, 'value="会员号"' in body) == (409, True, True)
    listed = await manager.get("/console/fields")
    assert all(words in listed for words in ("肤质", "field.skin", "{{ field.skin }}", "必填"))

    def find(conn: Connection) -> int:
        query = select(external_contact.c.person_id).where(external_contact.c.external_userid == XIAOMAN)
        return int(conn.execute(query).scalar_one())

    customer = f"/console/customers/{await world.services.db.read(find)}"
    form = f"{customer}/fields"
    assert "未填写" in await manager.get(customer)
    filled = {"own__skin": "油皮", "own__wants": ["美白", "保湿"], "own__phone2": "13800138000"}
    status, body = await post(manager, form, **filled, own__budget="2000")
    assert (status, "“预算”不能大于 1000" in body, 'value="2000"' in body) == (422, True, True)
    assert (await post(manager, form, **filled, own__budget=""))[0] == 422
    assert (await post(manager, form, **filled, own__budget="199.9"))[0] == 303
    assert (await post(manager, form, own__skin="干皮", own__wants=["美白", "保湿"], own__budget="199.9"))[0] == 303
    page = await manager.get(customer)
    assert all(words in page for words in ("干皮", "美白、保湿", "¥199.90", "138****8000"))
    told = await manager.get(form)
    assert all(words in told for words in ("油皮", "干皮", "陈岚", "修改记录"))
    kept = await world.rows(person_field, person_field.c.key == "phone2")
    assert "13800138000" not in str(kept)
    relation = f"{customer}/relations/lina/{XIAOMAN}/fields"
    assert (await post(manager, relation, own__close="5"))[0] == 303
    assert "亲密度 5" in await manager.get(customer)
    assert (await manager.get(f"{customer}/relations/nobody/{XIAOMAN}/fields")).status == 404

    assert (await post(manager, "/console/fields/person/skin", title="肤质", type="select", options="油皮\n中性"))[
        0
    ] == 303
    assert (await post(manager, "/console/fields/person/wants/up"))[0] == 303
    assert (await post(manager, "/console/fields/person/skin/archive"))[0] == 303
    assert "已归档" in await manager.get("/console/fields")
    assert "肤质" not in (await manager.get(customer)).text
    assert (await post(manager, "/console/fields/person/skin/restore"))[0] == 303
    rows = await world.rows(custom_field, custom_field.c.entity == "person")
    assert {row.key for row in rows if row.archived_at is None} == {"skin", "wants", "budget", "phone2"}
