"""Private values at rest: sealed to be read, hashed with a key to be found, masked to be shown."""

import base64
import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Vault:
    """AES-256-GCM for values and HMAC-SHA-256 for look-ups, with keys derived from `security.secret_key`."""

    def __init__(self, secret_key: str) -> None:
        self._made_of = (secret_key,)
        self._seal = AESGCM(_derive(secret_key, b"scrm seal v1"))
        self._lookup = _derive(secret_key, b"scrm lookup v1")
        self._sign = _derive(secret_key, b"scrm sign v1")

    def __reduce__(self) -> "tuple[type[Vault], tuple[str, ...]]":
        """A process of our own that seals as well gets the same keys, through a pipe."""
        return Vault, self._made_of

    def seal(self, value: str) -> str:
        """Base64url text; the same value gives another text each time."""
        nonce = os.urandom(12)
        return "1." + base64.urlsafe_b64encode(nonce + self._seal.encrypt(nonce, value.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """The clear value; raises ValueError when it was sealed with another key or damaged."""
        try:
            raw = base64.urlsafe_b64decode(sealed.removeprefix("1."))
            return self._seal.decrypt(raw[:12], raw[12:], None).decode()
        except (InvalidTag, ValueError) as error:
            raise ValueError("sealed with another security.secret_key, or damaged") from error

    def lookup(self, value: str) -> str:
        """64 hex characters; equal values give equal texts, and nobody without the key can test a guess."""
        return hmac.digest(self._lookup, value.encode(), "sha256").hex()

    def sign(self, purpose: str, value: str) -> str:
        """A proof of 32 hex characters that `value` came from us for `purpose`."""
        return hmac.new(self._sign, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]

    def is_signed(self, purpose: str, value: str, proof: str) -> bool:
        return hmac.compare_digest(self.sign(purpose, value), proof)


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret_key.encode())


def mask_phone(phone: str) -> str:
    """138****6620; short numbers keep only their end."""
    digits = phone.removeprefix("+86")
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) >= 11 else f"****{digits[-2:]}"
