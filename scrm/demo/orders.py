"""An order of the demo's shop, as a platform would tell it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

# What is told apart on a shelf: a form for each kind of goods, in the sandbox's own drawings.
_FORMS = {
    "防晒": "tube",
    "洁面": "tube",
    "精华": "dropper",
    "面膜": "sachet",
    "霜": "jar",
    "唇釉": "lipstick",
    "套": "set",
}


def picture_of(address: str, title: str) -> str:
    """Below `address`; '' for goods that nobody has drawn."""
    form = next((form for word, form in _FORMS.items() if word in title), "")
    return f"{address}/{form}.svg" if address and form else ""


def order(
    now: datetime,
    channel: str,
    order_no: str,
    unionid: str | None,
    days_ago: int,
    lines: list[tuple[str, str, int, int]],
    status: str,
    phone: str | None = None,
    pictures: str = "",
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
                "image_url": picture_of(pictures, title),
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
