"""Fields of the shop's own: what there is to know, the values of orders and relations, and who changed what.

A person's values are in `person_field` (scrm.profiles.models). Beside each value stand `text_value` and `number_value`,
what conditions compare, and `claim`, which makes a unique field's value belong to one owner.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, String, Table, Text, text

from scrm.db.tables import BigId, Json, UtcDateTime, metadata

MOST_TEXT = 500

custom_field = Table(
    "custom_field",
    metadata,
    # person, order, relation
    Column("entity", String(16), primary_key=True),
    # Never changes and is never used again: playbooks, files and programs name it.
    Column("key", String(40), primary_key=True),
    Column("title", String(40), nullable=False),
    # text, number, money, date, select, multi_select, phone, member, url, formula
    Column("type", String(16), nullable=False),
    Column("hint", String(120), nullable=False, server_default=text("''")),
    Column("is_required", Boolean, nullable=False, server_default=text("false")),
    Column("is_unique", Boolean, nullable=False, server_default=text("false")),
    Column("options", Json, nullable=False, server_default=text("'[]'")),
    # As a form shows it; stands in for a value that nobody has given.
    Column("default_text", String(MOST_TEXT), nullable=False, server_default=text("''")),
    # The bounds of numbers, money (yuan) and dates, as a form shows them.
    Column("least", String(40), nullable=False, server_default=text("''")),
    Column("most", String(40), nullable=False, server_default=text("''")),
    Column("formula", Text, nullable=False, server_default=text("''")),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("created_at", UtcDateTime, nullable=False),
    # Archived fields are shown nowhere and take no values; what was kept stays.
    Column("archived_at", UtcDateTime),
)

order_field = Table(
    "order_field",
    metadata,
    Column("order_id", ForeignKey("orders.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", Json),
    Column("text_value", String(MOST_TEXT)),
    Column("number_value", Double),
    Column("claim", String(64)),
    Column("source", String(80), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_order_field_text", "key", "text_value"),
    Index("ix_order_field_number", "key", "number_value"),
    Index("uq_order_field_claim", "key", "claim", unique=True),
)

follow_user_field = Table(
    "follow_user_field",
    metadata,
    Column("userid", String(64), primary_key=True),
    Column("external_userid", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("value", Json),
    Column("text_value", String(MOST_TEXT)),
    Column("number_value", Double),
    Column("claim", String(64)),
    Column("source", String(80), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
    Index("ix_follow_user_field_contact", "external_userid"),
    Index("ix_follow_user_field_text", "key", "text_value"),
    Index("ix_follow_user_field_number", "key", "number_value"),
    Index("uq_follow_user_field_claim", "key", "claim", unique=True),
)

# Append-only; private values (phones) only masked.
field_change = Table(
    "field_change",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("entity", String(16), nullable=False),
    # The person's id, the order's id, or userid/external_userid.
    Column("subject", String(140), nullable=False),
    Column("key", String(64), nullable=False),
    Column("before", Text),
    Column("after", Text),
    # staff, playbook, import, api ...
    Column("source", String(80), nullable=False),
    # The member's userid or the key's name; empty when nobody acted.
    Column("actor", String(80), nullable=False, server_default=text("''")),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("person_id", BigInteger),
    Index("ix_field_change_subject", "entity", "subject", "id"),
    Index("ix_field_change_person_id", "person_id"),
)
