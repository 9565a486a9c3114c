"""What platforms sign, against published vectors, against openssl, and against a hand that changed one byte."""

import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from multidict import CIMultiDict

from scrm.commerce.connectors import doudian_hook, generic_hook, youzan
from scrm.commerce.connectors.hook import Answer, Delivery, Hook, Incoming, Refused
from scrm.commerce.hooks.kinds import _OTHER_KINDS, open_hooks
from scrm.commerce.pulls.kinds import PULLS
from scrm.errors import WrongUse
from tests.world import make_settings

AES_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlBQkNERUY"
NOW = datetime(2026, 1, 1, tzinfo=UTC)  # 1767225600
SAFE_BODY = (
    b'{"ToUserName":"gh_demo","Encrypt":"UoO7EsIv77GgBkiy0/IeqPFzg3Fu1UUubp94ftKXLgLN0C7fzJPCnu+JrzdFPoa3/BPo41tOEXDsO9'
    b"l0NTU39xrsCTJ+NV5ia89DHd//4BCML0b2Kg1YI3SEGCSHxdXooYjeX80eAr4MBNSx+pqvVQOHzw90ARfRG2We+0NpOuWAgThhsWx+P4dDSiaUuVc"
    b'PckRveYdjFlbU+74qhxmpGg=="}'
)


def hook(**options: Any) -> Hook:
    settings = make_settings("sqlite:///x", "https://qyapi.example.test", sources={"shop": options})
    return open_hooks(settings)["shop"]


def request(body: bytes, headers: dict[str, str] | None = None, query: dict[str, str] | None = None) -> Incoming:
    return Incoming(CIMultiDict(headers or {}), query or {}, body, "application/json", NOW)


