"""Who is signed in: a random token in the cookie, of which only the SHA-256 is kept."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    String,
    Table,
    bindparam,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from scrm import audit
from scrm.access.models import access_role, local_account
from scrm.access.roles import BUILT_IN, Role, made_of, nobody
from scrm.access.scope import Scope
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
    # Kept to about ten minutes, for the list of one's logins.
    Column("seen_at", UtcDateTime),
    # wecom or local, and from where.
    Column("way", String(10), nullable=False, server_default=text("'wecom'")),
    Column("address", String(45), nullable=False, server_default=text("''")),
    Column("agent", String(80), nullable=False, server_default=text("''")),
    Index("ix_session_expires_at", "expires_at"),
    Index("ix_session_userid", "userid"),
)

# How exactly the list of logins knows when each was last used.
SEEN = timedelta(minutes=10)
# A session is named on pages by the beginning of its hash, which opens nothing.
_NAME = 16


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who has proved who they are, with what their role may."""

    userid: str
    name: str
    role: str
    csrf: str
    allowed: Role
    leads: tuple[int, ...] = ()
    must_change: bool = False
    seen_at: datetime | None = None

    def may(self, module: str, what: str = "view") -> bool:
        """Whether the role has this right and it is of use."""
        return self.allowed.may(module, what)

    @property
    def is_local(self) -> bool:
        return self.userid.startswith("local:")

    @property
    def scope(self) -> Scope:
        """Whose customers they reach."""
        return Scope(self.userid, self.allowed.reach, self.leads)


def open_session(
    conn: Connection,
    userid: str,
    *,
    now: datetime,
    lives: timedelta,
    way: str = "wecom",
    address: str = "",
    agent: str = "",
) -> str:
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
            seen_at=now,
            way=way,
            address=address[:45],
            agent=agent[:80],
        )
    )
    return token


def find_session(conn: Connection, token: str, *, now: datetime) -> SignedIn | None:
    """None when the token is unknown, has ended, or its member or account is no longer active."""
    row = conn.execute(_FIND, {"token_hash": _hash(token), "now": now}).one_or_none()
    if row is None:
        return None
    return SignedIn(
        row.userid,
        row.name or row.userid,
        row.role,
        row.csrf,
        _role_of(row),
        tuple(row.leads or ()),
        bool(row.must_change),
        row.seen_at,
    )


def _role_of(row: Any) -> Role:
    built_in = BUILT_IN.get(row.role)
    if built_in is not None:
        return built_in
    if row.rights is None:
        return nobody(row.role)
    return made_of(row.role, row.title, row.rights, row.reach, row.fields)


_ROLE = func.coalesce(member.c.role, local_account.c.role, "")
_FIND = (
    select(
        session.c.userid,
        session.c.csrf,
        session.c.seen_at,
        func.coalesce(member.c.name, local_account.c.name).label("name"),
        _ROLE.label("role"),
        member.c.leads,
        local_account.c.must_change,
        access_role.c.title,
        access_role.c.rights,
        access_role.c.reach,
        access_role.c.fields,
    )
    .outerjoin(member, member.c.userid == session.c.userid)
    .outerjoin(local_account, local_account.c.userid == session.c.userid)
    .outerjoin(access_role, access_role.c.key == _ROLE)
    .where(
        session.c.token_hash == bindparam("token_hash"),
        session.c.expires_at > bindparam("now"),
        or_(member.c.is_active.is_(True), local_account.c.is_active.is_(True)),
    )
)


def note_seen(conn: Connection, token: str, *, now: datetime) -> None:
    conn.execute(update(session).where(session.c.token_hash == _hash(token)).values(seen_at=now))


def list_sessions(conn: Connection, userid: str, *, now: datetime, limit: int = 50) -> Sequence[Any]:
    """Somebody's living sessions, the last used first; `name` is what closes one."""
    name = func.substr(session.c.token_hash, 1, _NAME).label("name")
    query = select(session.c.way, session.c.address, session.c.agent, session.c.created_at, session.c.seen_at, name)
    living = query.where(session.c.userid == userid, session.c.expires_at > now)
    return conn.execute(living.order_by(session.c.seen_at.desc(), session.c.created_at.desc()).limit(limit)).all()


def name_of(token: str) -> str:
    """What the page calls the session of this token."""
    return _hash(token)[:_NAME]


def close_session(conn: Connection, token: str) -> None:
    conn.execute(delete(session).where(session.c.token_hash == _hash(token)))


def close_one(conn: Connection, userid: str, name: str) -> int:
    """Close somebody's session by its name on the page; how many there were."""
    return _close(conn, userid, func.substr(session.c.token_hash, 1, _NAME) == name)


def close_all(conn: Connection, userid: str, *, but: str = "") -> int:
    """Close all sessions of somebody, except the one of the token `but`; how many there were."""
    return _close(conn, userid, session.c.token_hash != (_hash(but) if but else ""))


def _close(conn: Connection, userid: str, which: ColumnElement[bool]) -> int:
    ended = int(conn.execute(delete(session).where(session.c.userid == userid, which)).rowcount)
    audit.changed(conn, "session", userid, {"ended": 0}, {"ended": ended})
    return ended


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
