"""人群包 as a manager makes one from a template, changes it, and asks why somebody is in it."""

from typing import Any

import pytest
from sqlalchemy import insert

from scrm.profiles.fields import FIELDS
from scrm.profiles.models import person, person_stat
from scrm.segments import forms, refresh
from scrm.segments.models import segment, segment_member
from scrm.segments.templates import TEMPLATES
from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


async def post(visitor: Visitor, path: str, **fields: str) -> tuple[int, str]:
    data = {"csrf": visitor.csrf, **fields}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status, await response.text()


async def add_buyers(world: World) -> None:
    def add(conn: Any) -> None:
        for number, orders in enumerate((0, 1, 3), 901):
            row = {"id": number, "name": f"买家{number}", "created_at": world.services.clock.now()}
            conn.execute(insert(person).values(**row))
            conn.execute(insert(person_stat).values(person_id=number, paid_orders=orders, orders=orders))

    await world.services.db.write(add)


async def test_a_segment_is_made_from_a_template_computed_explained_and_changed(world: World, manager: Visitor) -> None:
    await add_buyers(world)
    page = await manager.get("/console/segments")
    assert "还没有人群包" in page
    assert all(template.title in page for template in TEMPLATES)
    form = await manager.get("/console/segments/new?template=buyer-no-friend")
    assert 'value="有订单但非好友（待引流）"' in form.html
    assert "需要已接入订单" in form.html
    said = {
        "template": "buyer-no-friend",
        "title": "有订单但非好友",
        "field_0": "person.orders",
        "op_0": "gte",
        "value_0": "1",
        "more": "- {field: person.members, op: eq, value: 0}\n- {not: {event: refund.opened}}",
    }
    status, found = await post(manager, "/console/segments/count", **said)
    assert status == 200
    assert ">2</b>" in found
    assert "买家903" in found
    assert (await post(manager, "/console/segments/new", **said))[0] == 303
    assert await refresh.refresh(world.services, "buyer-no-friend") == (2, 0)
    shown = await manager.get("/console/segments/buyer-no-friend?customer=901")
    assert "不在里面" in shown
    assert "订单数 不少于 1" in shown
    assert "现为 0" in shown
    assert "买家902" in shown
    assert "在里面" in await manager.get("/console/segments/buyer-no-friend?customer=903")
    edit = await manager.get("/console/segments/buyer-no-friend/edit")
    assert "refund.opened" in edit.html
    assert 'value="有订单但非好友"' in edit.html
    assert (await post(manager, "/console/segments/buyer-no-friend/edit", **{**said, "value_0": "3"}))[0] == 303
    await refresh.refresh(world.services, "buyer-no-friend")
    assert [row.person_id for row in await world.rows(segment_member)] == [903]
    assert (await post(manager, "/console/segments/buyer-no-friend/refresh"))[0] == 303
    assert (await post(manager, "/console/segments/buyer-no-friend/delete"))[0] == 303
    assert "没有人群包" in (await post(manager, "/console/segments/buyer-no-friend/refresh"))[1]


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"title": "空的"}, "请至少写一个条件"),
        ({"title": "", "more": "{tag: 老客}"}, "老客"),
        ({"title": "坏的", "more": "- {tag"}, "不是正确的 YAML"),
        ({"title": "坏的", "more": "- {trigger: amount_fen, value: 1}"}, "只能写在剧本里"),
        ({"title": "坏的", "field_0": "person.orders", "op_0": "gte", "value_0": "三"}, "要和数字比较"),
        ({"title": "坏的", "more": "- {segment: 没有}"}, "不存在"),
    ],
)
async def test_a_wrong_segment_is_refused_in_words_and_what_was_written_stays(
    world: World, manager: Visitor, said: dict[str, str], says: str
) -> None:
    status, text = await post(manager, "/console/segments/new", **said)
    assert status in (409, 422)
    assert says in text
    assert await world.rows(segment) == []


def test_a_condition_survives_the_form() -> None:
    for template in TEMPLATES:
        said = forms.show_condition(template.condition)
        fields = {
            f"{part}_{number}": getattr(row, part)
            for number, row in enumerate(said.rows)
            for part in ("field", "op", "value")
        }
        again = forms.read_form({"title": "x", "joint": said.joint, "more": said.more, **fields})
        known = {each.key: each for each in FIELDS}
        written = forms.write_condition(again, known)
        assert sorted(map(str, _parts(written))) == sorted(map(str, _parts(template.condition))), template.key


def _parts(tree: Any) -> list[Any]:
    return next((tree[joint] for joint in ("all", "any") if joint in tree), [tree])
