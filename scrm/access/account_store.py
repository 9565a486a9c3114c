"""All SQL of local accounts and of failed logins."""

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, case, delete, select, update

from scrm import audit
from scrm.access.models import local_account, login_attempt
from scrm.access.passwords import FORGOTTEN, FREE_BY_ACCOUNT, FREE_BY_ADDRESS, wait_after
from scrm.access.store import require_administrator, require_role
from scrm.db import upsert
from scrm.errors import Conflict, Invalid, NotFound

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")


def userid_of(name: str) -> str:
    """local:admin; raises Invalid for what is no name."""
    folded = name.strip().lower()
    if not _NAME.fullmatch(folded):
        raise Invalid(f"用户名“{name[:40]}”不能用：请用 2–32 个小写字母、数字、点、下划线或短横线，以字母或数字开头")
    return f"local:{folded}"


def find_account(conn: Connection, name: str) -> Row[Any] | None:
    """By the name that was typed, or by its userid."""
    folded = name.removeprefix("local:").strip().lower()
    if not _NAME.fullmatch(folded):
        return None
    return conn.execute(select(local_account).where(local_account.c.userid == f"local:{folded}")).one_or_none()


def list_accounts(conn: Connection) -> Sequence[Row[Any]]:
    return conn.execute(select(local_account).order_by(local_account.c.userid).limit(200)).all()


def is_any_account(conn: Connection) -> bool:
    """Whether a password can open the console at all."""
    some = select(local_account.c.userid).where(local_account.c.is_active.is_(True)).limit(1)
    return conn.scalar(some) is not None


def add_account(conn: Connection, name: str, role: str, password_hash: str, *, now: datetime) -> str:
    """Its userid; the first login asks for another password. Raises Conflict when the name is taken."""
    userid = userid_of(name)
    require_role(conn, role)
    values = {"userid": userid, "name": name.strip()[:40], "role": role, "password_hash": password_hash}
    added = conn.execute(
        upsert(local_account, conn).values(**values, created_at=now, changed_at=now).on_conflict_do_nothing()
    )
    if not added.rowcount:
        raise Conflict(f"已经有叫“{name[:40]}”的账号")
    audit.changed(conn, "account", userid, None, {"name": name, "role": role})
    return userid


def set_password(conn: Connection, userid: str, password_hash: str, *, must_change: bool, now: datetime) -> None:
    """A new password; failures against the account are forgotten."""
    values = {"password_hash": password_hash, "must_change": must_change, "changed_at": now}
    done = conn.execute(update(local_account).where(local_account.c.userid == userid).values(**values))
    if not done.rowcount:
        raise NotFound("没有这个账号，可能已被删除")
    forget_failures(conn, userid)
    audit.changed(conn, "account", userid, {"password": "old"}, {"password": "new"})


def change_account(conn: Connection, userid: str, *, role: str | None = None, is_active: bool | None = None) -> None:
    """Raises Conflict when no administrator would be left."""
    row = find_account(conn, userid)
    if row is None:
        raise NotFound("没有这个账号，可能已被删除")
    values: dict[str, Any] = {}
    if role is not None:
        require_role(conn, role)
        values["role"] = role
    if is_active is not None:
        values["is_active"] = is_active
    conn.execute(update(local_account).where(local_account.c.userid == userid).values(**values))
    require_administrator(conn)
    audit.changed(conn, "account", userid, {name: row._mapping[name] for name in values}, values)


def note_login(conn: Connection, userid: str, address: str, *, now: datetime, password_hash: str | None = None) -> None:
    """When they came in; with `password_hash` it is kept with today's amount of work."""
    values: dict[str, Any] = {"last_login_at": now}
    if password_hash is not None:
        values["password_hash"] = password_hash
    conn.execute(update(local_account).where(local_account.c.userid == userid).values(**values))
    forget_failures(conn, userid)
    forgive_address(conn, address)


# Failed logins --------------------------------------------------------------------------------------------------------


def begin_attempt(conn: Connection, name: str, address: str, *, now: datetime) -> timedelta:
    """Zero when somebody may try, who is then counted as having failed until `forget_failures`; else how long to wait.

    Counting first leaves nothing to those who try many at once.
    """
    conn.execute(delete(login_attempt).where(login_attempt.c.last_at < now - FORGOTTEN))
    keys = {_of_account(f"local:{name.strip().lower()}"): FREE_BY_ACCOUNT, _of_address(address): FREE_BY_ADDRESS}
    return max(_count_failure(conn, key, free, now) for key, free in sorted(keys.items()))


def _count_failure(conn: Connection, key: str, free: int, now: datetime) -> timedelta:
    """How long this key still waits; only one that need not wait counts."""
    locked = login_attempt.c.locked_until
    more = case((locked > now, login_attempt.c.failures), else_=login_attempt.c.failures + 1)
    row = conn.execute(
        upsert(login_attempt, conn)
        .values(key_hash=key, failures=1, last_at=now)
        .on_conflict_do_update(index_elements=["key_hash"], set_={"failures": more, "last_at": now})
        .returning(login_attempt.c.failures, locked)
    ).one()
    if row.locked_until is not None and row.locked_until > now:
        waits: timedelta = row.locked_until - now
        return waits
    if wait := wait_after(row.failures, free):
        conn.execute(update(login_attempt).where(login_attempt.c.key_hash == key).values(locked_until=now + wait))
    return timedelta()


def forgive_address(conn: Connection, address: str) -> None:
    """Who came in did not fail; the others' failures from this address stay."""
    conn.execute(
        update(login_attempt)
        .where(login_attempt.c.key_hash == _of_address(address), login_attempt.c.failures > 0)
        .values(failures=login_attempt.c.failures - 1)
    )


def forget_failures(conn: Connection, userid: str) -> None:
    conn.execute(delete(login_attempt).where(login_attempt.c.key_hash == _of_account(userid)))


def _of_account(userid: str) -> str:
    return hashlib.sha256(f"account {userid}".encode()).hexdigest()


def _of_address(address: str) -> str:
    return hashlib.sha256(f"address {address}".encode()).hexdigest()
