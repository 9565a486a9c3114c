"""Imports by people: mappings, jobs, tags that wait.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_mapping",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(length=64), nullable=False),
        sa.Column("columns", Json, nullable=False),
        sa.Column("options", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_import_mapping")),
    )
    op.create_index("ix_import_mapping_signature", "import_mapping", ["signature"], unique=False)
    op.create_table(
        "import_job",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("files", Json, nullable=False),
        sa.Column("folder", sa.String(length=80), server_default=sa.text("''"), nullable=False),
        sa.Column("format", sa.String(length=80), server_default=sa.text("''"), nullable=False),
        sa.Column("shop_key", sa.String(length=80), server_default=sa.text("''"), nullable=False),
        sa.Column("only_new", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("share", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.Column("forecast", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("counts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("problem", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("by", sa.String(length=64), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_job")),
    )
    op.create_table(
        "pre_tag",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.Column("tag", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("given_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("kind", "value", "tag", name=op.f("pk_pre_tag")),
    )
    op.create_table(
        "import_cursor",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("seen", BigId, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_import_cursor")),
    )


def downgrade() -> None:
    op.drop_table("import_cursor")
    op.drop_table("pre_tag")
    op.drop_table("import_job")
    op.drop_index("ix_import_mapping_signature", table_name="import_mapping")
    op.drop_table("import_mapping")
