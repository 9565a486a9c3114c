"""人群包 as a manager makes one from a template, changes it, and asks why somebody is in it."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, update

from scrm.commerce.models import orders
from scrm.console.conditions.forms import OF_PLAYBOOKS, OF_SEGMENTS
from scrm.console.conditions.texts import read_text, write_text
from scrm.events import event
from scrm.profiles.conditions.fields import FIELDS
from scrm.profiles.conditions.tree import EVENTS, check_condition
from scrm.profiles.conditions.tree import LEAVES as LEAVES_KNOWN
from scrm.profiles.models import corp_tag, person, person_stat
from scrm.segments import freeze, refresh, store
from scrm.segments.models import segment, segment_day, segment_member
from scrm.segments.templates import TEMPLATES
from tests.console.conftest import Visitor
from tests.fakes.deaths import Killed, revive
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
        for number, many in enumerate((0, 1, 3), 901):
            row = {"id": number, "name": f"买家{number}", "created_at": world.services.clock.now()}
            conn.execute(insert(person).values(**row))
            conn.execute(insert(person_stat).values(person_id=number, paid_orders=many, orders=many))

    await world.services.db.write(add)


async def test_a_segment_is_made_from_a_template_computed_explained_and_changed(world: World, manager: Visitor) -> None:
    await add_buyers(world)
    page = await manager.get("/console/segments")
    assert "还没有人群包" in page
    assert all(template.title in page for template in TEMPLATES)
    form = await manager.get("/console/segments/new?template=buyer-no-friend")
    assert 'value="有订单但非好友（待引流）"' in form.html
    assert "{field: person.members, op: eq, value: 0}" in form.html
    assert "需要已接入订单" in form.html
    # The shop's first order comes in: nobody is told to connect any.
    now = world.clock.now()
    of_order = {"channel": "t", "order_no": "1", "status": "paid", "first_seen_at": now, "last_seen_at": now}
    await world.services.db.write(lambda conn: conn.execute(insert(orders).values(ordered_at=now, **of_order)))
    assert "需要已接入订单" not in (await manager.get("/console/segments/new?template=buyer-no-friend")).html
    page = await manager.get("/console/segments")
    assert "需要已接入订单和售后" in page
    assert "需要已接入订单 " not in page
    parts = [
        {"field": "person.orders", "op": "gte", "value": 1},
        {"field": "person.members", "op": "eq", "value": 0},
        {"not": {"event": "refund.opened"}},
    ]
    said = {"template": "buyer-no-friend", "title": "有订单但非好友", "tree": json.dumps({"all": parts})}
    status, found = await post(manager, "/console/segments/count", **said)
    assert status == 200
    told = json.loads(found)
    assert told["problems"] == []
    assert ">2</b>" in told["html"]
    assert "买家903" in told["html"]
    as_text = json.loads((await post(manager, "/console/segments/count", text=told["text"]))[1])
    assert as_text["tree"] == {"all": parts}
    assert (await post(manager, "/console/segments/new", **said))[0] == 303
    assert await refresh.refresh(world.services, "buyer-no-friend") == (2, 0)
    shown = await manager.get("/console/segments/buyer-no-friend?customer=901")
    assert "/console/mass-messages/new?segment=buyer-no-friend" in shown.links
    writing = await manager.get("/console/mass-messages/new?segment=buyer-no-friend")
    assert '<option value="buyer-no-friend" selected>' in writing.html
    assert "不在里面" in shown
    assert "订单数 不少于 1" in shown
    assert "现为 0" in shown
    assert "买家902" in shown
    assert "在里面" in await manager.get("/console/segments/buyer-no-friend?customer=903")
    edit = await manager.get("/console/segments/buyer-no-friend/edit")
    assert "refund.opened" in edit.html
    assert 'value="有订单但非好友"' in edit.html
    fewer = {**said, "text": told["text"].replace("value: 1", "value: 3")}
    assert (await post(manager, "/console/segments/buyer-no-friend/edit", **fewer))[0] == 303
    await refresh.refresh(world.services, "buyer-no-friend")
    assert [row.person_id for row in await world.rows(segment_member)] == [903]
    by_name = await manager.get("/console/segments/buyer-no-friend?customer=买家90")
    assert "有几位，选一位" in by_name
    assert "?customer=902#why" in by_name.links
    why = await manager.get("/console/segments/buyer-no-friend?customer=买家902")
    assert "买家902 不在里面" in why
    assert "✗ 同时满足 ✗ 订单数 不少于 3 现为 1" in why
    assert "✓ 除外 “发起售后”次数 不少于 1 现为 0 次" in why
    assert "没有名字或备注里有“没这人”的客户" in await manager.get("/console/segments/buyer-no-friend?customer=没这人")
    assert "没有编号为 77 的客户" in await manager.get("/console/segments/buyer-no-friend?customer=77")
    assert (await post(manager, "/console/segments/buyer-no-friend/refresh"))[0] == 303
    assert (await post(manager, "/console/segments/buyer-no-friend/delete"))[0] == 303
    assert "没有人群包" in (await post(manager, "/console/segments/buyer-no-friend/refresh"))[1]


async def test_of_very_many_it_is_first_said_about_how_many(world: World, manager: Visitor) -> None:
    # One number in ten is somebody's.
    everybody = 120_000
    numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 10 FROM numbers WHERE n < {everybody}) "

    def add(conn: Any) -> None:
        for into, of in (
            ("person (id, name, created_at)", "SELECT n, '客户' || n, 0 FROM numbers"),
            ("person_stat (person_id, orders)", "SELECT n, 1 FROM numbers WHERE n / 10 % 5 < 2"),
            (
                "event (name, person_id, facts, occurred_at, received_at)",
                "SELECT 'refund.opened', n, '{}', 0, 0 FROM numbers WHERE n / 10 % 20 = 0",
            ),
        ):
            conn.exec_driver_sql(f"INSERT INTO {into} {numbers}{of}")

    async def ask(tree: Any, **more: str) -> dict[str, Any]:
        status, found = await post(manager, "/console/segments/count", tree=json.dumps(tree), **more)
        assert status == 200
        told: dict[str, Any] = json.loads(found)
        return told

    await world.services.db.write(add)
    bought = {"field": "person.orders", "op": "gte", "value": 1}
    tree = {"all": [bought, {"not": {"event": "refund.opened", "count": {"gte": 1}}}]}
    told = await ask(tree)
    assert told["is_estimate"]
    found = re.search(r"约 <b[^>]*>([\d,]+)</b>.*±([\d,]+)", told["html"], re.DOTALL)
    assert found
    about, margin = (int(each.replace(",", "")) for each in found.groups())
    assert 200 < margin < 900
    assert abs(about - 4_200) < 2 * margin
    assert (await ask(tree))["html"] == told["html"]
    exact = await ask(tree, exact="1")
    assert not exact["is_estimate"]
    assert ">4,200</b> 位客户符合" in exact["html"]
    assert "客户119961" in exact["html"]
    assert 'hint">按抽样' not in exact["html"]
    assert "不到 <b" in (await ask({"all": [bought, {"event": "order.paid"}]}))["html"]


async def test_a_list_is_frozen_and_compared_and_who_came_and_went_is_told(world: World, manager: Visitor) -> None:
    await add_buyers(world)
    tree = json.dumps({"field": "person.orders", "op": "gte", "value": 1})
    made = await manager.send("/console/segments/new", title="买过的", tree=tree)
    path = made.headers["Location"]
    key = path.rpartition("/")[2]
    await refresh.refresh(world.services, key)
    frozen = await manager.send(f"{path}/freeze", title="三月的买家")
    assert frozen.status == 303
    copy = frozen.headers["Location"]
    await world.settle()
    page = await manager.get(copy)
    assert "成员 2" in page
    assert "固定名单" in page
    assert "还没有人进出" in page

    def buy_and_return(conn: Any) -> None:
        conn.execute(update(person_stat).where(person_stat.c.person_id == 901).values(orders=2))
        conn.execute(update(person_stat).where(person_stat.c.person_id == 903).values(orders=0))

    await world.services.db.write(buy_and_return)
    assert await refresh.refresh(world.services, key) == (1, 1)
    shown = await manager.get(path)
    assert "进入 买家901" in shown
    assert "离开 买家903" in shown
    assert "离开 买家903" in await manager.get(f"{path}/moved")
    assert [(row.members, row.entered, row.left) for row in await world.rows(segment_day)] == [(2, 1, 1)]
    versus = await manager.get(f"{path}/compare?with={copy.rpartition('/')[2]}")
    assert "只在“买过的” 1 人 买家901" in versus
    assert "两个都在 1 人" in versus
    assert "只在“三月的买家” 1 人 买家903" in versus
    (less, _) = (link for link in versus.links if "new?if=" in link)
    assert "- {not: {segment: list-" in (await manager.get(less)).html
    again = await manager.send(f"{path}/freeze", title="三月的买家")
    assert again.status == 409
    assert "已有名为“三月的买家”的人群包" in await again.text()


async def test_killed_in_the_middle_a_list_is_frozen_whole_and_one_whose_segment_is_gone_says_so(
    world: World, manager: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_buyers(world)
    tree = json.dumps({"field": "person.orders", "op": "gte", "value": 0})
    made = await manager.send("/console/segments/new", title="所有人", tree=tree)
    path = made.headers["Location"]
    enter, entered = store.enter, []

    def die(conn: Any, row: Any, ids: list[int], **more: Any) -> int:
        entered.append(enter(conn, row, ids, **more))
        if len(entered) == 2:
            raise Killed
        return entered[-1]

    frozen = await manager.send(f"{path}/freeze", title="三月的人")
    with monkeypatch.context() as patch:
        patch.setattr(freeze, "PIECE", 1)
        patch.setattr(store, "enter", die)
        with pytest.raises(Killed):
            await world.settle()
    assert "成员 计算中" in await manager.get(frozen.headers["Location"])
    await revive(world.services)
    await world.settle()
    assert "成员 3" in await manager.get(frozen.headers["Location"])
    assert await world.rows(event, event.c.name == "segment.entered") == []
    late = await manager.send(f"{path}/freeze", title="四月的人")
    await manager.send(f"{path}/delete")
    await world.settle()
    page = await manager.get(late.headers["Location"])
    assert "名单没有冻结完：原来的人群包已删除" in page
    assert "成员 0" in page
    assert "名单里还没有人" in page
    assert "没有冻结完" in await manager.get("/console/segments")


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"title": "空的"}, "请至少写一个条件"),
        ({"title": "", "text": "{tag: 老客}"}, "老客"),
        ({"title": "坏的", "text": "- {tag: a: b"}, "第 1 行"),
        ({"title": "坏的", "text": "- {tag"}, "- {tag"),
        ({"title": "坏的", "text": "- {trigger: amount_fen, value: 1}"}, "只能写在剧本里"),
        ({"title": "坏的", "text": "{field: person.orders, op: gte, value: 三}"}, "要和数字比较"),
        ({"title": "坏的", "tree": '{"segment": "没有"}'}, "不存在"),
        ({"title": "坏的", "tree": '{"segment": '}, "请刷新页面"),
        ({"title": "坏的", "tree": "[1, 2]"}, "条件是空的"),
    ],
)
async def test_a_wrong_segment_is_refused_in_words_and_what_was_written_stays(
    world: World, manager: Visitor, said: dict[str, str], says: str
) -> None:
    status, text = await post(manager, "/console/segments/new", **said)
    assert status in (409, 422)
    assert says in text
    assert await world.rows(segment) == []


KEYS = st.sampled_from(["field", "event", "where", "渠道", "a b", "value: 1", "no", "op"])
PLAIN = st.one_of(
    st.text(max_size=12),
    st.integers(-(10**15), 10**15),
    st.sampled_from([0.5, -12.25, 1e6]),
    st.booleans(),
    st.none(),
    st.sampled_from(
        ["2026-03-01", "today+7d", "0755", "10:30", "yes", "~", "- a", "{tag: x}", "a: b # c", "第 1 行\n第 2 行"]
    ),
)
LEAVES = st.dictionaries(
    KEYS,
    st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(KEYS, PLAIN, max_size=2)),
    min_size=1,
    max_size=3,
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=12,
)


@given(TREES)
def test_a_condition_is_written_as_text_and_read_again_without_loss(tree: Any) -> None:
    assert read_text(write_text(tree)) == tree


def test_every_shipped_condition_reads_as_an_author_would_write_it() -> None:
    for template in TEMPLATES:
        assert read_text(write_text(template.condition)) == template.condition, template.key
    assert write_text({"all": [{"tag": "老客"}, {"not": {"any": [{"no_reply": True}]}}]}) == (
        "all:\n  - {tag: 老客}\n  - not:\n      any:\n        - {no_reply: true}\n"
    )
    assert read_text("- {tag: 老客}\n") == {"all": [{"tag": "老客"}]}
    assert read_text(" \n") is None


async def test_the_builder_offers_every_field_event_and_leaf_and_what_to_pick(world: World, manager: Visitor) -> None:
    def add(conn: Any) -> None:
        conn.execute(insert(corp_tag).values(tag_id="t1", tag_name="油皮", group_name="肤质", group_id="g"))

    await world.services.db.write(add)
    told: dict[str, Any] = {}
    for base in (OF_SEGMENTS, OF_PLAYBOOKS):
        catalogue = json.loads((await manager.get(f"{base}/catalogue")).html)
        told[base] = {ask["key"]: ask for group in catalogue["groups"] for ask in group["asks"]}
        for ask in told[base].values():
            leaf = {**ask["leaf"], **FILLED.get(ask["key"], {})}
            assert leaf.get("value") == "" or not check_condition(leaf), ask
    kinds = {key.partition(":")[0] for key in told[OF_PLAYBOOKS]}
    assert kinds == set(LEAVES_KNOWN)
    assert {f"event:{name}" for name in EVENTS} <= set(told[OF_SEGMENTS])
    assert {f"field:{known.key}" for known in FIELDS if known.of_run is None} <= set(told[OF_SEGMENTS])
    assert not any(key.startswith(("field:relation.", "field:member.", "trigger")) for key in told[OF_SEGMENTS])
    picked = json.loads((await manager.get(f"{OF_SEGMENTS}/options?of=tag&q=油")).html)
    assert picked == {"options": [{"value": "油皮", "title": "肤质"}]}
    named = json.loads((await manager.get(f"{OF_SEGMENTS}/options?of=member&value=chenlan")).html)
    assert named == {"options": [{"value": "chenlan", "title": "陈岚"}]}
    for of in ("segment", "coupon", "level", "department", "channel", "stage", "unknown"):
        assert (await manager.get(f"{OF_SEGMENTS}/options?of={of}&q=x")).status == 200


# What somebody picks or types after a question is chosen.
FILLED: dict[str, dict[str, Any]] = {"tag": {"tag": "油皮"}, "segment": {"segment": "停发名单"}}
