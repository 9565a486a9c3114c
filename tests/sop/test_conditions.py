"""Condition trees: what SQL says is what plain Python says, on both databases."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, literal, select

from scrm.commerce.coupons import store as coupons
from scrm.db import Database
from scrm.events import Event, publish
from scrm.profiles.conditions import leaves_trigger as conditions_trigger
from scrm.profiles.conditions.fields import FIELDS, OPERATORS_OF, Kind
from scrm.profiles.models import (
    corp_tag,
    external_contact,
    follow_user,
    follow_user_tag,
    person,
    person_field,
    person_stat,
)
from scrm.segments import audience
from scrm.segments.conditions import (
    Whom,
    check_condition,
    compile_condition,
    explain,
    holding,
    holding_for,
    holds,
    list_leaves,
)
from scrm.segments.explained import explain_tree
from scrm.segments.models import person_value, segment, segment_member

NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
Facts = dict[str, Any]


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


def add_person(conn: Connection, facts: Facts) -> int:
    """Somebody of whom everything in `facts` is true."""
    row = {"name": facts.get("name", ""), "stage": facts.get("stage", ""), "optout": facts.get("optout", {})}
    person_id: int = conn.execute(insert(person).values(**row, created_at=NOW).returning(person.c.id)).scalar_one()
    if stat := facts.get("stat"):
        conn.execute(insert(person_stat).values(person_id=person_id, **stat))
    if placed := facts.get("value"):
        conn.execute(insert(person_value).values(person_id=person_id, changed_at=NOW, **placed))
    for key, value in facts.get("fields", {}).items():
        conn.execute(insert(person_field).values(person_id=person_id, key=key, value=value, changed_at=NOW))
    external_userid = f"wm{person_id}"
    if "gender" in facts:
        row = {"external_userid": external_userid, "person_id": person_id, "gender": facts["gender"], "type": 1}
        conn.execute(insert(external_contact).values(**row, created_at=NOW))
    for number, follow in enumerate(facts.get("follows", [])):
        pair = {"userid": f"m{number}", "external_userid": external_userid}
        values = {"state": follow["state"], "add_way": follow["add_way"], "ended_by": follow["ended_by"]}
        conn.execute(insert(follow_user).values(**pair, person_id=person_id, followed_at=NOW, **values))
        for tag in follow["tags"]:
            conn.execute(insert(follow_user_tag).values(**pair, tag_id=f"id-{tag}", tag_name=tag))
    told = [Event(name, NOW - ago, person_id=person_id, facts=about) for name, ago, about in facts.get("events", [])]
    publish(conn, told, now=NOW)
    return person_id


# The plain evaluator: what conditions mean, without SQL.


def fits(tree: Any, facts: Facts) -> bool:
    return tree is None or (is_sound(tree) and _fits(tree, facts))


def is_sound(tree: Any) -> bool:
    """Whether all that it names is there."""
    if check_condition(tree):
        return False
    known_tags = {"老客", "新客"}
    if any(leaf.get("tag", "老客") not in known_tags for _, leaf in list_leaves(tree)):
        return False
    for path, leaf in list_leaves(tree):
        if leaf.get("segment") == "没有" or (leaf.get("segment") == "空的" and "not" in path):
            return False
    return True


def _fits(tree: Any, facts: Facts) -> bool:
    if "all" in tree:
        return all(_fits(part, facts) for part in tree["all"])
    if "any" in tree:
        return any(_fits(part, facts) for part in tree["any"])
    if "not" in tree:
        return not _fits(tree["not"], facts)
    if "field" in tree:
        return _field_fits(tree, facts)
    if "event" in tree:
        return _event_fits(tree, facts)
    if "segment" in tree:
        return {"空的": False, "名单": bool(facts.get("is_listed")), "买过": _paid_orders(facts) > 0}[tree["segment"]]
    if "flag" in tree:
        optout = facts.get("optout", {})
        return bool(optout.get(tree["flag"].partition(".")[2]) or optout.get("all"))
    return any(tree["tag"] in follow["tags"] for follow in _living(facts))


def _paid_orders(facts: Facts) -> int:
    return int(facts.get("stat", {}).get("paid_orders", 0))


def _living(facts: Facts) -> list[Facts]:
    return [follow for follow in facts.get("follows", []) if not follow["ended_by"]]


def _field_fits(leaf: Any, facts: Facts) -> bool:
    key, op, wanted = leaf["field"], leaf["op"], leaf.get("value")
    if key.startswith(("follow.", "contact.")):
        values = _relation_values(key, facts)
        if op in ("ne", "not_in"):
            return not any(_compare("eq" if op == "ne" else "in", value, wanted) for value in values)
        if op == "missing":
            return not any(_compare("present", value, None) for value in values)
        return any(_compare(op, value, wanted) for value in values)
    if key in _PLACES:
        return _place_fits(key, op, wanted, facts)
    value = _value(key, facts)
    if isinstance(wanted, bool):
        wanted = "true" if wanted else "false"
    if key.startswith("field."):
        number = isinstance(wanted, int | float) or (isinstance(wanted, list) and not isinstance(wanted[0], str))
        value = _as_number(value) if number else _as_text(value)
    if key == "person.paid" and wanted is not None:
        wanted = [each * 100 for each in wanted] if isinstance(wanted, list) else wanted * 100
    return _compare(op, value, wanted)


# By field: the column, and the title of each place; that of nobody's place comes first.
_PLACES = {
    "rfm.class": ("rfm", {"": "未分类", "111": "重要价值客户", "000": "一般挽留客户"}),
    "life.stage": ("life", {"": "潜客", "active": "活跃", "lost": "流失"}),
    "life.aipl": ("aipl", {"": "认知（A）", "I": "兴趣（I）", "L": "忠诚（L）"}),
}


def _place_fits(key: str, op: str, wanted: Any, facts: Facts) -> bool:
    """Everybody is somewhere: who is nowhere else is at the first place, which is also having none."""
    column, titles = _PLACES[key]
    kept = facts.get("value", {}).get(column, "")
    if op in ("present", "missing"):
        return bool(kept) == (op == "present")
    return _compare(op, titles[kept], wanted)


def _relation_values(key: str, facts: Facts) -> list[Any]:
    if key == "contact.gender":
        return [facts["gender"]] if "gender" in facts else []
    return [follow[key.partition(".")[2]] for follow in _living(facts)]


def _value(key: str, facts: Facts) -> Any:
    stat = facts.get("stat") or {}
    group, _, name = key.partition(".")
    if group == "field":
        return facts.get("fields", {}).get(name)
    if group == "rfm":
        return facts.get("value", {}).get(name) or None
    if name == "last_paid_days":
        paid_at = stat.get("last_paid_at")
        return None if paid_at is None else int((NOW - paid_at) / DAY)
    if name == "paid":
        return stat.get("paid_fen", 0)
    return facts.get(name, "") if name in ("stage", "name") else stat.get(name, 0)


def _as_text(value: Any) -> str | None:
    return ("true" if value else "false") if isinstance(value, bool) else None if value is None else str(value)


def _as_number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _compare(op: str, value: Any, wanted: Any) -> bool:
    if op in ("present", "missing"):
        return (value not in (None, "")) == (op == "present")
    if value is None:
        return False
    compared: dict[str, Any] = {
        "eq": lambda: value == wanted,
        "ne": lambda: value != wanted,
        "gt": lambda: value > wanted,
        "gte": lambda: value >= wanted,
        "lt": lambda: value < wanted,
        "lte": lambda: value <= wanted,
        "in": lambda: value in wanted,
        "not_in": lambda: value not in wanted,
        "contains": lambda: wanted.lower() in value.lower(),
    }
    return bool(compared[op]())


def _event_fits(leaf: Any, facts: Facts) -> bool:
    within = timedelta(days=int(leaf["within"][:-1])) if "within" in leaf else None
    times = 0
    for name, ago, about in facts.get("events", []):
        recent = within is None or ago <= within
        about_it = all(
            _as_text(about.get(key, "")) in [_as_text(v) for v in (wanted if isinstance(wanted, list) else [wanted])]
            for key, wanted in leaf.get("where", {}).items()
        )
        times += name == leaf["event"] and recent and about_it
    ((op, wanted),) = leaf.get("count", {"gte": 1}).items()
    return _compare(op, times, wanted)


# Random people and random trees.

WORDS = st.sampled_from(["", "新客", "VIP", "vip", "a_b", "10%", "油皮", "3"])
COUNTS = st.integers(0, 3)
EVENT_NAMES = st.sampled_from(["order.paid", "order.delivered", "refund.opened"])
CHANNELS = st.sampled_from(["taobao", "wxstore", "3", True, 3])
people = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "is_listed": st.booleans(),
        "stage": WORDS,
        "optout": st.dictionaries(st.sampled_from(["promo", "all", "live"]), st.booleans()),
        "gender": COUNTS,
        "stat": st.fixed_dictionaries(
            {"paid_orders": COUNTS, "orders": COUNTS, "paid_fen": st.sampled_from([0, 990, 19900, 20000])},
            optional={"last_paid_at": st.integers(0, 200).map(lambda hours: NOW - timedelta(hours=hours))},
        ),
        "value": st.fixed_dictionaries(
            {},
            optional={
                **{column: st.sampled_from(sorted(titles)) for column, titles in _PLACES.values()},
                "r": st.integers(0, 5),
            },
        ),
        "fields": st.dictionaries(
            st.sampled_from(["skin", "size", "肤质"]), st.one_of(WORDS, COUNTS, st.booleans(), st.just(2.5))
        ),
        "follows": st.lists(
            st.fixed_dictionaries(
                {
                    "state": WORDS,
                    "add_way": COUNTS,
                    "ended_by": st.sampled_from(["", "", "customer"]),
                    "tags": st.lists(st.sampled_from(["老客", "新客", "VIP"]), unique=True, max_size=2),
                }
            ),
            max_size=2,
        ),
        "events": st.lists(
            st.tuples(
                EVENT_NAMES,
                st.integers(0, 100).map(lambda hours: timedelta(hours=hours)),
                st.dictionaries(st.just("channel"), CHANNELS),
            ),
            max_size=4,
        ),
    },
)

NUMBERS = st.one_of(COUNTS, st.sampled_from([2.5, -1, 10**12]))
MONEY = st.sampled_from([0, 9.9, 199, 200])


def leaf_about(key: str, values: st.SearchStrategy[Any], operators: tuple[str, ...]) -> st.SearchStrategy[Any]:
    def leaf(op: str) -> st.SearchStrategy[Any]:
        if op in ("present", "missing"):
            return st.just({"field": key, "op": op})
        value = st.lists(values, min_size=1, max_size=3) if op in ("in", "not_in") else values
        return st.fixed_dictionaries({"field": st.just(key), "op": st.just(op), "value": value})

    return st.sampled_from(operators).flatmap(leaf)


number_operators = OPERATORS_OF[FIELDS[0].kind]
text_operators = ("eq", "ne", "in", "not_in", "contains", "present", "missing")
filled_words = WORDS.filter(bool)
leaves = st.one_of(
    leaf_about("person.paid_orders", NUMBERS, number_operators),
    leaf_about("person.last_paid_days", NUMBERS, number_operators),
    leaf_about("person.paid", MONEY, number_operators),
    leaf_about("person.stage", filled_words, text_operators),
    leaf_about("person.name", filled_words, text_operators),
    leaf_about("contact.gender", COUNTS, number_operators),
    leaf_about("follow.state", filled_words, text_operators),
    leaf_about("follow.add_way", COUNTS, number_operators),
    leaf_about("field.skin", filled_words, text_operators),
    leaf_about("field.肤质", NUMBERS, tuple(op for op in number_operators if op not in ("present", "missing"))),
    leaf_about("field.size", st.booleans(), ("eq", "ne")),
    *(
        leaf_about(key, st.sampled_from(sorted(titles.values())), OPERATORS_OF[Kind.CHOICE])
        for key, (_, titles) in _PLACES.items()
    ),
    leaf_about("rfm.r", COUNTS, number_operators),
    st.fixed_dictionaries({"tag": st.sampled_from(["老客", "新客", "从未有过"])}),
    st.fixed_dictionaries({"flag": st.sampled_from(["optout.promo", "optout.all"])}),
    st.fixed_dictionaries(
        {"event": EVENT_NAMES},
        optional={
            "within": st.sampled_from(["1d", "3d"]),
            "count": st.dictionaries(st.sampled_from(["gte", "eq", "lt"]), COUNTS, min_size=1, max_size=1),
            "where": st.fixed_dictionaries(
                {"channel": st.one_of(CHANNELS, st.lists(CHANNELS, min_size=1, max_size=2))}
            ),
        },
    ),
    st.fixed_dictionaries({"segment": st.sampled_from(["没有", "空的", "名单", "买过", "买过"])}),
    st.sampled_from([{}, {"segment": "没有"}, {"field": "person.nothing", "op": "eq", "value": 1}]),
)
trees = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.fixed_dictionaries({"all": st.lists(parts, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(parts, max_size=3)}),
        st.fixed_dictionaries({"not": parts}),
    ),
    max_leaves=6,
)


class _Undone(Exception):
    """Takes back what an example wrote."""


@pytest.fixture
def check_example(database_url: str) -> Iterator[Callable[[Callable[[Connection], None]], None]]:
    """Runs a function in a transaction that is undone; hypothesis itself knows no event loop."""
    with asyncio.Runner() as runner:

        async def opened() -> Database:
            return Database(database_url)

        database = runner.run(opened())

        def check(work: Callable[[Connection], None]) -> None:
            def undone(conn: Connection) -> None:
                work(conn)
                raise _Undone

            with pytest.raises(_Undone):
                runner.run(database.write(undone))

        yield check
        runner.run(database.close())


@given(st.lists(people, min_size=1, max_size=4), st.lists(trees, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_sql_says_what_plain_python_says(
    check_example: Callable[[Callable[[Connection], None]], None], crowd: list[Facts], asked: list[Any]
) -> None:
    def compare(conn: Connection) -> None:
        _add_tags(conn)
        ids = [add_person(conn, facts) for facts in crowd]
        _add_segments(
            conn, add_person(conn, {}), [each for each, one in zip(ids, crowd, strict=True) if one.get("is_listed")]
        )
        for tree in asked:
            expected = [fits(tree, facts) for facts in crowd]
            assert [holds(conn, tree, each, NOW) for each in ids] == expected, tree
            wanted = {each for each, fit in zip(ids, expected, strict=True) if fit}
            assert holding(conn, tree, ids, NOW) == wanted, tree
            assert set(audience.list_ids(conn, tree, NOW)) & set(ids) == wanted, tree
            runs = [Whom(-each, each, "m0", f"wm{each}", facts={}, anchor_at=NOW) for each in ids]
            assert holding_for(conn, tree, runs, NOW) == {-each for each in wanted}, tree
            assert holds(conn, tree, 0, NOW) == fits(tree, {}), tree
            told = explain_tree(conn, tree, ids[0], NOW)
            assert told.holds == expected[0], tree

    check_example(compare)


def _add_tags(conn: Connection) -> None:
    for name in ("老客", "新客"):
        conn.execute(insert(corp_tag).values(tag_id=f"id-{name}", tag_name=name, is_deleted=False))
    conn.execute(insert(corp_tag).values(tag_id="id-VIP", tag_name="VIP", is_deleted=True))


def _add_segments(conn: Connection, other: int, listed: list[int]) -> None:
    """One without anybody, one of `listed`, and one of buyers; the latter two also have somebody else."""
    for key in ("空的", "名单", "买过"):
        condition = {"field": "person.paid_orders", "op": "gte", "value": 1} if key == "买过" else None
        row = {"key": key, "title": key, "kind": "dynamic" if condition else "static", "condition": condition}
        conn.execute(insert(segment).values(**row, created_at=NOW, changed_at=NOW))
    members = [("名单", each) for each in [other, *listed]] + [("买过", other)]
    for key, person_id in members:
        conn.execute(insert(segment_member).values(segment_key=key, person_id=person_id, entered_at=NOW))


# What people rely on, one by one.


async def test_no_condition_admits_everyone_and_an_empty_one_nobody(db: Database) -> None:
    person_id = await db.write(add_person, {})
    assert await db.read(holds, None, person_id, NOW)
    for tree in ({}, {"all": []}, {"any": []}, {"not": {}}, {"not": {"all": []}}, {"not": {"segment": "没有"}}):
        assert not await db.read(holds, tree, person_id, NOW)
        assert await db.read(holding, tree, [person_id], NOW) == set()


async def test_a_deleted_tag_admits_nobody_even_below_not(db: Database) -> None:
    def world(conn: Connection) -> int:
        _add_tags(conn)
        return add_person(conn, {})

    person_id = await db.write(world)
    assert await db.read(holds, {"not": {"tag": "老客"}}, person_id, NOW)
    assert not await db.read(holds, {"not": {"tag": "VIP"}}, person_id, NOW)
    assert not await db.read(holds, {"any": [{"not": {"tag": "VIP"}}, {"not": {"tag": "老客"}}]}, person_id, NOW)
    (why,) = await db.read(explain, {"not": {"tag": "VIP"}}, person_id, NOW)
    assert (why.found, why.holds) == ("不存在或已删除", False)


async def test_events_before_the_run_began_do_not_end_it(db: Database) -> None:
    facts = {"events": [("order.paid", timedelta(days=2), {})]}
    person_id = await db.write(add_person, facts)
    paid = {"event": "order.paid"}
    assert await db.read(holds, paid, person_id, NOW)
    assert await db.read(holds, paid, person_id, NOW, since=NOW - 3 * DAY)
    assert not await db.read(holds, paid, person_id, NOW, since=NOW - 2 * DAY)


async def test_an_event_is_found_by_what_it_says_at_any_level(db: Database) -> None:
    facts = {"events": [("contact.added", DAY, {"channel": {"kind": "包裹卡"}}), ("order.paid", DAY, {"a.b": 1})]}
    person_id = await db.write(add_person, facts)
    added = {"event": "contact.added"}
    assert await db.read(holds, {**added, "where": {"channel.kind": ["直播", "包裹卡"]}}, person_id, NOW)
    assert not await db.read(holds, {**added, "where": {"channel.kind": "直播"}}, person_id, NOW)
    assert await db.read(holds, {"event": "order.paid", "where": {"a.b": 1}}, person_id, NOW)


async def test_since_may_be_a_column_of_each_run(db: Database) -> None:
    person_id = await db.write(add_person, {"events": [("order.paid", timedelta(days=2), {})]})

    def ask(conn: Connection) -> bool:
        fits = compile_condition({"event": "order.paid"}, person.c.id, NOW, since=person.c.created_at)
        return bool(conn.execute(select(fits).where(person.c.id == person_id)).scalar_one())

    assert not await db.read(ask)


async def test_coupons_are_asked_for_by_their_state(db: Database) -> None:
    def world(conn: Connection) -> list[int]:
        spec = {"kind": "generated", "title": "新人券", "face_fen": 3000, "valid": 3 * DAY}
        coupons.ensure_batch(conn, key="new", **spec, now=NOW)
        fresh, used, late, bare = (add_person(conn, {}) for _ in range(4))
        coupons.issue(conn, batch_key="new", person_id=fresh, reason_key="a", now=NOW)
        issue = coupons.issue(conn, batch_key="new", person_id=used, reason_key="a", now=NOW)
        coupons.redeem(conn, issue.code, now=NOW, by="test")
        coupons.issue(conn, batch_key="new", person_id=late, reason_key="a", now=NOW - 3 * DAY)
        return [fresh, used, late, bare]

    everyone = await db.write(world)
    for state, owner in zip(("unused", "redeemed", "expired", "none"), everyone, strict=True):
        tree = {"coupon": {"of": "new", "state": state}}
        assert await db.read(holding, tree, everyone, NOW) == {owner}, state
        assert await db.read(holding, {"not": tree}, everyone, NOW) == set(everyone) - {owner}
    gone = {"coupon": {"of": "gone", "state": "none"}}
    assert await db.read(holding, gone, everyone, NOW) == set()
    assert await db.read(holding, {"not": gone}, everyone, NOW) == set()
    (why,) = await db.read(explain, {"coupon": {"of": "new", "state": "unused"}}, everyone[0], NOW)
    assert why == ("券“new”未用", "有 1 张", True)


async def test_a_condition_is_explained_leaf_by_leaf(db: Database) -> None:
    facts = {"stat": {"paid_orders": 2, "paid_fen": 52000}, "fields": {"肤质": "油皮"}}
    person_id = await db.write(add_person, facts)
    tree = {
        "all": [
            {"field": "person.paid_orders", "op": "eq", "value": 0},
            {"not": {"field": "field.肤质", "op": "eq", "value": "干皮"}},
            {"event": "order.paid", "count": {"gte": 2}, "within": "90d"},
        ]
    }
    assert [tuple(line) for line in await db.read(explain, tree, person_id, NOW)] == [
        ("已付款订单数 等于 0", "2", False),
        ("并非：自定义字段“肤质” 等于 干皮", "油皮", True),
        ("90 天内“付款”次数 不少于 2", "0 次", False),
    ]


async def test_every_field_can_be_asked_and_explained_for_somebody_unknown(db: Database) -> None:
    for known in FIELDS:
        for op in OPERATORS_OF[known.kind]:
            usual: dict[str, Any] = {"number": 1, "yuan": 1, "text": "a", "moment": "2026-03-01T00:00+08:00"}
            value = next(iter(known.choices), usual.get(known.kind))
            leaf = {"field": known.key, "op": op, "value": [value] if op in ("in", "not_in") else value}
            if op in ("present", "missing"):
                del leaf["value"]
            assert check_condition(leaf) == []
            await db.read(holds, leaf, 0, NOW)
            await db.read(explain, leaf, 0, NOW)


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"field": "person.paid_order", "op": "eq", "value": 0}, "是不是想写 person.paid_orders？"),
        ({"field": "person.paid_orders", "op": "is", "value": 0}, "不能用 is 比较"),
        ({"field": "person.paid_orders", "op": "eq"}, "缺少 value"),
        ({"field": "person.paid_orders", "op": "eq", "value": "many"}, "要和数字比较"),
        ({"field": "person.paid_orders", "op": "eq", "value": True}, "要和数字比较"),
        ({"field": "person.paid_orders", "op": "eq", "value": float("nan")}, "太大"),
        ({"field": "person.paid", "op": "eq", "value": 9.999}, "最多两位小数"),
        ({"field": "person.stage", "op": "eq", "value": 3}, "请加上引号"),
        ({"field": "person.stage", "op": "in", "value": []}, "要写一个列表"),
        ({"field": "person.stage", "op": "contains", "value": ""}, "谁都包含"),
        ({"field": "person.stage", "op": "eq", "value": ""}, "还没写和什么比较"),
        ({"field": "person.first_paid_at", "op": "gt", "value": "2026-03-01"}, "带时区的时间"),
        ({"field": "contact.gender", "op": "eq", "value": "M"}, "未知、男、女"),
        ({"field": "field.skin", "op": "gt", "value": "油皮"}, "只能用数字比大小"),
        ({"field": "field.skin", "op": "in", "value": ["油皮", 3]}, "既有文字又有数字"),
        ({"field": ["person.stage"], "op": "eq", "value": 3}, "不认识的字段"),
        ({"field": "person.orders", "op": "eq", "value": 3, "within": "3d"}, "不认识“within”"),
        ({"event": "order.payed"}, "是不是想写 order.paid？"),
        ({"event": ["order.paid"]}, "不认识的事件"),
        ({"event": "order.paid", "count": {"gte": "2"}}, "count 要写成"),
        ({"event": "order.paid", "within": "a while"}, "看不懂 within"),
        ({"event": "order.paid", "where": {}}, "where 是空的"),
        ({"flag": "optout.everything"}, "不认识的标记"),
        ({"tag": ""}, "标签"),
        ({"no_reply": False}, "只能写 true"),
        ({"radar_opens_gte": "2"}, "要写打开次数"),
        ({"pushed": 3, "within": "7d"}, "pushed 要写成"),
        ({"trigger": "amount_fen", "op": "gte", "value": "many"}, "只能用数字或日期比大小"),
        ({"trigger": "amount_fen", "op": "in", "value": []}, "要写一个列表"),
        ({"bought": {}}, "bought 要写成"),
        ({"bought": {"category": "面膜"}}, "没有商品分类"),
        ({"bought": {"sku": []}}, "sku 要写文字"),
        ({"tag": "新客", "of": "me"}, "of 只能是"),
        ({"segment": ""}, "人群包的编号或名称"),
        ({"coupon": {"state": "used"}}, "state 只能是"),
        ({"coupon": {"of": "new", "state": "none", "expires_within": "7d"}}, "expires_within"),
        ({"weather": "rain"}, "不认识的条件“weather”"),
        ({"all": []}, "all 里面是空的"),
        ({"any": {"event": "order.paid"}}, "请写成列表"),
        ({"any": [{"event": "order.paid"}], "not": {"event": "order.paid"}}, "旁边不能再写"),
        ({}, "条件是空的"),
        ("order.paid", "条件是空的"),
    ],
)
def test_a_wrong_condition_is_refused_in_the_authors_words(tree: Any, says: str) -> None:
    problems = check_condition(tree)
    assert any(says in problem.text for problem in problems), problems
    compiled = compile_condition(tree, literal(1), NOW) if isinstance(tree, dict) else None
    assert compiled is None or str(compiled) == "false"


@pytest.mark.parametrize(
    ("leaf", "found", "words"),
    [
        ({"trigger": "paid", "op": "gte", "value": 200}, 259, "触发事件的实付金额（元） 不少于 200"),
        ({"trigger": "paid_fen", "op": "gte", "value": 20000}, 25900, "触发事件的实付金额（分） 不少于 20000"),
        ({"trigger": "freight", "op": "eq", "value": 9.9}, 9.9, "触发事件的freight 等于 9.9"),
        ({"trigger": "points", "op": "gte", "value": 100}, 1200, "触发事件的points 不少于 100"),
    ],
)
def test_money_of_the_event_is_compared_in_yuan_and_old_texts_in_fen(leaf: Any, found: Any, words: str) -> None:
    facts = {"paid_fen": 25900, "freight_fen": 990, "points": 1200}
    answered = conditions_trigger.answer(leaf, facts)
    assert (answered.found, answered.holds) == (found, True)
    assert conditions_trigger.TRIGGER.words(leaf) == words
    assert not conditions_trigger.answer({**leaf, "op": "lt"}, facts).holds


def test_problems_say_where_they_are() -> None:
    tree = {"all": [{"event": "order.paid"}, {"not": {"field": "nothing"}}]}
    assert [problem.path for problem in check_condition(tree)] == [("all", 1, "not")]


def test_a_tree_without_end_is_refused() -> None:
    deep: Any = {"event": "order.paid"}
    for _ in range(30):
        deep = {"not": deep}
    assert "太深" in check_condition(deep)[0].text
    assert "条件太多" in check_condition({"any": [{"event": "order.paid"}] * 201})[0].text
