"""The words for channels, orders, after-sale cases and coupons: one for each state, everywhere."""

from datetime import datetime

from scrm.profiles.words import Word

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
    "pending_payment": Word("待付款", "warn"),
    "paid": Word("已付款", "info"),
    "partially_shipped": Word("部分发货", "info"),
    "shipped": Word("已发货", "info"),
    "completed": Word("交易成功", "good"),
    "cancelled": Word("交易关闭"),
    "closed": Word("交易关闭"),
}
_AFTERSALES = {
    "open": Word("售后处理中", "bad"),
    "partially_refunded": Word("部分退款", "warn"),
    "refunded": Word("已退款", "warn"),
}
COUPON_STATES = {
    "issued": Word("已发放", "good"),
    "redeemed": Word("已核销", "info"),
    "expired": Word("已过期"),
    "void": Word("已作废"),
    "released": Word("未送达，已收回"),
}


def order_state(status: str, delivered_at: datetime | None, raw_status: str) -> Word:
    """One word for where the goods are; what a channel says in a way we do not know stays as it is."""
    if status == "shipped" and delivered_at is not None:
        return Word("已签收", "good")
    return _ORDERS.get(status) or Word(raw_status or "状态未知")


def aftersale_state(status: str) -> Word | None:
    return _AFTERSALES.get(status)


def channel(key: str) -> str:
    return CHANNELS.get(key, key)
