"""Fields of the shop's own: what is written is read again, conditions ask by type, unique values have one owner."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert

from scrm.commerce.models import orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Conflict, Invalid
from scrm.events import event
from scrm.profiles import store as profiles
from scrm.profiles.conditions.tree import explain, holding, holds
from scrm.profiles.models import follow_user, member, person
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields import formulas as custom_formulas
from scrm.profiles.own_fields.fields import Change, Definition, define, set_values
from scrm.profiles.own_fields.values import CustomField, Entity, Type, compared, read, write
from scrm.segments import audience
from tests.plans import plans_of

NOW = datetime(2026, 3, 10, 4, 0, tzinfo=UTC)
BY = Change("staff", "lina", NOW)
VAULT = Vault("a key for tests that is long enough")
OPTIONS = ("油皮", "干皮", "混合皮")


def field(kind: Type, **more: Any) -> CustomField:
    more.setdefault("options", OPTIONS if kind in (Type.SELECT, Type.MULTI_SELECT) else ())
    return CustomField(Entity.PERSON, "x", "甲", kind, **more)


KEPT = {
    Type.TEXT: st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80).filter(
        lambda text: bool(text.strip()) and text == text.strip()
    ),
    Type.NUMBER: st.one_of(
        st.integers(-(10**15) + 1, 10**15 - 1), st.integers(-(10**9), 10**9).map(lambda millionths: millionths / 10**6)
    ).map(lambda number: int(number) if number == int(number) else number),
    Type.MONEY: st.integers(-(10**13), 10**13),
    Type.DATE: st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(date.isoformat),
    Type.SELECT: st.sampled_from(OPTIONS),
    Type.MULTI_SELECT: st.sets(st.sampled_from(OPTIONS), min_size=1).map(
        lambda chosen: [option for option in OPTIONS if option in chosen]
    ),
    Type.PHONE: st.from_regex(r"\+861[3-9][0-9]{9}", fullmatch=True),
    Type.MEMBER: st.from_regex(r"[A-Za-z0-9_]{1,20}", fullmatch=True),
    Type.URL: st.from_regex(r"https?://[a-z]{1,10}\.cn/[a-z0-9?=&%]{0,20}", fullmatch=True),
}


@pytest.mark.parametrize("kind", [kind for kind in Type if kind is not Type.FORMULA])
@given(st.data())
def test_what_is_written_is_read_again(kind: Type, data: st.DataObject) -> None:
    value = data.draw(KEPT[kind])
    assert read(field(kind), write(field(kind), value)) == value
    text, _ = compared(field(kind), value if kind is not Type.PHONE else {"mask": "138****8000"})
    assert text


@pytest.mark.parametrize(
    ("kind", "given_value", "kept"),
    [
        (Type.NUMBER, "１，２３４．５", 1234.5),
        (Type.NUMBER, 3.0, 3),
        (Type.MONEY, "¥1,299.9 元", 129990),
        (Type.MONEY, 129990, 129990),
        (Type.DATE, "2026年3月1日", "2026-03-01"),
        (Type.DATE, "2026/3/1 08:00", "2026-03-01"),
        (Type.MULTI_SELECT, "混合皮，油皮", ["油皮", "混合皮"]),
        (Type.PHONE, "138-0013-8000", "+8613800138000"),
        (Type.TEXT, "  ", None),
    ],
)
def test_values_are_read_as_people_write_them(kind: Type, given_value: Any, kept: Any) -> None:
    assert read(field(kind), given_value) == kept


@pytest.mark.parametrize(
    ("kind", "more", "given_value", "words"),
    [
        (Type.NUMBER, {}, "三", "“甲”应为数字，填的是“三”"),
        (Type.NUMBER, {}, True, "“甲”应为数字"),
        (Type.NUMBER, {}, "NaN", "“甲”应为数字"),
        (Type.NUMBER, {}, "1e15", "数字太大"),
        (Type.NUMBER, {"least": "1", "most": "5"}, "6", "“甲”不能大于 5，填的是“6”"),
        (Type.MONEY, {}, "1.234", "最多两位小数"),
        (Type.MONEY, {}, 1.5, "数字按分写成整数"),
        (Type.DATE, {}, "2026-02-30", "“甲”应为日期，如 2026-03-01，填的是“2026-02-30”"),
        (Type.DATE, {"least": "2026-01-01"}, "2025-12-31", "不能早于 2026-01-01"),
        (Type.SELECT, {}, "油", "“甲”没有选项“油”，可选：油皮、干皮、混合皮"),
        (Type.MULTI_SELECT, {}, 3, "选项的列表"),
        (Type.PHONE, {}, "138****8000", "不能带星号"),
        (Type.URL, {}, "javascript:alert(1)", "http:// 或 https://"),
        (Type.URL, {}, 'https://a.cn/" onclick="', "http:// 或 https://"),
        (Type.TEXT, {}, "一" * 501, "最多 500 个字，填了 501 个"),
        (Type.TEXT, {}, "a\0", "无法保存的字符"),
        (Type.FORMULA, {}, "3", "由系统计算"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(kind: Type, more: Any, given_value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as refused:
        read(field(kind, **more), given_value)
    assert "\n" not in str(refused.value)


# Formulas: what the database reckons is what plain Python reckons.

NAMES = ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "公式是空的"),
        ("a +", "公式没有写完"),
        ("a b", "“b”前面少了运算符号"),
        ("(a", "应有“)”，后面没有了"),
        ("__import__('os')", "看不懂"),
        ("a.b", "看不懂“.b”"),
        ("aa + 1", "不认识“aa”"),
        ("if(a, b)", "if 里要写 3 项，写了 2 项"),
        ("day + 1", "days_since(day)"),
        ("days_since(a)", "“a”不是日期"),
        ("skin + 1", "公式只能用数字、金额和日期字段"),
        ("(" * 20 + "a" + ")" * 20, "套得太深"),
        ("+".join("a" * 20), "最多 16 次运算"),
        ("a" * 301, "最多 300 个"),
    ],
)
def test_a_wrong_formula_is_refused_in_one_line(text: str, words: str) -> None:
    kinds = {**dict.fromkeys(NAMES, Type.NUMBER), "day": Type.DATE, "skin": Type.TEXT}
    known = {key: CustomField(Entity.PERSON, key, key, kind) for key, kind in kinds.items()}
    with pytest.raises(ValueError, match=re.escape(words)):
        custom_formulas.check(text, Entity.PERSON, known)


def reckon(node: custom_formulas.Node, values: dict[str, float | None]) -> float | None:
    if node.op == "number":
        return node.number
    if node.op == "name":
        return values[node.name]
    parts = [reckon(part, values) for part in node.parts]
    if node.op == "if":
        return parts[1] if parts[0] not in (None, 0) else parts[2]
    if node.op == "default":
        return parts[1] if parts[0] is None else parts[0]
    if any(part is None for part in parts):
        return None
    first, *rest = [part for part in parts if part is not None]
    if node.op == "negative":
        return 0 - first
    second = rest[0]
    if node.op == "/":
        return first / second if second else None
    answers = {
        "+": first + second,
        "-": first - second,
        "*": first * second,
        "<": float(first < second),
        "<=": float(first <= second),
        ">": float(first > second),
        ">=": float(first >= second),
        "==": float(first == second),
        "!=": float(first != second),
    }
    return answers[node.op]


texts = st.recursive(
    st.sampled_from([*NAMES, "2", "0", "0.5"]),
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "=", "!="]), parts).map(
            lambda each: f"({each[0]} {each[1]} {each[2]})"
        ),
        st.tuples(parts, parts, parts).map(lambda each: f"if({each[0]}, {each[1]}, {each[2]})"),
        st.tuples(parts, parts).map(lambda each: f"default({each[0]}, {each[1]})"),
        parts.map(lambda each: f"-({each})"),
    ),
    max_leaves=5,
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


def add_person(conn: Connection, **given_values: Any) -> int:
    person_id: int = conn.execute(insert(person).values(created_at=NOW).returning(person.c.id)).scalar_one()
    set_values(conn, "person", (person_id,), given_values, BY, vault=VAULT)
    return person_id


@given(
    st.lists(texts, min_size=1, max_size=5),
    st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0, 1, 2, -3, 2.5, 10**9])),
)
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_the_database_reckons_what_python_reckons(
    check_example: Callable[[Callable[[Connection], None]], None], asked: list[str], known: dict[str, float]
) -> None:
    def compare(conn: Connection) -> None:
        for key in NAMES:
            define(conn, "person", Definition(key, "number"), NOW)
        person_id = add_person(conn, **known)
        for text in asked:
            expected = reckon(custom_formulas.parse(text), {key: known.get(key) for key in NAMES})
            found = custom_formulas.reckon(conn, field(Type.FORMULA, formula=text), [(person_id,)], NOW)[(person_id,)]
            assert found == pytest.approx(expected) if expected is not None else found is None, text

    check_example(compare)


# In the database.


@pytest_asyncio.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


DEFINED = (
    Definition("肤质", "select", options=OPTIONS),
    Definition("功效", "multi_select", key="wants", options=("美白", "保湿", "抗老")),
    Definition("预算", "money", key="budget"),
    Definition("生日", "date", key="birthday"),
    Definition("家里几口人", "number", key="family"),
    Definition("备用手机", "phone", key="phone2", is_unique=True),
    Definition("会员号", "text", key="card_no", is_unique=True),
    Definition("专属顾问", "member", key="advisor"),
    Definition("人均预算", "formula", key="each", formula="budget / family"),
)


def define_all(conn: Connection) -> None:
    for said in DEFINED:
        define(conn, "person", said, NOW)
    conn.execute(insert(member).values(userid="LiNa", folded="lina", name="李娜"))


async def test_conditions_ask_for_a_shops_own_fields_by_their_type(db: Database) -> None:
    def prepare(conn: Connection) -> list[int]:
        define_all(conn)
        define(conn, "order", Definition("赠品", "text", key="gift"), NOW)
        define(conn, "relation", Definition("亲密度", "number", key="close"), NOW)
        xiaoman = add_person(
            conn, 肤质="油皮", wants="美白、保湿", budget="199.9", birthday="2026-03-12", family=2, advisor="李娜"
        )
        other = add_person(conn, 肤质="干皮", budget="20", birthday="2026-05-01", phone2="13800138000")
        empty = add_person(conn)
        row = {"channel": "taobao", "order_no": "1", "person_id": xiaoman, "status": "paid"}
        order_id = conn.execute(
            insert(orders).values(**row, first_seen_at=NOW, last_seen_at=NOW).returning(orders.c.id)
        ).scalar_one()
        set_values(conn, "order", (order_id,), {"gift": "小样"}, BY, person_id=xiaoman)
        relation = {"userid": "LiNa", "external_userid": "wm1"}
        conn.execute(insert(follow_user).values(**relation, person_id=other, followed_at=NOW))
        set_values(conn, "relation", ("LiNa", "wm1"), {"close": 5}, BY, person_id=other)
        return [xiaoman, other, empty]

    ids = await db.write(prepare)
    xiaoman, other, empty = ids
    asked: list[tuple[dict[str, Any], set[int]]] = [
        ({"field": "field.肤质", "value": "油皮"}, {xiaoman}),
        ({"field": "field.肤质", "op": "ne", "value": "油皮"}, {other}),
        ({"field": "field.肤质", "op": "in", "value": ["油皮", "干皮"]}, {xiaoman, other}),
        ({"field": "field.肤质", "value": "没有的"}, set()),
        ({"field": "field.wants", "op": "contains", "value": "保湿"}, {xiaoman}),
        ({"field": "field.wants", "op": "not_in", "value": ["抗老"]}, {xiaoman}),
        ({"field": "field.budget", "value": 199.9}, {xiaoman}),
        ({"field": "field.budget", "op": "gte", "value": 20}, {xiaoman, other}),
        ({"field": "field.birthday", "op": "lte", "value": "today+7d"}, {xiaoman}),
        ({"field": "field.birthday", "op": "gt", "value": "2026-03-12"}, {other}),
        ({"field": "field.phone2", "op": "present"}, {other}),
        ({"field": "field.phone2", "value": "13800138000"}, set()),
        ({"field": "field.advisor", "value": "LiNa"}, {xiaoman}),
        ({"field": "field.each", "op": "gt", "value": 99.9}, {xiaoman}),
        ({"field": "field.each", "op": "missing"}, {other, empty}),
        ({"field": "order_field.gift", "op": "contains", "value": "小"}, {xiaoman}),
        ({"field": "follow_field.close", "op": "gte", "value": 5}, {other}),
        ({"not": {"field": "order_field.unknown", "value": "小样"}}, set()),
        ({"not": {"field": "field.肤质", "value": "没有的"}}, set()),
    ]

    def check(conn: Connection) -> None:
        for tree, wanted in asked:
            assert holding(conn, tree, ids, NOW) == wanted, tree
            assert {each for each in ids if holds(conn, tree, each, NOW)} == wanted, tree
            assert set(audience.list_ids(conn, tree, NOW)) == wanted, tree
            assert explain(conn, tree, xiaoman, NOW)

    await db.read(check)
    await db.write(custom_fields.archive, "person", "肤质", NOW)
    for tree in ({"field": "field.肤质", "value": "油皮"}, {"not": {"field": "field.肤质", "value": "油皮"}}):
        assert await db.read(holding, tree, ids, NOW) == set()


@pytest.mark.parametrize("key", ["order_field.gift", "follow_field.close"])
async def test_whose_order_or_friendship_says_so_is_found_at_once_and_for_one_from_his_own(
    db: Database, key: str
) -> None:
    """The plan without any figures of the tables, as SQLite keeps none: nobody reads all values for each person."""

    def prepare(conn: Connection) -> None:
        define(conn, "order", Definition("赠品", "text", key="gift"), NOW)
        define(conn, "relation", Definition("亲密度", "text", key="close"), NOW)

    await db.write(prepare)
    for op in ("eq", "ne", "missing"):
        tree = {"field": key, "op": op} | ({} if op == "missing" else {"value": "小样"})
        everybody = (await db.read(plans_of, partial(audience.count, tree=tree, now=NOW)))[-1]
        assert "CORRELATED" not in everybody
        assert "SubPlan" not in everybody.replace("hashed SubPlan", "")
        one = (await db.read(plans_of, partial(holds, tree=tree, person_id=1, now=NOW)))[-1]
        assert "field_text" not in one


async def test_a_unique_value_has_one_owner_however_many_ask_at_once(db: Database) -> None:
    def prepare(conn: Connection) -> list[int]:
        define_all(conn)
        return [add_person(conn) for _ in range(12)]

    ids = await db.write(prepare)

    async def claim(person_id: int) -> bool:
        try:
            await db.write(
                set_values, "person", (person_id,), {"card_no": "A1", "phone2": "13800138000"}, BY, vault=VAULT
            )
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(claim(person_id) for person_id in ids))) == 1
    with pytest.raises(Conflict, match="“会员号”不可重复，“a1”已属于另一位客户"):
        await db.write(set_values, "person", (ids[0] + 100,), {"card_no": "a1"}, BY)


async def test_each_change_is_told_with_who_when_and_what(db: Database) -> None:
    def change(conn: Connection) -> int:
        define_all(conn)
        person_id = add_person(conn, 肤质="油皮", phone2="13800138000")
        assert (
            set_values(conn, "person", (person_id,), {"肤质": "油皮", "phone2": "138 0013 8000"}, BY, vault=VAULT) == []
        )
        set_values(conn, "person", (person_id,), {"肤质": "干皮", "budget": 19990}, Change("api", "商城", NOW))
        profiles.set_field(conn, person_id, "肤质", "", source="playbook:new", now=NOW)
        with pytest.raises(Invalid, match="没有选项"):
            profiles.set_field(conn, person_id, "肤质", "油", source="playbook:new", now=NOW)
        return person_id

    person_id = await db.write(change)
    told = await db.read(custom_fields.list_changes, "person", (person_id,))
    assert [(row.title, row.before, row.after, row.source) for row in reversed(told)] == [
        ("肤质", None, "油皮", "staff"),
        ("备用手机", None, "138****8000", "staff"),
        ("肤质", "油皮", "干皮", "api"),
        ("预算", None, "199.90", "api"),
        ("肤质", "干皮", None, "playbook:new"),
    ]
    shown = {each.field.key: each for each in await db.read(custom_fields.values_of, "person", (person_id,), NOW)}
    assert (shown["budget"].text, shown["phone2"].text, shown["phone2"].form) == ("¥199.90", "138****8000", "")
    said = await db.read(custom_fields.texts_of, [person_id], {"budget", "phone2", "肤质"}, NOW)
    assert said == {person_id: {"budget": "¥199.90"}}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (Definition("", "text"), "1 到 40 个字"),
        (Definition("甲", "json"), "不认识的字段类型“json”"),
        (Definition("甲", "text", key="1a"), "不能以数字开头"),
        (Definition("甲", "text", key="skin;drop"), "只能用字母"),
        (Definition("甲", "select"), "要有选项"),
        (Definition("甲", "select", options=("a", "A")), "只差大小写"),
        (Definition("甲", "select", options=("a，b",)), "不能有顿号、逗号"),
        (Definition("甲", "number", least="9", most="1"), "最小值 9 大于最大值 1"),
        (Definition("甲", "number", default_text="三"), "默认值不对：“甲”应为数字"),
        (Definition("甲", "text", default_text="a", is_unique=True), "就不能有默认值"),
        (Definition("甲", "formula"), "请填写公式"),
        (Definition("甲", "formula", formula="nothing * 2"), "公式里不认识“nothing”"),
    ],
)
async def test_a_definition_that_cannot_work_is_refused(sqlite_url: str, said: Definition, words: str) -> None:
    database = Database(sqlite_url)
    with pytest.raises(Invalid) as refused:
        await database.write(define, "person", said, NOW)
    await database.close()
    assert words in refused.value.text


async def test_a_key_is_never_used_twice_and_what_was_kept_comes_back(db: Database) -> None:
    def tell(conn: Connection) -> None:
        define_all(conn)
        person_id = add_person(conn, budget=100)
        with pytest.raises(Conflict, match="公式“人均预算”用到了“预算”"):
            custom_fields.archive(conn, "person", "budget", NOW)
        custom_fields.archive(conn, "person", "each", NOW)
        custom_fields.archive(conn, "person", "budget", NOW)
        with pytest.raises(Conflict, match="已归档，可以恢复它"):
            define(conn, "person", Definition("新预算", "text", key="budget"), NOW)
        with pytest.raises(Invalid, match="没有自定义字段“budget”"):
            set_values(conn, "person", (person_id,), {"budget": 5}, BY)
        custom_fields.restore(conn, "person", "budget")
        with pytest.raises(Conflict, match="类型不能修改"):
            custom_fields.change(conn, "person", "budget", Definition("预算", "text"))
        changed = custom_fields.change(conn, "person", "budget", Definition("年预算", "money", is_required=True))
        assert (changed.title, changed.is_required) == ("年预算", True)
        with pytest.raises(Invalid, match="“年预算”必填"):
            set_values(conn, "person", (person_id,), {"budget": ""}, BY)
        custom_fields.move(conn, "person", "budget", up=True)
        assert [each.key for each in custom_fields.list_fields(conn, "person")][:3] == ["肤质", "budget", "wants"]
        assert not conn.execute(event.select()).first()

    await db.write(tell)
