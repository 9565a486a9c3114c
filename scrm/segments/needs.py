"""What a shipped segment needs to be true, and whether the shop has it: nobody is asked for what is there."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, Select, exists, literal_column, select

from scrm.commerce.models import orders, refund, shipment
from scrm.membership.models import member_level, points_account
from scrm.profiles.models import person_field
from scrm.tracking.models import radar_link

ORDERS = "需要已接入订单"
ORDERS_AND_SHIPMENTS = "需要已接入订单和物流"
ORDERS_AND_REFUNDS = "需要已接入订单和售后"
POINTS = "需要开启会员积分"
LEVELS = "需要开启会员等级"
BIRTHDAY = "需要编号为 birthday 的日期类自定义字段"
RADAR = "需要用雷达链接发素材"

_ANY: ColumnElement[int] = literal_column("1")
# A row of each is a sign that the source is connected.
_SIGNS: Mapping[str, Select[int]] = {
    ORDERS: select(_ANY).select_from(orders),
    ORDERS_AND_SHIPMENTS: select(_ANY).select_from(shipment),
    ORDERS_AND_REFUNDS: select(_ANY).select_from(refund),
    POINTS: select(_ANY).select_from(points_account),
    LEVELS: select(_ANY).select_from(member_level),
    BIRTHDAY: select(_ANY).select_from(person_field).where(person_field.c.key == "birthday"),
    RADAR: select(_ANY).select_from(radar_link),
}


def list_missing(conn: Connection) -> set[str]:
    """Which of the needs the shop does not have yet."""
    signs = [exists(sign).label(f"n{number}") for number, sign in enumerate(_SIGNS.values())]
    return {need for need, is_there in zip(_SIGNS, conn.execute(select(*signs)).one(), strict=True) if not is_there}
