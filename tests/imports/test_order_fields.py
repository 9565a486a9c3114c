"""Columns of an order file fill the shop's own fields of orders: by their titles, or as a mapping says."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from scrm.commerce import store
from scrm.commerce.connectors.mapped import ColumnMapping
from scrm.commerce.files.import_orders import Counts, Into, import_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Invalid
from scrm.imports import templates
from scrm.profiles.models import member
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields.fields import Definition
from scrm.profiles.own_fields.tables import field_change, order_field
from tests.commerce.conftest import NOW, db, vault
from tests.commerce.test_import_platforms import SHANGHAI
from tests.fakes.clock import FakeClock

__all__ = ["db", "vault"]


@pytest.fixture
async def fields(db: Database) -> None:
    def define(conn: Connection) -> None:
        for said in (
            Definition("服务费", "money", key="fee"),
            Definition("来源门店", "select", key="shop", options=("东门店", "西门店")),
            Definition("导购", "member", key="guide"),
            Definition("发票号", "text", key="invoice", is_unique=True),
            Definition("代收电话", "phone", key="agent"),
            Definition("利润", "formula", key="gain", formula="order.paid"),
        ):
            custom_fields.define(conn, "order", said, NOW)
        for userid, name in (("liang", "小梁"), ("wang1", "小王"), ("wang2", "小王")):
            conn.execute(member.insert().values(userid=userid, name=name, folded=userid))

    await db.write(define)


async def bring_in(db: Database, vault: Vault, path: Path, text: str, **more: Any) -> Counts:
    path.write_text(text, "utf-8")  # noqa: ASYNC240 - a few lines
    into = Into(db, vault, FakeClock(), SHANGHAI, shop_key="s", only_new=more.pop("only_new", False))
    return await import_orders(into, [path], **more)


async def kept(db: Database) -> dict[tuple[str, str], Any]:
    def read(conn: Connection) -> dict[tuple[str, str], Any]:
        rows = conn.execute(select(order_field.c.key, order_field.c.value, store.orders.c.order_no).join(store.orders))
        return {(row.order_no, row.key): row.value for row in rows}

    return await db.read(read)


HEADINGS = "订单编号,下单时间,付款时间,实付金额,商品名称,服务费,来源门店,导购,发票号,代收电话\n"


async def test_by_their_titles_with_what_is_wrong_told_row_by_row(
    db: Database, vault: Vault, tmp_path: Path, fields: None
) -> None:
    path = tmp_path / "orders.csv"
    good = (
        "A1,2026-06-01,2026-06-01,88,茶,12.50,东门店,小梁,F1,13800138000\n"
        "A1,,,,碗,,,,,\n"
        "A2,2026-06-01,2026-06-01,20,茶,,西门店,LIANG,F1,\n"
    )
    bad = "B1,2026-06-01,,1,茶,许多,,,,\nB2,2026-06-01,,1,茶,,南门店,,,\nB3,2026-06-01,,1,茶,,,小王,,\n"
    counts = await bring_in(db, vault, path, HEADINGS + good + bad)
    assert (counts.created, counts.rejected) == (2, 3)
    for reason, words in zip(
        counts.reasons,
        ("“服务费”应为", "没有选项“南门店”，可选：东门店、西门店", "“小王”（或有多位同名）"),
        strict=True,
    ):
        assert words in reason
        assert reason.startswith("第 ")
    assert [note.split("：")[0] for note in counts.notes] == ["订单 A2"], "what another order has is not filled twice"
    assert "不可重复" in counts.notes[0]
    found = await kept(db)
    assert vault.open(found.pop(("A1", "agent"))["sealed"]) == "+8613800138000"
    assert found == {
        ("A1", "fee"): 1250,
        ("A1", "shop"): "东门店",
        ("A1", "guide"): "liang",
        ("A1", "invoice"): "F1",
        ("A2", "shop"): "西门店",
        ("A2", "guide"): "liang",
    }
    again = await bring_in(db, vault, path, HEADINGS + good.replace("12.50", "9").replace("F1,13", "F1,13", 1))
    assert (again.updated, again.unchanged) == (1, 1), "the order is the same, its field is not"
    changes = select(field_change.c.before, field_change.c.after).where(field_change.c.key == "fee")
    history = await db.read(lambda conn: [tuple(row) for row in conn.execute(changes.order_by(field_change.c.id))])
    assert history == [(None, "12.50"), ("12.50", "9")]
    left = await bring_in(db, vault, path, HEADINGS + good.replace("12.50", "7"), only_new=True)
    assert (left.unchanged, (await kept(db))["A1", "fee"]) == (2, 900)


async def test_as_a_mapping_says_and_only_so(db: Database, vault: Vault, tmp_path: Path, fields: None) -> None:
    columns = {"order_no": "单据", "ordered_at": "日期", "own.fee": "手续费"}
    mapping = ColumnMapping("收银", columns, "pos").connector()
    text = "单据,日期,手续费,来源门店\nP1,2026-06-01,3.2,东门店\n"
    counts = await bring_in(db, vault, tmp_path / "pos.csv", text, connector=mapping)
    assert (counts.created, await kept(db)) == (1, {("P1", "fee"): 320})
    await db.write(custom_fields.archive, "order", "fee", NOW)
    with pytest.raises(Invalid, match="“fee”已归档"):
        await bring_in(db, vault, tmp_path / "pos.csv", text, connector=mapping)


async def test_the_template_has_them_except_what_is_reckoned(db: Database, fields: None) -> None:
    titles = await db.read(templates.headings, "orders")
    assert titles[-5:] == ["服务费", "来源门店", "导购", "发票号", "代收电话"]
    assert len(titles) == len(set(titles))
