"""Every table is either in the list of personal data or said to hold none, and every secret column can be rotated."""

from scrm.db.every_table import metadata
from scrm.db.vault_keys import Hashed, Sealed
from scrm.privacy.holdings import HOLDINGS, IMPERSONAL
from scrm.privacy.keys import hashed_columns, sealed_columns
from scrm.privacy.subject import Subject

ONE = Subject(7, [7], ["wm1"], ["u1"], ["f" * 64], ["o1"], ["a1"], [1], [1])
# Hashes that are no keyed look-ups of private values: plain SHA-256 of what is random, and digests.
OTHER_HASHES = {
    *("api_key.key_hash", "session.token_hash", "local_account.password_hash", "login_attempt.key_hash"),
    *("api_answer.key_hash", "api_answer.request_hash", "api_rate.key_hash"),
}


def test_every_table_is_known_to_the_erasure() -> None:
    listed = [holding.table for holding in HOLDINGS]
    assert len(listed) == len(set(listed))
    assert not set(listed) & set(IMPERSONAL)
    assert set(metadata.tables) - set(listed) - set(IMPERSONAL) == set(), "new tables: see scrm/privacy/holdings.py"
    assert (set(listed) | set(IMPERSONAL)) - set(metadata.tables) == set()


def test_whatever_names_a_person_is_emptied_or_gone() -> None:
    for holding in HOLDINGS:
        table = holding.rows_of
        assert str(holding.whose(table, ONE)), holding.table
        assert set(holding.blank or {}) | set(holding.hidden) | set(holding.sealed) <= set(table.columns.keys())
        for name in ("external_userid", "unionid", "openid", "sealed"):
            if name in table.columns and holding.blank is not None:
                assert name in holding.blank, f"{holding.table}.{name} stays"
    for name in IMPERSONAL:
        columns = set(metadata.tables[name].columns.keys())
        if name not in ("erased_identity", "erasure"):
            assert not columns & {"person_id", "external_userid", "unionid"}, name


def test_every_sealed_or_hashed_column_takes_part_in_a_change_of_keys() -> None:
    places: tuple[Sealed | Hashed, ...] = (*sealed_columns(), *hashed_columns())
    known = {f"{place.table.name}.{place.column}" for place in places} | OTHER_HASHES
    for table in metadata.tables.values():
        for column in table.columns:
            name = f"{table.name}.{column.name}"
            if "sealed" in column.name or column.name.endswith(("lookup", "_hash")):
                assert name in known, f"{name}: add it to scrm/privacy/keys.py"
