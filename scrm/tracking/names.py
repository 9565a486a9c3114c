"""The names of what visitors do: ours, and what other trackers call the same."""

import re

# Name -> what the customer did, as the timeline says it.
NAMES = {
    "app.opened": "打开了小程序",
    "page.viewed": "浏览了页面",
    "product.searched": "搜索了商品",
    "product_list.viewed": "浏览了商品列表",
    "product.clicked": "点了商品",
    "product.viewed": "浏览了商品",
    "product.reviewed": "评价了商品",
    "wishlist.added": "收藏了商品",
    "cart.added": "加入购物车",
    "cart.removed": "移出购物车",
    "cart.viewed": "查看了购物车",
    "checkout.started": "去结算",
    "checkout.shipping_added": "填写了收货信息",
    "checkout.payment_added": "选择了支付方式",
    "coupon.viewed": "看了优惠券",
    "coupon.received": "领取了优惠券",
    "coupon.entered": "输入了优惠码",
    "coupon.used": "下单时用了优惠券",
    "coupon.denied": "优惠券没能使用",
    "content.shared": "分享了内容",
    "content.read": "读了内容",
}
# What follows from what somebody did not do.
DERIVED = {
    "cart.abandoned": "加购后没有下单",
    "checkout.abandoned": "结算后没有付款",
    "browse.abandoned": "反复浏览没有加购",
}
# Pages tell these too, and lose some: for us orders come from the shop, and here they only say that a cart was bought.
HINTS = frozenset({"order.paid", "order.updated", "order.refunded", "order.cancelled"})
# Kept, but too many for anybody's timeline.
UNTOLD = frozenset({"page.viewed", "app.opened", "product_list.viewed", "product.clicked", "cart.viewed"})
# Told, but no playbook starts by a mere look.
LOOKS = frozenset({"product.viewed", "product.searched", "coupon.viewed", "content.read"})

CUSTOM = re.compile(r"custom\.[a-z][a-z0-9_.]{0,39}")
_BARE = re.compile(r"[a-z][a-z0-9_]{0,30}")

# Segment, GA4, Shopify pixels, Sensors (commerce 3.1), in lower case with underscores.
_ALIASES = {
    "application_opened": "app.opened",
    "session_start": "app.opened",
    "$mplaunch": "app.opened",
    "$mpshow": "app.opened",
    "page": "page.viewed",
    "page_view": "page.viewed",
    "page_viewed": "page.viewed",
    "$pageview": "page.viewed",
    "$mpviewscreen": "page.viewed",
    "products_searched": "product.searched",
    "search": "product.searched",
    "view_search_results": "product.searched",
    "search_submitted": "product.searched",
    "product_list_viewed": "product_list.viewed",
    "view_item_list": "product_list.viewed",
    "collection_viewed": "product_list.viewed",
    "product_clicked": "product.clicked",
    "select_item": "product.clicked",
    "product_viewed": "product.viewed",
    "view_item": "product.viewed",
    "product_added_to_wishlist": "wishlist.added",
    "add_to_wishlist": "wishlist.added",
    "product_added": "cart.added",
    "add_to_cart": "cart.added",
    "product_added_to_cart": "cart.added",
    "product_removed": "cart.removed",
    "remove_from_cart": "cart.removed",
    "product_removed_from_cart": "cart.removed",
    "cart_viewed": "cart.viewed",
    "view_cart": "cart.viewed",
    "checkout_started": "checkout.started",
    "begin_checkout": "checkout.started",
    "checkout_step_completed": "checkout.shipping_added",
    "add_shipping_info": "checkout.shipping_added",
    "checkout_shipping_info_submitted": "checkout.shipping_added",
    "payment_info_entered": "checkout.payment_added",
    "add_payment_info": "checkout.payment_added",
    "payment_info_submitted": "checkout.payment_added",
    "order_completed": "order.paid",
    "purchase": "order.paid",
    "checkout_completed": "order.paid",
    "order_updated": "order.updated",
    "order_refunded": "order.refunded",
    "refund": "order.refunded",
    "order_cancelled": "order.cancelled",
    "view_promotion": "coupon.viewed",
    "coupon_entered": "coupon.entered",
    "coupon_applied": "coupon.used",
    "coupon_denied": "coupon.denied",
    "product_shared": "content.shared",
    "cart_shared": "content.shared",
    "share": "content.shared",
    "$mpshare": "content.shared",
    "product_reviewed": "product.reviewed",
}


def find_name(written: str) -> str | None:
    """Our name for what a page wrote; what nobody knows becomes `custom.*`, and None when it cannot be a name."""
    name = written.strip().lower().replace(" ", "_")
    if name in NAMES or name in HINTS or CUSTOM.fullmatch(name):
        return name
    if name in _ALIASES:
        return _ALIASES[name]
    return f"custom.{name}" if _BARE.fullmatch(name) else None
