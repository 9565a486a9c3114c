"""Orders come in any order, many times, from several sources; what is kept is always the same."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from scrm.commerce import binding, order_views, running_totals, store
from scrm.commerce.canonical import Order, Receiver, read_order
from scrm.commerce.models import order_line, orders
from scrm.commerce.provinces import province_of
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.errors import Conflict, NotFound
from scrm.events import event
from scrm.work.models import work_item
from tests.commerce.conftest import NOW, add_person

MINUTE = timedelta(minutes=1)


def order(status: str = "paid", at: int = 0, **fields: Any) -> Order:
    """An order of ¥128 as its platform tells it `at` minutes after it was placed."""
    moment = NOW + at * MINUTE
    values: dict[str, Any] = {
        "channel": "youzan",
        "shop_key": "main",
        "order_no": "E20260618120000000000001",
        "status": status,
        "paid_fen": 0 if status in ("pending_payment", "cancelled") else 12800,
        "ordered_at": NOW.isoformat(),
        "platform_updated_at": moment.isoformat(),
        "buyer_ref": {"wx_unionid": "o6_lin"},
        "lines": [{"line_key": "1", "title": "桂花乌龙礼盒", "qty": 1, "unit_price_fen": 12800}],
    }
    if status not in ("pending_payment", "cancelled"):
        values["paid_at"] = (NOW + MINUTE).isoformat()
    if status in ("shipped", "completed"):
        values["shipped_at"] = (NOW + 2 * MINUTE).isoformat()
    values |= fields
    return read_order({name: value for name, value in values.items() if value is not None})


async def save(db: Database, vault: Vault, *batch: Order, route: store.Route = "api") -> list[store.Saved]:
    return await db.write(store.save_orders, batch, now=NOW + 5 * MINUTE, vault=vault, route=route)


async def the_order(db: Database) -> dict[str, Any]:
    def read(conn: Connection) -> dict[str, Any]:
        return dict(conn.execute(select(orders)).mappings().one())

    return await db.read(read)


async def totals(db: Database, person_id: int) -> dict[str, Any]:
    return await db.read(running_totals.find_totals, person_id) or {}


async def events_of(db: Database) -> list[str]:
    return await db.read(lambda conn: list(conn.execute(select(event.c.name).order_by(event.c.id)).scalars()))


async def test_an_order_is_kept_with_its_lines_person_and_totals(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    (saved,) = await save(db, vault, order())
    assert (saved.result, saved.person_id, saved.events) == ("created", person_id, ("order.created", "order.paid"))
    found = await totals(db, person_id)
    assert (found["orders"], found["paid_orders"], found["paid_fen"]) == (1, 1, 12800)
    assert found["last_paid_at"] == NOW + MINUTE
    (view,) = await db.read(order_views.list_orders, person_id)
    assert [line["title"] for line in view.lines] == ["桂花乌龙礼盒"]
    assert view.row["bound_by"] == "unionid"


async def test_the_same_message_again_changes_nothing(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    await save(db, vault, order())
    saved = await save(db, vault, order(), order(), order())
    assert [one.result for one in saved] == ["unchanged"] * 3
    assert (await totals(db, person_id))["paid_fen"] == 12800
    assert await events_of(db) == ["order.created", "order.paid"]


async def test_the_same_order_three_times_in_one_batch_goes_forward(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    saved = await save(db, vault, order("pending_payment"), order("paid", 1), order("shipped", 2))
    assert [one.result for one in saved] == ["created", "updated", "updated"]
    assert await events_of(db) == ["order.created", "order.paid", "order.shipped"]
    assert (await totals(db, person_id))["paid_orders"] == 1


async def test_older_snapshots_that_come_late_change_nothing(db: Database, vault: Vault) -> None:
    saved = await save(db, vault, order("shipped", 3))
    saved += await save(db, vault, order("paid", 2))
    saved += await save(db, vault, order("pending_payment", 1))
    assert [one.result for one in saved] == ["created", "stale", "stale"]
    kept = await the_order(db)
    assert (kept["status"], kept["paid_fen"]) == ("shipped", 12800)


async def test_without_any_version_the_status_only_goes_forward(db: Database, vault: Vault) -> None:
    await save(db, vault, order("shipped", platform_updated_at=None))
    (late,) = await save(db, vault, order("paid", platform_updated_at=None))
    assert late.result == "stale"
    assert (await the_order(db))["status"] == "shipped"


async def test_a_version_number_beats_the_arrival(db: Database, vault: Vault) -> None:
    await save(db, vault, order("completed", platform_updated_at=None, version=3))
    (late,) = await save(db, vault, order("shipped", platform_updated_at=None, version=2))
    assert (late.result, (await the_order(db))["status"]) == ("stale", "completed")


async def test_an_old_file_after_the_api_fills_gaps_and_goes_no_step_back(db: Database, vault: Vault) -> None:
    await save(db, vault, order("completed", 5))
    from_file = order("paid", 9, buyer_note="放门口", paid_fen=99)
    (saved,) = await save(db, vault, from_file, route="file")
    kept = await the_order(db)
    assert (saved.result, kept["status"], kept["paid_fen"], kept["buyer_note"]) == (
        "updated",
        "completed",
        12800,
        "放门口",
    )
    assert kept["route"] == "api"


async def test_a_file_may_raise_the_status_of_an_api_order(db: Database, vault: Vault) -> None:
    await save(db, vault, order("paid"))
    await save(db, vault, order("shipped"), route="file")
    assert (await the_order(db))["status"] == "shipped"


async def test_an_order_cancelled_by_timeout_and_paid_after_all_is_paid(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    await save(db, vault, order("cancelled", 30, closed_at=(NOW + 30 * MINUTE).isoformat()))
    assert (await totals(db, person_id))["paid_orders"] == 0
    await save(db, vault, order("paid", 31, paid_at=(NOW + 31 * MINUTE).isoformat()))
    kept = await the_order(db)
    assert (kept["status"], kept["closed_at"]) == ("paid", None)
    assert (await totals(db, person_id))["paid_fen"] == 12800


async def test_a_closed_order_never_opens_again(db: Database, vault: Vault) -> None:
    await save(db, vault, order("closed", 1))
    await save(db, vault, order("shipped", 2))
    assert (await the_order(db))["status"] == "closed"


async def test_masked_data_never_replaces_real_data(db: Database, vault: Vault) -> None:
    clear = {"name": "林晓晓", "phone": "13800138000", "province": "浙江", "address": "文三路 1 号"}
    await save(db, vault, order("paid", 1, receiver=clear))
    await save(db, vault, order("shipped", 2, receiver={"name": "林**", "phone": "138****8000"}))
    kept = await the_order(db)
    assert "文三路" in vault.open(kept["receiver_sealed"])
    assert kept["receiver_mask"] == "林** 138****8000 浙江"
    assert kept["province"] == "浙江"


@pytest.mark.parametrize(
    ("receiver", "province"),
    [
        ({"province": "广东省", "city": "深圳市"}, "广东"),
        ({"province": "内蒙古自治区"}, "内蒙古"),
        ({"province": "黑龙江"}, "黑龙江"),
        ({"address": "中国 广西壮族自治区南宁市 1 号"}, "广西"),
        # A street is no province, nor is a district of one's name.
        ({"city": "天津市", "address": "河北区 1 号"}, ""),
        ({"province": "California", "address": "1 Main St"}, ""),
    ],
)
def test_a_province_is_known_by_its_short_name(receiver: dict[str, str], province: str) -> None:
    assert province_of(Receiver(**receiver)) == province


async def test_no_phone_stands_in_clear_in_any_column(db: Database, vault: Vault) -> None:
    await save(
        db,
        vault,
        order(
            buyer_ref={"mobile_e164": "+8613800138000", "name": "林晓晓"},
            receiver={"name": "林晓晓", "phone": "13800138000", "address": "文三路 1 号"},
        ),
    )
    kept = await the_order(db)
    assert "13800138000" not in str(kept)
    assert "林晓晓" not in str(kept)
    assert kept["buyer_ref"]["mobile_mask"] == "138****8000"


async def test_refunds_count_once_they_are_refunded(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    case = {"refund_no": "R1", "status": "requested", "amount_fen": 2800}
    await save(db, vault, order("shipped", 2, refunds=[case]))
    found = await totals(db, person_id)
    assert (found["open_refunds"], found["refunded_fen"]) == (1, 0)
    assert (await the_order(db))["aftersale_status"] == "open"
    await save(db, vault, order("shipped", 3, refunds=[case | {"status": "refunded"}]))
    found = await totals(db, person_id)
    assert (found["open_refunds"], found["refunded_fen"], found["paid_fen"]) == (0, 2800, 12800)
    assert (await the_order(db))["payment_status"] == "partially_refunded"
    assert (await events_of(db))[-3:] == ["refund.opened", "refund.done", "refund.closed"]


async def test_a_refund_told_by_an_older_snapshot_does_not_go_back(db: Database, vault: Vault) -> None:
    case = {"refund_no": "R1", "status": "refunded", "amount_fen": 2800}
    await save(db, vault, order("shipped", 3, refunds=[case]))
    await save(db, vault, order("shipped", 2, refunds=[case | {"status": "requested"}]))
    assert (await the_order(db))["refunded_fen"] == 2800


async def test_lines_left_out_stay_and_lines_given_replace(db: Database, vault: Vault) -> None:
    await save(db, vault, order("paid", 1))
    await save(db, vault, order("paid", 2, lines=None))
    two = [{"line_key": "a", "title": "茶", "unit_price_fen": 10000}, {"line_key": "b", "title": "杯"}]
    read = select(order_line.c.line_key, order_line.c.paid_fen).order_by(order_line.c.position)
    assert await db.read(lambda conn: [tuple(row) for row in conn.execute(read)]) == [("1", 12800)]
    await save(db, vault, order("paid", 3, lines=two))
    assert await db.read(lambda conn: [tuple(row) for row in conn.execute(read)]) == [("a", 12800), ("b", 0)]


async def test_a_parcel_that_arrived_is_delivered(db: Database, vault: Vault) -> None:
    await db.write(add_person, wx_unionid="o6_lin")
    parcel = {"tracking_no": "SF1234567", "carrier_code": "SF", "carrier_name": "顺丰速运"}
    await save(db, vault, order("shipped", 2, shipments=[parcel]))
    arrived = parcel | {"delivered_at": (NOW + 3 * MINUTE).isoformat()}
    (saved,) = await save(db, vault, order("shipped", 3, shipments=[arrived]))
    assert saved.events == ("order.delivered",)
    told = await db.read(lambda conn: conn.execute(select(event.c.facts).order_by(event.c.id.desc())).scalars().first())
    assert told is not None
    assert (told["carrier"], told["parcel_tail"]) == ("顺丰速运", "4567")


async def test_a_buyer_is_known_by_phone_when_nothing_surer_is_there(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, mobile_e164=vault.lookup("+8613800138000"))
    (saved,) = await save(db, vault, order(buyer_ref={"mobile_e164": "138 0013 8000"}))
    assert saved.person_id == person_id


@pytest.mark.parametrize("phone", ["138****8000", "13800138000-1234", "010-88886666"])
async def test_a_masked_virtual_or_fixed_phone_names_nobody(db: Database, vault: Vault, phone: str) -> None:
    await db.write(add_person, mobile_e164=vault.lookup("+8613800138000"))
    (saved,) = await save(db, vault, order(buyer_ref={"mobile_e164": phone}))
    assert saved.person_id is None


async def test_orders_that_waited_follow_a_person_who_becomes_known(db: Database, vault: Vault) -> None:
    (saved,) = await save(db, vault, order())
    assert (saved.person_id, await events_of(db)) == (None, [])
    person_id = await db.write(add_person)
    assert await db.write(binding.bind_orders, person_id, unionid="o6_lin", now=NOW + MINUTE) == 1
    assert (await totals(db, person_id))["paid_fen"] == 12800
    assert await events_of(db) == ["order.created", "order.paid", "identity.bound"]
    assert await db.write(binding.bind_orders, person_id, unionid="o6_lin", now=NOW + MINUTE) == 0


async def test_the_same_message_binds_once_its_buyer_is_known(db: Database, vault: Vault) -> None:
    await save(db, vault, order())
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    (saved,) = await save(db, vault, order())
    assert (saved.result, saved.person_id) == ("unchanged", person_id)
    assert (await totals(db, person_id))["orders"] == 1


async def test_a_member_binds_an_order_by_hand_but_never_takes_one_away(db: Database, vault: Vault) -> None:
    (saved,) = await save(db, vault, order())
    mine, other = await db.write(add_person), await db.write(add_person)
    assert await db.write(binding.bind_order_manually, saved.order_id, mine, "zhangmin", NOW)
    assert not await db.write(binding.bind_order_manually, saved.order_id, mine, "zhangmin", NOW)
    with pytest.raises(Conflict, match="另一位客户"):
        await db.write(binding.bind_order_manually, saved.order_id, other, "zhangmin", NOW)
    with pytest.raises(NotFound):
        await db.write(binding.bind_order_manually, 999, other, "zhangmin", NOW)
    assert (await totals(db, mine))["paid_fen"] == 12800
    assert "order.bound" in await events_of(db)


async def test_history_is_told_but_starts_no_playbook(db: Database, vault: Vault) -> None:
    await db.write(add_person, wx_unionid="o6_lin")
    await save(db, vault, order(), route="file")

    def read(conn: Connection) -> tuple[list[bool], int]:
        marks = [facts.get("historic") for facts in conn.execute(select(event.c.facts)).scalars()]
        return marks, len(conn.execute(select(work_item.c.id)).all())

    assert await db.read(read) == ([True], 0)


async def test_what_is_fresh_becomes_work_for_the_playbooks(db: Database, vault: Vault) -> None:
    await db.write(add_person, wx_unionid="o6_lin")
    await save(db, vault, order())
    kinds = await db.read(lambda conn: list(conn.execute(select(work_item.c.kind)).scalars()))
    assert kinds == ["sop.event", "sop.event"]


async def test_a_test_order_counts_nowhere(db: Database, vault: Vault) -> None:
    person_id = await db.write(add_person, wx_unionid="o6_lin")
    await save(db, vault, order(is_test=True))
    assert (await totals(db, person_id)).get("orders", 0) == 0


async def test_two_shops_may_use_the_same_number(db: Database, vault: Vault) -> None:
    await save(db, vault, order(), order(shop_key="second"))
    found = await db.read(order_views.find_orders, "youzan", "E20260618120000000000001")
    assert sorted(view.row["shop_key"] for view in found) == ["main", "second"]


async def test_a_long_number_still_has_an_event_key(db: Database, vault: Vault) -> None:
    await db.write(add_person, wx_unionid="o6_lin")
    await save(
        db, vault, order(shop_key="s" * 80, order_no="9" * 80, refunds=[{"refund_no": "R" * 80, "status": "refunded"}])
    )
    assert len(await events_of(db)) == 5


async def test_naive_times_never_reach_the_store(db: Database, vault: Vault) -> None:
    with pytest.raises(Exception, match="时区"):
        order(paid_at="2026-06-18T20:00:00")
