"""All SQL about API keys."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from scrm.api.models import api_key

ROLES = ("administrator", "manager", "readonly")


def make_key(conn: Connection, name: str, role: str, *, now: datetime, sees_private: bool = False) -> str:
    """The new key, which is shown once: only its SHA-256 is kept. `sees_private`: it may ask for clear values."""
    key = f"scrm_{secrets.token_urlsafe(32)}"
    conn.execute(
        api_key.insert().values(key_hash=_hash(key), name=name, role=role, sees_private=sees_private, created_at=now)
    )
    return key


def find_name(conn: Connection, key: str) -> str | None:
    """Whose key it is, for the history of what it changes."""
    return conn.execute(select(api_key.c.name).where(api_key.c.key_hash == _hash(key))).scalar_one_or_none()


@dataclass(frozen=True, slots=True)
class Caller:
    """The program behind a key."""

    name: str
    role: str
    sees_private: bool = False


def find_caller(conn: Connection, key: str) -> Caller | None:
    row = conn.execute(
        select(api_key.c.name, api_key.c.role, api_key.c.sees_private).where(api_key.c.key_hash == _hash(key))
    ).one_or_none()
    return None if row is None else Caller(row.name, row.role, row.sees_private)


def find_role(conn: Connection, key: str) -> str | None:
    caller = find_caller(conn, key)
    return None if caller is None else caller.role


def note_use(conn: Connection, key: str, *, now: datetime) -> None:
    """When the key was last used, to the hour."""
    conn.execute(
        update(api_key)
        .where(
            api_key.c.key_hash == _hash(key),
            api_key.c.last_used_at.is_(None) | (api_key.c.last_used_at < now - timedelta(hours=1)),
        )
        .values(last_used_at=now)
    )


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
