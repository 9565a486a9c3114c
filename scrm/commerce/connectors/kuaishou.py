"""Kuaishou's order export (docs: commerce 1.7): one row an order, numbers kept as text, 2026/1/5 for a date."""

from scrm.commerce.connectors.platform_file import Dialect, words

CONNECTOR = Dialect(
    key="kuaishou",
    title="快手订单",
    names={
        "order_no": ("订单号", "订单编号"),
        "status": ("订单状态",),
        "aftersale": ("售后状态",),
        "ordered_at": ("订单创建时间",),
        "paid_at": ("订单支付时间",),
        "shipped_at": ("发货时间",),
        "completed_at": ("订单完成时间", "确认收货时间"),
        "payable": ("实付款", "订单应付金额"),
        "freight": ("快递费", "运费"),
        "title": ("商品名称",),
        "spec": ("商品规格",),
        "item": ("商品ID",),
        "merchant_sku": ("SKU编码",),
        "price": ("商品单价",),
        "qty": ("成交数量", "商品数量"),
        "off_the_payment": ("支付优惠",),
        "receiver": ("收货人姓名", "收货人"),
        "phone": ("收货人电话",),
        "province": ("收货地址-省",),
        "city": ("收货地址-市",),
        "district": ("收货地址-区",),
        "street": ("收货地址-街道",),
        "address": ("收货地址",),
        "buyer_note": ("买家留言",),
        "seller_note": ("订单备注",),
        "carrier": ("快递公司",),
        "tracking_no": ("快递单号", "运单号"),
    },
    sums={
        "discount": ("店铺优惠",),
        "platform_discount": ("平台补贴", "主播补贴", "支付优惠"),
    },
    statuses=words(
        pending_payment=("待付款", "待支付", "未付款"),
        paid=("待发货", "已付款", "已支付", "买家已付款"),
        partially_shipped=("部分发货",),
        shipped=("已发货", "待收货", "已收货", "已签收", "卖家已发货"),
        completed=("交易成功", "已完成", "订单成功", "交易完成"),
        closed=("交易关闭", "已关闭", "交易失败", "订单失败", "已取消", "订单关闭"),
    ),
    marks=frozenset(
        (
            "cps达人id",
            "快赚客id",
            "成交数量",
            "主播补贴",
            "订单载体",
            "预估推广佣金",
            "团长id",
            "赠品订单号",
            "订单支付时间",
        )
    ),
    buyer="kuaishou_open_id",
).connector()
