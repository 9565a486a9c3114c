"""What pages, mini-programs and servers tell about visitors, as they post it."""

import json
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from scrm.api.store import make_key
from scrm.events import event
from scrm.profiles.models import identity, person
from scrm.tracking import ticks
from scrm.tracking.models import tracked_event, visitor, visitor_claim
from tests.tracking.conftest import KEY
from tests.world import XIAOMAN, World

MALL = "https://mall.example.com"
PHONE_A, PHONE_B = "visitor-aaaa-1111", "visitor-bbbb-2222"


async def post(world: World, body: Any, **headers: str) -> aiohttp.ClientResponse:
    if isinstance(body, dict):
        body = {"key": KEY, **body}
    return await world.client.post("/track", data=json.dumps(body), headers=headers)


async def tell(world: World, visitor_id: str, *names: str, **more: Any) -> dict[str, Any]:
    facts = {key: more.pop(key) for key in ("sku", "title", "event_id") if key in more}
    response = await post(
        world, {"anonymous_id": visitor_id, "events": [{"name": name, **facts} for name in names], **more}
    )
    assert response.status == 200, await response.text()
    answer: dict[str, Any] = await response.json()
    return answer


async def names_of(world: World, person_id: int) -> list[str]:
    rows = await world.rows(event, event.c.person_id == person_id)
    of_others = ("contact.", "coupon.issued", "order.", "task.")
    return [row.name for row in sorted(rows, key=lambda row: row.id) if not row.name.startswith(of_others)]


async def person_of(world: World, external_userid: str) -> int:
    rows = await world.rows(identity, identity.c.value == external_userid)
    return int(rows[0].person_id)


async def test_what_a_visitor_did_before_comes_along_and_never_to_two_persons(world: World) -> None:
    await world.add()
    xiaoman = await person_of(world, XIAOMAN)
    assert (await tell(world, PHONE_A, "product.viewed", "cart.added", "page.viewed"))["identified"] is False
    assert [row.person_id for row in await world.rows(tracked_event)] == [None] * 3
    unionid = [{"kind": "wx_unionid", "value": "oUnionXiaoman"}]
    assert (await tell(world, PHONE_A, "wishlist.added", identities=unionid))["identified"] is True
    assert {row.person_id for row in await world.rows(tracked_event)} == {xiaoman}
    assert sorted(await names_of(world, xiaoman)) == ["cart.added", "product.viewed", "wishlist.added"]

    # The same phone is somebody else's from now on: what was told stays where it is.
    key = await world.services.db.write(make_key, "mall", "manager", now=world.clock.now())
    body = {"anonymous_id": PHONE_A, "events": [{"name": "cart.added"}]}
    body["identities"] = [{"kind": "mobile", "value": "138 0013 8001"}]
    assert (await post(world, body, Authorization=f"Bearer {key}")).status == 200
    assert len(await names_of(world, xiaoman)) == 3
    (owner,) = await world.rows(identity, identity.c.kind == "anonymous_id")
    assert owner.person_id != xiaoman
    assert await names_of(world, owner.person_id) == ["cart.added"]
    assert (await world.rows(visitor))[0].switched_at is not None


async def test_a_person_who_comes_later_gets_what_the_visitor_claimed_to_be(world: World) -> None:
    claim = {"wx_unionid": "oUnionXiaoman"}
    assert (await tell(world, PHONE_A, "product.viewed", identities=claim))["identified"] is False
    assert await world.rows(person) == []  # a page cannot make persons
    await world.add()
    assert await ticks.tick(world.services) == 1
    assert await names_of(world, await person_of(world, XIAOMAN)) == ["product.viewed"]
    assert await world.rows(visitor_claim) == []
    assert await ticks.tick(world.services) == 0


