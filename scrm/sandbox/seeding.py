"""A grown shop at once: many members, and customers who were there before anybody looked; no callback tells of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from scrm.clock import SystemClock
from scrm.errors import Invalid

from .sandbox import Sandbox
from .world import AVATAR_COLORS, Pair, PairState, WechatUser

MOST_CUSTOMERS = 1_000_000
MOST_MEMBERS = 5_000
# After so many the sandbox answers others for a moment.
_BREATH = 2_000
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
_GIVEN = [
    "小雨",
    "思远",
    "晓彤",
    "子涵",
    "佳怡",
    "俊杰",
    "雅婷",
    "志强",
    "梦琪",
    "浩然",
    "欣怡",
    "建国",
    "丽华",
    "一鸣",
    "诗涵",
    "海燕",
    "文博",
    "静雯",
    "天宇",
    "秀兰",
]
_WAYS = (1, 1, 1, 3, 6, 16, 202)


@dataclass(frozen=True, slots=True)
class Seed:
    """How much: every `shared`th customer has a second member, every `tagged`th a corp tag, when there are any."""

    customers: int
    members: int = 20
    departments: int = 5
    shared: int = 10
    tagged: int = 3

    def __post_init__(self) -> None:
        for name, most in (("customers", MOST_CUSTOMERS), ("members", MOST_MEMBERS), ("departments", 500)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise Invalid(f"{name} 应为 1 到 {most} 的整数，收到「{value}」。")


async def seed(sandbox: Sandbox, wanted: Seed) -> dict[str, int]:
    """Add members and customers; ids follow from the corp and a running number, so the same corp seeds the same."""
    first = len(sandbox.world.wechat_users)
    userids = list(_members(sandbox, wanted))
    tags = [tag.id for group in sandbox.world.tag_groups for tag in group.tags if not tag.is_deleted]
    now = sandbox.clock.now()
    relations = 0
    for number in range(wanted.customers):
        relations += _customer(sandbox, wanted, first + number, userids, tags, now)
        if number % _BREATH == _BREATH - 1:
            await SystemClock().sleep(0)
    sandbox.world.touch()
    return {"customers": wanted.customers, "members": len(userids), "relations": relations}


def _members(sandbox: Sandbox, wanted: Seed) -> Iterator[str]:
    for number in range(wanted.members):
        userid = f"staff{number:04}"
        if sandbox.world.find_member(userid) is None:
            name = _SURNAMES[number % len(_SURNAMES)] + _GIVEN[number % len(_GIVEN)]
            sandbox.add_member(userid, name, department=f"门店 {number % wanted.departments + 1}")
        yield userid


def _customer(sandbox: Sandbox, wanted: Seed, number: int, userids: list[str], tags: list[str], now: datetime) -> int:
    """One customer with one or two relations; returns how many."""
    world = sandbox.world
    key = f"seed{number}"
    name = _SURNAMES[number % len(_SURNAMES)] + _GIVEN[number // len(_SURNAMES) % len(_GIVEN)]
    color = AVATAR_COLORS[number % len(AVATAR_COLORS)]
    user = WechatUser(key, name, number % 3, world.make_id("wm", key), world.make_id("o", key, 28), None, color)
    world.put_wechat_user(user)
    followers = {userids[number % len(userids)]}
    if number % wanted.shared == 0:
        followers.add(userids[(number // wanted.shared + 1) % len(userids)])
    for place, userid in enumerate(sorted(followers)):
        added_at = now - timedelta(minutes=60 + (number * 37 + place) % 1_000_000)
        pair = Pair(userid, user.external_userid, PairState.FRIEND, added_at, _WAYS[number % len(_WAYS)])
        pair.has_chatted = True
        pair.remark = name
        if tags and number % wanted.tagged == 0:
            pair.tag_ids = [tags[number // wanted.tagged % len(tags)]]
        world.put_pair(pair)
    return len(followers)
