"""What the command line does with people and keys, kept in the log like the pages' acts."""

import getpass
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection

from scrm import audit
from scrm.access import account_store as accounts
from scrm.access import passwords, store
from scrm.access.roles import ADMINISTRATOR
from scrm.errors import Conflict
from scrm.profiles.store import find_member, save_member
from scrm.services import Services

T = TypeVar("T")

FIRST = "admin"


async def run(services: Services, words: str, work: Callable[..., T], *args: Any) -> T:
    """`work(conn, *args)` in one transaction, with a row in the log under the name of who is at the terminal."""
    actor = audit.Actor(f"cli:{_who()}", "命令行", "", "cli")
    key = str(args[0]) if args else ""
    with audit.doing(audit.Deed(actor, services.clock, "access", "edit", f"命令行：{words}", key=key)):
        return await services.db.write(work, *args)


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid()) if hasattr(os, "getuid") else "?"


def add_member(conn: Connection, userid: str, role: str, now: datetime) -> None:
    """Give a member a role; one whom we have not met yet is learnt by the userid."""
    store.require_role(conn, role)
    if find_member(conn, userid) is None:
        save_member(conn, userid, name=userid, now=now)
    before = store.role_of(conn, userid)
    if before != role:
        store.give_role(conn, userid, role, by_command=True)


async def set_password(services: Services, name: str, role: str) -> str:
    """A password to begin with, for a new local account or for one that there is; failures against it are forgotten."""
    password, now = passwords.make_once(), services.clock.now()
    hashed = await passwords.hash_password(password)

    def write(conn: Connection, name: str) -> None:
        row = accounts.find_account(conn, name)
        if row is None:
            accounts.add_account(conn, name, role, hashed, now=now)
            return
        accounts.set_password(conn, row.userid, hashed, must_change=True, now=now)
        accounts.change_account(conn, row.userid, role=role, is_active=True)

    await run(services, "设置本地账号的密码", write, name)
    return password


async def make_first_administrator(services: Services) -> str | None:
    """The password of a new local administrator; None when there is an administrator or an account already."""

    def is_first(conn: Connection) -> bool:
        return not store.is_any_administrator(conn) and not accounts.list_accounts(conn)

    if not await services.db.read(is_first):
        return None
    password = passwords.make_once()
    hashed = await passwords.hash_password(password)

    def write(conn: Connection, name: str) -> None:
        accounts.add_account(conn, name, ADMINISTRATOR, hashed, now=services.clock.now())

    try:
        await run(services, "首次启动，新建本地管理员", write, FIRST)
    except Conflict:
        return None  # another process was quicker, and has printed it
    return password
