"""Customers, tags that wait for people, and tables of anybody's headings come in from files."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, select

from scrm.commerce import order_views
from scrm.commerce.connectors.mapped import ColumnMapping
from scrm.commerce.files.import_orders import Into as OrdersInto
from scrm.commerce.files.import_orders import import_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.imports import pre_tags, templates
from scrm.imports.customers import Into, import_customers
from scrm.imports.mappings import find_format, recognise_mapping, save_mapping
from scrm.imports.models import pre_tag
from scrm.profiles import store, tags
from scrm.profiles.own_fields import fields as custom_fields
from tests.fakes.clock import FakeClock

NOW = datetime(2026, 6, 18, 12, 0, tzinfo=UTC)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def into(db: Database) -> Into:
    return Into(db=db, vault=Vault("a secret that is long enough for tests"), clock=FakeClock(NOW))


def _mend(path: Path, by: dict[str, str]) -> None:
    text = path.read_text("utf-8-sig")
    for wrong, right in by.items():
        text = text.replace(wrong, right)
    path.write_text(text)


async def test_a_customer_within_whom_the_file_broke_off_is_given_back(into: Into, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    path.write_text("手机号,姓名,标签\n13800000001,林晓,老客\n13800000002,陈")
    counts = await import_customers(into, path)
    assert (counts.created, counts.rejected) == (1, 1)
    assert "第 3 行：只有 2 列，表头有 3 列：文件没有下载完整" in counts.reasons[0]
    path.write_text("手机号,姓名,标签\n13800000001,林晓\n13800000002,陈一")
    assert (await import_customers(into, path)).rejected == 0, "rows end early here now and then"


async def test_customers_come_in_once_with_fields_and_tags_that_wait(into: Into, tmp_path: Path) -> None:
    db = into.db
    await db.write(
        custom_fields.define, "person", custom_fields.Definition("生日月份", "number", key="birth_month"), NOW
    )
    path = tmp_path / "customers.csv"
    path.write_text(
        "手机号,unionid,姓名,标签,生日月份\n"
        "13800000001,,林晓,老客；VIP,6\n13800000002,u-2,陈一,老客,不是数\n138****0003,,王五,,\n,,没有号码,,\n",
        encoding="gb18030",
    )
    counts = await import_customers(into, path)
    assert (counts.customers, counts.created, counts.rejected) == (4, 1, 3)
    assert [reason[:6] for reason in counts.reasons] == ["第 4 行：", "第 5 行：", "第 3 行："]
    phone = into.vault.lookup("+8613800000001")
    person_id = await db.read(store.find_person_by_identity, "mobile_e164", phone)
    assert person_id is not None
    waiting = await db.read(lambda conn: [row.tag for row in conn.execute(select(pre_tag).order_by(pre_tag.c.tag))])
    assert waiting == ["VIP", "老客"]
    mended = Path(counts.error_files[0])
    _mend(mended, {"不是数": "7", "138****0003": "13800000003"})
    again = await import_customers(into, mended)
    assert (again.created, again.rejected) == (2, 1)
    assert (await import_customers(into, path)).created == 0


async def test_who_becomes_a_contact_gets_the_tags_that_waited(into: Into, tmp_path: Path) -> None:
    db = into.db
    (tmp_path / "c.csv").write_text("手机号,标签\n13800000001,老客\n", encoding="utf-8")
    await import_customers(into, tmp_path / "c.csv")

    def come(conn: Connection) -> None:
        contact = store.ensure_contact(conn, "wm1", now=NOW)
        relation = store.Relation("lin", "wm1", contact.person_id, "", is_half=False, followed_at=NOW)
        store.ensure_follow_users(conn, [relation])
        store.add_identity(conn, contact.person_id, "wx_unionid", "u-9", source="auto", now=NOW)
        pre_tags.keep(conn, "wx_unionid", "u-9", ["老客"], now=NOW)

    await db.write(come)
    found = await db.read(pre_tags._find_due)
    assert found is not None
    await db.write(pre_tags._give_due, *found, now=NOW)
    assert [wish.tag for wish in await db.read(tags.list_wishes, "lin", "wm1")] == ["老客"]
    assert await db.read(pre_tags._find_due) is None


async def test_a_saved_mapping_reads_any_headings_and_is_recognised_again(into: Into, tmp_path: Path) -> None:
    db = into.db
    path = tmp_path / "pos.csv"
    path.write_text(
        "单据号,业务日期,会员电话,成交额,品名,单据状态\nA1,2026-06-01,13800000001,88.5,茶,结束\n", encoding="gb18030"
    )
    headings = ["单据号", "业务日期", "会员电话", "成交额", "品名", "单据状态"]
    mapping = ColumnMapping(
        "门店收银",
        {"order_no": "单据号", "ordered_at": "业务日期", "paid_at": "业务日期", "mobile": "会员电话", "paid": "成交额",
         "title": "品名", "status": "单据状态"},
        channel="pos",
        statuses={"结束": "completed"},
    )  # fmt: skip
    await db.write(save_mapping, mapping, headings, now=NOW)
    connector = await recognise_mapping(db, [path])
    assert connector is not None
    assert connector.key == (await db.read(find_format, "mapped:门店收银")).key
    orders_into = OrdersInto(db=db, vault=into.vault, clock=into.clock, zone=ZoneInfo("Asia/Shanghai"), shop_key="s")
    counts = await import_orders(orders_into, [path], connector=connector)
    assert counts.created == 1
    (view,) = await db.read(order_views.find_orders, "pos", "A1")
    assert (view.row["status"], view.row["paid_fen"], view.lines[0]["title"]) == ("completed", 8850, "茶")


def test_templates_can_be_filled_in_and_imported() -> None:
    assert templates.table(["手机号"], ".csv").decode("utf-8-sig").strip() == "手机号"
    assert templates.table(["手机号"], ".xlsx").startswith(b"PK")


async def test_fields_of_a_relation_come_in_for_the_member_who_has_it(into: Into, tmp_path: Path) -> None:
    db = into.db

    def prepare(conn: Connection) -> None:
        custom_fields.define(conn, "relation", custom_fields.Definition("亲密度", "number", key="close"), NOW)
        contact = store.ensure_contact(conn, "wm_lin", now=NOW)
        relation = store.Relation("ZhangMin", "wm_lin", contact.person_id, "", False, NOW)
        store.ensure_follow_users(conn, [relation])

    await db.write(prepare)
    assert {"员工账号", "亲密度"} < set(await db.read(templates.headings, "customers"))
    path = tmp_path / "relations.csv"
    path.write_text(
        "企业微信客户ID,员工账号,亲密度\nwm_lin,zhangmin,8\nwm_lin,,7\nwm_lin,lisi,7\nwm_lin,ZhangMin,很好\n",
        encoding="utf-8",
    )
    counts = await import_customers(into, path)
    assert (counts.updated, counts.rejected) == (1, 3)
    assert counts.reasons[:2] == [
        "第 3 行：有好友关系的字段时，这一行还要有企业微信客户ID和员工账号",
        "第 4 行：员工 lisi 没有添加过客户 wm_lin，请核对这一行的员工账号",
    ]
    assert "亲密度" in counts.reasons[2]
    changes = await db.read(custom_fields.list_changes, "relation", ("ZhangMin", "wm_lin"))
    assert [(row.after, row.source) for row in changes] == [("8", "import")]
    again = await import_customers(into, path)
    assert (again.updated, again.unchanged) == (0, 1)
