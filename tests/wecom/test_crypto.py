"""The callback envelope, against WeCom's own vector, ours, and WeCom's own libraries."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wechatpy.enterprise.crypto import WeChatCrypto

from scrm.wecom.crypto import BadCallback, CallbackCrypto, encrypted_part
from tests.fakes.wecom import AES_KEY, CORP_ID, TOKEN

ours = CallbackCrypto(TOKEN, AES_KEY, CORP_ID)

V4_XML = (
    "<xml><ToUserName><![CDATA[ww7f2c19e0a4d83b56]]></ToUserName><FromUserName><![CDATA[sys]]></FromUserName>"
    "<CreateTime>1784700000</CreateTime><MsgType><![CDATA[event]]></MsgType>"
    "<Event><![CDATA[change_external_contact]]></Event><ChangeType><![CDATA[add_external_contact]]></ChangeType>"
    "<UserID><![CDATA[u_chenlan]]></UserID><ExternalUserID><![CDATA[wmQx3bDAAA7kT0pYw2Lr9sEhVn5cJf8g]]></ExternalUserID>"
    "<State><![CDATA[expo-a]]></State><WelcomeCode><![CDATA[WC_demo_0001]]></WelcomeCode></xml>"
)
VECTORS = {
    "V1 an echostr with a full word": (
        "5927710336149021775", b"fedcba9876543210", "1784700002", "n0nce9900",
        "pHo9avmCHThzmr7rlKrHbdRGNI4MwMO5E8WQTgN0IiWzVSxL/tss+GGADQdjSk4UPVimUcj0Lu6lrwGH+/5CwA==",
        "88188dd9963783e7d563ed4a897c28da7ae3196d", CORP_ID,
    ),
    "V2 Chinese text": (
        "<xml><Content><![CDATA[你好，企微]]></Content></xml>", b"A" * 16, "1784700003", "n0nce1122",
        "gZFPCBXpWXsXd1nYn8LvrNsL4FkpGP9emig6/K4RiE8vTPBlgxwtg4O9oGSy4m7/iwnUk6azGPQEM2W2HnflIvZ4S9zP3dT+zxBTAWB1Nhhmk8n8"
        "xLJeBFedIjpnBdJa",
        "17a3c920750c7083cd34b6c6695d53859fe2b7d9", CORP_ID,
    ),
    "V3 a full block of padding": (
        "<xml><A>12345678</A></xml>", b"B" * 16, "1784700004", "n0nce3344",
        "M/DQyvIDKNc+U+UA7NG56ZZy+OWvw5zkRX+s9IaFo6008M5eCjE6m6Lr+shU1MzHCbg59/HJwMFIhinqFnUItyM0NN7Fo9+ZttEzr2aKpXKKYDuC"
        "Ch3tsfo9v38ZGgo3",
        "3ca4fd539205a5d3ffc7b9d3e15f41921c3b3549", CORP_ID,
    ),
    "V5 an empty receiveid": (
        '{"msgtype":"event","event":{"eventtype":"enter_chat"}}', b"C" * 16, "1784700005", "n0nce5566",
        "WC+BGAaIVbHi+v5TMG+Gk7a/C13Uoqji9xew6WLXwnDHyLklT6LqgAPDdfGN6tO5DjpAiVlrb7OCXanRnznlg8Y97jPhl5UeSMWOv6jokfm+9Vbb"
        "xBf6TM1eA1A2kSsV",
        "189f49d3a545dbd0c86992a86b4138888cdbe107", "",
    ),
}  # fmt: skip
V4_SIGNATURE = "6be52d9657dc35ab8a249707cff5f67491b5197c"


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())
def test_our_own_vectors_read_and_write_byte_for_byte(vector: tuple[object, ...]) -> None:
    message, random16, timestamp, nonce, encrypted, signature, receive_id = vector
    crypto = CallbackCrypto(TOKEN, AES_KEY, str(receive_id))
    raw = str(encrypted).encode()
    assert crypto.encrypt(str(message).encode(), random16=random16) == raw  # type: ignore[arg-type]
    assert crypto.signature(str(timestamp), str(nonce), raw) == signature
    assert crypto.read(str(signature), str(timestamp), str(nonce), raw).decode() == message


def test_the_vector_with_long_padding_has_the_known_signature() -> None:
    encrypted = ours.encrypt(V4_XML.encode(), random16=b"0123456789abcdef")
    assert encrypted.startswith(b"T+Ad3wSPBw4mZ7I2FZ+07Jy17iT599dFvF87/Fi3kBJt")
    assert encrypted.endswith(b"MFXjtXe7E3rGU6w==")
    assert ours.signature("1784700001", "n0nce7788", encrypted) == V4_SIGNATURE
    assert ours.read(V4_SIGNATURE, "1784700001", "n0nce7788", encrypted).decode() == V4_XML


PUBLIC = (
    "RypEvHKD8QQKFhvQ6QleEB4J58tiPdvo+rtK1I9qca6aM/wvqnLSV5zEPeusUiX5L5X/0lWfrf0QADHHhGd3QczcdCUpj911L3vg3W/sYYvuJTs3TUU"
    "kSUXxaccAS0qhxchrRYt66wiSpGLYL42aM6A8dTT+6k4aSknmPj48kzJs8qLjvd4Xgpue06DOdnLxAUHzM6+kDZ+HMZfJYuR+LtwGc2hgf5gsijff0ek"
    "UNXZiqATP7PF5mZxZ3Izoun1s4zG4LUMnvw2r+KqCKIw+3IQH03v+BCA9nMELNqbSf6tiWSrXJB3LAVGUcallcrw8V2t9EL4EhzJWrQUax5wLVMNS0+r"
    "UPA3k22Ncx4XXZS9o0MBH27Bo6BpNelZpS+/uh9KsNlY6bHCmJU9p8g7m3fVKn28H3KDYA5Pl/T8Z1ptDAVe0lXdQ2YoyyH2uyPIGHBZZIs2pDBS8R07"
    "+qN+E7Q=="
)  # fmt: skip


def test_the_public_vector_of_the_documentation_reads() -> None:
    crypto = CallbackCrypto("QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C", "wx5823bf96d3bd56c7")
    signature = "477715d11cdb4164915debcba66cb864d751f3e6"
    assert crypto.signature("1409659813", "1372623149", PUBLIC.encode()) == signature
    message = crypto.read(signature, "1409659813", "1372623149", PUBLIC.encode()).decode()
    assert len(message) == 284
    assert "<Content><![CDATA[hello]]></Content>" in message
    assert "<FromUserName><![CDATA[mycreate]]></FromUserName>" in message


@given(message=st.binary(min_size=0, max_size=300))
def test_what_we_write_we_read(message: bytes) -> None:
    assert ours.decrypt(ours.encrypt(message)) == message


@given(message=st.text(min_size=1, max_size=120))
def test_wechatpy_reads_what_we_write_and_we_read_what_it_writes(message: str) -> None:
    theirs = WeChatCrypto(TOKEN, AES_KEY, CORP_ID)
    raw = ours.encrypt(message.encode())
    envelope = f"<xml><ToUserName>x</ToUserName><Encrypt>{raw.decode()}</Encrypt><AgentID>1</AgentID></xml>"
    assert theirs.decrypt_message(envelope, ours.signature("1", "2", raw), "1", "2") == message
    reply = theirs.encrypt_message(message, "nonce", "1784700000").encode()
    assert ours.decrypt(encrypted_part(reply)) == message.encode()


def test_wecoms_own_library_reads_what_we_write_and_we_read_what_it_writes(run_node: object) -> None:
    message = V4_XML + "😊"
    script = """
    import * as crypto from "@wecom/crypto";
    const theirs = crypto.encrypt(input.key, input.message, input.corp, Buffer.alloc(16, "x"));
    output({
      theirs,
      signature: crypto.getSignature(input.token, "1784700000", "n1", theirs),
      read: crypto.decrypt(input.key, input.ours),
    });
    """
    values = {
        "key": AES_KEY, "token": TOKEN, "corp": CORP_ID, "message": message,
        "ours": ours.encrypt(message.encode()).decode(),
    }  # fmt: skip
    told = run_node(script, values)  # type: ignore[operator]
    assert told["read"]["message"] == message
    assert told["read"]["id"] == CORP_ID
    assert ours.read(told["signature"], "1784700000", "n1", told["theirs"].encode()).decode() == message


def refused(crypto: CallbackCrypto, encrypted: bytes) -> str:
    with pytest.raises(BadCallback) as caught:
        crypto.read(crypto.signature("1", "2", encrypted), "1", "2", encrypted)
    return caught.value.step


def test_every_way_of_being_wrong_has_its_own_step() -> None:
    good = ours.encrypt(b"<xml/>")
    with pytest.raises(BadCallback, match="signature"):
        ours.read("0" * 40, "1", "2", good)
    assert refused(ours, b"not base64 !") == "base64"
    assert refused(ours, good[:24]) == "length"
    assert refused(ours, b"") == "length"
    assert refused(CallbackCrypto(TOKEN, "A" * 43, CORP_ID), good) == "padding"
    assert refused(CallbackCrypto(TOKEN, AES_KEY, "ww0000000000000000"), good) == "receiveid"
    assert refused(ours, base64.b64encode(base64.b64decode(good)[:-32])) in ("padding", "layout")


@given(body=st.binary(max_size=400))
def test_no_body_makes_the_envelope_reader_stumble(body: bytes) -> None:
    try:
        encrypted_part(body)
    except BadCallback as error:
        assert error.step in ("envelope", "xml")  # noqa: PT017


def test_an_envelope_is_read_by_name_with_or_without_cdata_or_as_json() -> None:
    assert encrypted_part(b"<xml><Encrypt>abc=</Encrypt><ToUserName>x</ToUserName></xml>") == b"abc="
    assert encrypted_part(b"<xml><AgentID>1</AgentID><Encrypt> <![CDATA[abc=]]> </Encrypt></xml>") == b"abc="
    assert encrypted_part(b'{"tousername":"x","encrypt":"abc\\/="}') == b"abc/="


def test_an_envelope_with_a_dtd_is_refused() -> None:
    bomb = b'<!DOCTYPE xml [<!ENTITY a "aaaa">]><xml><Encrypt>&a;</Encrypt></xml>'
    with pytest.raises(BadCallback, match="DTD"):
        encrypted_part(bomb)
