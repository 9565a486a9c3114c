"""Keys of look-ups, who was forgotten, acts upon private data, and keys of the API that may see it.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_key",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.String(length=8), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_vault_key")),
    )
    op.create_table(
        "erased_identity",
        sa.Column("value_hash", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("value_hash", name=op.f("pk_erased_identity")),
    )
    with op.batch_alter_table("erased_identity", schema=None) as batch_op:
        batch_op.create_index("ix_erased_identity_person_id", ["person_id"], unique=False)
    op.create_table(
        "privacy_act",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("act", sa.String(length=12), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("facts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_privacy_act")),
    )
    with op.batch_alter_table("privacy_act", schema=None) as batch_op:
        batch_op.create_index("ix_privacy_act_person_id", ["person_id", "done_at"], unique=False)
    op.create_table(
        "erasure",
        sa.Column("person_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("erased_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_erasure")),
    )
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sees_private", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.drop_column("sees_private")
    op.drop_table("erasure")
    op.drop_table("privacy_act")
    op.drop_table("erased_identity")
    op.drop_table("vault_key")
