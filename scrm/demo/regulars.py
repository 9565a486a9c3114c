"""The demo shop's regulars: friends of the other members, with half a year of orders behind them.

They make lists, RFM and reports look like those of a shop; the story is played with the four of scrm.demo.shop.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from scrm.demo.orders import order
from scrm.sandbox.sandbox import Sandbox


class Regular(NamedTuple):
    """`came` is how many days ago he was added; `bought` how many days ago each order was paid."""

    name: str
    gender: int
    member: str
    state: str
    came: int
    bought: tuple[int, ...]


REGULARS = {
    f"regular{number:02}": regular
    for number, regular in enumerate(
        (
            Regular("林夏", 2, "wanghao", "parcel-a", 171, (168, 131, 97, 61, 33, 6)),
            Regular("一颗小橙子", 2, "wanghao", "parcel-a", 165, (160, 118, 74, 28)),
            Regular("Momo", 2, "chenlan", "store-xuhui", 158, (158, 92, 11)),
            Regular("王小北", 1, "wanghao", "parcel-a", 150, (149,)),
            Regular("南方有乔木", 2, "wanghao", "store-xuhui", 147, (147, 120, 88, 52, 19)),
            Regular("豆豆妈妈", 2, "chenlan", "parcel-a", 141, (139, 101)),
            Regular("Cathy 何", 2, "wanghao", "live-1111", 139, (138, 66, 14)),
            Regular("赵一鸣", 1, "wanghao", "parcel-a", 133, (131,)),
            Regular("山楂树", 2, "chenlan", "store-xuhui", 128, (128, 83, 37, 9)),
            Regular("慢慢来", 2, "wanghao", "parcel-a", 121, (119,)),
            Regular("苏苏", 2, "wanghao", "live-1111", 117, (116, 70)),
            Regular("陆知行", 1, "chenlan", "store-xuhui", 112, ()),
            Regular("阿May", 2, "wanghao", "parcel-a", 108, (106, 75, 44, 12)),
            Regular("晚风", 2, "wanghao", "parcel-a", 101, (100,)),
            Regular("小雨天", 2, "chenlan", "live-1111", 97, (95, 41)),
            Regular("Grace", 2, "wanghao", "store-xuhui", 92, (92, 30)),
            Regular("许愿", 2, "wanghao", "parcel-a", 88, (87, 55, 23)),
            Regular("老方", 1, "chenlan", "parcel-a", 83, (81,)),
            Regular("栗子", 2, "wanghao", "live-1111", 79, (78, 16)),
            Regular("江江", 2, "wanghao", "store-xuhui", 74, ()),
            Regular("木木三", 2, "chenlan", "parcel-a", 70, (69, 38, 8)),
            Regular("Vivi", 2, "wanghao", "parcel-a", 66, (64,)),
            Regular("周末见", 2, "wanghao", "live-1111", 61, (60, 26)),
            Regular("沈青", 2, "chenlan", "store-xuhui", 57, (57, 21)),
            Regular("大白", 1, "wanghao", "parcel-a", 52, (50,)),
            Regular("鱼香肉丝", 2, "wanghao", "parcel-a", 47, (45, 13)),
            Regular("Lily 叶", 2, "chenlan", "live-1111", 43, (42,)),
            Regular("顾北", 1, "wanghao", "store-xuhui", 38, ()),
            Regular("七七", 2, "wanghao", "parcel-a", 34, (32, 7)),
            Regular("云朵", 2, "chenlan", "parcel-a", 31, (29,)),
            Regular("桃子汽水", 2, "wanghao", "live-1111", 27, (25,)),
            Regular("杨柳", 2, "wanghao", "store-xuhui", 24, (24,)),
            Regular("Nancy", 2, "chenlan", "parcel-a", 22, (20,)),
            Regular("半夏", 2, "wanghao", "parcel-a", 19, ()),
            Regular("胡桃", 2, "wanghao", "live-1111", 17, (15,)),
            Regular("安安", 2, "chenlan", "store-xuhui", 15, (15,)),
        ),
        start=1,
    )
}
_GOODS = (
    ("玻尿酸保湿霜 50g", "滋润型", 26800),
    ("氨基酸洁面 120g", "", 8900),
    ("积雪草修护面膜 5 片", "", 6900),
    ("清透防晒乳 50ml", "自然色", 12800),
    ("烟酰胺精华 30ml", "", 32900),
    ("旅行装三件套", "清爽型", 15900),
    ("雾面唇釉", "02 豆沙", 9900),
)
# By platform: how its numbers begin, and how many digits they have.
_NUMBERS = {"tmall": ("39", 19), "doudian": ("69", 19), "jd": ("28", 12)}
_ON_ITS_WAY_DAYS = 9


def befriend(sandbox: Sandbox, now: datetime) -> None:
    """On WeCom's side; the app learns of them by syncing."""
    for key, one in REGULARS.items():
        sandbox.add_wechat_user(key, one.name, one.gender, unionid=_unionid(key))
        sandbox.add_contact_seed(key, one.member, created_at=now - timedelta(days=one.came), state=one.state)


def orders(now: datetime, pictures: str) -> list[dict[str, Any]]:
    """Of all platforms, the same at each start but for their days."""
    return [
        _bought(now, number, turn, key, days, pictures)
        for number, (key, one) in enumerate(REGULARS.items())
        for turn, days in enumerate(one.bought)
    ]


def _bought(now: datetime, number: int, turn: int, key: str, days: int, pictures: str) -> dict[str, Any]:
    platform = tuple(_NUMBERS)[(number + turn) % len(_NUMBERS)]
    start, digits = _NUMBERS[platform]
    order_no = start + str(1_000_003 * (100 * number + turn + 7)).rjust(digits - len(start), "5")
    title, spec, price = _GOODS[(number * 3 + turn * 2) % len(_GOODS)]
    lines = [(title, spec, 1 + (number + turn) % 2, price)]
    status = "shipped" if days < _ON_ITS_WAY_DAYS else "completed"
    return order(now, platform, order_no, _unionid(key), days, lines, status, pictures=pictures)


def _unionid(key: str) -> str:
    return f"oDemoUnion{key.title()}".ljust(28, "0")
