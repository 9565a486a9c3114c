"""Pinduoduo's order export (docs: commerce 1.12): one SKU an order, times often empty, a TAB before every number."""

import re

from scrm.commerce.connectors.platform_file import Dialect, words

_NUMBER = re.compile(r"(\d\d)(\d\d)(\d\d)-\d{9,}", re.ASCII)


def _dated(order_no: str) -> str:
    """260101-600000000000001 was ordered on 2026-01-01."""
    found = _NUMBER.fullmatch(order_no)
    return f"20{found[1]}-{found[2]}-{found[3]} 00:00:00" if found else ""


CONNECTOR = Dialect(
    key="pdd",
    title="拼多多订单",
    names={
        "order_no": ("订单号", "订单编号"),
        "line_no": ("订单号", "订单编号"),
        "status": ("订单状态",),
        "aftersale": ("售后状态",),
        "title": ("商品", "商品名称"),
        "spec": ("商品规格",),
        "qty": ("商品数量(件)", "商品数量"),
        "item": ("商品id",),
        "sku": ("样式ID",),
        "merchant_sku": ("商家编码-规格维度", "商家编码-商品维度"),
        "ordered_at": ("订单成交时间", "下单时间"),
        "paid_at": ("支付时间", "拼单成功时间"),
        "shipped_at": ("发货时间",),
        "completed_at": ("确认收货时间",),
        "goods": ("商品总价(元)", "商品总价"),
        "freight": ("邮费(元)", "邮费"),
        "payable": ("用户实付金额(元)", "用户实付金额"),
        "income": ("商家实收金额(元)", "商家实收金额"),
        "refunded": ("退款金额(元)", "退款金额", "已退款金额(元)", "售后退款金额(元)"),
        "receiver": ("收货人", "收件人"),
        "phone": ("手机", "收货人手机", "手机号"),
        "province": ("省",),
        "city": ("市",),
        "district": ("区",),
        "street": ("街道",),
        "address": ("详细地址", "收货地址"),
        "buyer_note": ("买家留言",),
        "seller_note": ("商家备注",),
        "carrier": ("快递公司",),
        "tracking_no": ("快递单号",),
    },
    sums={
        "discount": ("店铺优惠折扣(元)",),
        "platform_discount": ("平台优惠折扣(元)", "多多支付立减金额(元)"),
    },
    statuses=words(
        pending_payment=("待支付", "待付款", "未支付"),
        paid=("待发货", "已支付", "待成团", "已成团，待发货", "已成团,待发货"),
        shipped=("已发货，待签收", "已发货，待收货", "已发货", "待收货", "待签收"),
        completed=("已签收", "已收货", "已完成", "交易成功", "已评价"),
        cancelled=("已取消", "交易取消", "交易已取消"),
        closed=("退款成功", "交易关闭", "已关闭"),
    ),
    marks=frozenset(("用户实付金额(元)", "样式id", "多多支付立减金额(元)", "拼单成功时间", "商家实收金额(元)")),
    buyer="pdd_buyer",
    dated=_dated,
).connector()
