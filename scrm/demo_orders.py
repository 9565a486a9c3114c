"""An order of the demo's shop, as a platform would tell it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any


def order(
    now: datetime,
    channel: str,
    order_no: str,
    unionid: str | None,
    days_ago: int,
    lines: list[tuple[str, str, int, int]],
    status: str,
    phone: str | None = None,
) -> dict[str, Any]:
    paid_at = now - timedelta(days=days_ago, minutes=37)
    shipped_at = min(paid_at + timedelta(hours=20), now - timedelta(hours=1))
    total = sum(qty * price for _, _, qty, price in lines)
    is_done = status == "completed"
    buyer: Mapping[str, Any] = {"wx_unionid": unionid} if unionid else {"mobile_e164": f"+86{phone}"}
    return {
        "channel": channel,
        "shop_key": "qingyu",
        "order_no": order_no,
        "status": status,
        "payment_status": "paid",
        "fulfillment_status": "delivered" if is_done else "shipped",
        "goods_fen": total,
        "payable_fen": total,
        "paid_fen": total,
        "ordered_at": (paid_at - timedelta(minutes=3)).isoformat(),
        "paid_at": paid_at.isoformat(),
        "shipped_at": shipped_at.isoformat(),
        **({"completed_at": (paid_at + timedelta(days=8)).isoformat()} if is_done else {}),
        "platform_updated_at": (paid_at + timedelta(days=1)).isoformat(),
        "buyer_ref": buyer,
        "lines": [
            {
                "line_key": f"{order_no}-{number}",
                "title": title,
                "spec": spec,
                "qty": qty,
                "unit_price_fen": price,
                "paid_fen": qty * price,
                "is_gift": price == 0,
            }
            for number, (title, spec, qty, price) in enumerate(lines, 1)
        ],
        "shipments": [
            {
                "carrier_code": "SF",
                "carrier_name": "顺丰速运",
                "tracking_no": f"SF{order_no[-12:]}",
                "shipped_at": shipped_at.isoformat(),
                **({"delivered_at": (shipped_at + timedelta(days=2)).isoformat()} if is_done else {}),
            }
        ],
    }
