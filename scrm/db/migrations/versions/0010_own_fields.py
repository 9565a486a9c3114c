"""Fields of the shop's own: definitions, values of persons, orders and relations, and their history.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_VALUES = ("person_field", "order_field", "follow_user_field")


def upgrade() -> None:
    op.create_table(
        "custom_field",
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("title", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("hint", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_required", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_unique", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("options", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("default_text", sa.String(length=500), server_default=sa.text("('')"), nullable=False),
        sa.Column("least", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("most", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("formula", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("archived_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("entity", "key", name=op.f("pk_custom_field")),
    )
    op.create_table(
        "order_field",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        *_value_columns(),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_field_order_id")),
        sa.PrimaryKeyConstraint("order_id", "key", name=op.f("pk_order_field")),
    )
    op.create_table(
        "follow_user_field",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        *_value_columns(),
        sa.PrimaryKeyConstraint("userid", "external_userid", "key", name=op.f("pk_follow_user_field")),
    )
    op.create_index("ix_follow_user_field_contact", "follow_user_field", ["external_userid"])
    op.create_table(
        "field_change",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("entity", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.String(length=140), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("source", sa.String(length=80), nullable=False),
        sa.Column("actor", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_change")),
    )
    op.create_index("ix_field_change_subject", "field_change", ["entity", "subject", "id"])
    op.create_index("ix_field_change_person_id", "field_change", ["person_id"])
    op.drop_index("ix_person_field_key", table_name="person_field")
    for column in (
        sa.Column("text_value", sa.String(length=500), nullable=True),
        sa.Column("number_value", sa.Double(), nullable=True),
        sa.Column("claim", sa.String(length=64), nullable=True),
    ):
        op.add_column("person_field", column)
    _fill_person_field()
    for table in _VALUES:
        op.create_index(f"ix_{table}_text", table, ["key", "text_value"])
        op.create_index(f"ix_{table}_number", table, ["key", "number_value"])
        op.create_index(f"uq_{table}_claim", table, ["key", "claim"], unique=True)


def _value_columns() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("value", Json, nullable=True),
        sa.Column("text_value", sa.String(length=500), nullable=True),
        sa.Column("number_value", sa.Double(), nullable=True),
        sa.Column("claim", sa.String(length=64), nullable=True),
        sa.Column("source", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
    )


def _fill_person_field() -> None:
    """What playbooks have set so far can be compared by its new columns, too."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "UPDATE person_field SET text_value = left(value #>> '{}', 500), number_value = CASE"
            " WHEN jsonb_typeof(value) = 'number' THEN (value #>> '{}')::double precision END"
        )
    else:
        op.execute(
            "UPDATE person_field SET text_value = CASE json_type(value) WHEN 'true' THEN 'true'"
            " WHEN 'false' THEN 'false' ELSE substr(CAST(json_extract(value, '$') AS TEXT), 1, 500) END,"
            " number_value = CASE WHEN json_type(value) IN ('integer', 'real')"
            " THEN CAST(json_extract(value, '$') AS REAL) END"
        )


def downgrade() -> None:
    for table in reversed(_VALUES):
        op.drop_index(f"uq_{table}_claim", table_name=table)
        op.drop_index(f"ix_{table}_number", table_name=table)
        op.drop_index(f"ix_{table}_text", table_name=table)
    with op.batch_alter_table("person_field", schema=None) as batch_op:
        batch_op.drop_column("claim")
        batch_op.drop_column("number_value")
        batch_op.drop_column("text_value")
        batch_op.create_index("ix_person_field_key", ["key"], unique=False)
    op.drop_table("field_change")
    op.drop_table("follow_user_field")
    op.drop_table("order_field")
    op.drop_table("custom_field")
