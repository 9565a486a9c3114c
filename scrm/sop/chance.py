"""Chance that is the same as often as it is asked: by a key, never by a die. Pure."""

import hashlib
from collections.abc import Sequence


def part_of_one(key: str) -> float:
    """A number from 0 up to 1 that the key alone decides."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=6).digest(), "big") / (1 << 48)


def choose(shares: Sequence[float], key: str) -> int:
    """The index of one of these shares (parts of 1); the last one takes what rounding leaves."""
    drawn, reached = part_of_one(key), 0.0
    for index, share in enumerate(shares):
        reached += share
        if drawn < reached:
            return index
    return len(shares) - 1
