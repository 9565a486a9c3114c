"""The list of triggers: each starts by its event and by no other, narrows by its facts, and gives the keys it says."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scrm.events import Event
from scrm.profiles.conditions.tree import EVENTS
from scrm.sop import run_keys, triggers
from scrm.sop.schema import Trigger
from scrm.sop.triggers.facts import find_fact
from tests.sop.shop import playbook_of, step

NOW = datetime(2026, 12, 31, 20, 0, tzinfo=UTC)  # New Year's morning in Shanghai
ZONE = ZoneInfo("Asia/Shanghai")

_ADD: dict[str, Any] = {"state": "s1", "channel": {"kind": "直播", "title": "周三直播"}, "is_half": True, "add_way": 3}
_GROUP = {"chat_id": "wr1", "title": "福利群", "owner": "lina"}
_ORDER = {"order_id": 1, "order_no": "7", "channel": "taobao", "shop_key": "main", "status": "paid", "title": "面霜"}
_LINE = {"sku": "M1", "product_id": "P1"}
_PARCEL = {**_ORDER, **_LINE, "carrier": "顺丰", "parcels": 1}
_CASE = {**_ORDER, **_LINE, "refund_no": "r1", "type": "refund", "reason": "质量", "refund_status": "waiting"}
_GOODS = {**_LINE, "category": "护肤", "source": "h5", "title": "面霜"}
_COUPON = {"batch": "new72h", "title": "新人券", "face_fen": 1000}
_STORE_COUPON = {"coupon_id": "c1", "coupon_name": "满减"}
_LIVE = {"live_id": "L1", "title": "周三直播", "starts_at": "2026-12-31T20:00:00+08:00"}

# By name: (key, facts) as publishers set them. A new trigger needs its line here.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "contact.added": ("", _ADD),
    "contact.confirmed": ("", _ADD),
    "contact.chat_started": ("", {"link_id": "k1"}),
    "contact.archiving_agreed": ("", {}),
    "contact.taken_over": ("", {"handover_userid": "old", "takeover_userid": "lina"}),
    "contact.transfer_failed": ("", {"reason": "客户拒绝"}),
    "contact.lost_by_customer": ("", {"source": ""}),
    "contact.lost_by_member": ("", {"source": "DELETE_BY_TRANSFER"}),
    "optout.changed": ("", {"optout": {"promo": True}}),
    "identity.bound": ("", {"way": "order", "kind": "order"}),
    "person.merged": ("", {"from": 9}),
    "oa.subscribed": ("", {"app_id": "wx1", "scene": "ADD_SCENE_QR_CODE"}),
    "oa.unsubscribed": ("", {"app_id": "wx1"}),
    "oa.scanned": ("", {"app_id": "wx1", "scene": "s"}),
    "kf.entered": ("", {"open_kfid": "kf1", "scene": "mini"}),
    "group.joined": ("wr1", {**_GROUP, "state": "g1", "join_scene": 3}),
    "group.left": ("wr1", {**_GROUP, "is_removed": True}),
    **{
        f"order.{name}": ("taobao/main/7", _PARCEL)
        for name in ("created", "paid", "shipped", "delivered", "completed", "cancelled", "closed")
    },
    "order.bound": ("taobao/main/7", {"channel": "taobao", "by": "lina"}),
    **{f"refund.{name}": ("taobao/main/7", _CASE) for name in ("opened", "agreed", "refused", "done", "closed")},
    **{f"cart.{name}": ("e1", _GOODS) for name in ("added", "removed", "abandoned")},
    "wishlist.added": ("e1", _GOODS),
    **{f"checkout.{name}": ("e1", _GOODS) for name in ("started", "shipping_added", "payment_added", "abandoned")},
    "browse.abandoned": ("e1", _GOODS),
    "product.reviewed": ("e1", {**_GOODS, "rating": 2}),
    "content.shared": ("e1", _GOODS),
    **{f"coupon.{name}": ("e1", _STORE_COUPON) for name in ("received", "entered", "used", "denied")},
    "message.radar_opened": ("hello", {"content": "hello", "title": "新品"}),
    **{f"coupon.{name}": ("31", _COUPON) for name in ("issued", "opened", "redeemed", "restored", "voided")},
    **{f"coupon.{name}": ("31", {**_COUPON, "unopened": True}) for name in ("expiring", "expired")},
    "points.changed": ("order:1", {"reason": "purchase", "points": 9}),
    "points.expiring": ("points:1:2", {"points": 9}),
    "level.changed": ("1:gold:3", {"direction": "up", "to": "gold", "from": "silver", "by_refund": False}),
    **{f"custom.referral_{name}": ("friend-7", {"title": "老带新"}) for name in ("added", "valid", "confirmed")},
    "staff.left": ("lina", {}),
    "staff.promised": ("p1", {"kind": "补发"}),
    "staff.kept": ("promise:1", {"title": "找色号"}),
    "staff.cancelled": ("promise:1", {"title": "找色号"}),
    "note.added": ("1", {"kind": "电话", "text": "聊了防晒"}),
    "stage.changed": ("", {"from": "潜客", "to": "意向"}),
    "live.booked": ("L1", _LIVE),
    "live.moved": ("L1@2026-12-31T21:00", {"live_id": "L1@2026-12-31T21:00", "title": "周三直播"}),
    "form.submitted": ("f1", {"form": "need-check"}),
    "stock.available": ("M1", _LINE),
    "date.reached": (
        "birthday@2027",
        {"date": "2027-01-01", "field": "birthday", "year": 2027, "lunar": False, "yearly": True, "lead": 0},
    ),
    "schedule.due": ("2026-12-31T20:00", {"cron": "0 10 * * 1", "segment": "vip", "fire": "x"}),
    "segment.entered": ("vip", {"segment": "vip"}),
    "segment.left": ("vip", {"segment": "vip"}),
    "rfm.moved": ("001", {"from": "重要价值客户", "to": "重要挽留客户", "letters": "R2 F1 M5"}),
    "manual.started": ("2026-12-31T20:00:00", {"playbook": "new-customer", "by": "lina"}),
}
WANTED = {
    "date.reached": Trigger("date.reached", date="birthday", yearly=True),
    "schedule.due": Trigger("schedule.due", cron="0 10 * * 1", segment="vip"),
}


def event_of(name: str, **more: Any) -> Event:
    key, facts = CASES[name]
    return Event(name, NOW, 12, "wm1", "lina", key=key, facts={**facts, **more})


def test_every_trigger_has_a_case() -> None:
    names = [trigger.name for trigger in triggers.TRIGGERS]
    assert len(names) == len(set(names))
    assert set(CASES) == set(names)


@pytest.mark.parametrize("trigger", triggers.TRIGGERS, ids=lambda trigger: trigger.name)
def test_a_trigger_starts_by_its_event_narrowed_by_its_facts(trigger: triggers.Trigger) -> None:
    event = event_of(trigger.name)
    wanted = WANTED.get(trigger.name, Trigger(trigger.name))
    assert triggers.starts(wanted, event)
    assert not triggers.starts(wanted, event_of(trigger.name, historic=True))
    others = [name for name in CASES if name != trigger.name and triggers.starts(wanted, event_of(name))]
    assert not others
    facts = {"userid": event.userid, **event.facts}
    for path in trigger.where:
        value = find_fact(facts, path)
        assert value is not None, f"no publisher sets {path}"
        assert triggers.starts(Trigger(trigger.name, {path: (value,)}), event) or trigger.also is not None
        assert not triggers.starts(Trigger(trigger.name, {path: ("另一个",)}), event)


@pytest.mark.parametrize("trigger", triggers.TRIGGERS, ids=lambda trigger: trigger.name)
def test_a_trigger_gives_the_run_keys_it_says(trigger: triggers.Trigger) -> None:
    for key in ("person", *trigger.run_keys):
        playbook = playbook_of(step("ask", "T0"), run_key=key, trigger=Trigger(trigger.name))
        assert run_keys.run_key(playbook, event_of(trigger.name), zone=ZONE).startswith(f"{key}:")


def test_own_events_start_what_names_them_and_carry_any_fact() -> None:
    told = Event("custom.trial_booked", NOW, 12, key="t1", facts={"shop": "静安", "sku": "M1"})
    assert triggers.starts(Trigger("custom.trial_booked", {"shop": ("静安",)}), told)
    assert not triggers.starts(Trigger("custom.trial_done"), told)
    assert not triggers.starts(Trigger("custom.trial_booked", {"shop": ("徐汇",)}), told)


def test_a_date_is_for_those_who_asked_for_it_in_the_same_way() -> None:
    event = event_of("date.reached")
    for other in (
        Trigger("date.reached", date="birthday", yearly=True, lead=3),
        Trigger("date.reached", date="birthday", yearly=True, lunar=True),
        Trigger("date.reached", date="field.预约日"),
    ):
        assert not triggers.starts(other, event)


def test_the_anchor_of_a_date_is_its_first_moment_and_of_a_live_its_start() -> None:
    assert triggers.anchor_of(event_of("date.reached"), ZONE) == datetime(2027, 1, 1, tzinfo=ZONE)
    assert triggers.anchor_of(event_of("live.booked"), ZONE) == datetime(2026, 12, 31, 20, 0, tzinfo=ZONE)
    assert triggers.anchor_of(event_of("live.booked", starts_at="soon"), ZONE) == NOW
    assert triggers.anchor_of(event_of("order.paid"), ZONE) == NOW


def test_the_index_finds_what_a_search_of_all_would_find_in_the_order_of_priority() -> None:
    names = sorted(CASES)
    playbooks = [
        playbook_of(key=f"p{number}", priority=f"P{number % 6}", trigger=WANTED.get(name, Trigger(name)))
        for number, name in enumerate(names * 3)
    ]
    index = triggers.index(playbooks)
    for name in names:
        event = event_of(name, playbook="p1") if name == triggers.BY_HAND else event_of(name)
        naive = [one for one in playbooks if triggers.starts(one.trigger, event)]
        if name == triggers.BY_HAND:
            naive = [one for one in naive if one.key == "p1"]
        found = triggers.started_by(index, event)
        assert found == sorted(naive, key=lambda one: (one.priority, one.key))


def test_conditions_may_speak_of_what_starts_a_playbook() -> None:
    """What an author may wait for, an author may also ask about: goals, exits and counts."""
    assert {trigger.name for trigger in triggers.TRIGGERS} <= set(EVENTS)
