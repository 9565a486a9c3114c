"""`scrm rotate-keys`, `scrm erase` and `scrm export person` as an operator types them."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from scrm import cli, joining
from scrm.commerce.canonical import read_order
from scrm.commerce.models import orders
from scrm.commerce.store import save_orders
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.db.vault_keys import use_chain
from scrm.profiles import store as profiles
from scrm.profiles.merge import Act
from scrm.profiles.models import person_field
from tests.fakes import wecom as fake
from tests.privacy.test_erase import ADDRESS, PHONE, an_order

OLD, NEW = "the first key, thirty-two characters", "the second key, thirty-two characters"
NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


@pytest.fixture
def operator(sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The environment of a shop with one customer, one order and one field of its own."""
    monkeypatch.chdir(tmp_path)
    values = {
        "DATABASE__URL": sqlite_url,
        "WECOM__CORP_ID": fake.CORP_ID,
        "WECOM__AGENT_ID": str(fake.AGENT_ID),
        "WECOM__SECRET": fake.SECRET,
        "WECOM__TOKEN": fake.TOKEN,
        "WECOM__ENCODING_AES_KEY": fake.AES_KEY,
        "SECURITY__SECRET_KEY": OLD,
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SCRM_{name}", value)

    def fill(conn: Connection) -> None:
        vault = Vault(OLD)
        contact = profiles.ensure_contact(conn, "wmXiaoman", now=NOW)
        profiles.add_phone(conn, contact.person_id, f"+86{PHONE}", vault=vault, source="remark", now=NOW)
        save_orders(conn, [read_order(an_order("A1"))], now=NOW, vault=vault, route="api")
        phone = {"sealed": vault.seal("+8613700001111"), "mask": "137****1111"}
        row = {"value": phone, "claim": vault.lookup("field:+8613700001111"), "changed_at": NOW}
        conn.execute(person_field.insert().values(person_id=contact.person_id, key="spare", **row))

    on_database(sqlite_url, lambda db: db.write(fill))
    return sqlite_url


def on_database(url: str, act: Any) -> Any:
    async def run() -> Any:
        db = Database(url)
        try:
            return await act(db)
        finally:
            await db.close()

    return asyncio.run(run())


def test_keys_are_changed_everywhere_and_the_old_one_may_go(
    operator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCRM_SECURITY__DATA_KEY", NEW)
    assert cli.run(["rotate-keys"]) == 0
    assert "重新加密 3 个值，更新查找用的散列 3 个" in capsys.readouterr().out
    assert cli.run(["rotate-keys"]) == 0
    assert "重新加密 0 个值" in capsys.readouterr().out

    async def look(db: Database) -> None:
        vault = Vault("a wholly new secret key for sessions", data_key=NEW)
        await use_chain(db, vault)
        lookup = vault.lookup(f"+86{PHONE}")
        assert await db.read(profiles.find_person_by_identity, "mobile_e164", lookup) == 1
        order = await db.read(lambda conn: conn.execute(orders.select()).one())
        assert order.buyer_phone_lookup == lookup
        assert ADDRESS in vault.open(order.receiver_sealed)
        own = await db.read(lambda conn: conn.execute(person_field.select()).one())
        assert vault.open(own.value["sealed"]) == "+8613700001111"
        assert own.claim == vault.lookup("field:+8613700001111")

    on_database(operator, look)
    monkeypatch.delenv("SCRM_SECURITY__DATA_KEY")
    assert cli.run(["erase", "1"]) == 1
    assert "data_key" in capsys.readouterr().err


def test_a_customer_is_exported_and_erased_by_number_or_external_userid(
    operator: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.run(["export", "person", "wmXiaoman", "--out", str(tmp_path / "copy.zip")]) == 0
    assert (tmp_path / "copy.zip").stat().st_mode & 0o777 == 0o600
    assert cli.run(["export", "person", "1"]) == 0
    assert ADDRESS in capsys.readouterr().out
    assert cli.run(["erase", "wmXiaoman"]) == 0
    assert "没有做任何改动" in capsys.readouterr().out
    assert cli.run(["erase", "wmXiaoman", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["erased"] is True
    assert cli.run(["erase", "1", "--yes"]) == 0
    assert "此前已经删除" in capsys.readouterr().out
    for wrong, code in (
        (["erase", "wmNobody"], 1),
        (["erase", "99"], 1),
        (["export", "person", "1", "--out", "x.txt"], 2),
    ):
        assert cli.run(wrong) == code
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_a_join_from_before_the_change_is_undone_with_values_that_the_new_key_opens(
    operator: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def join_another(conn: Connection) -> int:
        vault = Vault(OLD)
        other = profiles.ensure_contact(conn, "wmOther", now=NOW).person_id
        profiles.add_phone(conn, other, "+8613900002222", vault=vault, source="remark", now=NOW)
        for key, text in (("spare", "+8613600003333"), ("home", "+8613500004444")):
            phone = {"sealed": vault.seal(text), "mask": text[3:6] + "****" + text[-4:]}
            row = {"value": phone, "claim": vault.lookup(f"field:{text}"), "changed_at": NOW}
            conn.execute(person_field.insert().values(person_id=other, key=key, **row))
        return joining.join(conn, 1, other, Act("boss", "the same"), now=NOW)

    merge_id = on_database(operator, lambda db: db.write(join_another))
    monkeypatch.setenv("SCRM_SECURITY__DATA_KEY", NEW)
    assert cli.run(["rotate-keys"]) == 0
    told = capsys.readouterr().out
    assert "重新加密 7 个值，更新查找用的散列 7 个" in told, "three sealed numbers, and what the join kept aside"
    assert cli.run(["rotate-keys"]) == 0
    assert "重新加密 0 个值，更新查找用的散列 0 个" in capsys.readouterr().out

    async def undo(db: Database) -> None:
        vault = Vault("a wholly new secret key for sessions", data_key=NEW)
        await use_chain(db, vault)
        await db.write(joining.part, merge_id, by="boss", now=NOW)
        query = person_field.select().order_by(person_field.c.person_id, person_field.c.key)
        rows = await db.read(lambda conn: conn.execute(query).all())
        assert [(row.person_id, row.key, vault.open(row.value["sealed"])) for row in rows] == [
            (1, "spare", "+8613700001111"),
            (2, "home", "+8613500004444"),
            (2, "spare", "+8613600003333"),
        ]
        assert all(row.claim == vault.lookup(f"field:{vault.open(row.value['sealed'])}") for row in rows)
        lookup = vault.lookup("+8613900002222")
        assert await db.read(profiles.find_person_by_identity, "mobile_e164", lookup) == 2

    on_database(operator, undo)
