"""An order that an ERP cut up, on both databases."""

from tests.fakes.erp import local
from tests.pulls.conftest import Mill, ago
from tests.pulls.test_pulls import ORDERS, jst_order


async def test_an_order_cut_in_two_is_shipped_when_both_halves_are(mill: Mill) -> None:
    at = ago(mill.clock, hours=1)
    two = [
        {"oi_id": 1, "sku_id": "A", "name": "面霜", "qty": 1, "amount": "100"},
        {"oi_id": 2, "sku_id": "B", "name": "精华", "qty": 1, "amount": "28"},
    ]
    whole = jst_order(1, at, ts=1, so_id="S1", items=two)
    mill.jst.records[ORDERS] = [whole]
    await mill.pull()
    now = mill.clock.now()
    half = {"pay_amount": "100", "paid_amount": "100", "items": two[:1], "status": "Sent", "l_id": "SF1"}
    rest = {"pay_amount": "28", "paid_amount": "28", "items": two[1:]}
    mill.jst.records[ORDERS] = [
        {**whole, "status": "Split", "ts": 2},
        jst_order(2, now, so_id="S1", ts=3, send_date=local(now), **half),
    ]
    await mill.pull()
    assert (await mill.order("S1")).row["status"] == "partially_shipped"  # the other half is not even known
    mill.jst.records[ORDERS] = [jst_order(3, now, so_id="S1", ts=4, **rest)]
    await mill.pull()
    view = await mill.order("S1")
    assert (view.row["status"], view.row["paid_fen"], len(view.lines)) == ("partially_shipped", 12800, 2)
    sent = {"status": "Sent", "l_id": "SF2", "send_date": local(mill.clock.now())}
    mill.jst.records[ORDERS] = [jst_order(3, mill.clock.now(), so_id="S1", ts=5, **{**rest, **sent})]
    await mill.pull()
    view = await mill.order("S1")
    assert (view.row["status"], sorted(p["tracking_no"] for p in view.shipments)) == ("shipped", ["SF1", "SF2"])
