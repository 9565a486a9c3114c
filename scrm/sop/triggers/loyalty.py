"""What becomes of our own coupons, of points, of levels and of friends whom customers bring."""

from scrm.sop.triggers.trigger import Trigger

_COUPON = {"batch": "券批次", "title": "券名称"}
_OF_COUPON = ("coupon", "batch", "person+year")
_LEVEL = {
    "direction": "升（up）或降（down）",
    "to": "到哪个等级",
    "from": "从哪个等级",
    "by_refund": "因为退款（true）",
}
# Shops that keep a ledger of their own tell the same events, with facts of their own.
_OF_CAMPAIGN = {"title": "老带新活动"}
_OF_FRIEND = ("friend", "case", "person+year")

TRIGGERS = (
    Trigger("coupon.issued", "客户领到了券", _COUPON, _OF_COUPON),
    Trigger("coupon.opened", "客户打开了券", _COUPON, _OF_COUPON),
    Trigger("coupon.redeemed", "客户核销了券", _COUPON, _OF_COUPON),
    Trigger("coupon.expiring", "优惠券快到期", {**_COUPON, "unopened": "还没有打开过（true）"}, _OF_COUPON),
    Trigger("coupon.expired", "优惠券已过期", {**_COUPON, "unopened": "没有打开过（true）"}, _OF_COUPON),
    Trigger("coupon.restored", "退款返还了券", _COUPON, _OF_COUPON),
    Trigger("coupon.voided", "优惠券被作废", _COUPON, _OF_COUPON),
    Trigger("points.changed", "积分有变动", {"reason": "变动原因"}, ("batch", "person+year")),
    Trigger("points.expiring", "积分快到期", {}, ("batch", "person+year")),
    Trigger("level.changed", "会员等级变动", _LEVEL, ("batch", "person+year")),
    Trigger("custom.referral_added", "客户介绍的朋友加了好友", _OF_CAMPAIGN, _OF_FRIEND, is_open=True),
    Trigger("custom.referral_valid", "客户介绍的朋友有效了", _OF_CAMPAIGN, _OF_FRIEND, is_open=True),
    Trigger("custom.referral_confirmed", "被介绍的客户首单有效了", _OF_CAMPAIGN, _OF_FRIEND, is_open=True),
)
