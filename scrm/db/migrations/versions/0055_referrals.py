"""老带新: campaigns, the ledger of friends, and whose own a channel code is.

Revision ID: 0055
Revises: 0054
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, UtcDateTime

revision = "0055"
down_revision = "0054"
branch_labels = None
depends_on = None

_OWN = sa.text("inviter_id IS NOT NULL")
_DUE = sa.text("look_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("contact_way", sa.Column("inviter_id", sa.BigInteger))
    op.create_index(
        "ix_contact_way_inviter_id", "contact_way", ["inviter_id"], sqlite_where=_OWN, postgresql_where=_OWN
    )
    op.create_table(
        "referral_campaign",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("title", sa.String(40), nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime),
        sa.Column("rules", sa.String(1000), nullable=False, server_default=sa.text("''")),
        sa.Column("order_days", sa.Integer, nullable=False, server_default=sa.text("30")),
        sa.Column("return_days", sa.Integer, nullable=False, server_default=sa.text("15")),
        sa.Column("stay_days", sa.Integer, nullable=False, server_default=sa.text("7")),
        sa.Column("daily_most", sa.Integer),
        sa.Column("review_above", sa.Integer),
        sa.Column("most", sa.Integer),
        sa.Column("shows_names", sa.Boolean, nullable=False, server_default=sa.text("false")),
        sa.Column("created_by", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("stopped_at", UtcDateTime),
    )
    op.create_index("ix_referral_campaign_starts_at", "referral_campaign", ["starts_at"])
    op.create_table(
        "referral",
        sa.Column("id", BigId, primary_key=True, autoincrement=True),
        sa.Column("campaign_id", BigId, sa.ForeignKey("referral_campaign.id"), nullable=False),
        sa.Column("person_id", BigId, sa.ForeignKey("person.id"), nullable=False),
        sa.Column("inviter_id", sa.BigInteger, nullable=False),
        sa.Column("userid", sa.String(64), nullable=False),
        sa.Column("external_userid", sa.String(64), nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(200), nullable=False, server_default=sa.text("''")),
        sa.Column("order_id", sa.BigInteger),
        sa.Column("look_at", UtcDateTime),
        sa.Column("decided_at", UtcDateTime),
        sa.Column("decided_by", sa.String(64), nullable=False, server_default=sa.text("''")),
    )
    op.create_index("uq_referral_person_id", "referral", ["person_id"], unique=True)
    op.create_index("ix_referral_inviter_id", "referral", ["inviter_id", "added_at"])
    op.create_index("ix_referral_campaign_id", "referral", ["campaign_id", "id"])
    op.create_index("ix_referral_state", "referral", ["state", "id"])
    op.create_index("ix_referral_look_at", "referral", ["look_at"], sqlite_where=_DUE, postgresql_where=_DUE)


def downgrade() -> None:
    op.drop_table("referral")
    op.drop_table("referral_campaign")
    op.drop_index("ix_contact_way_inviter_id", "contact_way")
    with op.batch_alter_table("contact_way") as batch:
        batch.drop_column("inviter_id")
