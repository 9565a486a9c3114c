"""What becomes of orders on every channel, and of their after-sale cases."""

from scrm.sop.triggers.trigger import Trigger

_SHOP = {
    "channel": "下单平台",
    "shop_key": "店铺",
    "status": "订单状态",
    "title": "第一件商品的名称",
    "sku": "商品编码",
}
_CASE = {**_SHOP, "type": "售后类型", "reason": "售后原因", "refund_status": "售后状态"}
_OF_ORDER = ("order", "product", "sku_family", "person+year")
_OF_PARCEL = ("order", "parcel", "product", "sku_family", "person+year")
_OF_CASE = ("case", "order", "person+year")

TRIGGERS = (
    Trigger("order.created", "客户下单了", _SHOP, _OF_ORDER),
    Trigger("order.paid", "订单已付款", _SHOP, _OF_ORDER),
    Trigger("order.shipped", "订单已发货", {**_SHOP, "carrier": "快递公司"}, _OF_PARCEL),
    Trigger("order.delivered", "订单已签收", {**_SHOP, "carrier": "快递公司"}, _OF_PARCEL),
    Trigger("order.completed", "订单已完成", _SHOP, _OF_ORDER),
    Trigger("order.cancelled", "订单已取消", _SHOP, _OF_ORDER),
    Trigger("order.closed", "订单已关闭", _SHOP, _OF_ORDER),
    Trigger("order.bound", "员工绑定了订单", {"channel": "下单平台", "by": "员工账号"}, ("order", "person+year")),
    Trigger("refund.opened", "客户发起了售后", _CASE, _OF_CASE),
    Trigger("refund.agreed", "商家同意了售后", _CASE, _OF_CASE),
    Trigger("refund.refused", "商家拒绝了售后", _CASE, _OF_CASE),
    Trigger("refund.done", "退款成功", _CASE, _OF_CASE),
    Trigger("refund.closed", "售后结束", _CASE, _OF_CASE),
)
