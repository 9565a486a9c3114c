"""A coupon's way: reserved, delivered or taken back, spoken of before its end, used by an order, given back."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from scrm.commerce.canonical import read_order
from scrm.commerce.coupons import in_orders as coupons_in_orders
from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons import store as coupons
from scrm.commerce.models import coupon_batch, coupon_code, coupon_issue
from scrm.commerce.store import save_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import NotFound
from scrm.events import event
from tests.commerce.conftest import NOW, add_person

HOUR = timedelta(hours=1)
REFUNDED: dict[str, Any] = {"refunds": [{"refund_no": "R1", "status": "refunded", "amount_fen": 19900}]}


async def batch(db: Database, **values: Any) -> None:
    await db.write(coupons.ensure_batch, now=NOW, **{"key": "new", "kind": "generated", "title": "新人券", **values})


async def issue(db: Database, person_id: int, reason: str = "new:1") -> coupons.Issue:
    return await db.write(coupons.issue, batch_key="new", person_id=person_id, reason_key=reason, now=NOW)


async def told(db: Database) -> list[str]:
    rows = await db.read(lambda conn: list(conn.execute(select(event.c.name).order_by(event.c.id)).scalars()))
    return [name for name in rows if name.startswith("coupon.") and name != "coupon.issued"]


async def look(db: Database, issue_id: int) -> coupons.Issue:
    return await db.read(coupons.get_issue, issue_id)


async def take(db: Database, vault: Vault, **fields: Any) -> None:
    order = {"channel": "youzan", "order_no": "E1", "paid_fen": 19900, "paid_at": NOW.isoformat(), **fields}
    await db.write(save_orders, [read_order(order)], now=NOW, vault=vault, route="api")


async def test_64_at_once_never_get_a_code_twice_nor_more_than_the_budget(db: Database) -> None:
    await batch(db, kind="pool", budget=20)
    await db.write(coupons.add_codes, "new", [f"CODE{number:03}" for number in range(40)])

    def people(conn: Connection) -> list[int]:
        return [add_person(conn) for _ in range(32)]

    persons = await db.write(people)
    # Each person is asked for twice: the second asks for nothing new.
    results = await asyncio.gather(*(issue(db, one) for one in persons * 2), return_exceptions=True)
    got = [one for one in results if isinstance(one, coupons.Issue)]
    assert len({one.code for one in got}) == len({one.id for one in got}) == 20
    assert all(isinstance(one, coupons.Issue | coupons.SoldOut) for one in results)
    count = select(coupon_batch.c.issued_count, func.count(coupon_issue.c.id)).join(coupon_issue)
    row = await db.read(lambda conn: tuple(conn.execute(count.group_by(coupon_batch.c.key)).one()))
    assert row == (20, 20)
    assert await db.read(coupons_lifecycle.count_free, "new") == 20


async def test_what_never_reached_anybody_is_free_again(db: Database) -> None:
    await batch(db, kind="pool", budget=1, valid=timedelta(days=3))
    await db.write(coupons.add_codes, "new", ["AAAA1"])
    first, second = await db.write(add_person), await db.write(add_person)
    made = await issue(db, first)
    later = NOW + 3 * HOUR
    (reserved,) = await db.read(coupons_lifecycle.list_reserved, before=later)
    assert reserved.id == made.id
    assert await db.write(coupons_lifecycle.release, [made.id], now=later) == 1
    assert await db.write(coupons_lifecycle.release, [made.id], now=later) == 0
    assert (await look(db, made.id)).word_at(later) == "未送达，已收回"
    again = await issue(db, second)
    assert (again.code, again.id != made.id) == ("AAAA1", True)
    assert await told(db) == ["coupon.released"]


async def test_what_was_delivered_opened_or_used_is_not_taken_back(db: Database) -> None:
    await batch(db)
    person_id = await db.write(add_person)
    delivered, opened, used = [await issue(db, person_id, f"new:{number}") for number in range(3)]
    await db.write(coupons_lifecycle.confirm, [delivered.id], now=NOW)
    await db.write(coupons.mark_opened, opened.id, now=NOW)
    await db.write(coupons.redeem, used.code, now=NOW, by="till")
    assert await db.write(coupons_lifecycle.release, [delivered.id, opened.id, used.id], now=NOW) == 0
    assert await db.read(coupons_lifecycle.list_reserved, before=NOW + HOUR) == []


async def test_the_end_is_told_once_before_and_once_after(db: Database) -> None:
    await batch(db, valid=timedelta(days=7))
    person_id = await db.write(add_person)
    made, used = await issue(db, person_id), await issue(db, person_id, "new:2")
    await db.write(coupons.redeem, used.code, now=NOW, by="till")
    moments = (NOW + timedelta(days=3), NOW + timedelta(days=4), NOW + timedelta(days=5), NOW + timedelta(days=7))
    counts = [await db.write(coupons_lifecycle.tell_due, moment) for moment in (*moments, moments[-1] + HOUR)]
    assert counts == [0, 1, 0, 1, 0]
    assert await told(db) == ["coupon.redeemed", "coupon.expiring", "coupon.expired"]
    assert (await look(db, made.id)).word_at(moments[-1]) == "已过期"


async def test_an_order_uses_its_coupon_and_gives_it_back_when_refunded(db: Database, vault: Vault) -> None:
    await batch(db, face_fen=3000)
    made = await issue(db, await db.write(add_person))
    uses = [{"code": f" {made.code.lower()} ", "discount_fen": 2500}]
    await take(db, vault, status="pending_payment", paid_fen=0, paid_at=None, coupons=uses)
    assert (await look(db, made.id)).state == "issued"
    for status in ("paid", "shipped"):
        await take(db, vault, status=status, coupons=uses)
        coupon = await look(db, made.id)
        assert (coupon.state, coupon.discount_fen, coupon.order_no) == ("redeemed", 2500, "E1")
    case = {"refund_no": "R1", "status": "refunded", "amount_fen": 5000}
    await take(db, vault, status="completed", refunds=[case])
    assert (await look(db, made.id)).state == "redeemed"  # in part
    await take(db, vault, status="closed", refunds=[{**case, "amount_fen": 19900}])
    assert (await look(db, made.id)).state == "issued"
    assert await told(db) == ["coupon.redeemed", "coupon.restored"]
    await db.write(coupons.redeem, made.code, now=NOW, by="till")
    assert (await told(db))[-1] == "coupon.redeemed"


async def test_the_order_of_a_till_may_come_later(db: Database, vault: Vault) -> None:
    await batch(db, face_fen=3000)
    made = await issue(db, await db.write(add_person))
    used = await db.write(coupons_in_orders.redeem_at_till, made.code, now=NOW, by="till", order_no="E1")
    assert used.order_id is None
    await take(db, vault, status="paid")
    assert (await look(db, made.id)).order_id is not None


async def test_another_persons_order_of_the_same_number_is_not_the_tills(db: Database, vault: Vault) -> None:
    await batch(db, face_fen=3000)
    made = await issue(db, await db.write(add_person))
    await db.write(coupons_in_orders.redeem_at_till, made.code, now=NOW, by="till", order_no="E1")
    await db.write(add_person, wx_unionid="oElse")
    await take(db, vault, channel="jd", status="closed", buyer_ref={"wx_unionid": "oElse"}, **REFUNDED)
    assert ((await look(db, made.id)).order_id, (await look(db, made.id)).state) == (None, "redeemed")


async def test_a_code_of_the_pool_that_somebody_else_used_is_given_to_nobody(db: Database, vault: Vault) -> None:
    await batch(db, kind="pool")
    await db.write(coupons.add_codes, "new", ["AAAA1"])
    await take(db, vault, status="paid", coupons=[{"code": "aaaa1"}])
    assert await db.read(lambda conn: conn.execute(select(coupon_code.c.issue_id)).scalar_one()) == 0
    assert await db.read(coupons_lifecycle.count_free, "new") == 0


async def test_a_withdrawn_coupon_is_withdrawn_again_when_the_order_that_used_it_is_refunded(
    db: Database, vault: Vault
) -> None:
    await batch(db, face_fen=3000)
    made = await issue(db, await db.write(add_person))
    await db.write(coupons_lifecycle.void, made.code, now=NOW, by="chenlan")
    uses = [{"code": made.code, "discount_fen": 3000}]
    await take(db, vault, status="paid", coupons=uses)
    assert (await look(db, made.id)).state == "redeemed"
    await take(db, vault, status="closed", **REFUNDED)
    withdrawn = await look(db, made.id)
    assert (withdrawn.state, (withdrawn.redemption or {})["by"], withdrawn.order_no) == ("void", "chenlan", "")
    assert await told(db) == ["coupon.voided", "coupon.redeemed"]


async def test_codes_that_differ_in_small_letters_are_two_customers_coupons(db: Database, vault: Vault) -> None:
    await batch(db, kind="pool")
    await db.write(coupons.add_codes, "new", ["abc1x", "ABC1X"])
    made = await issue(db, await db.write(add_person))
    (other,) = {"abc1x", "ABC1X"} - {made.code}
    await take(db, vault, status="paid", coupons=[{"code": other}])
    assert (await look(db, made.id)).state == "issued"
    with pytest.raises(NotFound):
        await db.write(coupons.redeem, other, now=NOW, by="till")
    assert await db.read(coupons_lifecycle.count_free, "new") == 0


async def test_a_code_of_the_pool_is_found_in_whatever_letters_it_is_typed(db: Database, vault: Vault) -> None:
    await batch(db, kind="pool")
    await db.write(coupons.add_codes, "new", ["SPRING-26", "autumn-26"])
    made = [await issue(db, await db.write(add_person)) for _ in range(2)]
    await take(db, vault, status="paid", coupons=[{"code": one.code.swapcase()} for one in made])
    assert [(await look(db, one.id)).state for one in made] == ["redeemed", "redeemed"]


async def test_a_code_that_two_orders_used_stays_used_while_one_of_them_stands(db: Database, vault: Vault) -> None:
    await batch(db, face_fen=3000)
    made = await issue(db, await db.write(add_person, wx_unionid="oU"))
    uses = {"coupons": [{"code": made.code, "discount_fen": 3000}], "buyer_ref": {"wx_unionid": "oU"}}
    await take(db, vault, status="paid", **uses)
    await take(db, vault, status="paid", order_no="E2", **uses)
    back = [{"refund_no": "R1", "status": "refunded", "amount_fen": 19900}]
    await take(db, vault, status="closed", refunds=back)
    coupon = await look(db, made.id)
    assert (coupon.state, coupon.order_no) == ("redeemed", "E2")
    await take(db, vault, status="closed", order_no="E2", refunds=back)
    assert (await look(db, made.id)).state == "issued"
    assert await told(db) == ["coupon.redeemed", "coupon.restored"]
