"""The encrypted envelope of callbacks, as WeCom's side makes it (doc 90968)."""

import base64
import hashlib
import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 32


def signature(token: str, timestamp: str, nonce: str, encrypted: str) -> str:
    """SHA-1 over the four values, sorted as bytes and joined without separator."""
    values = sorted(value.encode() for value in (token, timestamp, nonce, encrypted))
    return hashlib.sha1(b"".join(values), usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Envelope:
    """Seals and opens texts for one receiver with one Token and EncodingAESKey."""

    token: str
    encoding_aes_key: str
    receive_id: str

    def encrypt(self, text: str, random16: bytes | None = None) -> str:
        """Base64 of AES-256-CBC over random16 + length + text + receive id, padded to 32."""
        body = text.encode()
        plain = (random16 or secrets.token_bytes(16)) + struct.pack(">I", len(body)) + body + self.receive_id.encode()
        pad = BLOCK - len(plain) % BLOCK
        encryptor = self._cipher().encryptor()
        return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()

    def decrypt(self, encrypted: str) -> str:
        """The text inside; ValueError when it was not made for this receiver."""
        decryptor = self._cipher().decryptor()
        plain = decryptor.update(base64.b64decode(encrypted)) + decryptor.finalize()
        pad = plain[-1]
        if not 1 <= pad <= BLOCK:
            raise ValueError(f"padding of {pad} bytes, expected 1 to {BLOCK}")
        plain = plain[:-pad]
        length = struct.unpack(">I", plain[16:20])[0]
        if plain[20 + length :].decode() != self.receive_id:
            raise ValueError("the text was sealed for another receiver")
        return plain[20 : 20 + length].decode()

    def sign(self, timestamp: str, nonce: str, encrypted: str) -> str:
        """The msg_signature of one request."""
        return signature(self.token, timestamp, nonce, encrypted)

    def _cipher(self) -> Cipher[modes.CBC]:
        key = base64.b64decode(self.encoding_aes_key + "=")
        return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def xml_document(fields: Iterable[tuple[str, str | int]]) -> str:
    """A flat <xml> document; texts become CDATA, numbers stay bare."""
    return "<xml>" + "".join(_element(name, value) for name, value in fields) + "</xml>"


def _element(name: str, value: str | int) -> str:
    if isinstance(value, int):
        return f"<{name}>{value}</{name}>"
    safe = value.replace("]]>", "]]]]><![CDATA[>")
    return f"<{name}><![CDATA[{safe}]]></{name}>"