async def test_a_phone_number_counts_only_when_the_shops_server_vouches_for_it(world: World) -> None:
    phone = {"identities": [{"kind": "phone", "value": "13800138001"}]}
    await tell(world, PHONE_A, "product.viewed", **phone)
    assert await world.rows(person) == []
    key = await world.services.db.write(make_key, "mall", "manager", now=world.clock.now())
    headers = {"Authorization": f"Bearer {key}"}
    made = await world.client.post("/api/v1/track/tokens", json=phone, headers=headers)
    token = (await made.json())["token"]
    assert "13800138001" not in token
    forged = await post(world, {"anonymous_id": PHONE_A, "token": token[:-1] + "x"})
    assert forged.status == 422
    answer = await tell(world, PHONE_A, token=token)
    assert answer["identified"] is True
    (known,) = await world.rows(identity, identity.c.kind == "mobile_e164")
    assert (known.mask, known.confidence) == ("138****8001", "verified")
    assert await names_of(world, known.person_id) == ["product.viewed"]
    world.clock.advance(hours=25)
    late = await tell(world, PHONE_B, "product.viewed", token=token)
    assert (late["accepted"], late["identified"], "已过期" in late["notice"]) == (1, False, True)


async def test_without_consent_there_is_no_id_and_a_withdrawal_forgets(world: World) -> None:
    await world.add()
    xiaoman = await person_of(world, XIAOMAN)
    unionid = [{"kind": "unionid", "value": "oUnionXiaoman"}]
    await tell(world, PHONE_A, "product.viewed", identities=unionid, consent=True)
    await tell(world, PHONE_B, "page.viewed", identities=unionid, consent=False)
    assert [row.anonymous_id for row in await world.rows(tracked_event)] == [PHONE_A, ""]
    await tell(world, PHONE_A, consent=False)
    assert await names_of(world, xiaoman) == []
    assert await world.rows(identity, identity.c.kind == "anonymous_id") == []
    late = await tell(world, PHONE_A, "cart.added")  # a beacon that was on its way
    assert (late["accepted"], late["ignored"]) == (0, 1)
    assert (await tell(world, PHONE_A, "cart.added", consent=True))["accepted"] == 1


async def test_an_event_told_twice_counts_once(world: World) -> None:
    first = await tell(world, PHONE_A, "cart.added", event_id="evt-0001")
    again = await tell(world, PHONE_A, "cart.added", event_id="evt-0001")
    assert [(one["accepted"], one["ignored"]) for one in (first, again)] == [(1, 0), (0, 1)]
    moment = (world.clock.now() - timedelta(minutes=3)).isoformat()
    for _ in range(2):  # without an id the content is one
        await post(world, {"anonymous_id": PHONE_A, "name": "share", "occurred_at": moment})
    assert [row.name for row in await world.rows(tracked_event)] == ["cart.added", "content.shared"]


async def test_a_clock_that_is_wrong_is_put_right(world: World) -> None:
    now = world.clock.now()
    hour = timedelta(hours=1)
    body = {
        "anonymous_id": PHONE_A,
        "sent_at": (now + 5 * hour).isoformat(),
        "events": [
            {"name": "cart.added", "occurred_at": (now + 5 * hour - timedelta(minutes=10)).isoformat()},
            {"name": "cart.added", "occurred_at": (now + 6 * hour).isoformat()},
            {"name": "cart.added", "occurred_at": (now - 800 * hour).isoformat()},
            {"name": "bad name!"},
            {"name": "cart.added", "props": {"x": "y" * 9000}},
            "nothing",
        ],
    }
    answer = await (await post(world, body)).json()
    assert (answer["accepted"], [one["index"] for one in answer["refused"]]) == (1, [1, 2, 3, 4, 5])
    (kept,) = await world.rows(tracked_event)
    assert kept.occurred_at == now - timedelta(minutes=10)


