"""All SQL about API keys."""

import hashlib
import ipaddress
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select, update

from scrm import audit
from scrm.access.modules import EDIT, ERASE, EVERY_RIGHT, REVEAL, VIEW, right
from scrm.access.roles import ALL
from scrm.access.scope import EVERYONE, Scope, scope_for
from scrm.api.models import api_key
from scrm.errors import Invalid, NotFound

ROLES = ("administrator", "manager", "readonly")

# A key is named on pages by the beginning of its hash, which opens nothing.
_NAME = 16
# How exactly the list knows when each was last used.
USED = timedelta(hours=1)


def make_key(
    conn: Connection,
    name: str,
    role: str,
    *,
    now: datetime,
    sees_private: bool = False,
    scopes: Collection[str] | None = None,
    addresses: Sequence[str] = (),
    expires_at: datetime | None = None,
    by: str = "cli",
    reach: str = ALL,
    userid: str = "",
) -> str:
    """The new key, which is shown once: only its SHA-256 is kept. Without `scopes` it may what its role may.

    `sees_private`: it may ask for clear values. With another `reach` than all it reaches only the customers of the
    member `userid`, or of the member's departments.
    """
    key = f"scrm_{secrets.token_urlsafe(32)}"
    values = {
        "name": name,
        "role": role,
        "sees_private": sees_private,
        "scopes": None if scopes is None else sorted(set(scopes) & EVERY_RIGHT),
        "addresses": list(addresses) or None,
        "expires_at": expires_at,
        "reach": reach,
        "userid": userid,
    }
    conn.execute(api_key.insert().values(**values, key_hash=_hash(key), hint=key[-4:], created_by=by, created_at=now))
    told = {**values, "networks": values["addresses"]}
    del told["addresses"]
    audit.changed(conn, "api_key", name_of(key), None, told)
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
    rights: frozenset[str] = frozenset()
    addresses: tuple[str, ...] = ()
    last_used_at: datetime | None = None
    scope: Scope = EVERYONE

    def may(self, module: str, what: str) -> bool:
        return right(module, what) in self.rights

    def may_come_from(self, address: str) -> bool:
        """Whether the key is used from an address that it was made for."""
        if not self.addresses:
            return True
        try:
            here = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(here in ipaddress.ip_network(one) for one in self.addresses)


_READS = frozenset(each for each in EVERY_RIGHT if each.endswith(f":{VIEW}"))
_WRITES = frozenset(each for each in EVERY_RIGHT if each.endswith(f":{EDIT}"))


def rights_of(role: str, scopes: Collection[str] | None, sees_private: bool) -> frozenset[str]:
    """What a key may: its scopes, or for one without them what its role always could."""
    if scopes is not None:
        return frozenset(scopes) & EVERY_RIGHT
    rights = _READS if role == "readonly" else _READS | _WRITES
    if sees_private:
        rights |= {right("customers", REVEAL)}
        if role == "administrator":
            rights |= {right("customers", ERASE)}
    return rights


def find_caller(conn: Connection, key: str, *, now: datetime | None = None) -> Caller | None:
    """None for a key that is unknown, revoked or past its end."""
    query = select(api_key).where(api_key.c.key_hash == _hash(key), api_key.c.revoked_at.is_(None))
    if now is not None:
        query = query.where(or_(api_key.c.expires_at.is_(None), api_key.c.expires_at > now))
    row = conn.execute(query).one_or_none()
    if row is None:
        return None
    rights = rights_of(row.role, row.scopes, row.sees_private)
    sees_private = row.sees_private or right("customers", REVEAL) in rights
    scope = scope_for(conn, row.userid, row.reach) if row.reach != ALL else EVERYONE
    return Caller(row.name, row.role, sees_private, rights, tuple(row.addresses or ()), row.last_used_at, scope)


def find_role(conn: Connection, key: str) -> str | None:
    caller = find_caller(conn, key)
    return None if caller is None else caller.role


def note_use(conn: Connection, key: str, *, now: datetime) -> None:
    """When the key was last used, to the hour."""
    conn.execute(
        update(api_key)
        .where(
            api_key.c.key_hash == _hash(key), api_key.c.last_used_at.is_(None) | (api_key.c.last_used_at < now - USED)
        )
        .values(last_used_at=now)
    )


def list_keys(conn: Connection, limit: int = 200) -> Sequence[Row[Any]]:
    """Those that work first, the newest first; `called` is what names one."""
    called = func.substr(api_key.c.key_hash, 1, _NAME).label("called")
    query = select(api_key, called).order_by(api_key.c.revoked_at.is_not(None), api_key.c.created_at.desc())
    return conn.execute(query.limit(limit)).all()


def revoke_key(conn: Connection, called: str, *, now: datetime) -> None:
    """From this moment on nobody comes in with it; it stays on the list."""
    which = func.substr(api_key.c.key_hash, 1, _NAME) == called
    row = conn.execute(select(api_key).where(which)).one_or_none()
    if row is None:
        raise NotFound("没有这个密钥，可能已被删除")
    if row.revoked_at is not None:
        return
    conn.execute(update(api_key).where(api_key.c.key_hash == row.key_hash).values(revoked_at=now))
    audit.changed(
        conn, "api_key", called, {"name": row.name, "revoked_at": None}, {"name": row.name, "revoked_at": now}
    )


def read_addresses(text: str) -> list[str]:
    """Addresses and networks, by commas or lines; raises Invalid with the one that cannot be read."""
    found = []
    for part in text.replace("，", ",").replace("\n", ",").split(","):
        if not (part := part.strip()):
            continue
        try:
            found.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise Invalid(f"“{part[:40]}”不是 IP 地址或网段：请写成 203.0.113.8 或 203.0.113.0/24") from None
    return found


def name_of(key: str) -> str:
    """What the list calls this key."""
    return _hash(key)[:_NAME]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
