"""Which column of a stranger's table is which of our fields, by what shops and systems call them (docs/import.md)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from zoneinfo import ZoneInfo

from scrm.commerce.connectors import generic
from scrm.commerce.connectors.connector import Reader
from scrm.commerce.connectors.mapped import FIELDS
from scrm.commerce.connectors.reader import (
    Sheet,
    normalise_heading,
    read_count,
    read_fen,
    read_id,
    read_moment,
    value_of,
)
from scrm.errors import Invalid

# Other names than those of the generic table, the likelier first; written as `_bare` leaves them.
_ALSO: Mapping[str, str] = {
    "order_no": "订单编码 订单id 单号 单据编号 单据号 销售单号 小票号 流水号 交易单号 交易编号 系统单号 平台单号 原始单号 线上订单号"
    " 网店订单号 外部订单号 内部订单号 orderno ordernumber orderid order ordercode invoice invoiceno invoicenumber"
    " reference receiptno transactionid",
    "channel": "来源平台 平台名称 销售渠道 订单渠道 渠道名称 订单来源 销售平台 saleschannel platform source",
    "shop_key": "店铺名称 店铺名 门店 门店名称 网店名称 所属门店 归属店铺 shop shopname store storename",
    "parent_order_no": "主单号 父单号 父订单号 原订单号 parentorder parentid",
    "status": "交易状态 单据状态 状态名称 orderstatus state financialstatus",
    "ordered_at": "下单日期 订单时间 订单日期 下单时刻 创建日期 订单生成时间 提交时间 订单提交时间 拍下时间 交易时间 交易日期 销售时间"
    " 销售日期 成交时间 消费时间 单据日期 制单时间 日期 时间 orderdate ordertime orderedon createdat created createdtime"
    " createtime datecreated dateadded purchasedate date placedat",
    "paid_at": "付款日期 支付日期 支付完成时间 付款完成时间 订单付款时间 订单支付时间 收款时间 结账时间 paiddate paymentdate paymenttime"
    " datepaid paidon paytime",
    "shipped_at": "发货日期 出库时间 订单发货时间 shipdate shippeddate dateshipped fulfilledat shiptime",
    "delivered_at": "签收日期 妥投时间 送达时间 deliverydate deliveredon",
    "completed_at": "订单完成时间 交易完成时间 确认收货时间 成交完成时间 收货时间 完结时间 datecompleted completedon finishedat",
    "closed_at": "取消时间 订单关闭时间 交易关闭时间 作废时间 cancelledat canceledat",
    "updated_at": "修改时间 最后修改时间 最近更新 lastmodified datemodified modifiedat updated",
    "goods": "商品总价 商品总额 货款 商品金额合计 商品小计 应付货款 subtotal itemstotal merchandisetotal itemtotal",
    "freight": "邮费 快递费 运费金额 配送费 物流费 shipping shippingfee shippingcost freightamount shippingtotal deliveryfee postage",
    "discount": "优惠 折扣 折扣金额 优惠总额 优惠总金额 商家优惠 店铺折扣 减免金额 立减 discountamount discounttotal totaldiscount"
    " coupondiscount",
    "platform_discount": "平台补贴 平台优惠金额 平台折扣 platformsubsidy",
    "payable": "应付 应收 应收金额 订单应付金额 订单应付 订单总额 订单总价 订单总金额 总金额 总额 合计 合计金额 总价 grandtotal"
    " ordertotal totalamount totalprice orderamount total amountdue",
    "paid": "实付 实付款 实收 实收金额 实付总额 实际支付 实际支付金额 实际付款 买家实付 买家实付金额 用户实付 用户实付金额 客户实付 顾客实付"
    " 支付总额 已付金额 已支付金额 已付 订单实付金额 订单实际支付金额 支付款 成交金额 收款金额 消费金额 amountpaid paidamount totalpaid"
    " paymentamount netpaid paidtotal payment",
    "refunded": "退款 退款总额 已退款金额 已退金额 退款金额合计 售后退款金额 退货金额 refund refundamount refundedamount totalrefunded"
    " amountrefunded refundtotal",
    "mobile": "手机号码 电话 联系电话 电话号码 联系方式 移动电话 客户手机 客户手机号 客户电话 会员手机 会员手机号 顾客手机 顾客电话 买家手机号"
    " 买家电话 下单手机 下单手机号 用户手机 用户手机号 注册手机 customerphone buyerphone phonenumber mobilephone mobilenumber"
    " billingphone telephone tel cell contactphone",
    "unionid": "微信unionid wechatunionid",
    "external_userid": "企业微信客户id 外部联系人id externaluserid",
    "nick": "昵称 客户昵称 会员昵称 用户昵称 买家会员名 会员名 会员名称 客户 客户名称 客户姓名 顾客 顾客姓名 会员姓名 买家姓名 买家id 用户名"
    " customer customername buyer buyername nickname username billingname clientname",
    "receiver": "收货人姓名 收件人姓名 收货姓名 收件姓名 姓名 收货联系人 recipient recipientname shippingname shipto consignee shiptoname",
    "receiver_phone": "收货手机号 收货人手机 收货人手机号 收货人电话 收货人联系电话 收件手机 收件电话 收件人手机 收件人手机号 收件人电话"
    " 收货联系电话 收货联系方式 收货人联系方式 收件人联系方式 shippingphone recipientphone consigneephone shiptophone",
    "province": "省份 收货省 收货省份 收货人省份 收件省 收件人省份 shippingprovince state/province region",
    "city": "城市 地市 收货市 收货城市 收货人城市 收件市 收件人城市 shippingcity",
    "district": "县 区域 收货区 收货区县 收货人区县 收件区 收件人区县",
    "address": "收货人地址 收件地址 收件人地址 详细地址 收货详细地址 收货人详细地址 配送地址 shippingaddress deliveryaddress"
    " shippingaddress1 shippingstreet address1",
    "carrier": "物流 快递 承运商 配送公司 物流名称 快递名称 shippingcarrier trackingcompany courier shippingcompany logistics",
    "tracking_no": "快递号 物流号 物流运单号 快递运单号 包裹单号 trackingnumber trackingcode waybill waybillno trackingid",
    "buyer_note": "留言 客户留言 客户备注 顾客备注 用户备注 订单留言 customernote ordernote note notes comment remark",
    "seller_note": "备注 订单备注 客服备注 内部备注 店铺备注 商户备注 sellernotes adminnote staffnote internalnote memo",
    "currency": "货币 交易币种 currencycode",
    "coupons": "优惠券 优惠券编号 优惠券代码 使用的券 券号 coupon couponcode couponcodes discountcode promocode vouchercode",
    "line_key": "子单号 明细编号 行号 lineid itemid orderitemid lineno lineitemid",
    "title": "宝贝标题 宝贝名称 货品名称 产品名称 产品 品名 物品名称 菜品 项目 product productname item itemname productitle description"
    " lineitemname producttitle",
    "spec": "规格型号 商品属性 规格名称 sku名称 销售属性 颜色规格 variant variation options attributes size varianttitle",
    "qty": "件数 商品数量 购买件数 订购数量 销售数量 成交数量 quantity count units lineitemquantity itemqty orderedqty",
    "unit_price": "价格 售价 商品单价 销售单价 成交单价 零售价 price itemprice lineitemprice unitcost",
    "line_paid": "商品实付金额 明细实付 行实付 分摊实付 linepaid",
    "sku": "商品编码 货号 货品编号 款号 条码 商品条码 规格编码 sku编码 商家sku 商品货号 商品代码 barcode skucode itemcode itemnumber"
    " productcode lineitemsku variantsku",
    "item": "货品id productid",
    "image": "主图 商品主图 图片 图片链接 商品图片链接 picture image imagelink thumbnail",
}
# What they may be where nothing else is: one amount alone is what was paid.
_FAILING: Mapping[str, str] = {
    "order_no": "name",
    "nick": "name",
    "paid": "金额 amount 订单金额 总金额 总额 合计 合计金额 总价 订单总额 订单总价 订单总金额 应付金额 应收金额 totalamount grandtotal"
    " ordertotal orderamount totalprice total",
}
_ANY_ZONE = ZoneInfo("UTC")
# How a field is read: what it refuses is no column of it.
_READ: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys((*generic.TIMES, "updated_at"), lambda cell: read_moment(cell, _ANY_ZONE)),
    **dict.fromkeys(generic.MONEY, read_fen),
    "order_no": read_id,
    "qty": read_count,
    "channel": lambda cell: generic.channel_of(value_of(cell)),
}
_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|【[^【】]*】|\{[^{}]*\}")
_BETWEEN = re.compile(r"[\s_\-.:#*,·/\\'\"?]+")


def suggest(
    headings: Sequence[str],
    own: Mapping[str, str] | None = None,
    rows: Sequence[Sequence[str]] = (),
) -> dict[str, str]:
    """Heading by our field, each used once; `own` are titles of the shop's own fields by column.

    A name as we write it comes before one that others use, and that before what it may be where nothing else is; a
    column whose cells in `rows` are none of the field's is not suggested.
    """
    exact = {normalise_heading(heading): heading for heading in headings}
    bare = {_bare(heading): heading for heading in reversed(headings)}
    cells = {heading: [row[place] for row in rows] for place, heading in enumerate(headings)}
    found: dict[str, str] = {}
    used: set[str] = set()
    for name, heading in _guesses(exact, bare, own or {}):
        if name not in found and heading not in used and _fits(name, cells[heading]):
            found[name] = heading
            used.add(heading)
    return _with_one_amount(found)


def _guesses(exact: Mapping[str, str], bare: Mapping[str, str], own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(field, heading), the surest first."""
    for name, names in generic.ORDER_NAMES.items():
        yield from ((name, exact[plain]) for plain in map(normalise_heading, names) if plain in exact)
    yield from ((name, exact[plain]) for name, title in own.items() if (plain := normalise_heading(title)) in exact)
    for name, names in generic.ORDER_NAMES.items():
        yield from ((name, bare[plain]) for plain in map(_bare, names) if plain in bare)
    for other in (_ALSO, _FAILING):
        for name, words in other.items():
            yield from ((name, bare[plain]) for plain in words.split() if plain in bare)


