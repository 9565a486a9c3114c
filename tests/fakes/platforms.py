"""Signs as the platforms' documents say (docs: commerce 1.1), with openssl doing all of the arithmetic: none of it is ours."""

import base64
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass, field

_OPENSSL = shutil.which("openssl") or "openssl"


@dataclass(frozen=True, slots=True)
class Signed:
    """A push as it goes over the wire."""

    body: bytes
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def openssl(*arguments: str, data: bytes) -> bytes:
    return subprocess.run([_OPENSSL, *arguments], input=data, capture_output=True, check=True).stdout


def _hex(*arguments: str, data: bytes) -> str:
    """`openssl dgst` ends its line with the digest in lower case."""
    return openssl("dgst", *arguments, data=data).decode().split()[-1]


def _hmac(secret: str, data: bytes) -> bytes:
    return openssl(
        "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{secret.encode().hex()}", "-binary", data=data
    )


def youzan(body: bytes, client_id: str, client_secret: str) -> Signed:
    """Event-Sign is the MD5 of client_id, body and client_secret in lower case."""
    digest = _hex("-md5", data=client_id.encode() + body + client_secret.encode())
    return Signed(body, headers={"Event-Sign": digest, "Client-Id": client_id, "Event-Type": "trade_TradePaid"})


def doudian(body: bytes, app_key: str, app_secret: str) -> Signed:
    """event-sign is the MD5 of app_key, body and app_secret in lower case."""
    digest = _hex("-md5", data=app_key.encode() + body + app_secret.encode())
    return Signed(body, headers={"app-id": app_key, "event-sign": digest})


def shopify(body: bytes, secret: str) -> Signed:
    """Base64 of the HMAC-SHA256 of the raw body."""
    digest = openssl("base64", "-A", data=_hmac(secret, body)).decode()
    return Signed(body, headers={"X-Shopify-Hmac-Sha256": digest, "X-Shopify-Topic": "orders/updated"})


def woocommerce(body: bytes, secret: str) -> Signed:
    """The same under another name."""
    digest = openssl("base64", "-A", data=_hmac(secret, body)).decode()
    return Signed(body, headers={"X-WC-Webhook-Signature": digest, "X-WC-Webhook-Topic": "order.updated"})


def wechat_plain(body: bytes, token: str, timestamp: str, nonce: str) -> Signed:
    """signature is the SHA1 of token, timestamp and nonce, sorted and joined."""
    digest = _hex("-sha1", data="".join(sorted([token, timestamp, nonce])).encode())
    return Signed(body, query={"signature": digest, "timestamp": timestamp, "nonce": nonce})


def wechat_safe(body: bytes, token: str, aes_key: str, app_id: str, timestamp: str, nonce: str) -> Signed:
    """AES-256-CBC of 16 random bytes, length, message and appid, filled up to 32; msg_signature covers what comes out."""
    key = base64.b64decode(aes_key + "=")
    plain = os.urandom(16) + struct.pack(">I", len(body)) + body + app_id.encode()
    fill = 32 - len(plain) % 32
    cipher = ("enc", "-aes-256-cbc", "-K", key.hex(), "-iv", key[:16].hex(), "-nopad")
    encrypted = openssl("base64", "-A", data=openssl(*cipher, data=plain + bytes([fill]) * fill)).decode()
    digest = _hex("-sha1", data="".join(sorted([token, timestamp, nonce, encrypted])).encode())
    query = {"msg_signature": digest, "timestamp": timestamp, "nonce": nonce, "encrypt_type": "aes"}
    return Signed(f'{{"ToUserName":"gh_demo","Encrypt":"{encrypted}"}}'.encode(), query=query)


def own_mall(body: bytes, secret: str, timestamp: str, nonce: str) -> Signed:
    """HMAC-SHA256 of timestamp, nonce and body with line feeds between them, in hex."""
    digest = _hmac(secret, f"{timestamp}\n{nonce}\n".encode() + body).hex()
    names = {"X-Scrm-Timestamp": timestamp, "X-Scrm-Nonce": nonce, "X-Scrm-Signature": digest}
    return Signed(body, headers=names)
