"""The list of the boards that are made of tables; 总览 and 渠道效果 have pages of their own."""

from collections.abc import Mapping

from scrm.reports import board_coupons, board_repurchase, board_sop, board_staff
from scrm.reports.grids import Sort

SORTS: tuple[Sort, ...] = (
    Sort("sop", "SOP 执行", board_sop.load),
    Sort("staff", "员工", board_staff.load),
    Sort("repurchase", "复购与 LTV", board_repurchase.load),
    Sort("coupons", "优惠券", board_coupons.load),
)
BY_KEY: Mapping[str, Sort] = {each.key: each for each in SORTS}
