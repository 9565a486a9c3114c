"""The callback envelope: signature, AES-256-CBC, 32-byte padding, receiveid (doc 90968)."""

import base64
import binascii
import hashlib
import hmac
import os
import struct
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_BLOCK = 32


class BadCallback(Exception):
    """A request that WeCom cannot have sent; `step` names what failed and carries no data."""

    def __init__(self, step: str, text: str) -> None:
        super().__init__(text)
        self.step = step


class CallbackCrypto:
    """Reads and writes callbacks of one app; token <= 32 characters, aes_key 43 characters (doc 90930)."""

    def __init__(self, token: str, aes_key: str, receive_id: str) -> None:
        self._token = token.encode()
        # A 43-character key may carry two bits that Base64 ignores; b64decode accepts that.
        self._key = base64.b64decode(aes_key + "=")
        self._receive_id = receive_id.encode()
        self._cipher = Cipher(algorithms.AES(self._key), modes.CBC(self._key[:16]))

    def signature(self, timestamp: str, nonce: str, encrypted: bytes) -> str:
        """SHA-1 in lower-case hex over the four values, sorted as bytes and joined."""
        parts = sorted((self._token, timestamp.encode(), nonce.encode(), encrypted))
        return hashlib.sha1(b"".join(parts), usedforsecurity=False).hexdigest()

    def read(self, signature: str, timestamp: str, nonce: str, encrypted: bytes) -> bytes:
        """The plain message; raises BadCallback when the signature, the ciphertext or the receiver is wrong."""
        expected = self.signature(timestamp, nonce, encrypted)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise BadCallback("signature", "the signature does not match: is the Token the one of this app?")
        return self.decrypt(encrypted)

    def decrypt(self, encrypted: bytes) -> bytes:
        try:
            raw = base64.b64decode(encrypted, validate=True)
        except (binascii.Error, ValueError):
            raise BadCallback("base64", "the ciphertext is not Base64") from None
        if not raw or len(raw) % 16:
            raise BadCallback("length", "the ciphertext is truncated")
        decryptor = self._cipher.decryptor()
        plain = decryptor.update(raw) + decryptor.finalize()
        pad = plain[-1]
        if not 1 <= pad <= _BLOCK or plain[-pad:] != bytes([pad]) * pad or len(plain) - pad < 20:
            raise BadCallback("padding", "the ciphertext does not decrypt: is the EncodingAESKey the one of this app?")
        (length,) = struct.unpack_from(">I", plain, 16)
        end = 20 + length
        if end > len(plain) - pad:
            raise BadCallback("layout", "the decrypted length does not fit")
        if not hmac.compare_digest(plain[end : len(plain) - pad], self._receive_id):
            raise BadCallback("receiveid", "the message is for another corp: is wecom.corp_id right?")
        return plain[20:end]

    def encrypt(self, message: bytes, *, random16: bytes | None = None) -> bytes:
        """Base64 ciphertext, for passive replies (doc 90241) and for tests, which give the random prefix."""
        body = (random16 or os.urandom(16)) + struct.pack(">I", len(message)) + message + self._receive_id
        pad = _BLOCK - len(body) % _BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(body + bytes([pad]) * pad) + encryptor.finalize())


def encrypted_part(body: bytes) -> bytes:
    """The text of <Encrypt> (or of JSON "encrypt"); raises BadCallback for DTDs, entities and everything else.

    Searched, not parsed: element order is not fixed, CDATA is optional, and whatever it holds is checked next.
    """
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise BadCallback("xml", "the envelope declares a DTD or entities")
    start = body.find(b"<Encrypt>")
    end = body.find(b"</Encrypt>", start)
    if start >= 0 and end >= 0:
        return body[start + 9 : end].strip().removeprefix(b"<![CDATA[").removesuffix(b"]]>").strip()
    return _json_part(body)


def _json_part(body: bytes) -> bytes:
    if body[:1] == b"{":
        try:
            envelope = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, ValueError):
            envelope = {}
        encrypted = envelope.get("encrypt", envelope.get("Encrypt"))
        if isinstance(encrypted, str):
            return encrypted.encode()
    raise BadCallback("envelope", "the envelope has no <Encrypt>")
