"""The province an order went to, in clear beside the sealed address; purchases in the order of their buyers.

Revision ID: 0042
Revises: 0041
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"
branch_labels = None
depends_on = None

# The masked receiver ends with province, city and district where the platform told them apart.
PROVINCES = (
    "北京", "天津", "上海", "重庆", "河北", "山西", "辽宁", "吉林", "黑龙江", "江苏", "浙江", "安徽",
    "福建", "江西", "山东", "河南", "湖北", "湖南", "广东", "海南", "四川", "贵州", "云南", "陕西",
    "甘肃", "青海", "台湾", "内蒙古", "广西", "西藏", "宁夏", "新疆", "香港", "澳门",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("orders", sa.Column("province", sa.String(12), nullable=False, server_default=sa.text("''")))
    orders = sa.table("orders", sa.column("receiver_mask", sa.String), sa.column("province", sa.String))
    # A space stands before it, unless nothing else was told.
    shown = sa.literal(" ") + orders.c.receiver_mask
    known = [(shown.like(f"% {name}%"), name) for name in PROVINCES]
    op.execute(orders.update().where(orders.c.receiver_mask != "").values(province=sa.case(*known, else_="")))
    bought = sa.text(
        "paid_at IS NOT NULL AND paid_fen > 0 AND NOT is_test AND payment_status <> 'partially_paid'"
        " AND person_id IS NOT NULL"
    )
    op.create_index("ix_orders_buyer", "orders", ["person_id", "paid_at"], sqlite_where=bought, postgresql_where=bought)


def downgrade() -> None:
    op.drop_index("ix_orders_buyer", table_name="orders")
    op.drop_column("orders", "province")
