"""What a backup says of itself: when, of which database and revision, how many rows, and every file's checksum."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from scrm.errors import Invalid

NAME = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """`rows` by table; `files` has the SHA-256 of every file by its name in the archive.

    `key_mark` tells whether a secret_key is the one whose data this is, and nothing else.
    """

    made_at: str
    version: str
    database: str
    revision: str
    rows: Mapping[str, int]
    files: Mapping[str, str]
    key_mark: str
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True).encode()


def read_manifest(data: bytes) -> Manifest:
    """Raises Invalid when it is not one of ours, or of a later version."""
    try:
        told: dict[str, Any] = json.loads(data)
        if told.get("format") != FORMAT:
            raise Invalid(f"备份的格式是 {told.get('format')}，这个版本只认识 {FORMAT}，请用做备份时的版本恢复。")
        return Manifest(**told)
    except (ValueError, TypeError, AttributeError):
        raise Invalid("文件里的 manifest.json 读不懂，它不是 scrm backup 做的备份，或已损坏。") from None


def key_mark(secret_key: str) -> str:
    """The same for the same key; says nothing about it."""
    return hmac.new(secret_key.encode(), b"scrm backup", hashlib.sha256).hexdigest()[:16]


def digest(file: BinaryIO) -> str:
    """SHA-256 of what is left of the file."""
    sha256 = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        sha256.update(chunk)
    return sha256.hexdigest()
