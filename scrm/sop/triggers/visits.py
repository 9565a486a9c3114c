"""What known customers do in the shop's pages, and with what members sent them."""

from scrm.sop.triggers.trigger import Trigger

_GOODS = {"sku": "商品编码", "product_id": "商品", "category": "商品类目", "source": "来自哪里"}
_OF_GOODS = ("product", "sku_family", "person+year")
_COUPON = {"coupon_id": "商城的优惠券", "coupon_name": "优惠券名称"}

TRIGGERS = (
    Trigger("cart.added", "客户加入购物车", _GOODS, _OF_GOODS),
    Trigger("cart.removed", "客户移出购物车", _GOODS, _OF_GOODS),
    Trigger("cart.abandoned", "加购后没有下单", _GOODS, _OF_GOODS),
    Trigger("wishlist.added", "客户收藏了商品", _GOODS, _OF_GOODS),
    Trigger("checkout.started", "客户去结算", _GOODS, _OF_GOODS),
    Trigger("checkout.shipping_added", "客户填写了收货信息", _GOODS, _OF_GOODS),
    Trigger("checkout.payment_added", "客户选择了支付方式", _GOODS, _OF_GOODS),
    Trigger("checkout.abandoned", "结算后没有付款", _GOODS, _OF_GOODS),
    Trigger("browse.abandoned", "反复浏览没有加购", _GOODS, _OF_GOODS),
    Trigger("product.reviewed", "客户评价了商品", {**_GOODS, "rating": "评分"}, (*_OF_GOODS, "case")),
    Trigger("content.shared", "客户分享了内容", _GOODS, _OF_GOODS),
    Trigger("coupon.received", "客户在商城领取了优惠券", _COUPON, ("person+year",)),
    Trigger("coupon.entered", "客户输入了优惠码", _COUPON, ("person+year",)),
    Trigger("coupon.used", "客户下单时用了优惠券", _COUPON, ("person+year",)),
    Trigger("coupon.denied", "优惠券没能使用", _COUPON, ("person+year",)),
    Trigger(
        "message.radar_opened",
        "客户看了雷达内容",
        {"content": "内容编号", "userid": "员工账号"},
        ("batch", "person+year"),
    ),
)
