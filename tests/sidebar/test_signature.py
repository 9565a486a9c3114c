"""The JS-SDK's signatures: WeCom's own example, our own vector, and who gets one."""

import hashlib

import pytest

from scrm.sidebar.signature import sign
from tests.fakes.wecom import FakeWeCom
from tests.sidebar.conftest import Member
from tests.world import World


@pytest.mark.parametrize(
    ("ticket", "nonce", "timestamp", "url", "signature"),
    [
        (
            "sM4AOVdWfPE4DxkXGEs8VMCPGGVi4C3VM0P37wVUCFvkVAy_90u5h9nbSlYy3-Sl-HhTdfl2fzFy1AOcHKP7qg",
            "Wm3WZYTPz0wzccnW",
            1414587457,
            "http://mp.weixin.qq.com?params=value",
            "0f9de62fce790f9a083d5c99e95740ceb90c27ed",
        ),
        (
            "kgt8ON7yVITDhtdwci0qeTESTAGENTTICKET01",
            "n0nceSidebar9",
            1767225600,
            "https://crm.example.test/sidebar/?entry=1&k=a%20b#later",
            "aeb75ca0a38f8771c19bd0378e10795dd31cf38b",
        ),
    ],
)
def test_a_signature_is_what_wecom_computes(ticket: str, nonce: str, timestamp: int, url: str, signature: str) -> None:
    assert sign(ticket, nonce, timestamp, url) == signature


@pytest.mark.parametrize(("kind", "path"), [("agent_config", "ticket/get"), ("config", "get_jsapi_ticket")])
async def test_each_kind_is_signed_with_its_own_ticket(lina: Member, wecom: FakeWeCom, kind: str, path: str) -> None:
    url = "https://crm.example.test/sidebar/?v=1"
    response = await lina.get("/sidebar/signature", params={"url": url, "kind": kind})
    assert response.headers["Cache-Control"] == "no-store"
    told = await response.json()
    text = f"jsapi_ticket=ticket-of-{path}&noncestr={told['nonceStr']}&timestamp={told['timestamp']}&url={url}"
    assert told["signature"] == hashlib.sha1(text.encode()).hexdigest()
    assert told["timestamp"] == int(lina.world.clock.now().timestamp())
    for _ in range(3):
        await lina.get("/sidebar/signature", params={"url": url, "kind": kind})
    assert len(wecom.called(path)) == 1


@pytest.mark.parametrize(
    "url", ["https://evil.example/sidebar/", "http://crm.example.test/sidebar/", "javascript:1", "https://[", ""]
)
async def test_only_our_own_pages_are_signed(lina: Member, url: str) -> None:
    response = await lina.get("/sidebar/signature", params={"url": url}, headers={"Accept": "application/json"})
    assert response.status == 422
    assert (await response.json())["error"]["message"]


async def test_strangers_get_no_signature(world: World, wecom: FakeWeCom) -> None:
    response = await world.client.get("/sidebar/signature", params={"url": "https://crm.example.test/sidebar/"})
    assert response.status == 401
    assert not wecom.called("ticket/get")
