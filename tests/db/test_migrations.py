"""What was there before a migration is there after it, and goes on."""

import asyncio
import hashlib
import sqlite3
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, bindparam, event, text

from scrm.db import Database, Json
from scrm.db.migrate import migrate, newest_revision
from scrm.errors import ScrmError
from tests.postgresql_server import Server
from tests.server_process import ROOT

BODY = b"<xml><CreateTime>1795317496</CreateTime></xml>"


def keep_as_before(conn: Connection) -> None:
    """An inbox row and its open work as version 0.1 wrote them."""
    digest = hashlib.sha256(BODY).digest()
    conn.execute(
        text("INSERT INTO inbox_event (digest, body, received_at) VALUES (:digest, :body, 1)"),
        {"digest": digest, "body": BODY},
    )
    work = (
        "INSERT INTO work_item (lane, kind, payload, due_at, created_at) VALUES ('event', 'callback', :payload, 1, 1)"
    )
    payload = bindparam("payload", {"digest": digest.hex()}, type_=Json)
    conn.execute(text(work).bindparams(payload))


async def open_work_names_its_callback_by_id(url: str) -> None:
    await asyncio.to_thread(migrate, url, "0001")
    db = Database(url)
    await db.write(keep_as_before)
    await db.close()
    await asyncio.to_thread(migrate, url)
    db = Database(url)
    query = text("SELECT kept.id, payload FROM work_item, inbox_event kept").columns(payload=Json)
    row = await db.read(lambda conn: conn.execute(query).one())
    await db.close()
    assert row.payload == {"inbox": row.id}


async def test_open_work_of_the_first_version_goes_on_sqlite(tmp_path: Path) -> None:
    await open_work_names_its_callback_by_id(f"sqlite:///{tmp_path}/old.db")
    assert sqlite3.connect(tmp_path / "old.db").execute("PRAGMA foreign_key_check").fetchall() == []


async def test_open_work_of_the_first_version_goes_on_postgresql(
    empty_postgresql_url: str, postgresql_server: Server
) -> None:
    await open_work_names_its_callback_by_id(empty_postgresql_url)


async def test_an_order_of_before_is_of_the_province_its_mask_shows(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    await asyncio.to_thread(migrate, url, "0041")
    old = sqlite3.connect(tmp_path / "old.db")
    # The masked name of a customer begins like a province.
    masks = {"广** 138****8000 内蒙古自治区包头市": "内蒙古", "浙江": "浙江", "河** 138****8000": "", "": ""}
    for number, mask in enumerate(masks):
        row = (f"A{number}", mask)
        old.execute(
            "INSERT INTO orders (channel, order_no, receiver_mask, status, first_seen_at, last_seen_at)"
            " VALUES ('taobao', ?, ?, 'paid', 1, 1)",
            row,
        )
    old.commit()
    await asyncio.to_thread(migrate, url)
    assert dict(old.execute("SELECT receiver_mask, province FROM orders")) == masks


class Died(BaseException):
    """Nobody catches it."""


def revision_of(path: Path) -> str:
    return str(sqlite3.connect(path).execute("SELECT version_num FROM alembic_version").fetchone()[0])


async def test_who_dies_in_the_middle_of_a_migration_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path, url = tmp_path / "old.db", f"sqlite:///{tmp_path}/old.db"
    await asyncio.to_thread(migrate, url, "0041")
    before = sqlite3.connect(path).execute("SELECT name, sql FROM sqlite_master").fetchall()

    def die_at_the_last_step(conn: object, cursor: object, statement: str, *rest: object) -> None:
        if newest_revision() in statement or f"'{newest_revision()}'" in str(rest):
            raise Died

    event.listen(Engine, "before_cursor_execute", die_at_the_last_step)
    try:
        with pytest.raises(Died):
            await asyncio.to_thread(migrate, url)
    finally:
        event.remove(Engine, "before_cursor_execute", die_at_the_last_step)
    assert sqlite3.connect(path).execute("SELECT name, sql FROM sqlite_master").fetchall() == before
    await asyncio.to_thread(migrate, url)
    assert revision_of(path) == newest_revision()


async def test_two_that_migrate_one_file_at_once_do_it_once(tmp_path: Path) -> None:
    code = f"from scrm.db.migrate import migrate; migrate('sqlite:///{tmp_path}/new.db')"
    both = [await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    assert revision_of(tmp_path / "new.db") == newest_revision()


async def test_a_database_of_a_newer_version_is_told_and_left_alone(tmp_path: Path) -> None:
    path, url = tmp_path / "new.db", f"sqlite:///{tmp_path}/new.db"
    await asyncio.to_thread(migrate, url)
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    with pytest.raises(ScrmError, match=r"9999 版，比这个程序.*新：请换回升级后的程序"):
        await asyncio.to_thread(migrate, url)
    assert revision_of(path) == "9999"
