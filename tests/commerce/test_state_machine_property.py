"""An order's life told in any order, repeated, in batches, ends as if told in order; its events are told once."""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from scrm import events
from scrm.commerce import order_views, running_totals, store
from scrm.profiles.models import person_stat
from tests.commerce.conftest import NOW, add_person
from tests.commerce.test_totals_property import VAULT, an_order, engine  # noqa: F401 - a fixture

PAID_FEN = 900


def _at(minute: int) -> str:
    return (NOW + timedelta(minutes=minute)).isoformat()


@st.composite
def lives(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Whole snapshots of one order from created to its end, each with its version, as a platform would send them."""
    told: dict[str, Any] = {"status": "pending_payment", "ordered_at": _at(0), "payable_fen": PAID_FEN}
    life, minute = [dict(told)], 1

    def turn(**changes: Any) -> None:
        nonlocal minute
        told.update(changes)
        life.append({**told, "platform_updated_at": _at(minute)})
        minute += 1

    if draw(st.booleans()):
        turn(payment_status="partially_paid", paid_fen=100, paid_at=_at(minute))
    if draw(st.integers(0, 5)) == 0:
        turn(status="cancelled", closed_at=_at(minute))
        return _numbered(life)
    turn(status="paid", payment_status="", paid_fen=PAID_FEN, paid_at=_at(minute))
    parcels: list[dict[str, Any]] = []
    count = draw(st.integers(1, 3))
    for number in range(count):
        parcels = [*parcels, {"tracking_no": f"SF{number}", "carrier_code": "SF", "shipped_at": _at(minute)}]
        status = "shipped" if number == count - 1 else "partially_shipped"
        first = {"shipped_at": _at(minute)} if status == "shipped" else {}
        turn(status=status, shipments=parcels, **first)
    cases: list[dict[str, Any]] = []
    for number in range(draw(st.integers(0, 2))):
        case = {"refund_no": f"R{number}", "amount_fen": draw(st.sampled_from([100, 450])), "created_at": _at(minute)}
        for status in draw(
            st.sampled_from([["requested"], ["requested", "agreed", "refunded"], ["requested", "rejected"]])
        ):
            ended = {"finished_at": _at(minute)} if status in ("refunded", "rejected") else {}
            cases = [*cases[:number], {**case, "status": status, **ended}]
            turn(refunds=cases)
    if draw(st.booleans()):
        parcels = [{**parcel, "delivered_at": _at(minute)} for parcel in parcels]
        turn(shipments=parcels, delivered_at=_at(minute))
        turn(status="completed", completed_at=_at(minute))
    elif sum(case["amount_fen"] for case in cases if case["status"] == "refunded") == PAID_FEN:
        turn(status="closed", closed_at=_at(minute))
    return _numbered(life)


def _numbered(life: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"order_no": "1", "buyer_ref": {"wx_unionid": "o6_lin"}, "version": place + 1, **told}
        for place, told in enumerate(life)
    ]


def _run(conn: Connection, person_id: int, batches: list[list[dict[str, Any]]]) -> tuple[Any, ...]:
    for batch in batches:
        store.save_orders(
            conn, [an_order(told) for told in batch], now=NOW + timedelta(hours=1), vault=VAULT, route="api"
        )
    (view,) = order_views.find_orders(conn, "pos", "1")
    keep = {
        name: view.row[name]
        for name in ("status", "payment_status", "fulfillment_status", "aftersale_status", "paid_fen", "refunded_fen")
    } | {name: view.row[name] for name in ("ordered_at", "shipped_at", "delivered_at", "completed_at", "closed_at")}
    row = conn.execute(select(person_stat).where(person_stat.c.person_id == person_id)).mappings().one()
    counted = running_totals.count_totals(conn, person_id)
    assert {name: row[name] for name in counted} == counted
    names = list(conn.execute(select(events.event.c.name, events.event.c.once)))
    assert len({one.once for one in names}) == len(names)
    children = [
        [{k: v for k, v in child.items() if k != "order_id"} for child in rows]
        for rows in (view.shipments, view.refunds)
    ]
    return keep, children, {name: row[name] for name in counted}


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=lives(), data=st.data())
def test_a_life_told_in_any_order_ends_alike(engine: Engine, life: list[dict[str, Any]], data: st.DataObject) -> None:  # noqa: F811
    told = data.draw(st.permutations([*life, life[-1], data.draw(st.sampled_from(life))]))
    size = data.draw(st.integers(1, 4))
    with engine.connect() as conn:
        person_id = add_person(conn, wx_unionid="o6_lin")
        shuffled = _run(conn, person_id, [list(told[at : at + size]) for at in range(0, len(told), size)])
        conn.rollback()
    with engine.connect() as conn:
        person_id = add_person(conn, wx_unionid="o6_lin")
        in_order = _run(conn, person_id, [[one] for one in life])
        conn.rollback()
    assert shuffled == in_order
