"""The log: in the write's own transaction, only growing, masked, searchable, and taken out as a file."""

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, text, update
from sqlalchemy.exc import DBAPIError

from scrm import audit
from scrm.access.history import Wanted, list_entries
from scrm.api.store import make_key
from scrm.audit import audit_entry
from scrm.db import Database
from scrm.errors import Conflict
from scrm.profiles import store as profiles
from scrm.profiles.models import member
from tests.console.conftest import SignIn, Visitor
from tests.fakes.clock import FakeClock
from tests.world import XIAOMAN, World

NOW = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.write(profiles.save_member, "lina", name="李娜", now=NOW)
    yield db
    await db.close()


def deed(**more: Any) -> audit.Deed:
    actor = audit.Actor("boss", "周总", "203.0.113.8")
    return audit.Deed(actor, FakeClock(), "access", "edit", "员工与权限：设置角色", **more)


@audit.keeps("member", member.c.userid, of=("userid",))
def rename(conn: Connection, userid: str, name: str) -> None:
    conn.execute(update(member).where(member.c.userid == userid).values(name=name))


async def rows(db: Database) -> list[Any]:
    return await db.read(lambda conn: list(conn.execute(audit_entry.select().order_by(audit_entry.c.id))))


async def test_the_row_stands_with_the_write_and_falls_with_it(db: Database) -> None:
    def fail(conn: Connection) -> None:
        rename(conn, "lina", "李四")
        raise Conflict("没有成功")

    with audit.doing(deed()) as act:
        await db.write(rename, "lina", "李小娜")
        with pytest.raises(Conflict):
            await db.write(fail)
        await audit.finish(db, act, "refused", "没有成功：13800136620")
    done, refused = await rows(db)
    assert (done.before, done.after) == ({"name": "李娜"}, {"name": "李小娜"})
    assert (done.entity, done.key, done.actor, done.address) == ("member", "lina", "boss", "203.0.113.8")
    assert (refused.outcome, refused.problem) == ("refused", "没有成功：138****6620")
    assert done.request == refused.request


async def test_what_nobody_asked_for_keeps_no_log(db: Database) -> None:
    await db.write(rename, "lina", "李小娜")
    with audit.doing(deed()):
        pass
    assert await rows(db) == []


async def test_group_commits_and_what_runs_on_afterwards_are_not_the_requests(db: Database) -> None:
    def many(conn: Connection, given: list[str]) -> list[None]:
        for name in given:
            rename(conn, "lina", name)
        return [None for _ in given]

    with audit.doing(deed()) as act:
        await db.together(many, "甲")
    assert await rows(db) == []
    act.before_commit  # noqa: B018 - the deed is over: nothing more is kept
    assert act.is_over


async def test_a_row_can_neither_be_changed_nor_deleted(db: Database) -> None:
    with audit.doing(deed()):
        await db.write(rename, "lina", "李小娜")
    for statement in (update(audit_entry).values(actor="nobody"), delete(audit_entry)):
        with pytest.raises(DBAPIError, match="only grows"):
            await db.write(lambda conn, statement=statement: conn.execute(statement))
    assert [row.actor for row in await rows(db)] == ["boss"]


def test_secrets_and_personal_data_are_covered() -> None:
    assert audit.masked("secret", "abc") == "••••••"
    assert audit.masked("password_hash", "$argon2id$") == "••••••"
    assert audit.masked("phone", "13800136620") == "138****6620"
    assert audit.masked("receiver", {"name": "王小满", "city": "上海"}) == {"name": "王***", "city": "上***"}
    assert audit.masked("note", "打 13800136620 或写 wang@example.com") == "打 138****6620 或写 w***@example.com"
    assert audit.masked("title", "周年庆") == "周年庆"
    assert audit.masked("unionid", ["oAbc"]) == ["o***"]
    assert len(audit.masked("text", "长" * 100_000)) < 21_000
    assert audit.masked("text", " " * 19_992 + "13800136620").startswith(" " * 19_992 + "138****6……")
    # Addresses that get shorter draw a number nearer that was cut in two.
    addresses = f"{'a' * 60}@b.cn " * 310
    cut = addresses + "长" * (20_500 - len(addresses) - 10) + "13800136620" + "长" * 1_000
    assert "1380013662" not in audit.masked("text", cut)


