"""The callback envelope against the protocol's vectors and WeCom's own library."""

from collections.abc import Callable
from typing import Any

import pytest

from scrm.sandbox.envelope import Envelope, signature, xml_document

TOKEN = "LhVq8sScrm2Token"
KEY = "b5SDOPurRyYHpww0sA7k0AMq2qdb8Mi8E8IJsFo6Bos"
CORP_ID = "ww7f2c19e0a4d83b56"

ADDED = (
    "<xml><ToUserName><![CDATA[ww7f2c19e0a4d83b56]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
    "<CreateTime>1784700000</CreateTime><MsgType><![CDATA[event]]></MsgType>"
    "<Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[add_external_contact]]></ChangeType>"
    "<UserID><![CDATA[u_chenlan]]></UserID>"
    "<ExternalUserID><![CDATA[wmQx3bDAAA7kT0pYw2Lr9sEhVn5cJf8g]]></ExternalUserID>"
    "<State><![CDATA[expo-a]]></State><WelcomeCode><![CDATA[WC_demo_0001]]></WelcomeCode></xml>"
)

VECTORS = {
    "an echo with a plus in its ciphertext": (
        "5927710336149021775",
        b"fedcba9876543210",
        CORP_ID,
        ("1784700002", "n0nce9900"),
        "pHo9avmCHThzmr7rlKrHbdRGNI4MwMO5E8WQTgN0IiWzVSxL/tss+GGADQdjSk4UPVimUcj0Lu6lrwGH+/5CwA==",
        "88188dd9963783e7d563ed4a897c28da7ae3196d",
    ),
    "Chinese text, one byte of padding": (
        "<xml><Content><![CDATA[你好，企微]]></Content></xml>",
        b"A" * 16,
        CORP_ID,
        ("1784700003", "n0nce1122"),
        "gZFPCBXpWXsXd1nYn8LvrNsL4FkpGP9emig6/K4RiE8vTPBlgxwtg4O9oGSy4m7/iwnUk6azGPQEM2W2HnflIvZ4S9zP3dT+zxBTAWB1Nhhm"
        "k8n8xLJeBFedIjpnBdJa",
        "17a3c920750c7083cd34b6c6695d53859fe2b7d9",
    ),
    "a full block of padding": (
        "<xml><A>12345678</A></xml>",
        b"B" * 16,
        CORP_ID,
        ("1784700004", "n0nce3344"),
        "M/DQyvIDKNc+U+UA7NG56ZZy+OWvw5zkRX+s9IaFo6008M5eCjE6m6Lr+shU1MzHCbg59/HJwMFIhinqFnUItyM0NN7Fo9+ZttEzr2aKpXKK"
        "YDuCCh3tsfo9v38ZGgo3",
        "3ca4fd539205a5d3ffc7b9d3e15f41921c3b3549",
    ),
    "an empty receiver": (
        '{"msgtype":"event","event":{"eventtype":"enter_chat"}}',
        b"C" * 16,
        "",
        ("1784700005", "n0nce5566"),
        "WC+BGAaIVbHi+v5TMG+Gk7a/C13Uoqji9xew6WLXwnDHyLklT6LqgAPDdfGN6tO5DjpAiVlrb7OCXanRnznlg8Y97jPhl5UeSMWOv6jokfm+"
        "9VbbxBf6TM1eA1A2kSsV",
        "189f49d3a545dbd0c86992a86b4138888cdbe107",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_protocols_vectors_come_out_to_the_byte(name: str) -> None:
    text, random16, receive_id, (timestamp, nonce), sealed, sign = VECTORS[name]
    envelope = Envelope(TOKEN, KEY, receive_id)
    assert envelope.encrypt(text, random16) == sealed
    assert envelope.sign(timestamp, nonce, sealed) == sign
    assert envelope.decrypt(sealed) == text


def test_more_than_sixteen_bytes_of_padding_are_taken_off() -> None:
    sealed = Envelope(TOKEN, KEY, CORP_ID).encrypt(ADDED, b"0123456789abcdef")
    assert sealed.startswith("T+Ad3wSPBw4mZ7I2FZ+07Jy17iT599dFvF87/Fi3kBJt")
    assert signature(TOKEN, "1784700001", "n0nce7788", sealed) == "6be52d9657dc35ab8a249707cff5f67491b5197c"
    assert Envelope(TOKEN, KEY, CORP_ID).decrypt(sealed) == ADDED


def test_an_event_is_written_as_the_protocol_shows_it() -> None:
    fields: list[tuple[str, str | int]] = [
        ("ToUserName", CORP_ID),
        ("FromUserName", "sys"),
        ("CreateTime", 1784700000),
        ("MsgType", "event"),
        ("Event", "change_external_contact"),
        ("ChangeType", "add_external_contact"),
        ("UserID", "u_chenlan"),
        ("ExternalUserID", "wmQx3bDAAA7kT0pYw2Lr9sEhVn5cJf8g"),
        ("State", "expo-a"),
        ("WelcomeCode", "WC_demo_0001"),
    ]
    assert xml_document(fields) == ADDED


def test_wecoms_own_library_reads_what_the_sandbox_seals(run_node: Callable[[str, Any], Any]) -> None:
    sealed = Envelope(TOKEN, KEY, CORP_ID).encrypt(ADDED)
    script = """
        import crypto from "@wecom/crypto";
        const { message, id } = crypto.decrypt(input.key, input.sealed);
        output({ message, id, sign: crypto.getSignature(input.token, "1784700001", "n0nce7788", input.sealed) });
    """
    read = run_node(script, {"key": KEY, "token": TOKEN, "sealed": sealed})
    assert read == {
        "message": ADDED,
        "id": CORP_ID,
        "sign": Envelope(TOKEN, KEY, CORP_ID).sign("1784700001", "n0nce7788", sealed),
    }
