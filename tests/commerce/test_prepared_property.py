"""Whatever a file's orders say, prepared column by column they end where the usual way ends, word for word."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from scrm.commerce import store
from scrm.commerce.files.fresh import save_prepared
from scrm.commerce.files.prepared import Preparer, packed, unpacked
from scrm.commerce.models import order_coupon, order_line, orders, payment, refund, shipment
from scrm.events import event
from scrm.profiles.models import person_stat
from tests.commerce.conftest import NOW, add_person
from tests.commerce.test_totals_property import STATUSES, VAULT, an_order, engine, moments, refunds  # noqa: F401

TABLES = (orders, order_line, payment, shipment, refund, order_coupon, person_stat, event)
lines = st.lists(
    st.fixed_dictionaries(
        {"title": st.sampled_from(["桂花乌龙", "盖碗\0"])},
        optional={
            "line_key": st.sampled_from(["", "a", "b"]),
            "merchant_sku": st.sampled_from(["T-1", "T-2"]),
            "unit_price_fen": st.integers(0, 300),
            "paid_fen": st.integers(0, 300),
            "is_gift": st.booleans(),
        },
    ),
    max_size=3,
)
parcels = st.lists(
    st.fixed_dictionaries(
        {"tracking_no": st.sampled_from(["SF1", "SF2"])}, optional={"shipped_at": moments, "delivered_at": moments}
    ),
    max_size=2,
)
buyers = st.sampled_from(
    [
        {},
        {"wx_unionid": "o6_lin", "nick": "林晓晓"},
        {"mobile_e164": "138 0000 0001"},
        {"mobile_e164": "138****0001"},
        {"external_userid": "wm_nobody"},
    ]
)
orders_of_files = st.fixed_dictionaries(
    {"order_no": st.sampled_from(list("123456")), "status": st.sampled_from(STATUSES)},
    optional={
        "paid_fen": st.integers(0, 500),
        "refunded_fen": st.integers(0, 500),
        "payable_fen": st.integers(0, 500),
        **dict.fromkeys(
            ("ordered_at", "paid_at", "shipped_at", "delivered_at", "completed_at", "closed_at", "platform_updated_at"),
            moments,
        ),
        "payment_status": st.sampled_from(["", "partially_paid", "unpaid", "refunded"]),
        "aftersale_status": st.sampled_from(["", "open"]),
        "raw_status": st.sampled_from(["", "已发货"]),
        "is_test": st.booleans(),
        "buyer_ref": buyers,
        "receiver": st.sampled_from(
            [{"name": "林晓", "phone": "13800000001", "address": "文三路 1 号"}, {"name": "林*"}]
        ),
        "buyer_note": st.sampled_from(["", "打 13800000001"]),
        "lines": lines,
        "shipments": parcels,
        "refunds": refunds,
        "payments": st.lists(
            st.fixed_dictionaries({"pay_key": st.sampled_from("ab"), "amount_fen": st.integers(0, 9)})
        ),
        "coupons": st.just([{"code": "C1"}]),
    },
)


def _all(conn: Any) -> list[Any]:
    """What is left in the end; sealed again, the same value looks different."""
    found: list[Any] = []
    numbers = dict(conn.execute(select(orders.c.id, orders.c.order_no)).all())
    for table in TABLES:
        rows = [dict(row) for row in conn.execute(select(table)).mappings()]
        for row in rows:
            row.pop("id", None)
            row["receiver_sealed"] = bool(row.get("receiver_sealed"))
            row["order_id"] = numbers.get(row.get("order_id"))
            if "facts" in row:
                row["facts"] = row["facts"] | {"order_id": numbers.get(row["facts"].get("order_id"))}
        found.append(sorted(map(repr, rows)))
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(orders_of_files, min_size=1, max_size=4), min_size=1, max_size=3))
def test_prepared_orders_end_where_the_usual_way_ends(engine: Engine, chunks: list[list[dict[str, Any]]]) -> None:  # noqa: F811
    ends, results = [], []
    for is_prepared in (True, False):
        with engine.connect() as conn:
            add_person(conn, wx_unionid="o6_lin", mobile_e164=VAULT.lookup("+8613800000001"))
            counted: list[tuple[int, int, int]] = []
            for chunk in chunks:
                batch = [an_order(values) for values in chunk]
                if is_prepared:
                    through_a_pipe = unpacked(packed(Preparer(VAULT, NOW).prepare(batch)))
                    outcome = save_prepared(conn, through_a_pipe, now=NOW, vault=VAULT)
                    counted.append((outcome.created, outcome.updated, outcome.unchanged))
                else:
                    saved = [one.result for one in store.save_orders(conn, batch, now=NOW, vault=VAULT, route="file")]
                    stale = saved.count("unchanged") + saved.count("stale")
                    counted.append((saved.count("created"), saved.count("updated"), stale))
            ends.append(_all(conn))
            results.append(counted)
            conn.rollback()
    assert ends[0] == ends[1]
    assert results[0] == results[1]
