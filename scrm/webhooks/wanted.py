"""What somebody asks for who wants to be told of events. Pure."""

import secrets
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from yarl import URL

from scrm.errors import Invalid
from scrm.profiles.conditions.leaves_events import EVENTS, OWN_EVENT

# Families of events as people know them, in the order of the form.
FAMILIES = {
    "contact": "客户与好友关系",
    "person": "客户档案",
    "order": "订单",
    "refund": "售后",
    "coupon": "优惠券",
    "points": "积分",
    "level": "会员等级",
    "group": "客户群",
    "segment": "人群包",
    "stage": "客户阶段",
    "optout": "消息偏好",
    "transfer": "客户继承",
    "task": "员工待办",
    "note": "跟进记录",
    "staff": "员工",
    "cart": "购物车",
    "checkout": "结算",
    "kf": "微信客服",
    "oa": "公众号",
    "custom": "自有事件",
}
_MOST_EVENTS = 60
# Everything, and each family.
WHOLE = ("*", *sorted({f"{name.partition('.')[0]}.*" for name in EVENTS} | {"custom.*"}))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A subscription as it was asked for, checked."""

    title: str
    url: str
    events: tuple[str, ...]


def read_wanted(title: str, url: str, events: Iterable[str], *, allow_private: bool) -> Wanted:
    """Raises Invalid with what was found and what is expected."""
    title = title.strip()[:80]
    if not title:
        raise Invalid("请填写名称，例如“数据仓库”，推送记录和通知里会用它")
    return Wanted(title, _read_url(url.strip(), allow_private), _read_events(events))


def _read_url(text: str, allow_private: bool) -> str:
    try:
        url = URL(text)
        is_good = bool(url.host) and url.scheme in (("https", "http") if allow_private else ("https",))
    except ValueError:
        is_good = False
    if not is_good or len(text) > 500:
        raise Invalid(f"地址应是 https:// 开头的完整网址，收到“{text[:60]}”")
    if url.user or url.password:
        raise Invalid("地址里不要写用户名和密码：对方用签名核对来源")
    return text


def _read_events(events: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(each.strip() for each in events if each.strip()))
    if not names:
        raise Invalid("请至少选择一种事件")
    if len(names) > _MOST_EVENTS:
        raise Invalid(f"选了 {len(names)} 种事件，最多 {_MOST_EVENTS} 种；要更多请选整类（如 order.*）或全部（*）")
    for name in names:
        if not (name in WHOLE or name in EVENTS or OWN_EVENT.fullmatch(name)):
            raise Invalid(f"不认识的事件 {name[:48]}：可以写事件名（order.paid）、整类（order.*）或全部（*）")
    return names


def wants(events: Collection[str], name: str) -> bool:
    """Whether a subscription to `events` hears of this one."""
    return name in events or "*" in events or f"{name.partition('.')[0]}.*" in events


def describe_events(events: Collection[str]) -> str:
    """订单（全部）、付款"""
    if "*" in events:
        return "全部事件"
    return "、".join(_title(name) for name in events)


def _title(name: str) -> str:
    family, _, rest = name.partition(".")
    if rest == "*":
        return f"{FAMILIES.get(family, family)}（整类）"
    return str(EVENTS.get(name, name))


def new_secret() -> str:
    """Shown once."""
    return f"whsec_{secrets.token_urlsafe(32)}"
