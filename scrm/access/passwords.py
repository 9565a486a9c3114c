"""Passwords: how they are kept, what they must be, and how long one waits after failing. Pure but for the hashing."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from scrm.errors import Invalid

SHORTEST, LONGEST = 10, 128
# Letters that nobody confuses when copying from a terminal.
_LETTERS = "abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_KNOWN = {
    "1234567890",
    "0123456789",
    "qwertyuiop",
    "password123",
    "administrator",
    "adminadmin",
    "1q2w3e4r5t",
    "woaini1314",
}

_hasher = PasswordHasher()
# Each takes 64 MB for a moment: two at a time are enough for people and no burden when somebody tries thousands.
_threads = ThreadPoolExecutor(2, thread_name_prefix="password")


def make_once() -> str:
    """A password to begin with, about 93 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


async def hash_password(password: str) -> str:
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def is_right(kept: str | None, password: str) -> bool:
    """As much work for a name that nobody has as for a wrong password."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _is_right, kept, password)


def _is_right(kept: str | None, password: str) -> bool:
    given = password[: 2 * LONGEST].encode("utf-8", "replace")
    try:
        found = _hasher.verify(kept or _nobodys(), given)
    except (VerificationError, InvalidHashError):
        return False
    return found and kept is not None


@cache
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))


def is_old(kept: str) -> bool:
    """Whether it was hashed with less work than today's."""
    return _hasher.check_needs_rehash(kept)


def require_good(password: str, *, name: str, old: str = "") -> None:
    """Raises Invalid with what to do."""
    folded = password.casefold()
    if len(password) < SHORTEST:
        raise Invalid(f"密码太短：现在 {len(password)} 个字符，至少 {SHORTEST} 个")
    if len(password) > LONGEST:
        raise Invalid(f"密码太长：现在 {len(password)} 个字符，最多 {LONGEST} 个")
    if len(set(folded)) < 5 or folded in _KNOWN:
        raise Invalid("这个密码太容易猜到，请换一个，例如几个不相干的词连起来")
    if name and len(name) > 2 and name.casefold() in folded:
        raise Invalid("密码里不能有用户名，请换一个")
    if old and password == old:
        raise Invalid("新密码和现在的一样，请换一个")


# After so many failures one waits: first a minute, then twice as long each time.
FREE_BY_ACCOUNT, FREE_BY_ADDRESS = 5, 20
LONGEST_WAIT = timedelta(hours=1)
# Failures so long ago are forgotten.
FORGOTTEN = timedelta(hours=24)


def wait_after(failures: int, free: int) -> timedelta:
    """How long nobody may try again after so many failures in a row."""
    if failures < free:
        return timedelta()
    return min(LONGEST_WAIT, timedelta(minutes=1 << min(failures - free, 10)))
