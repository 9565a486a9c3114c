"""The API does what its description says: each operation once with what a shop has, then with what schemathesis makes
up, rightly and wrongly."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_schema_validator import OAS31Validator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from scrm.api.openapi import describe
from tests.api.shop_window import ORDER, Window, open_window
from tests.fakes.wecom import FakeWeCom
from tests.world import ANING, XIAOMAN

# By hand: SCRM_CONTRACT_EXAMPLES=300 python3 dev.py test tests/api/test_contract.py
EXAMPLES = int(os.environ.get("SCRM_CONTRACT_EXAMPLES", "1"))
V1 = "/api/v1"


@pytest.fixture
async def window(sqlite_url: str, wecom: FakeWeCom) -> AsyncIterator[Window]:
    async with open_window(sqlite_url, wecom, wecom.url) as window:  # type: ignore[attr-defined]
        yield window


# One call of each operation, in an order in which each finds what it asks for: its body or its query.
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/api/openapi.json", {}),
    ("GET", "/customers", {"external_userid": XIAOMAN}),
    (
        "GET",
        "/customers/search",
        {"q": "小满", "tag": ["老客", "会员"], "tagged": "none", "owner": "", "paid_from_fen": 100},
    ),
    ("PATCH", "/customers/{person_id}/tags", {"add": ["老客"]}),
    ("GET", "/customers/{person_id}", {}),
    ("GET", "/customers/{person_id}/coupons", {}),
    ("GET", "/customers/{person_id}/timeline", {"limit": 2}),
    ("GET", "/customers/{person_id}/private", {"reason": "核对收货地址"}),
    ("GET", "/customers/{person_id}/export", {"reason": "本人要求"}),
    ("GET", "/customers/{person_id}/why", {"playbook": "new-customer"}),
    ("PUT", "/customers/{person_id}/optout", {"promo": True}),
    ("POST", "/customers/{person_id}/points", {"business_key": "gift-1", "points": 100}),
    ("GET", "/customers/{person_id}/points", {}),
    ("PATCH", "/customers/{person_id}/fields", {"skin": "干性"}),
    ("GET", "/customers/{person_id}/fields", {}),
    ("PATCH", "/orders/{order_id}/fields", {}),
    ("GET", "/orders/{order_id}/fields", {}),
    ("PATCH", "/relations/{userid}/{external_userid}/fields", {}),
    ("GET", "/relations/{userid}/{external_userid}/fields", {}),
    ("POST", "/fields", {"title": "生日", "type": "date", "key": "born"}),
    ("GET", "/fields", {"entity": "person"}),
    ("PUT", "/fields/person/born", {"title": "出生日期", "type": "date"}),
    ("DELETE", "/fields/person/born", {}),
    ("POST", "/merges", {"kept": "person_id", "gone": "other_id"}),
    ("GET", "/merges", {"person_id": 1}),
    ("POST", "/merges/1/undo", None),
    ("GET", "/group_chats", {"owner": "lina", "tag": "老客"}),
    ("GET", "/group_chats/{chat_id}", {}),
    ("GET", "/playbooks", {}),
    ("GET", "/playbooks/new-customer/results", {"since": "2026-03-01", "until": "2026-03-05"}),
    ("POST", "/playbooks/care/start", {"person": {"external_userid": ANING}, "request_id": "r1"}),
    ("GET", "/runs", {"person_id": 1}),
    ("GET", "/runs/1", {}),
    ("POST", "/runs/{run}/stop", None),
    ("GET", "/segments", {}),
    ("GET", "/segments/list", {}),
    ("POST", "/segments/list/members", {"add": [1, 2], "remove": [2]}),
    ("GET", "/segments/list/members", {"limit": 1}),
    ("GET", "/members", {}),
    ("GET", "/departments", {}),
    ("GET", "/tasks", {"userid": "lina"}),
    ("GET", "/sends", {"external_userid": XIAOMAN}),
    ("GET", "/event_types", {}),
    ("PUT", "/event_types/custom.visit", {"title": "到店"}),
    ("POST", "/events", [{"name": "custom.trial", "person": {"external_userid": XIAOMAN}}, {"name": "?"}]),
    ("POST", "/track/tokens", {"identities": [{"kind": "wx_unionid", "value": "oUnionXiaoman"}]}),
    ("POST", "/radar/links", {"key": "guide", "userid": "lina", "external_userid": XIAOMAN}),
    ("GET", "/referrals", {"state": "valid", "campaign_id": 1, "inviter_id": 1}),
    ("GET", "/radar/contents", {}),
    ("GET", "/radar/contents/guide", {}),
    ("POST", "/orders", [ORDER, {**ORDER, "order_no": "M2", "colour": "red"}, {"order_no": "M3"}]),
    ("GET", "/orders", {"order_no": "M1", "channel": "mall"}),
    ("POST", "/shipments", [{"tracking_no": "SF1", "state": "delivered", "happened_at": "2026-03-02T09:00:00+08:00"}]),
    ("POST", "/coupons/issue", {"batch": "new72h", "reason": "second", "external_userid": ANING}),
    ("GET", "/coupons/{code}", {}),
    ("POST", "/coupons/redeem", {"code": "code", "order_no": "M1"}),
    ("POST", "/coupons/{spare}/void", None),
    ("GET", "/coupon_batches", {}),
    ("POST", "/coupon_batches", {"key": "gift", "title": "赠品券", "benefit": "gift"}),
    ("POST", "/webhooks", {"title": "ERP", "url": "https://erp.example.com/in", "events": ["order.*"]}),
    ("GET", "/webhooks", {}),
    ("GET", "/webhooks/{webhook}", {}),
    ("PATCH", "/webhooks/{webhook}", {"state": "paused"}),
    ("GET", "/webhooks/{webhook}/deliveries", {"state": "failed"}),
    ("POST", "/webhooks/{webhook}/deliveries/{delivery_id}/replay", None),
    ("POST", "/webhooks/{webhook}/test", None),
    ("DELETE", "/webhooks/{webhook}", {}),
    ("POST", "/customers/{person_id}/erase", {"confirm": "person_id"}),
)


# What no schema can say, so that a request that fits it may still be refused.
RULES = {
    "GET /api/v1/customers/{person_id}/private": "a reason is more than blanks",
    "POST /api/v1/customers/{person_id}/erase": "`confirm` is the number in the address",
    "PATCH /api/v1/customers/{person_id}/fields": "names and values are those of the shop's own fields",
    "PATCH /api/v1/orders/{order_id}/fields": "the same",
    "PATCH /api/v1/relations/{userid}/{external_userid}/fields": "the same",
    "GET /api/v1/runs": "a customer, or a playbook and a state",
    "POST /api/v1/segments/{key}/members": "only lists are changed by hand",
    "POST /api/v1/fields": "what is needed depends on the type",
    "PUT /api/v1/fields/{entity}/{key}": "the same",
    "GET /api/v1/playbooks/{key}/results": "the first day is before the last",
    "POST /api/v1/playbooks/{key}/start": "a person is somebody",
    "POST /api/v1/track/tokens": "a phone is a phone",
    "POST /api/v1/radar/links": "the page is one of the shop's",
    "POST /api/v1/coupon_batches": "what is needed depends on the kind",
}


def fits(pattern: str, path: str) -> bool:
    parts, names = path.split("/"), pattern.split("/")
    return len(parts) == len(names) and all(n.startswith("{") or n == p for n, p in zip(names, parts, strict=True))


def pattern_of(told: dict[str, Any], method: str, path: str) -> str:
    found = [one for one in told["paths"] if method.lower() in told["paths"][one] and fits(one, path)]
    return min(found, key=lambda one: one.count("{"))


async def test_each_operation_answers_what_its_description_says(window: Window) -> None:
    told, seen = describe(), set()
    for method, path, given_ in CALLS:
        address = path if path.startswith("/api/") else V1 + path.format_map(window.names)
        body = (
            {
                name: window.names.get(value, value) if isinstance(value, str) else value
                for name, value in given_.items()
            }
            if isinstance(given_, dict) and method != "GET"
            else given_
        )
        query = given_ if method == "GET" else {}
        answer = await window.client.request(method, address, json=None if method == "GET" else body, params=query)
        shown = await answer.text()
        pattern = pattern_of(told, method, address)
        seen.add((method.lower(), pattern))
        responses = told["paths"][pattern][method.lower()]["responses"]
        assert answer.status < 300, (method, address, shown)
        assert str(answer.status) in responses, (method, address)
        if answer.status == 204:
            continue
        assert answer.content_type == "application/json"
        schema = responses[str(answer.status)]["content"]["application/json"]["schema"]
        OAS31Validator({**schema, "components": told["components"]}).validate(await answer.json())
        if path == "/coupons/issue":
            window.names["spare"] = (await answer.json())["code"]
        if path == "/playbooks/care/start":
            window.names["run"] = (await answer.json())["enrolment_id"]
    assert seen == {(method, path) for path, of in told["paths"].items() for method in of}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_what_schemathesis_makes_up_is_answered_as_described(window: Window, mode: GenerationMode) -> None:
    await asyncio.to_thread(try_all, window, mode)


def words_of(trouble: BaseException) -> str:
    parts = trouble.exceptions if isinstance(trouble, BaseExceptionGroup) else ()
    return "\n".join([str(trouble), *map(str, parts)])


def try_all(window: Window, mode: GenerationMode) -> None:
    troubles = []
    for result in schemathesis.openapi.from_dict(describe()).get_all_operations():
        operation = result.ok()
        if mode is GenerationMode.NEGATIVE and operation.label == "GET /api/openapi.json":
            continue  # nothing in it can be wrong
        try:
            _tried(window, operation.as_strategy(generation_mode=mode))
        except (Exception, BaseExceptionGroup) as trouble:  # every operation is tried before any is told
            troubles.append(f"{operation.label}: {words_of(trouble)}")
    assert not troubles, "\n\n".join(troubles)


_QUICKLY = settings(
    max_examples=EXAMPLES,
    database=None,
    derandomize=EXAMPLES < 10,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def _tried(window: Window, cases: Any) -> None:
    @_QUICKLY
    @given(case=cases)
    def each(case: Any) -> None:
        ask(window, case)

    each()


def ask(window: Window, case: Any) -> None:
    # Two different requests under one made-up key are refused, as they should be.
    case.headers.pop("Idempotency-Key", None)
    excluded = [CHECKS.get_one("positive_data_acceptance")] if case.operation.label in RULES else []
    headers = {"Authorization": f"Bearer {window.key}"}
    case.call_and_validate(base_url=window.url, headers=headers, excluded_checks=excluded)
