"""Where somebody stands: the life cycle of a buyer, and AIPL from being known to being loyal. Pure words and limits."""

from datetime import timedelta

# A customer's own median time between orders counts from so many orders on; before, the shop's usual one.
CYCLE_FROM = 3
USUAL_CYCLE_DAYS = 60
NEW_DAYS = 30
LOST_DAYS = 365
LOYAL_ORDERS = 2
INTEREST = timedelta(days=15)

LIFE = {
    "new": "新客",
    "active": "活跃",
    "cooling": "降温",
    "sleeping": "沉睡",
    "lost": "流失",
}
POTENTIAL = "潜客"
AIPL = {"I": "兴趣（I）", "P": "购买（P）", "L": "忠诚（L）"}
AWARE = "认知（A）"

# What shows interest: something that the customer did, not what was sent.
SHOWS_INTEREST = (
    "message.radar_opened",
    "product.searched",
    "product.viewed",
    "wishlist.added",
    "cart.added",
    "checkout.started",
    "coupon.opened",
    "coupon.viewed",
    "coupon.received",
    "content.read",
    "content.shared",
    "group.joined",
    "live.booked",
    "form.submitted",
    "contact.chat_started",
    "kf.entered",
    "kf.message",
    "oa.subscribed",
    "oa.scanned",
    "oa.message",
)
# What makes somebody loyal besides a second order.
SHOWS_LOYALTY = ("product.reviewed",)


def life_of(orders: int, first_days: float, last_days: float, cycle_days: int | None) -> str:
    """By all orders with money left: days since the first and the last, and the median between them."""
    if orders <= 0:
        return ""
    if first_days <= NEW_DAYS:
        return "new"
    cycle = cycle_days if cycle_days and orders >= CYCLE_FROM else USUAL_CYCLE_DAYS
    if last_days > min(3 * cycle, LOST_DAYS):
        return "lost"
    if last_days <= cycle:
        return "active"
    return "cooling" if last_days <= 2 * cycle else "sleeping"


def aipl_of(orders: int, *, is_interested: bool, is_loyal: bool) -> str:
    """The highest stage that was reached; empty for A. `orders` are those of the period."""
    if orders >= LOYAL_ORDERS or is_loyal:
        return "L"
    if orders > 0:
        return "P"
    return "I" if is_interested else ""
