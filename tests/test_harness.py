"""The harness itself: real databases, a real browser and WeCom's own library are there."""

import hashlib
from typing import Any

import asyncpg
from sqlalchemy import Connection, inspect

from scrm.db import Database
from tests.fixtures_browser import OpenPage


def table_names(conn: Connection) -> list[str]:
    return inspect(conn).get_table_names()


async def test_every_test_has_a_migrated_database_of_its_own(database_url: str) -> None:
    database = Database(database_url)
    try:
        assert "alembic_version" in await database.read(table_names)
    finally:
        await database.close()


async def test_postgresql_is_real_and_knows_utf8(empty_postgresql_url: str) -> None:
    connection = await asyncpg.connect(empty_postgresql_url)
    try:
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SELECT char_length('企业微信')") == 4
    finally:
        await connection.close()


async def test_a_browser_runs_scripts_and_speaks_chinese(open_page: OpenPage) -> None:
    page = await open_page(width=375, height=667, phone=True)
    await page.set_content("<p id=a>企业微信</p><script>document.title = navigator.language</script>")
    assert await page.title() == "zh-CN"


def test_wecoms_own_library_signs_what_node_is_asked_to(run_node: Any) -> None:
    script = """
        import { getSignature } from '@wecom/crypto';
        output(getSignature(input.token, input.timestamp, input.nonce, input.encrypt));
    """
    message = {"token": "t", "timestamp": "1", "nonce": "n", "encrypt": "e"}
    expected = hashlib.sha1("".join(sorted(message.values())).encode()).hexdigest()
    assert run_node(script, message) == expected