YOUZAN = {"kind": "youzan", "client_id": "cid_demo", "client_secret": "csec_demo"}
DOUDIAN = {"kind": "doudian", "app_key": "7000000000000000001", "app_secret": "dsec-demo"}
STORE = {"kind": "wxstore", "app_id": "wx00000000000000aa", "token": "demo_token", "encoding_aes_key": AES_KEY}
OWN = {"kind": "generic", "secret": "own_secret_of_sixteen"}
VECTORS = {
    "youzan": (
        YOUZAN,
        b'{"tid":"E20260102030405000000001","version":3}',
        {"Event-Sign": "9cec72c2840a47ee7f305eadb8fb727e"},
        {},
    ),
    "doudian": (
        DOUDIAN,
        rb'[{"tag":"101","msg_id":"demo-1","data":"{\"p_id\":6900000000000000001}"}]',
        {"EVENT-SIGN": "0c7684f213ab44134a527781d5f482d9", "app-id": "7000000000000000001"},
        {},
    ),
    "shopify": (
        {"kind": "shopify", "secret": "shpss_demo"},
        b'{"id":820000000001}',
        {"X-Shopify-Hmac-Sha256": "vFSPm4Cx2VBXidSiLz/Yj/hmBcJ8Ahrb8Ehqhz577Lk="},
        {},
    ),
    "woocommerce": (
        {"kind": "woocommerce", "secret": "woo-demo"},
        b'{"id":820000000001}',
        {"X-WC-Webhook-Signature": "RvYLSWZJ19HRf/wS3DtbNgH+AOoBAbZGQaSMv9sVqa4="},
        {},
    ),
    "wechat store, safe mode": (
        STORE,
        SAFE_BODY,
        {},
        {"msg_signature": "e51ecac1a388f30c167c7997141922a44c54c65c", "timestamp": "1767225600", "nonce": "n0nce"},
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_a_signed_message_comes_in_and_with_one_byte_changed_it_does_not(name: str) -> None:
    options, body, headers, query = VECTORS[name]
    source = hook(**options)
    assert isinstance(source.receive(request(body, headers, query)), Delivery)
    forged = body.replace(b"1", b"2", 1) if b"Encrypt" not in body else body.replace(b"UoO7", b"UoO8")
    for wrong in (request(forged, headers, query), request(body), request(body, {"Event-Sign": "é" * 32})):
        with pytest.raises(Refused):
            source.receive(wrong)


def test_the_own_mall_signs_time_nonce_and_body() -> None:
    body = b'{"order_no":"M20260101-0001","updated_at":"2026-01-01T08:00:00+08:00"}'
    signature = generic_hook.sign("own_secret", "1767225600", "n-0001", body)
    assert signature == "0d5b7adea51776e096ac012c3810a179ca4cdd3b24923d8cb0f783b110a52005"
    source = hook(**OWN)
    for seconds, is_fresh in ((0, True), (299, True), (-299, True), (301, False), (-301, False)):
        at = str(1767225600 + seconds)
        headers = {"X-Scrm-Timestamp": at, "X-Scrm-Nonce": "n1"}
        headers["X-Scrm-Signature"] = generic_hook.sign("own_secret_of_sixteen", at, "n1", body)
        if is_fresh:
            delivery = source.receive(request(body, headers))
            assert isinstance(delivery, Delivery)
            assert '"status":"accepted"' in delivery.answer.body
        else:
            with pytest.raises(Refused, match="5 分钟"):
                source.receive(request(body, headers))


def test_wechat_answers_the_echo_and_the_safe_message_is_kept_decrypted() -> None:
    plain = hook(kind="wxstore", app_id="wx00000000000000aa", token="AAAAA")
    query = {
        "signature": "f464b24fc39322e44b38aa78f5edd27bd1441696",
        "timestamp": "1714036504",
        "nonce": "1514711492",
        "echostr": "4375120948345356249",
    }
    assert plain.verify_url(request(b"", query=query)).body == "4375120948345356249"
    with pytest.raises(Refused):
        plain.verify_url(request(b"", query=query | {"nonce": "1"}))
    _, body, _, signed = VECTORS["wechat store, safe mode"]
    delivery = hook(**STORE).receive(request(body, query=signed))
    assert isinstance(delivery, Delivery)
    assert delivery.body == (
        b'{"ToUserName":"gh_demo","Event":"channels_ec_order_pay","order_info":{"order_id":3700000000000000001}}'
    )
    with pytest.raises(Refused, match="没有加密"):
        hook(**STORE).receive(request(b'{"Event":"channels_ec_order_pay"}', query=query))
    with pytest.raises(Refused, match="DTD"):
        hook(**STORE).receive(request(b"<!DOCTYPE x><xml><Encrypt>a</Encrypt></xml>", query=signed))


def test_openssl_agrees() -> None:
    openssl = shutil.which("openssl")
    assert openssl is not None
    body = '{"id":1,"note":"中文 and \\u4e2d"}'.encode()

    def run(*arguments: str) -> bytes:
        return subprocess.run([openssl, "dgst", *arguments], input=body, capture_output=True, check=True).stdout

    digest = subprocess.run(
        [openssl, "base64", "-A"], input=run("-sha256", "-hmac", "s3cret", "-binary"), capture_output=True, check=True
    ).stdout.decode()
    shopify = hook(kind="shopify", secret="new one", former_secret="s3cret")
    assert isinstance(shopify.receive(request(body, {"x-shopify-hmac-sha256": digest})), Delivery)
    md5 = hashlib.md5(b"cid" + body + b"cs", usedforsecurity=False).hexdigest()
    assert youzan.sign("cid", body, "cs") == doudian_hook.sign("cid", body, "cs") == md5
    call = ("dsec-demo", "7000000000000000001", "order.searchList", '{"page":0,"size":10}', "1767225600")
    assert doudian_hook.sign_call(*call) == "93e70831eebb0758fa92c7410a04c6b86203cb19c5651a4be13558f264911896"


def test_probes_are_answered_and_not_kept() -> None:
    body = b'[{"tag":"0","msg_id":"0","data":"2021-06-11"}]'
    signature = {"event-sign": doudian_hook.sign("7000000000000000001", body, "dsec-demo")}
    assert hook(**DOUDIAN).receive(request(body, signature)) == Answer('{"code":0,"msg":"success"}')
    test = b'{"test":true,"msg":"x"}'
    signature = {"Event-Sign": youzan.sign("cid_demo", test, "csec_demo")}
    assert hook(**YOUZAN).receive(request(test, signature)) == Answer('{"code":0,"msg":"success"}')
    assert isinstance(hook(kind="woocommerce", secret="x").receive(request(b"webhook_id=12")), Answer)


def test_wrong_sources_are_told_in_one_line_each_without_their_secrets() -> None:
    wrong = {
        "a": {"kind": "yuozan"},
        "b": {"kind": "youzan", "client_id": "x"},
        "c": {"kind": "generic", "secret": "2short"},
        "d": {"kind": "shopify", "secret": "s", "color": "red"},
        "e": {"kind": "wxstore", "app_id": "wx1", "token": "t", "encoding_aes_key": "short-key"},
    }
    with pytest.raises(WrongUse) as caught:
        open_hooks(make_settings("sqlite:///x", "https://qyapi.example.test", sources=wrong))
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("sources.a.kind: found 'yuozan'; expected one of ")
    assert lines[1].startswith("sources.b.client_secret: found nothing; expected a value")
    assert lines[3].startswith("sources.d.color: found a setting that a source of kind shopify does not have")
    assert "2short" not in str(caught.value)
    assert "short-key" not in str(caught.value)


def test_kinds_that_only_pull_are_not_called_unknown() -> None:
    assert {pull.kind for pull in PULLS} == set(_OTHER_KINDS)
