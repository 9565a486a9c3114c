"""The harness itself: real databases, a real browser and WeCom's own library are there."""

import hashlib
from typing import Any

import asyncpg
from sqlalchemy import Connection, delete, inspect

from scrm.app import publish_playbooks
from scrm.db import Database, metadata
from scrm.services import Services
from scrm.sop.shelf import playbooks_of
from tests.fixtures_browser import OpenPage
from tests.remembered import every_row, publish_once


def table_names(conn: Connection) -> list[str]:
    return inspect(conn).get_table_names()


async def test_every_test_has_a_migrated_database_of_its_own(database_url: str) -> None:
    database = Database(database_url)
    try:
        assert "alembic_version" in await database.read(table_names)
    finally:
        await database.close()


async def test_playbooks_that_are_put_back_are_what_publishing_leaves(services: Services) -> None:
    for publish in (publish_playbooks, publish_once, publish_once):
        await services.db.write(forget_playbooks)
        await publish(services)
        left = await services.db.read(uncounted)
        assert left.keys() == {"playbook", "playbook_version", "playbook_change", "coupon_batch"}
        if publish is publish_playbooks:
            published = left
        assert left == published
        assert len(playbooks_of(services).current) == len(left["playbook"])
        assert await publish_playbooks(services) == []
        assert await services.db.read(uncounted) == published


def forget_playbooks(conn: Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        conn.execute(delete(table))


def uncounted(conn: Connection) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows, but for the numbers that the database counts."""
    return {
        table.name: [{k: v for k, v in row.items() if k != "id"} for row in rows] for table, rows in every_row(conn)
    }


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
