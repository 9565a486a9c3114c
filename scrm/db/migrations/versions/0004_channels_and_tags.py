"""Channel codes with plans, their ledger, acquisition links, and tags that know who put them.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _text(length: int, name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(length=length), server_default=sa.text("('')"), nullable=False)


def upgrade() -> None:
    with op.batch_alter_table("follow_user_tag", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("source", sa.String(length=16), server_default=sa.text("'wecom'"), nullable=False)
        )
        batch_op.add_column(_text(200, "reason"))
        batch_op.add_column(sa.Column("put_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("expires_at", sa.BigInteger(), nullable=True))
        batch_op.create_index("ix_follow_user_tag_expires_at", ["expires_at"], unique=False)
    with op.batch_alter_table("corp_tag", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sort_order", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        batch_op.add_column(sa.Column("group_order", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "tag_wish",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("tag", sa.String(length=80), nullable=False),
        sa.Column("is_wanted", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        _text(200, "reason"),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("wanted_at", sa.BigInteger(), nullable=False),
        sa.Column("turn", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _text(300, "problem"),
        sa.PrimaryKeyConstraint("userid", "external_userid", "tag", name=op.f("pk_tag_wish")),
    )
    with op.batch_alter_table("tag_wish", schema=None) as batch_op:
        batch_op.create_index("ix_tag_wish_wanted_at", ["wanted_at"], unique=False)

    with op.batch_alter_table("contact_way", schema=None) as batch_op:
        batch_op.add_column(_text(64, "link_id"))
        batch_op.add_column(sa.Column("plan", Json, server_default=sa.text("'{}'"), nullable=False))
        batch_op.add_column(sa.Column("live", Json, server_default=sa.text("'{}'"), nullable=False))
        batch_op.add_column(_text(300, "problem"))
        batch_op.add_column(sa.Column("check_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("updated_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("deleted_at", sa.BigInteger(), nullable=True))
        batch_op.create_index("ix_contact_way_check_at", ["check_at"], unique=False)
        batch_op.create_index("ix_contact_way_link_id", ["link_id"], unique=False)
    op.create_table(
        "state_owner",
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("owner_kind", sa.String(length=32), nullable=False),
        sa.Column("owner_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_state_owner")),
    )
    op.create_table(
        "way_add",
        sa.Column("event_id", BigId, autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("lost_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_way_add")),
    )
    with op.batch_alter_table("way_add", schema=None) as batch_op:
        batch_op.create_index("ix_way_add_state", ["state", "added_at"], unique=False)
        batch_op.create_index("ix_way_add_added_at", ["added_at"], unique=False)
        batch_op.create_index("ix_way_add_pair", ["external_userid", "userid"], unique=False)
    op.create_table(
        "acquisition_link",
        sa.Column("link_id", sa.String(length=64), nullable=False),
        _text(80, "title"),
        _text(512, "url"),
        sa.Column("userids", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("party", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("skip_verify", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("condition", sa.String(length=16), server_default=sa.text("'ok'"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("link_id", name=op.f("pk_acquisition_link")),
    )
    op.create_table(
        "acquisition_customer",
        sa.Column("link_id", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        _text(64, "state"),
        sa.Column("chat_status", sa.SmallInteger(), server_default=sa.text("2"), nullable=False),
        sa.Column("started_chat_at", sa.BigInteger(), nullable=True),
        sa.Column("noticed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "external_userid", "userid", name=op.f("pk_acquisition_customer")),
    )
    op.create_table(
        "acquisition_step",
        sa.Column("link_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("step", sa.String(length=24), nullable=False),
        sa.Column("times", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "state", "day", "step", name=op.f("pk_acquisition_step")),
    )
    op.create_table(
        "acquisition_quota",
        sa.Column("id", sa.SmallInteger(), nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("balance", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("parts", Json, server_default=sa.text("'[]'"), nullable=False),
        _text(24, "warning"),
        sa.Column("warned_at", sa.BigInteger(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquisition_quota")),
    )


def downgrade() -> None:
    for table in (
        "acquisition_quota",
        "acquisition_step",
        "acquisition_customer",
        "acquisition_link",
        "way_add",
        "state_owner",
    ):
        op.drop_table(table)
    with op.batch_alter_table("contact_way", schema=None) as batch_op:
        batch_op.drop_index("ix_contact_way_link_id")
        batch_op.drop_index("ix_contact_way_check_at")
        for column in ("deleted_at", "updated_at", "check_at", "problem", "live", "plan", "link_id"):
            batch_op.drop_column(column)
    op.drop_table("tag_wish")
    with op.batch_alter_table("corp_tag", schema=None) as batch_op:
        batch_op.drop_column("group_order")
        batch_op.drop_column("sort_order")
    with op.batch_alter_table("follow_user_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_follow_user_tag_expires_at")
        for column in ("expires_at", "put_at", "reason", "source"):
            batch_op.drop_column(column)
