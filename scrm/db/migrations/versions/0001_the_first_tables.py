"""The first tables.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from scrm.db.tables import BigId, Json

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_api_key")),
    )
    op.create_table(
        "contact_way",
        sa.Column("state", sa.String(length=64), nullable=False),
        sa.Column("config_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("userids", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("qr_code", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("skip_verify", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state", name=op.f("pk_contact_way")),
    )
    op.create_table(
        "corp_tag",
        sa.Column("tag_id", sa.String(length=64), nullable=False),
        sa.Column("tag_name", sa.String(length=80), nullable=False),
        sa.Column("group_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("group_name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.PrimaryKeyConstraint("tag_id", name=op.f("pk_corp_tag")),
    )
    with op.batch_alter_table("corp_tag", schema=None) as batch_op:
        batch_op.create_index("ix_corp_tag_name", ["tag_name"], unique=False)

    op.create_table(
        "coupon_batch",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("benefit", sa.String(length=16), server_default=sa.text("'amount'"), nullable=False),
        sa.Column("face_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("percent_off", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("threshold_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("valid_seconds", sa.Integer(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("url", sa.String(length=500), server_default=sa.text("('')"), nullable=False),
        sa.Column("rules", sa.String(length=1000), server_default=sa.text("('')"), nullable=False),
        sa.Column("budget_count", sa.Integer(), nullable=True),
        sa.Column("issued_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_coupon_batch")),
    )
    op.create_table(
        "event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=48), nullable=False),
        sa.Column("person_id", BigId, nullable=True),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("key", sa.String(length=160), server_default=sa.text("('')"), nullable=False),
        sa.Column("facts", Json, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("once", sa.String(length=200), nullable=True),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("once", name=op.f("uq_event_once")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_name", ["name", "occurred_at"], unique=False)
        batch_op.create_index("ix_event_person_id", ["person_id", "occurred_at"], unique=False)

    op.create_table(
        "follow_user_tag",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("tag_id", sa.String(length=80), nullable=False),
        sa.Column("group_name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("tag_name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("type", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.PrimaryKeyConstraint("userid", "external_userid", "tag_id", name=op.f("pk_follow_user_tag")),
    )
    with op.batch_alter_table("follow_user_tag", schema=None) as batch_op:
        batch_op.create_index("ix_follow_user_tag_contact", ["external_userid"], unique=False)
        batch_op.create_index("ix_follow_user_tag_tag_id", ["tag_id"], unique=False)

    op.create_table(
        "inbox_event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'new'"), nullable=False),
        sa.Column("name", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("change_type", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox_event")),
        sa.UniqueConstraint("digest", name=op.f("uq_inbox_event_digest")),
    )
    with op.batch_alter_table("inbox_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_inbox_event_odd",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state IN ('unknown', 'unreadable', 'failed')"),
            postgresql_where=sa.text("state IN ('unknown', 'unreadable', 'failed')"),
        )
        batch_op.create_index("ix_inbox_event_received_at", ["received_at"], unique=False)

    op.create_table(
        "member",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("folded", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("alias", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("avatar", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("role", sa.String(length=20), server_default=sa.text("'member'"), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("refreshed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("userid", name=op.f("pk_member")),
        sa.UniqueConstraint("folded", name=op.f("uq_member_folded")),
    )
    op.create_table(
        "order_import",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("file_name", sa.String(length=260), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=24), nullable=False),
        sa.Column("shop_key", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("counts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_import")),
    )
    op.create_table(
        "person",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("stage", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("optout", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "playbook",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'published'"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_playbook")),
    )
    op.create_table(
        "send",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("person_id", sa.BigInteger(), nullable=True),
        sa.Column("playbook_key", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("step_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=True),
        sa.Column("once", sa.String(length=160), nullable=True),
        sa.Column("content", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("errcode", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_send")),
        sa.UniqueConstraint("once", name=op.f("uq_send_once")),
    )
    with op.batch_alter_table("send", schema=None) as batch_op:
        batch_op.create_index("ix_send_contact", ["external_userid", "decided_at"], unique=False)
        batch_op.create_index("ix_send_decided_at", ["decided_at"], unique=False)
        batch_op.create_index(
            "ix_send_open",
            ["decided_at"],
            unique=False,
            sqlite_where=sa.text("outcome = 'intent'"),
            postgresql_where=sa.text("outcome = 'intent'"),
        )

    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_session")),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.create_index("ix_session_expires_at", ["expires_at"], unique=False)

    op.create_table(
        "work_item",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("lane", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("state", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("order_key", sa.String(length=120), nullable=True),
        sa.Column("dedupe_key", sa.String(length=160), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("give_up_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("last_error", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_item")),
    )
    with op.batch_alter_table("work_item", schema=None) as batch_op:
        batch_op.create_index(
            "ix_work_item_dead",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 2"),
            postgresql_where=sa.text("state = 2"),
        )
        batch_op.create_index(
            "ix_work_item_leased",
            ["lease_until"],
            unique=False,
            sqlite_where=sa.text("state = 1"),
            postgresql_where=sa.text("state = 1"),
        )
        batch_op.create_index(
            "ix_work_item_order_key",
            ["lane", "order_key", "id"],
            unique=False,
            sqlite_where=sa.text("order_key IS NOT NULL AND state < 2"),
            postgresql_where=sa.text("order_key IS NOT NULL AND state < 2"),
        )
        batch_op.create_index(
            "ix_work_item_waiting",
            ["lane", "due_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 0"),
            postgresql_where=sa.text("state = 0"),
        )
        batch_op.create_index(
            "uq_work_item_dedupe_key",
            ["dedupe_key"],
            unique=True,
            sqlite_where=sa.text("dedupe_key IS NOT NULL AND state < 2"),
            postgresql_where=sa.text("dedupe_key IS NOT NULL AND state < 2"),
        )

    op.create_table(
        "coupon_code",
        sa.Column("batch_key", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("issue_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["batch_key"], ["coupon_batch.key"], name=op.f("fk_coupon_code_batch_key")),
        sa.PrimaryKeyConstraint("batch_key", "code", name=op.f("pk_coupon_code")),
    )
    with op.batch_alter_table("coupon_code", schema=None) as batch_op:
        batch_op.create_index(
            "ix_coupon_code_free",
            ["batch_key", "code"],
            unique=False,
            sqlite_where=sa.text("issue_id IS NULL"),
            postgresql_where=sa.text("issue_id IS NULL"),
        )
        batch_op.create_index("uq_coupon_code_code", ["code"], unique=True)

    op.create_table(
        "coupon_issue",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("batch_key", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("reason_key", sa.String(length=200), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'issued'"), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("redeemed_at", sa.BigInteger(), nullable=True),
        sa.Column("redemption", Json, nullable=True),
        sa.ForeignKeyConstraint(["batch_key"], ["coupon_batch.key"], name=op.f("fk_coupon_issue_batch_key")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_coupon_issue_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupon_issue")),
        sa.UniqueConstraint("code", name=op.f("uq_coupon_issue_code")),
        sa.UniqueConstraint("token", name=op.f("uq_coupon_issue_token")),
    )
    with op.batch_alter_table("coupon_issue", schema=None) as batch_op:
        batch_op.create_index("ix_coupon_issue_person_id", ["person_id", "issued_at"], unique=False)
        batch_op.create_index("uq_coupon_issue_reason", ["batch_key", "person_id", "reason_key"], unique=True)

    op.create_table(
        "enrolment",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("run_key", sa.String(length=200), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("external_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=True),
        sa.Column("anchor_at", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'active'"), nullable=False),
        sa.Column("ended_reason", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_enrolment_person_id")),
        sa.ForeignKeyConstraint(["playbook_key"], ["playbook.key"], name=op.f("fk_enrolment_playbook_key")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enrolment")),
    )
    with op.batch_alter_table("enrolment", schema=None) as batch_op:
        batch_op.create_index(
            "ix_enrolment_due_at",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'active' AND due_at IS NOT NULL"),
            postgresql_where=sa.text("state = 'active' AND due_at IS NOT NULL"),
        )
        batch_op.create_index("ix_enrolment_person_id", ["person_id"], unique=False)
        batch_op.create_index("uq_enrolment_run_key", ["playbook_key", "run_key"], unique=True)

    op.create_table(
        "external_contact",
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("avatar", sa.String(length=512), server_default=sa.text("('')"), nullable=False),
        sa.Column("type", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("gender", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unionid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("corp_name", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("refreshed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_external_contact_person_id")),
        sa.PrimaryKeyConstraint("external_userid", name=op.f("pk_external_contact")),
    )
    with op.batch_alter_table("external_contact", schema=None) as batch_op:
        batch_op.create_index("ix_external_contact_person_id", ["person_id"], unique=False)

    op.create_table(
        "follow_user",
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("remark", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("description", sa.String(length=400), server_default=sa.text("('')"), nullable=False),
        sa.Column("add_way", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("oper_userid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_half", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("followed_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_by", sa.String(length=10), server_default=sa.text("('')"), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_follow_user_person_id")),
        sa.PrimaryKeyConstraint("userid", "external_userid", name=op.f("pk_follow_user")),
    )
    with op.batch_alter_table("follow_user", schema=None) as batch_op:
        batch_op.create_index("ix_follow_user_external_userid", ["external_userid"], unique=False)
        batch_op.create_index("ix_follow_user_person_id", ["person_id"], unique=False)

    op.create_table(
        "identity",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.Column("sealed", sa.Text(), server_default=sa.text("('')"), nullable=False),
        sa.Column("mask", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_identity_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity")),
    )
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.create_index("ix_identity_person_id", ["person_id"], unique=False)
        batch_op.create_index("uq_identity_value", ["kind", "scope", "value"], unique=True)

    op.create_table(
        "orders",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("channel", sa.String(length=24), nullable=False),
        sa.Column("shop_key", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("order_no", sa.String(length=80), nullable=False),
        sa.Column("person_id", BigId, nullable=True),
        sa.Column("bound_by", sa.String(length=16), server_default=sa.text("('')"), nullable=False),
        sa.Column("parent_order_no", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("payment_status", sa.String(length=24), server_default=sa.text("('')"), nullable=False),
        sa.Column("fulfillment_status", sa.String(length=24), server_default=sa.text("('')"), nullable=False),
        sa.Column("aftersale_status", sa.String(length=24), server_default=sa.text("('')"), nullable=False),
        sa.Column("raw_status", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("currency", sa.String(length=3), server_default=sa.text("'CNY'"), nullable=False),
        sa.Column("goods_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("freight_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("platform_discount_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("payable_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ordered_at", sa.BigInteger(), nullable=True),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("shipped_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("platform_updated_at", sa.BigInteger(), nullable=True),
        sa.Column("buyer_unionid", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("buyer_phone_lookup", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("buyer_name_mask", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("buyer_ref", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("receiver_mask", sa.String(length=200), server_default=sa.text("('')"), nullable=False),
        sa.Column("receiver_sealed", sa.String(length=2000), server_default=sa.text("('')"), nullable=False),
        sa.Column("buyer_note", sa.String(length=1000), server_default=sa.text("('')"), nullable=False),
        sa.Column("seller_note", sa.String(length=1000), server_default=sa.text("('')"), nullable=False),
        sa.Column("is_gift", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("is_test", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("route", sa.String(length=12), server_default=sa.text("'api'"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("digest", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_orders_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index(
            "ix_orders_person_id",
            ["person_id", "ordered_at"],
            unique=False,
            sqlite_where=sa.text("person_id IS NOT NULL"),
            postgresql_where=sa.text("person_id IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_orders_waiting_phone",
            ["buyer_phone_lookup"],
            unique=False,
            sqlite_where=sa.text("person_id IS NULL AND buyer_phone_lookup <> ''"),
            postgresql_where=sa.text("person_id IS NULL AND buyer_phone_lookup <> ''"),
        )
        batch_op.create_index(
            "ix_orders_waiting_unionid",
            ["buyer_unionid"],
            unique=False,
            sqlite_where=sa.text("person_id IS NULL AND buyer_unionid <> ''"),
            postgresql_where=sa.text("person_id IS NULL AND buyer_unionid <> ''"),
        )
        batch_op.create_index("uq_orders_natural_key", ["order_no", "channel", "shop_key"], unique=True)

    op.create_table(
        "person_field",
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", Json, nullable=True),
        sa.Column("source", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_person_field_person_id")),
        sa.PrimaryKeyConstraint("person_id", "key", name=op.f("pk_person_field")),
    )
    with op.batch_alter_table("person_field", schema=None) as batch_op:
        batch_op.create_index("ix_person_field_key", ["key"], unique=False)

    op.create_table(
        "person_stat",
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("orders", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("paid_orders", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("open_refunds", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_paid_at", sa.BigInteger(), nullable=True),
        sa.Column("last_paid_at", sa.BigInteger(), nullable=True),
        sa.Column("last_order_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_person_stat_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person_stat")),
    )
    op.create_table(
        "playbook_version",
        sa.Column("playbook_key", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["playbook_key"], ["playbook.key"], name=op.f("fk_playbook_version_playbook_key")),
        sa.PrimaryKeyConstraint("playbook_key", "version", name=op.f("pk_playbook_version")),
    )
    op.create_table(
        "order_line",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("line_key", sa.String(length=120), nullable=False),
        sa.Column("position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("platform_item_id", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("platform_sku_id", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("merchant_sku", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("title", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("spec", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("qty", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("unit_price_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("discount_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paid_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("is_gift", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("refunded_qty", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("line_status", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_order_line_order_id")),
        sa.PrimaryKeyConstraint("order_id", "line_key", name=op.f("pk_order_line")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "payment",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("pay_key", sa.String(length=120), nullable=False),
        sa.Column("method", sa.String(length=24), server_default=sa.text("('')"), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("paid_at", sa.BigInteger(), nullable=True),
        sa.Column("phase", sa.String(length=16), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_payment_order_id")),
        sa.PrimaryKeyConstraint("order_id", "pay_key", name=op.f("pk_payment")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "refund",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("refund_no", sa.String(length=80), nullable=False),
        sa.Column("type", sa.String(length=32), server_default=sa.text("('')"), nullable=False),
        sa.Column("status", sa.String(length=24), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_refund_order_id")),
        sa.PrimaryKeyConstraint("order_id", "refund_no", name=op.f("pk_refund")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "shipment",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("carrier_code", sa.String(length=40), nullable=False),
        sa.Column("tracking_no", sa.String(length=80), nullable=False),
        sa.Column("carrier_name", sa.String(length=80), server_default=sa.text("('')"), nullable=False),
        sa.Column("shipped_at", sa.BigInteger(), nullable=True),
        sa.Column("delivered_at", sa.BigInteger(), nullable=True),
        sa.Column("line_keys", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("source", sa.String(length=24), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_shipment_order_id")),
        sa.PrimaryKeyConstraint("order_id", "carrier_code", "tracking_no", name=op.f("pk_shipment")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("shipment", schema=None) as batch_op:
        batch_op.create_index("ix_shipment_tracking_no", ["tracking_no"], unique=False)

    op.create_table(
        "step_run",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("enrolment_id", BigId, nullable=False),
        sa.Column("step_id", sa.String(length=64), nullable=False),
        sa.Column("pass", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("channel", sa.String(length=2), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("facts", Json, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("intent_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_step_run_enrolment_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_run")),
    )
    with op.batch_alter_table("step_run", schema=None) as batch_op:
        batch_op.create_index(
            "ix_step_run_open",
            ["intent_at"],
            unique=False,
            sqlite_where=sa.text("state = 'intent'"),
            postgresql_where=sa.text("state = 'intent'"),
        )
        batch_op.create_index("uq_step_run_step", ["enrolment_id", "step_id", "pass"], unique=True)

    op.create_table(
        "task",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("step_run_id", BigId, nullable=True),
        sa.Column("enrolment_id", BigId, nullable=True),
        sa.Column("playbook_key", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("playbook_title", sa.String(length=120), server_default=sa.text("('')"), nullable=False),
        sa.Column("step_id", sa.String(length=64), server_default=sa.text("('')"), nullable=False),
        sa.Column("userid", sa.String(length=64), nullable=False),
        sa.Column("external_userid", sa.String(length=64), nullable=False),
        sa.Column("person_id", BigId, nullable=False),
        sa.Column("title", sa.String(length=120), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("attachments", Json, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("state", sa.String(length=12), server_default=sa.text("'open'"), nullable=False),
        sa.Column("reason", sa.String(length=300), server_default=sa.text("('')"), nullable=False),
        sa.Column("open_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reminder", sa.String(length=12), server_default=sa.text("'waiting'"), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("correlation", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.ForeignKeyConstraint(["enrolment_id"], ["enrolment.id"], name=op.f("fk_task_enrolment_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_task_person_id")),
        sa.ForeignKeyConstraint(["step_run_id"], ["step_run.id"], name=op.f("fk_task_step_run_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("step_run_id", name=op.f("uq_task_step_run_id")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index("ix_task_contact", ["external_userid", "userid", "state"], unique=False)
        batch_op.create_index("ix_task_enrolment_id", ["enrolment_id"], unique=False)
        batch_op.create_index(
            "ix_task_expires_at",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )
        batch_op.create_index("ix_task_person_id", ["person_id"], unique=False)
        batch_op.create_index(
            "ix_task_reminder",
            ["open_at"],
            unique=False,
            sqlite_where=sa.text("state = 'open' AND reminder = 'waiting'"),
            postgresql_where=sa.text("state = 'open' AND reminder = 'waiting'"),
        )
        batch_op.create_index("ix_task_userid", ["userid", "state", "open_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_index("ix_task_userid")
        batch_op.drop_index(
            "ix_task_reminder",
            sqlite_where=sa.text("state = 'open' AND reminder = 'waiting'"),
            postgresql_where=sa.text("state = 'open' AND reminder = 'waiting'"),
        )
        batch_op.drop_index("ix_task_person_id")
        batch_op.drop_index(
            "ix_task_expires_at", sqlite_where=sa.text("state = 'open'"), postgresql_where=sa.text("state = 'open'")
        )
        batch_op.drop_index("ix_task_enrolment_id")
        batch_op.drop_index("ix_task_contact")

    op.drop_table("task")
    with op.batch_alter_table("step_run", schema=None) as batch_op:
        batch_op.drop_index("uq_step_run_step")
        batch_op.drop_index(
            "ix_step_run_open", sqlite_where=sa.text("state = 'intent'"), postgresql_where=sa.text("state = 'intent'")
        )

    op.drop_table("step_run")
    with op.batch_alter_table("shipment", schema=None) as batch_op:
        batch_op.drop_index("ix_shipment_tracking_no")

    op.drop_table("shipment")
    op.drop_table("refund")
    op.drop_table("payment")
    op.drop_table("order_line")
    op.drop_table("playbook_version")
    op.drop_table("person_stat")
    with op.batch_alter_table("person_field", schema=None) as batch_op:
        batch_op.drop_index("ix_person_field_key")

    op.drop_table("person_field")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index("uq_orders_natural_key")
        batch_op.drop_index(
            "ix_orders_waiting_unionid",
            sqlite_where=sa.text("person_id IS NULL AND buyer_unionid <> ''"),
            postgresql_where=sa.text("person_id IS NULL AND buyer_unionid <> ''"),
        )
        batch_op.drop_index(
            "ix_orders_waiting_phone",
            sqlite_where=sa.text("person_id IS NULL AND buyer_phone_lookup <> ''"),
            postgresql_where=sa.text("person_id IS NULL AND buyer_phone_lookup <> ''"),
        )
        batch_op.drop_index(
            "ix_orders_person_id",
            sqlite_where=sa.text("person_id IS NOT NULL"),
            postgresql_where=sa.text("person_id IS NOT NULL"),
        )

    op.drop_table("orders")
    with op.batch_alter_table("identity", schema=None) as batch_op:
        batch_op.drop_index("uq_identity_value")
        batch_op.drop_index("ix_identity_person_id")

    op.drop_table("identity")
    with op.batch_alter_table("follow_user", schema=None) as batch_op:
        batch_op.drop_index("ix_follow_user_person_id")
        batch_op.drop_index("ix_follow_user_external_userid")

    op.drop_table("follow_user")
    with op.batch_alter_table("external_contact", schema=None) as batch_op:
        batch_op.drop_index("ix_external_contact_person_id")

    op.drop_table("external_contact")
    with op.batch_alter_table("enrolment", schema=None) as batch_op:
        batch_op.drop_index("uq_enrolment_run_key")
        batch_op.drop_index("ix_enrolment_person_id")
        batch_op.drop_index(
            "ix_enrolment_due_at",
            sqlite_where=sa.text("state = 'active' AND due_at IS NOT NULL"),
            postgresql_where=sa.text("state = 'active' AND due_at IS NOT NULL"),
        )

    op.drop_table("enrolment")
    with op.batch_alter_table("coupon_issue", schema=None) as batch_op:
        batch_op.drop_index("uq_coupon_issue_reason")
        batch_op.drop_index("ix_coupon_issue_person_id")

    op.drop_table("coupon_issue")
    with op.batch_alter_table("coupon_code", schema=None) as batch_op:
        batch_op.drop_index("uq_coupon_code_code")
        batch_op.drop_index(
            "ix_coupon_code_free",
            sqlite_where=sa.text("issue_id IS NULL"),
            postgresql_where=sa.text("issue_id IS NULL"),
        )

    op.drop_table("coupon_code")
    with op.batch_alter_table("work_item", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_work_item_dedupe_key",
            sqlite_where=sa.text("dedupe_key IS NOT NULL AND state < 2"),
            postgresql_where=sa.text("dedupe_key IS NOT NULL AND state < 2"),
        )
        batch_op.drop_index(
            "ix_work_item_waiting", sqlite_where=sa.text("state = 0"), postgresql_where=sa.text("state = 0")
        )
        batch_op.drop_index(
            "ix_work_item_order_key",
            sqlite_where=sa.text("order_key IS NOT NULL AND state < 2"),
            postgresql_where=sa.text("order_key IS NOT NULL AND state < 2"),
        )
        batch_op.drop_index(
            "ix_work_item_leased", sqlite_where=sa.text("state = 1"), postgresql_where=sa.text("state = 1")
        )
        batch_op.drop_index(
            "ix_work_item_dead", sqlite_where=sa.text("state = 2"), postgresql_where=sa.text("state = 2")
        )

    op.drop_table("work_item")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_index("ix_session_expires_at")

    op.drop_table("session")
    with op.batch_alter_table("send", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_send_open", sqlite_where=sa.text("outcome = 'intent'"), postgresql_where=sa.text("outcome = 'intent'")
        )
        batch_op.drop_index("ix_send_decided_at")
        batch_op.drop_index("ix_send_contact")

    op.drop_table("send")
    op.drop_table("playbook")
    op.drop_table("person")
    op.drop_table("order_import")
    op.drop_table("member")
    with op.batch_alter_table("inbox_event", schema=None) as batch_op:
        batch_op.drop_index("ix_inbox_event_received_at")
        batch_op.drop_index(
            "ix_inbox_event_odd",
            sqlite_where=sa.text("state IN ('unknown', 'unreadable', 'failed')"),
            postgresql_where=sa.text("state IN ('unknown', 'unreadable', 'failed')"),
        )

    op.drop_table("inbox_event")
    with op.batch_alter_table("follow_user_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_follow_user_tag_tag_id")
        batch_op.drop_index("ix_follow_user_tag_contact")

    op.drop_table("follow_user_tag")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index("ix_event_person_id")
        batch_op.drop_index("ix_event_name")

    op.drop_table("event")
    op.drop_table("coupon_batch")
    with op.batch_alter_table("corp_tag", schema=None) as batch_op:
        batch_op.drop_index("ix_corp_tag_name")

    op.drop_table("corp_tag")
    op.drop_table("contact_way")
    op.drop_table("api_key")
