"""Private values at rest: sealed to be read, hashed with a key to be found, masked to be shown."""

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PHONE_IN_TEXT = re.compile(r"(?<![\dA-Za-z])((?:\+?86[- ]?)?1[3-9]\d)[- ]?\d{4}[- ]?(\d{4})(?!\d)")


class Vault:
    """AES-256-GCM for values and HMAC-SHA-256 for look-ups, with keys derived from the settings' secrets.

    `data_key` seals what is new (default: `secret_key`); what `old_keys` or `secret_key` sealed can still be opened.
    Look-ups go through a chain of keys: a rotation adds one more HMAC to it, so that hashes are renewed without the
    clear values (scrm.db.vault_keys).
    """

    def __init__(self, secret_key: str, *, data_key: str = "", old_keys: Sequence[str] = ()) -> None:
        self._made_of = (secret_key, data_key, tuple(old_keys))
        self._sign = _derive(secret_key, b"scrm sign v1")
        current = data_key or secret_key
        keys = dict.fromkeys((current, *old_keys, secret_key))
        self._seals = {_key_id(key): AESGCM(_derive(key, b"scrm seal v1")) for key in keys}
        self.key_id = _key_id(current)
        self._seal = self._seals[self.key_id]
        self._head = f"2.{self.key_id}."
        self._newest_lookup = _derive(current, b"scrm lookup v1")
        self._first_lookup = _derive(secret_key, b"scrm lookup v1")
        self.look_up_by(())

    def __reduce__(self) -> tuple[object, ...]:
        """A process that imports gets the same keys."""
        return _rebuild, (*self._made_of, self.chain)

    def seal(self, value: str) -> str:
        """`2.<key id>.<base64url>`; the same value gives another text each time."""
        nonce = os.urandom(12)
        return self._head + base64.urlsafe_b64encode(nonce + self._seal.encrypt(nonce, value.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """The clear value; raises ValueError when it was sealed with a key that is not in the settings, or damaged."""
        head, _, rest = sealed.partition(".")
        key_id, _, body = rest.partition(".") if head == "2" else ("", "", rest)
        for seal in self._candidates(head, key_id):
            try:
                raw = base64.urlsafe_b64decode(body)
                return seal.decrypt(raw[:12], raw[12:], None).decode()
            except (InvalidTag, ValueError):
                continue
        raise ValueError("sealed with another security.secret_key or data_key, or damaged")

    def _candidates(self, head: str, key_id: str) -> list[AESGCM]:
        """Version 1 did not say which key sealed it."""
        if head == "1":
            return list(self._seals.values())
        return [self._seals[key_id]] if key_id in self._seals else []

    def is_current(self, sealed: str) -> bool:
        """Whether the newest key sealed it; what is empty needs no key."""
        return not sealed or sealed.startswith(self._head)

    def lookup(self, value: str) -> str:
        """64 hex characters; equal values give equal texts, and nobody without the key can test a guess."""
        digest = value.encode()
        for inner, outer in self._hmacs:
            within, around = inner.copy(), outer.copy()
            within.update(digest)
            around.update(within.digest())
            digest = around.digest()
        return digest.hex()

    def look_up_by(self, chain: Sequence[bytes]) -> None:
        """From now on look-ups go through these keys, the oldest first; none stands for the secret_key's alone."""
        self.chain: tuple[bytes, ...] = tuple(chain) or (self._first_lookup,)
        self._hmacs = [_begun_hmac(key) for key in self.chain]

    @property
    def newest_lookup(self) -> bytes:
        """The key that the next rotation adds to the chain."""
        return self._newest_lookup

    def sign(self, purpose: str, value: str) -> str:
        """A proof of 32 hex characters that `value` came from us for `purpose`."""
        return hmac.new(self._sign, f"{purpose}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]

    def is_signed(self, purpose: str, value: str, proof: str) -> bool:
        return hmac.compare_digest(self.sign(purpose, value), proof)


def _rebuild(secret_key: str, data_key: str, old_keys: tuple[str, ...], chain: tuple[bytes, ...]) -> Vault:
    vault = Vault(secret_key, data_key=data_key, old_keys=old_keys)
    vault.look_up_by(chain)
    return vault


def _begun_hmac(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """HMAC-SHA-256 (RFC 2104) as far as the key goes, inside and outside: a look-up goes on from there in half the time."""
    block = key.ljust(64, b"\0") if len(key) <= 64 else hashlib.sha256(key).digest().ljust(64, b"\0")
    return tuple(hashlib.sha256(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))  # type: ignore[return-value]


def hash_again(lookup: str, key: bytes) -> str:
    """A hash that was made by a chain, with one more key behind it; what is no hash stays."""
    if len(lookup) != 64:
        return lookup
    return hmac.digest(key, bytes.fromhex(lookup), "sha256").hex()


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret_key.encode())


def _key_id(secret_key: str) -> str:
    """8 hex characters that name a key and tell nothing about it."""
    return _derive(secret_key, b"scrm key id v1")[:4].hex()


def mask_phone(phone: str) -> str:
    """138****6620; short numbers keep only their end."""
    digits = phone.removeprefix("+86")
    return f"{digits[:3]}****{digits[-4:]}" if len(digits) >= 11 else f"****{digits[-2:]}"


def cover_phones(text: str) -> str:
    """A text in which somebody wrote mobile numbers, with their middle covered."""
    return _PHONE_IN_TEXT.sub(r"\1****\2", text) if text else text