async def fill(db: Database, count: int) -> None:
    def write(conn: Connection) -> None:
        conn.execute(
            insert(audit_entry),
            [
                {
                    "at": NOW + timedelta(minutes=number),
                    "actor": "lina" if number % 3 == 0 else "api:erp",
                    "way": "console",
                    "module": "tags" if number % 2 == 0 else "playbooks",
                    "act": "edit",
                    "words": f"第 {number} 次",
                    "outcome": "done",
                    "key": f"k{number % 5}",
                }
                for number in range(count)
            ],
        )

    await db.write(write)


async def test_it_is_searched_by_who_what_which_and_when_page_by_page(db: Database) -> None:
    await fill(db, 300)

    async def found(wanted: Wanted) -> list[int]:
        numbers: list[int] = []
        before = None
        while page := await db.read(list_entries, wanted, before=before, limit=40):
            numbers += [int(row.words.split()[1]) for row in page]
            before = page[-1].id
        return numbers

    everything = list(range(299, -1, -1))
    assert await found(Wanted()) == everything
    assert await found(Wanted(who="李娜")) == [n for n in everything if n % 3 == 0]
    assert await found(Wanted(who="erp")) == [n for n in everything if n % 3]
    assert await found(Wanted(who="nobody")) == []
    assert await found(Wanted(module="tags", key="k4")) == [n for n in everything if n % 2 == 0 and n % 5 == 4]
    period = Wanted(since=NOW + timedelta(minutes=10), until=NOW + timedelta(minutes=20))
    assert await found(period) == list(range(19, 9, -1))
    assert await found(Wanted(since=NOW + timedelta(days=9))) == []


async def test_each_way_to_look_is_served_by_an_index(db: Database) -> None:
    await fill(db, 400)

    def plans(conn: Connection) -> list[str]:
        explain = "EXPLAIN QUERY PLAN" if conn.dialect.name == "sqlite" else "EXPLAIN"
        if conn.dialect.name == "postgresql":
            conn.execute(text("SET LOCAL enable_seqscan = off"))
        told = []
        for column in ("actor", "module", "act", "key"):
            query = f"SELECT id FROM audit_entry WHERE {column} = 'x' ORDER BY id DESC LIMIT 51"
            told.append(str(conn.execute(text(f"{explain} {query}")).all()))
        return told

    for column, plan in zip(("actor", "module", "act", "key"), await db.write(plans), strict=True):
        assert f"ix_audit_entry_{column}" in plan, plan
        assert "TEMP B-TREE" not in plan


# Through the doors ----------------------------------------------------------------------------------------------------


async def post(visitor: Visitor, path: str, **form: str) -> int:
    data = {"csrf": visitor.csrf, **form}
    response = await visitor.world.client.post(path, data=data, headers=visitor.cookie, allow_redirects=False)
    return response.status


async def test_before_and_after_stand_on_the_page_in_words(sign_in: SignIn, world: World) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    await post(boss, "/console/playbooks/new-customer/pause")
    await post(
        boss, "/console/guards", gap_hours="12", per_week="2", quiet="22:00-08:00", after_sale_days="3", talk_hours="2"
    )
    await post(
        boss,
        "/console/coupons/new",
        key="spring",
        title="春季券",
        benefit="amount",
        face="20",
        kind="static",
        codes="A",
    )
    await post(boss, "/console/tags", group="肤质", names="油皮")
    page = await boss.get("/console/audit")
    assert "剧本 SOP：暂停" in page
    assert "状态 published paused" in page
    assert "勿扰与频控：修改全店规则" in page
    assert "周总" in page
    by_key = await boss.get("/console/audit?key=new-customer")
    assert "剧本 SOP：暂停" in by_key
    assert "勿扰与频控：修改" not in by_key
    assert "没有符合条件的记录" in await boss.get("/console/audit?who=没有的人")
    assert (await boss.get("/console/audit?since=nonsense&before=x&act=zz")).status == 200


