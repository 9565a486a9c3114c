"""Every source takes what its platform signs, computed by openssl from the platform's document, and nothing else."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

from scrm.commerce.hooks.kinds import HOOKS
from scrm.commerce.hooks.models import hook_message
from tests.fakes import platforms as signs
from tests.fakes.platforms import Signed
from tests.hooks.conftest import SOURCES, Platforms

# Emoji, a rare character, NUL as an escape, and a number that no float holds.
ODD = '"note":"桂花𠮷🌸\\u0000é","n":6900000000000000001'
AES_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY"
SAFE = {"kind": "wxstore", "app_id": "wx00000000000000ab", "token": "tök", "encoding_aes_key": AES_KEY}
ORDER_3 = f'{{"Event":"channels_ec_order_pay","order_info":{{"order_id":3700000000000000001}},{ODD}}}'


def _cases(now: str) -> dict[str, tuple[str, Callable[[bytes], Signed]]]:
    """What each source of the shop is told, and how its platform signs it."""
    trade = f'{{"type":"trade_TradePaid","id":"E1","msg_id":"m1","version":1,"kdt_id":5,"msg":{{"tid":"E1"}},{ODD}}}'
    data = json.dumps(f'{{"p_id":6900000000000000001,{ODD}}}')
    return {
        "yz": (trade, lambda body: signs.youzan(body, "cid", "cs")),
        "dd": (f'[{{"tag":"101","msg_id":"d1","data":{data}}}]', lambda body: signs.doudian(body, "71", "ds")),
        "shopify": (f'{{"id":820000000001,{ODD}}}', lambda body: signs.shopify(body, "shpss")),
        "woo": (f'{{"id":727,"status":"processing",{ODD}}}', lambda body: signs.woocommerce(body, "woo")),
        "store": (ORDER_3, lambda body: signs.wechat_plain(body, "tok", now, "n1")),
        "safe": (
            ORDER_3,
            lambda body: signs.wechat_safe(body, "tök", AES_KEY, "wx00000000000000ab", now, "n2"),
        ),
        "mall": (
            f'{{"channel":"mall","order_no":"M1","status":"paid",{ODD}}}',
            lambda body: signs.own_mall(body, "a secret of the mall", now, "n3"),
        ),
    }


@pytest.fixture
def sources() -> dict[str, Any]:
    return {**SOURCES, "safe": SAFE}


def test_every_kind_of_source_is_signed_by_a_foreign_hand() -> None:
    assert {SOURCES[key]["kind"] for key in _cases("1") if key != "safe"} == {hook.kind for hook in HOOKS}


async def test_what_a_platform_signs_comes_in_and_with_one_letter_changed_it_does_not(platforms: Platforms) -> None:
    async def post(source: str, signed: Signed) -> ClientResponse:
        address = f"/hooks/{source}"
        return await platforms.client.post(address, data=signed.body, params=signed.query, headers=signed.headers)

    cases = _cases(str(int(platforms.clock.now().timestamp())))
    for source, (told, sign) in cases.items():
        genuine = sign(told.encode())
        altered = genuine.body.replace(b"E1", b"E2").replace(b"000001", b"000002").replace(b"727", b"728")
        altered = altered.replace(b"M1", b"M2")
        if source == "safe":
            altered = genuine.body[:-6] + (b"AAA" if genuine.body[-6:-3] != b"AAA" else b"BBB") + genuine.body[-3:]
        # WeChat's plain mode signs no body (1.1): there it is the time that was changed.
        query = {**genuine.query, "timestamp": "1"} if source == "store" else genuine.query
        for forged in (Signed(altered, query, genuine.headers), Signed(genuine.body)):
            assert (await post(source, forged)).status in (400, 401, 403), source
        response = await post(source, genuine)
        assert response.status == 200, (source, await response.text())
    kept = await platforms.rows(hook_message)
    assert sorted(row.source for row in kept) == sorted(cases)
