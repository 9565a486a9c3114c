"""What the platforms' exports say about an after-sale case, as the state of a refund. Pure."""

from functools import lru_cache

from scrm.commerce.connectors.reader import normalise_heading

# Before a word for an after-sale case, where it stands among words for orders.
AFTERSALE = "售后："
# No case at all, as a manager may say; a case's own states are `canonical.RefundStatus`.
NO_CASE = "none"

_NO_CASE = ("无售后", "没有售后", "未发起", "没有申请", "未申请", "无退款", "正常", "未退款")
# The first that is found counts: 卖家已经同意退款,等待买家退货 waits for the goods, 拒绝退款申请 is no application.
_STATES = (
    ("refunded", ("退款成功", "售后成功", "全额退款", "已退款", "退款完成", "售后完成", "部分退款")),
    ("failed", ("失败",)),
    ("rejected", ("拒绝", "驳回")),
    ("cancelled", ("关闭", "取消", "撤销", "撤回")),
    ("returned_in_transit", ("已退货", "已经退货", "已寄回", "待收退货", "退货中", "确认收货", "待商家收货")),
    ("waiting_return", ("待退货", "待买家退货", "等待退货", "等待买家退货", "待寄回")),
    ("refunding", ("退款中", "待退款")),
    ("agreed", ("已同意", "已经同意")),
    ("requested", ("处理中", "售后中", "待商家", "待买家", "申请", "待处理", "待卖家", "等待卖家", "待审核")),
)


@lru_cache(maxsize=1024)
def read_case(text: str) -> str | None:
    """A refund's state; `NO_CASE` when there is no case, None when nobody knows the words."""
    plain = normalise_heading(text)
    if not plain or any(word in plain for word in _NO_CASE):
        return NO_CASE
    return next((status for status, words in _STATES if any(word in plain for word in words)), None)
