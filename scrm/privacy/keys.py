"""The change to a new data key: every sealed column, then every hash (scrm.db.vault_keys says how)."""

from scrm.db import metadata
from scrm.db.vault_keys import Hashed, Sealed

# (table, column) of values that Vault.seal made; tests/privacy walks the metadata for others.
_SEALED = (
    ("identity", "sealed"),
    ("orders", "receiver_sealed"),
    ("hook_message", "body_sealed"),
    ("api_answer", "body_sealed"),
    ("webhook", "secret_sealed"),
    ("wecom_token", "sealed"),
    ("pull_reject", "sealed"),
    ("pull_token", "sealed"),
    ("vault_key", "sealed"),
)
# Phones among the shop's own fields: {"sealed", "mask"}, with a hash beside them where the field is unique.
_FIELDS = ("person_field", "order_field", "follow_user_field")
# (table, column, (column, values) that narrow it) of texts that Vault.lookup made.
_HASHED: tuple[tuple[str, str, tuple[str, tuple[str, ...]] | None], ...] = (
    ("identity", "value", ("kind", ("mobile_e164",))),
    ("orders", "buyer_phone_lookup", None),
    ("erased_identity", "value_hash", None),
    ("visitor_claim", "value", ("kind", ("mobile_e164",))),
    ("pre_tag", "value", ("kind", ("mobile_e164",))),
    ("wecom_token", "name_hash", None),
    ("wecom_stop", "app_hash", None),
)


def sealed_columns() -> tuple[Sealed, ...]:
    fields = tuple(Sealed(metadata.tables[table], "value", inside="sealed") for table in _FIELDS)
    return tuple(Sealed(metadata.tables[table], column) for table, column in _SEALED) + fields


def hashed_columns() -> tuple[Hashed, ...]:
    fields = tuple(Hashed(metadata.tables[table], "claim", beside="value") for table in _FIELDS)
    return tuple(Hashed(metadata.tables[table], column, only) for table, column, only in _HASHED) + fields
