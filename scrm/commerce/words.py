"""The words for channels, orders, after-sale cases and coupons: one for each state, everywhere."""

from datetime import datetime

from scrm.profiles.words import Word
from web.texts import N_, _

CHANNELS = {
    "taobao": "淘宝",
    "tmall": "天猫",
    "jd": "京东",
    "pdd": "拼多多",
    "doudian": "抖店",
    "kuaishou": "快手",
    "xhs": "小红书",
    "wxstore": "微信小店",
    "youzan": "有赞",
    "shopify": "Shopify",
    "offline": "线下门店",
}
_ORDERS = {
    "pending_payment": Word(N_("待付款"), "warn"),
    "paid": Word(N_("已付款"), "info"),
    "partially_shipped": Word(N_("部分发货"), "info"),
    "shipped": Word(N_("已发货"), "info"),
    "completed": Word(N_("交易成功"), "good"),
    "cancelled": Word(N_("交易关闭")),
    "closed": Word(N_("交易关闭")),
}
_AFTERSALES = {
    "open": Word(N_("售后处理中"), "bad"),
    "partially_refunded": Word(N_("部分退款"), "warn"),
    "refunded": Word(N_("已退款"), "warn"),
}
_PARCELS = {
    "shipped": Word(N_("已发货"), "info"),
    "in_transit": Word(N_("运输中"), "info"),
    "out_for_delivery": Word(N_("派送中"), "info"),
    "delivered": Word(N_("已签收"), "good"),
    "returned": Word(N_("已退回"), "warn"),
    "exception": Word(N_("物流异常"), "bad"),
}
_REFUNDS = {
    "requested": Word(N_("申请中"), "bad"),
    "agreed": Word(N_("商家已同意"), "warn"),
    "waiting_return": Word(N_("等待寄回"), "warn"),
    "returned_in_transit": Word(N_("退货途中"), "warn"),
    "refunding": Word(N_("退款中"), "warn"),
    "refunded": Word(N_("已退款")),
    "rejected": Word(N_("已拒绝")),
    "cancelled": Word(N_("已撤销")),
    "failed": Word(N_("退款失败"), "bad"),
}
_REFUND_KINDS = {
    "refund_only_unshipped": N_("仅退款（未发货）"),
    "refund_only_shipped": N_("仅退款"),
    "return_refund": N_("退货退款"),
    "exchange": N_("换货"),
    "price_protection": N_("价保"),
    "reissue": N_("补发"),
    "repair": N_("维修"),
}
_BINDINGS = {"unionid": N_("凭微信认出"), "phone": N_("凭手机号认出")}
COUPON_STATES = {
    "issued": Word(N_("已发放"), "good"),
    "redeemed": Word(N_("已核销"), "info"),
    "expired": Word(N_("已过期")),
    "void": Word(N_("已作废")),
    "released": Word(N_("未送达，已收回")),
}


def order_state(status: str, delivered_at: datetime | None, raw_status: str) -> Word:
    """One word for where the goods are; what a channel says in a way we do not know stays as it is."""
    if status == "shipped" and delivered_at is not None:
        return Word(N_("已签收"), "good")
    return _ORDERS.get(status) or Word(raw_status or "状态未知")


def taken_as(status: str) -> str:
    """What an order's state was taken for, in the words of the console."""
    word = _ORDERS.get(status)
    return word.text if word is not None else "未知"


def aftersale_state(status: str) -> Word | None:
    return _AFTERSALES.get(status)


def channel(key: str) -> str:
    return CHANNELS.get(key, key)


def parcel_state(state: str) -> Word:
    """Where a parcel was last seen."""
    return _PARCELS.get(state) or Word(N_("已发货"), "info")


def refund_state(status: str, raw_status: str = "") -> Word:
    return _REFUNDS.get(status) or Word(raw_status or N_("状态未知"))


def refund_kind(key: str) -> str:
    return _REFUND_KINDS.get(key, N_("售后"))


def bound_by(way: str, who: str) -> str:
    """How we know whose order it is; who bound it by hand is named."""
    if way == "staff":
        return _("{who}绑定", who=who) if who else _("员工绑定")
    return _(_BINDINGS[way]) if way in _BINDINGS else ""
