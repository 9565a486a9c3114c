"""Who is signed in: a random token in the cookie, of which only the SHA-256 is kept."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Column, Connection, Index, String, Table, bindparam, delete, select

from scrm.db.tables import UtcDateTime, metadata
from scrm.profiles.models import member

session = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("userid", String(64), nullable=False),
    # The half of the CSRF proof that is not in the cookie.
    Column("csrf", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Index("ix_session_expires_at", "expires_at"),
)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member who has proved who they are; role is member, manager or administrator."""

    userid: str
    name: str
    role: str
    csrf: str


def open_session(conn: Connection, userid: str, *, now: datetime, lives: timedelta) -> str:
    """The token for the cookie; sessions that have ended are swept away on the occasion."""
    token = secrets.token_urlsafe(32)
    conn.execute(delete(session).where(session.c.expires_at < now))
    conn.execute(
        session.insert().values(
            token_hash=_hash(token),
            userid=userid,
            csrf=secrets.token_urlsafe(24),
            created_at=now,
            expires_at=now + lives,
        )
    )
    return token


def find_session(conn: Connection, token: str, *, now: datetime) -> SignedIn | None:
    """None when the token is unknown, has ended, or its member is no longer active."""
    row = conn.execute(_FIND, {"token_hash": _hash(token), "now": now}).one_or_none()
    return None if row is None else SignedIn(row.userid, row.name or row.userid, row.role, row.csrf)


_FIND = (
    select(session.c.userid, session.c.csrf, member.c.name, member.c.role)
    .join(member, member.c.userid == session.c.userid)
    .where(
        session.c.token_hash == bindparam("token_hash"),
        session.c.expires_at > bindparam("now"),
        member.c.is_active.is_(True),
    )
)


def close_session(conn: Connection, token: str) -> None:
    conn.execute(delete(session).where(session.c.token_hash == _hash(token)))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
