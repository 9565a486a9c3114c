"""Xiaohongshu's order export (docs: commerce 1.8): one row a SKU with its own money, gifts among them, 1,299.00."""

from scrm.commerce.connectors.platform_file import Dialect, words

CONNECTOR = Dialect(
    key="xhs",
    title="小红书订单",
    names={
        "order_no": ("订单号",),
        "status": ("订单状态",),
        "aftersale": ("售后状态",),
        "receiver": ("收件人姓名",),
        "phone": ("收件人电话",),
        "province": ("省",),
        "city": ("市",),
        "district": ("区",),
        "address": ("收件人地址",),
        "item": ("小红书编码",),
        "sku": ("规格ID", "条形码"),
        "merchant_sku": ("条形码",),
        "title": ("SKU名称",),
        "spec": ("SKU规格",),
        "qty": ("SKU件数",),
        "gift": ("是否为赠品",),
        "price": ("商品总价(元)",),
        "freight": ("包裹总运费(元)",),
        "payable": ("用户应付金额(元)",),
        "income": ("商家应收金额(元)(支付金额)", "商家应收金额(元)"),
        "ordered_at": ("订单创建时间",),
        "paid_at": ("支付时间",),
        "shipped_at": ("订单发货时间",),
        "completed_at": ("订单完成时间",),
        "carrier": ("快递公司",),
        "tracking_no": ("快递单号",),
        "buyer": ("用户编号",),
        "buyer_note": ("用户备注",),
        "seller_note": ("包裹备注信息",),
    },
    sums={
        "discount": ("店铺优惠(元)", "SKU商家改价(元)"),
        "platform_discount": ("平台优惠(元)", "支付渠道优惠(元)"),
    },
    statuses=words(
        pending_payment=("待付款", "待支付", "已下单待付款"),
        paid=("已付款", "已支付", "已付款处理中", "清关中", "待发货", "待配货", "配货中", "处理中"),
        partially_shipped=("部分发货",),
        shipped=("已发货", "待收货", "已签收", "换货申请中"),
        completed=("已完成", "交易成功"),
        closed=("已关闭", "交易关闭"),
        cancelled=("已取消", "交易取消"),
    ),
    marks=frozenset(
        ("小红书编码", "sku件数", "用户应付金额(元)", "商家应收金额(元)(支付金额)", "sku名称", "订购人姓名")
    ),
    prices_are_sums=True,
    buyer="xhs_user_id",
).connector()
