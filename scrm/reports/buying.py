"""What counts as a purchase and as a customer's word, as conditions; everything that reports count goes by these."""

from sqlalchemy import ColumnElement, case, literal_column

from scrm.commerce.models import orders
from scrm.profiles.conditions.leaves_events import SPOKE

# What is known of a customer's words: chats with members are not archived, their marks stand for them.
TALKED = (*SPOKE, "talk.noted", "talk.answered")

# Really paid in full, with real money, and no test: scrm.commerce.totals.is_purchase.
# Said in words, so that the index of purchases is used.
PURCHASE: ColumnElement[bool] = literal_column(
    "(orders.paid_at IS NOT NULL AND orders.paid_fen > 0 AND NOT orders.is_test"
    " AND orders.payment_status <> 'partially_paid')"
)
KEPT_FEN = case((orders.c.paid_fen > orders.c.refunded_fen, orders.c.paid_fen - orders.c.refunded_fen), else_=0)