async def test_phone_numbers_in_what_pages_tell_are_masked(world: World) -> None:
    facts = {"title": "给 13800138001 的礼物", "page_path": "/u?tel=+8613800138001", "props": {"a": ["13800138001"]}}
    await post(world, {"events": [{"name": "product.viewed", "props": {"n": 13800138001}, **facts}]})
    (kept,) = await world.rows(tracked_event)
    assert "13800138001" not in json.dumps(kept.facts)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://mall.example.com", True),
        ("https://m.shop.example.com", True),
        ("https://shop.example.com", False),
        ("https://mall.example.com.evil.test", False),
        ("https://evilmall.example.com", False),
        ("null", False),
        ("https://crm.example.test", True),
    ],
)
async def test_only_the_shops_own_pages_may_post(world: World, origin: str, allowed: bool) -> None:
    asked = await world.client.options("/track", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    posted = await post(world, {"events": []}, Origin=origin)
    assert (asked.status, posted.status) == ((204, 200) if allowed else (403, 403))
    assert (posted.headers.get("Access-Control-Allow-Origin") == origin) is allowed


async def test_bad_requests_are_told_in_one_line(world: World) -> None:
    for body, status in (
        ("{", 422),
        ("7", 422),
        (json.dumps({"key": KEY, "events": [{}] * 101}), 422),
        (json.dumps({"key": KEY, "token": "\ud800"}), 422),
    ):
        assert (await world.client.post("/track", data=body)).status == status
    refused = await post(
        world, {"events": [{"name": "page.viewed", "occurred_at": 0, "sent_at": "9999-12-31T23:59:59Z"}]}
    )
    assert (refused.status, (await refused.json())["refused"][0]["index"]) == (200, 0)
    assert (await world.client.post("/track", data=json.dumps({"key": "wrong"}))).status == 401
    assert (await world.client.post("/track", data=b"x" * 70_000)).status == 413
    crawler = {"User-Agent": "Mozilla/5.0 (compatible; Baiduspider/2.0)"}
    assert (await (await post(world, {"events": [{"name": "page.viewed"}]}, **crawler)).json())["accepted"] == 0
    assert (await post(world, {"events": 7}, **crawler)).status == 200
    answers = [(await post(world, {"events": []})).status for _ in range(60)]
    assert answers[-1] == 429


async def test_a_cart_left_lying_is_told_once_and_a_bought_one_never(world: World) -> None:
    await world.add()
    xiaoman = await person_of(world, XIAOMAN)
    unionid = {"unionid": "oUnionXiaoman"}
    await tell(world, PHONE_A, "cart.added", identities=unionid, sku="SKU-1", title="修护面霜")
    await world.pass_time(minutes=50)
    await tell(world, PHONE_A, "page.viewed")  # still there
    await world.pass_time(minutes=40)
    assert "cart.abandoned" not in await names_of(world, xiaoman)
    await world.pass_time(minutes=40)
    assert (await names_of(world, xiaoman)).count("cart.abandoned") == 1
    (told,) = await world.rows(event, event.c.name == "cart.abandoned")
    assert told.facts["title"] == "修护面霜"
    await tell(world, PHONE_A, "cart.added", sku="SKU-2")
    await world.pass_time(hours=3)
    assert (await names_of(world, xiaoman)).count("cart.abandoned") == 1  # once a day

    await world.pass_time(hours=30)
    await tell(world, PHONE_A, "cart.added", sku="SKU-3")
    await world.pass_time(minutes=5)
    order = {"channel": "offline", "shop_key": "s1", "order_no": "X1", "status": "paid", "currency": "CNY"}
    order |= {"paid_at": world.clock.now().isoformat(), "payable_fen": 100, "paid_fen": 100}
    order |= {"buyer_ref": {"wx_unionid": "oUnionXiaoman"}, "lines": [{"line_key": "1", "merchant_sku": "SKU-3"}]}
    key = await world.services.db.write(make_key, "erp", "manager", now=world.clock.now())
    saved = await world.client.post("/api/v1/orders", json=[order], headers={"Authorization": f"Bearer {key}"})
    assert (await saved.json())["items"][0]["result"] == "created", await saved.text()
    await world.pass_time(hours=3)
    assert (await names_of(world, xiaoman)).count("cart.abandoned") == 1
