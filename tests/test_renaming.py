"""A member's new userid reaches every table that names members, in the moment WeCom tells of it."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Integer, LargeBinary, Numeric, String, Table, inspect, select

from scrm.contact_ways.models import contact_way
from scrm.db.every_table import metadata
from scrm.profiles.models import follow_user, member
from scrm.profiles.store import save_member
from scrm.renaming import EXEMPT, NESTED, names_a_member, renamed_columns
from scrm.work.models import work_item
from tests.fakes import wecom as fake
from tests.world import XIAOMAN, World

OLD, NEW = "ZhaoYi", "zhao.yi@shop"
# Far from what the database counts itself.
ID = 100_001
LOOKS = ("userid", "owner", "actor", "holder")


def test_every_column_that_looks_like_a_members_is_renamed_or_says_why_not() -> None:
    known = {f"{column.table.name}.{column.name}" for column in renamed_columns()}
    for table in metadata.sorted_tables:
        for column in table.columns:
            if not isinstance(column.type, String) or column.name in ("folded", "owner_kind", "owner_id"):
                continue
            if column.name.endswith(("userid", "_by")) or column.name in LOOKS:
                where = f"{table.name}.{column.name}"
                assert (where in known) != bool({where, f"*.{column.name}"} & EXEMPT.keys()), where
    columns = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns}
    assert {name for name in EXEMPT if not name.startswith("*")} <= columns
    assert {f"{table}.{name}" for table, names in NESTED.items() for name in names} <= columns
    lists = {name for name in columns if name.endswith((".userids", ".leaders", ".admins"))} - EXEMPT.keys()
    assert lists <= {f"{table}.{name}" for table, names in NESTED.items() for name in names}


def value_for(column: Column[Any]) -> Any:
    """Something that fits, and that foreign keys find."""
    if names_a_member(column):
        return OLD
    if column.table.name in NESTED and column.name in NESTED[column.table.name]:
        return [OLD, {"shifts": [{"userids": [OLD.lower(), OLD]}], OLD: 3}]
    if isinstance(column.type, JSON) or "Json" in repr(column.type):
        return {}
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, LargeBinary):
        return b"x"
    if isinstance(column.type, (Integer, Numeric)):
        return ID if column.primary_key or column.foreign_keys else 1
    if isinstance(column.type, String):
        return "x"
    return datetime(2026, 3, 2, tzinfo=UTC)


def row_for(table: Table) -> dict[str, Any]:
    """A row with only what must be there, and everything that names members."""
    wanted = {}
    for column in table.columns:
        must = not column.nullable and column.server_default is None
        nested = column.name in NESTED.get(table.name, ())
        if (must or names_a_member(column) or nested or column.foreign_keys) and column.computed is None:
            wanted[column.name] = value_for(column)
    return wanted


async def rename(world: World, old: str = OLD, new: str = NEW) -> None:
    fields = {"UserID": old, "NewUserID": new}
    xml = fake.event_xml("update_user", created_at=int(world.clock.now().timestamp()), event="change_contact", **fields)
    assert (await world.tell(xml)).status == 200
    await world.settle()


def refuse_the_old(world: World) -> None:
    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return {"errcode": 60111} if body["userid"].lower() == OLD.lower() else {**body, "name": "赵一", "status": 1}

    world.wecom.always("user/get", answer)


async def test_all_tables_follow_at_once(world: World) -> None:
    tables = {column.table for column in renamed_columns()} | {metadata.tables[name] for name in NESTED}
    while parents := {key.column.table for table in tables for key in table.foreign_keys} - tables:
        tables |= parents
    refuse_the_old(world)

    def fill(conn: Connection) -> set[str]:
        known = set(inspect(conn).get_table_names())
        for table in metadata.sorted_tables:
            if table in tables and table.name in known:
                folded = {"folded": OLD.lower()} if table is member else {}
                conn.execute(table.insert().values(row_for(table) | folded))
        return known

    raw = world.services.db
    known = await raw.write(fill)
    await rename(world)
    for column in renamed_columns():
        if column.table.name in known:
            found = {row[0] for row in await raw.read(lambda conn, c=column: conn.execute(select(c)).all())}  # type: ignore[misc]
            assert NEW in found, str(column)
            assert not {OLD, OLD.lower()} & found, str(column)
    for name, columns in NESTED.items():
        for row in await world.rows(metadata.tables[name]):
            for each in columns:
                assert OLD not in str(getattr(row, each)), f"{name}.{each}"
                assert NEW in str(getattr(row, each)), f"{name}.{each}"


async def test_who_was_met_under_the_new_name_already_stays_one_member(world: World) -> None:
    refuse_the_old(world)
    now = world.clock.now()
    world.wecom.add_contact(XIAOMAN, "小满", OLD)
    await world.add(userid=OLD)
    await world.services.db.write(save_member, OLD, name="赵一", now=now)
    world.wecom.add_contact(XIAOMAN, "小满", NEW)
    await world.add(userid=NEW, WelcomeCode="", State="")
    assert len(await world.rows(follow_user)) == 2
    (before,) = await world.rows(follow_user, follow_user.c.userid == OLD)
    await rename(world)
    (after,) = await world.rows(follow_user)
    assert (after.userid, after.state, after.followed_at) == (NEW, before.state, before.followed_at)
    await world.pass_time(seconds=30)
    assert {row.userid: row.name for row in await world.rows(member)} == {NEW: "赵一"}
    # Told again, it finds nothing to do; and who bears the old name later is somebody else.
    await rename(world)
    world.wecom.always("user/get", lambda body: {**body, "name": "另一位", "status": 1})
    world.wecom.add_contact("wmOfAnother", "小周", OLD)
    await world.add("wmOfAnother", userid=OLD)
    await rename(world)
    assert {row.userid for row in await world.rows(follow_user)} == {OLD, NEW}
    assert not await world.rows(work_item, work_item.c.state == 2)


async def test_the_code_of_a_renamed_member_names_him_still(world: World) -> None:
    refuse_the_old(world)
    plan = {"shifts": [{"userids": [OLD], "from": "09:00"}], "caps": {OLD: 20}}
    row = {**row_for(contact_way), "state": "shop-1", "plan": plan, "userids": [OLD]}
    await world.services.db.write(lambda conn: conn.execute(contact_way.insert().values(row)) and None)
    await rename(world)
    (way,) = await world.rows(contact_way)
    assert (way.plan, way.userids) == ({"shifts": [{"userids": [NEW], "from": "09:00"}], "caps": {NEW: 20}}, [NEW])
