"""Keys of private data: what one sealed, another may not open; a rotation keeps every value readable and findable."""

import pickle
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select

from scrm.db import Database
from scrm.db.vault import Vault, cover_phones
from scrm.db.vault_keys import Hashed, Sealed, needs_new_hashes, rehash, reseal, use_chain
from scrm.errors import ScrmError
from scrm.profiles import store as profiles
from scrm.profiles.models import identity

OLD, NEW, NEWER = "the first key, thirty-two characters", "the second key, thirty-two characters", "a third key " * 4
NOW = datetime(2026, 10, 1, 4, 0, tzinfo=UTC)
SEALED = (Sealed(identity, "sealed"),)
HASHED = (Hashed(identity, "value", only=("kind", ("mobile_e164",))),)
PHONES = [f"+8613800{number:06d}" for number in range(450)]


def test_a_value_can_be_opened_with_its_own_key_only_and_old_ones_still_read() -> None:
    sealed = Vault(OLD).seal("海淀区中关村大街 1 号")
    assert Vault(OLD, data_key=NEW).open(sealed) == "海淀区中关村大街 1 号"
    assert Vault(NEW, old_keys=[OLD]).open(sealed) == "海淀区中关村大街 1 号"
    renewed = Vault(OLD, data_key=NEW).seal("x")
    assert not Vault(OLD, data_key=NEW).is_current(sealed)
    assert Vault(OLD, data_key=NEW).is_current(renewed)
    for damaged in (sealed[:-3] + "AAA", sealed[3:], "1.AAAA", "2.00000000.AAAA", "not sealed"):
        with pytest.raises(ValueError, match="secret_key"):
            Vault(OLD).open(damaged)
    with pytest.raises(ValueError, match="secret_key"):
        Vault(NEW).open(sealed)


def test_an_importing_process_gets_the_same_keys() -> None:
    vault = Vault(OLD, data_key=NEW)
    vault.look_up_by([b"one" * 11, b"two" * 11])
    other = pickle.loads(pickle.dumps(vault))
    assert other.lookup("+8613800001111") == vault.lookup("+8613800001111") != Vault(OLD).lookup("+8613800001111")
    assert other.open(vault.seal("x")) == "x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("电话13800138000，别打", "电话138****8000，别打"),
        ("+86 138-0013-8000", "+86 138****8000"),
        ("订单 320013800138000123", "订单 320013800138000123"),
        ("", ""),
    ],
)
def test_a_phone_in_a_text_is_covered_and_an_order_number_is_not(text: str, shown: str) -> None:
    assert cover_phones(text) == shown


async def test_rotation_twice_over_and_the_first_keys_can_be_thrown_away(database_url: str) -> None:
    db, first = Database(database_url), Vault(OLD)

    def fill(conn: Connection) -> None:
        for number, phone in enumerate(PHONES):
            contact = profiles.ensure_contact(conn, f"wm{number}", now=NOW)
            profiles.add_phone(conn, contact.person_id, phone, vault=first, source="remark", now=NOW)

    await db.write(fill)
    second = Vault(OLD, data_key=NEW)
    await use_chain(db, second)
    assert second.lookup(PHONES[0]) == first.lookup(PHONES[0]), "before the rotation everybody is found as before"
    await rotate(db, second)
    # A new secret_key, and the first key is gone.
    third = Vault("another secret, thirty-two characters", data_key=NEWER, old_keys=[NEW])
    await use_chain(db, third)
    await rotate(db, third)
    last = Vault("another secret, thirty-two characters", data_key=NEWER)
    await use_chain(db, last)
    for phone in (PHONES[0], PHONES[-1]):
        owner = await db.read(profiles.find_person_by_identity, "mobile_e164", last.lookup(phone))
        assert owner is not None
        sealed = await db.read(
            lambda conn, owner=owner: conn.execute(
                select(identity.c.sealed).where(identity.c.person_id == owner, identity.c.kind == "mobile_e164")
            ).scalar_one()
        )
        assert last.open(sealed) == phone
    contact = await db.read(lambda conn: profiles.find_contact(conn, "wm7"))
    assert contact is not None, "ids that are no hashes stay as they were"
    with pytest.raises(ScrmError, match="data_key"):
        await use_chain(db, Vault("another secret, thirty-two characters"))
    await db.close()


async def rotate(db: Database, vault: Vault) -> None:
    """Sealed values, then hashes; a second run finds nothing to do."""
    assert await db.read(needs_new_hashes, vault)
    done = await reseal(db, vault, SEALED)
    assert done.sealed == {"identity.sealed": len(PHONES)}
    assert not done.unreadable
    hashed = await db.write(rehash, vault, HASHED, now=NOW)
    assert hashed.hashed == {"identity.value": len(PHONES)}
    again = await reseal(db, vault, SEALED)
    assert again.sealed == {"identity.sealed": 0}
    assert not (await db.write(rehash, vault, HASHED, now=NOW)).hashed
    assert not await db.read(needs_new_hashes, vault)