def _fits(name: str, cells: Sequence[str]) -> bool:
    read = _READ.get(name)
    if read is not None:
        try:
            for cell in filter(value_of, cells):
                read(cell)
        except ValueError:
            return False
    return True


def _with_one_amount(found: dict[str, str]) -> dict[str, str]:
    """Where only what was to be paid is told, it is what was paid: an order without it would count for nothing."""
    if "paid" not in found and "payable" in found:
        found["paid"] = found.pop("payable")
    return found


# What an order is counted by and who it belongs to: a table of ours that calls it otherwise is no table of ours.
_WEIGHTY = {
    "paid": ("paid", "paid_fen"),
    "refunded": ("refunded", "refunded_fen"),
    "ordered_at": ("ordered_at",),
    "status": ("status",),
    "mobile": ("mobile", "receiver_phone"),
    "receiver_phone": ("mobile", "receiver_phone"),
}


def refuse_unread(sheet: Sheet) -> None:
    """Raises Invalid where the generic table would pass over an amount, the time, the state or the phone.

    Orders of 95 yuan would come in as orders of nothing, and the check would say that all is well.
    """
    reader = Reader(sheet, {**generic.ORDER_NAMES, **generic.FEN_NAMES})
    read = {place for name in generic.ORDER_NAMES if (place := reader.place(name)) is not None}
    titles = {normalise_heading(title): place for place, title in enumerate(sheet.titles)}
    for name, heading in suggest([title for title in sheet.titles if normalise_heading(title)]).items():
        is_read = any(reader.has(one) for one in _WEIGHTY.get(name, ())) or titles[normalise_heading(heading)] in read
        if name in _WEIGHTY and not is_read:
            title = FIELDS[name]
            raise Invalid(
                f"{sheet.name}：没有列“{title}”，文件里的“{heading.strip()}”像是它："
                "请在后台「导入」页为这种表头保存列映射，再导入"
            )


def _bare(heading: str) -> str:
    """实付金额（元） as 实付金额, Order Date (UTC) as orderdate."""
    plain = normalise_heading(heading)
    return _BETWEEN.sub("", _IN_BRACKETS.sub("", plain)) or plain