async def test_seeing_private_fields_and_taking_the_log_out_are_in_the_log(sign_in: SignIn, world: World) -> None:
    boss = await sign_in("boss", "周总", "administrator")
    await world.add()
    (contact,) = [row for row in await world.rows(_contacts()) if row.external_userid == XIAOMAN]
    path = f"/console/customers/{contact.person_id}/privacy/reveal"
    assert await post(boss, path, reason="核对地址 13800136620") == 200
    response = await world.client.get("/console/audit.csv?who=周总", headers=boss.cookie)
    lines = list(csv.reader(io.StringIO((await response.read()).decode("utf-8-sig"))))
    assert lines[0][:6] == ["时间", "谁", "账号", "途径", "地址", "做了什么"]
    acts = [line[5] for line in lines[1:]]
    assert acts[:2] == ["操作日志：导出", "客户列表：查看隐私明文"]
    assert "核对地址 138****6620" in str(lines)
    assert "13800136620" not in str(lines)


def _contacts() -> Any:
    from scrm.profiles.models import external_contact

    return external_contact


async def test_cells_of_the_file_are_no_formulas(sign_in: SignIn, world: World) -> None:
    boss = await sign_in("=cmd()", "=1+1", "administrator")
    await post(boss, "/console/playbooks/new-customer/pause")
    text_ = await (await world.client.get("/console/audit.csv", headers=boss.cookie)).text()
    assert "'=1+1" in text_
    assert ",=1+1" not in text_


async def test_logins_refusals_and_leaving_are_in_the_log(sign_in: SignIn, world: World) -> None:
    lina = await sign_in("lina", "李娜", "member")
    assert await post(lina, "/console/playbooks/new-customer/pause") == 403
    chenlan = await sign_in("chenlan", "陈岚", "manager")
    assert await post(chenlan, "/console/logout") == 303
    told = [(row.actor, row.act, row.outcome, row.words) for row in await world.rows(audit_entry)]
    assert told == [
        ("lina", "edit", "refused", "剧本 SOP：暂停"),
        ("chenlan", "logout", "done", "退出登录"),
    ]


async def test_what_a_program_writes_is_in_the_log_with_its_change(world: World) -> None:
    await world.add()
    key = await world.services.db.write(make_key, "erp", "manager", now=world.clock.now())
    headers = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "203.0.113.9"}
    (contact,) = [row for row in await world.rows(_contacts()) if row.external_userid == XIAOMAN]
    path = f"/api/v1/customers/{contact.person_id}"
    assert (await world.client.put(f"{path}/optout", json={"promo": True}, headers=headers)).status == 200
    assert (await world.client.get(path, headers=headers)).status == 200
    (row,) = await world.rows(audit_entry)
    assert (row.actor, row.way, row.address, row.entity) == ("api:erp", "api", "203.0.113.9", "person")
    assert (row.before, row.after) == ({"optout": {}}, {"optout": {"promo": True}})


async def test_a_row_of_many_is_found_by_an_index_whatever_is_asked(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    await fill(db, 3)
    asked = {
        Wanted(outcome="failed", module="tags"): "ix_audit_entry_not_done",
        Wanted(who="lina", module="tags", outcome="refused", act="edit"): "ix_audit_entry_actor",
        Wanted(key="k1", who="lina", act="edit"): "ix_audit_entry_key",
        Wanted(act="edit", module="tags"): "ix_audit_entry_module",
        Wanted(act="erase", module="tags"): "ix_audit_entry_act",
        Wanted(outcome="done", module="tags"): "ix_audit_entry_module",
    }
    for wanted, index in asked.items():
        said: list[tuple[str, Any]] = []

        def look(conn: Connection, wanted: Wanted = wanted, said: list[tuple[str, Any]] = said) -> str:
            def hear(conn: Connection, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
                said.append((statement, parameters))

            event.listen(conn, "before_cursor_execute", hear)
            list_entries(conn, wanted)
            event.remove(conn, "before_cursor_execute", hear)
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {said[-1][0]}", said[-1][1])
            return "\n".join(str(row[-1]) for row in plan)

        plan = await db.read(look)
        assert index in plan, (wanted, plan)
        assert "TEMP B-TREE" not in plan or wanted.who, (wanted, plan)
    await db.close()
