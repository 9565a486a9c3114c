"""Tables of shops that nobody wrote a connector for: which column is what, and what is not passed over in silence."""

import pytest

from scrm.commerce.connectors.suggesting import suggest

# heading=field, as a shop would answer; a heading alone is none of ours.
TABLES = {
    "till": "小票号=order_no 门店名称=shop_key 销售时间=ordered_at 会员手机号=mobile 会员姓名=nick 品名=title 货号=sku 数量=qty"
    " 单价=unit_price 小计 优惠=discount 实收=paid 支付方式 备注=seller_note",
    "mall": "订单编号=order_no 下单时间=ordered_at 支付时间=paid_at 订单状态=status 商品名称=title 规格=spec 购买数量=qty"
    " 商品单价=unit_price 订单总额=payable 优惠金额=discount 运费=freight 实付=paid 收货人姓名=receiver 收货手机=receiver_phone"
    " 省份=province 城市=city 区县=district 详细地址=address 快递公司=carrier 快递单号=tracking_no 买家留言=buyer_note",
    "erp": "线上订单号=order_no 店铺名称=shop_key 平台名称=channel 付款日期=paid_at 下单日期=ordered_at 发货日期=shipped_at 买家昵称=nick"
    " 收件人=receiver 收件人手机=receiver_phone 商品编码=sku 颜色规格=spec 成交单价=unit_price 应付金额=payable 已付金额=paid"
    " 退款金额=refunded 单据状态=status",
    "one amount": "单号=order_no 日期=ordered_at 客户=nick 联系电话=mobile 产品=title 数量(份)=qty 单价（元）=unit_price 金额（元）=paid",
    "payable alone": "订单号=order_no 订单日期=ordered_at 订单总额=paid",
    "restaurant": "流水号=order_no 结账时间=paid_at 订单时间=ordered_at 门店=shop_key 会员手机=mobile 消费金额 折扣金额=discount"
    " 应收金额=payable 实收金额=paid 券号=coupons 菜品=title 件数=qty",
    "english": "Order-Number=order_no Order-Date=ordered_at Order-Status=status Customer-Note=buyer_note Billing-Name=nick"
    " Phone=mobile Item-Name=title SKU=sku Quantity=qty Item-Price=unit_price Discount-Total=discount Order-Total=paid"
    " Refund-Amount=refunded Tracking-Number=tracking_no Name",
    "shopify": "Name=order_no Created-at=ordered_at Paid-at=paid_at Financial-Status=status Currency=currency Subtotal=goods"
    " Shipping=freight Total=paid Lineitem-name=title Lineitem-quantity=qty Lineitem-price=unit_price Shipping-Name=receiver",
    "snake": "order_id=order_no store_name=shop_key order_date=ordered_at customer_phone=mobile customer_name=nick qty=qty"
    " amount_paid=paid carrier=carrier line_total",
    "furniture": "销售单号=order_no 制单时间=ordered_at 客户姓名=nick 客户电话=mobile 配送地址=address 规格型号=spec 订购数量=qty"
    " 销售单价=unit_price 合计金额=payable 已付金额=paid 完结时间=completed_at 内部备注=seller_note",
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_shops_own_headings_are_known_by_what_shops_call_them(table: str) -> None:
    columns = {heading.replace("-", " "): field for heading, _, field in (one.partition("=") for one in table.split())}
    found = {heading: field for field, heading in suggest(list(columns)).items()}
    assert found == {heading: field for heading, field in columns.items() if field}


def test_a_column_is_not_suggested_for_what_its_cells_cannot_be() -> None:
    headings = ["单号", "日期", "金额", "来源", "数量", "实付"]
    rows = [["A1", "2026-06-01", "12.50", "微信小程序", "1.5斤", "已付清"], ["A2", "", "", "", "", ""]]
    assert suggest(headings, rows=rows) == {"order_no": "单号", "ordered_at": "日期", "paid": "金额"}


def test_a_field_of_the_shops_own_comes_before_what_others_call_ours() -> None:
    assert suggest(["单号", "备注"], {"own.memo": "备注"}) == {"order_no": "单号", "own.memo": "备注"}
