"""When a friend counts: pure decisions from what is known of him, of who brought him, and of the campaign."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from web.texts import N_

DAY = timedelta(days=1)

# Why a friend does not count, or why a manager is asked, in the words of the console.
REASONS: Mapping[str, str] = {
    "self": N_("扫的是自己的码"),
    "not_new": N_("加好友以前就是客户：加过好友或下过单"),
    "stopped": N_("在停发名单里（员工亲友、同行、测试号或黑名单）"),
    "inviter_stopped": N_("介绍人在停发名单里，或资料已删除"),
    "left": N_("加好友后很快删除了员工"),
    "daily": N_("超过介绍人每天的上限"),
    "no_order": N_("没有在规定的天数内下单"),
    "refunded": N_("规定天数内的订单都退款了"),
    "same_phone": N_("收货手机号和介绍人或他的另一位朋友相同"),
    "same_address": N_("收货地址和介绍人或他的另一位朋友相同"),
    "same_device": N_("和介绍人或他的另一位朋友用同一台设备"),
    "full": N_("活动名额已满"),
    "many": N_("介绍人的有效朋友较多，请人工核对"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a campaign asks for (scrm.referrals.models.referral_campaign)."""

    order_days: int = 30
    return_days: int = 15
    stay_days: int = 7
    daily_most: int | None = None
    review_above: int | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Bought:
    """A purchase after the add; `kept_fen` is what refunds left of it."""

    order_id: int
    paid_at: datetime
    kept_fen: int
    has_open_refund: bool = False


@dataclass(frozen=True, slots=True)
class Friend:
    """What is known of one row of the ledger."""

    added_at: datetime
    is_self: bool = False
    is_new: bool = True
    is_stopped: bool = False
    is_inviter_stopped: bool = False
    # When the friendship ended by which he came; None while it lives.
    left_at: datetime | None = None
    bought: Sequence[Bought] = ()
    # same_phone, same_address, same_device
    shares: Sequence[str] = ()
    # Friends whom the same customer brought earlier on that day of the shop.
    earlier_that_day: int = 0
    valid_of_inviter: int = 0
    valid_in_all: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`state` is pending, review, valid or void; `look_at` is when it may become another."""

    state: str
    reason: str = ""
    look_at: datetime | None = None
    order_id: int | None = None


def judge(friend: Friend, terms: Terms, now: datetime) -> Verdict:
    """What the row is now. The same facts give the same answer, in whatever order they became known."""
    if wrong := _wrong(friend, terms):
        return Verdict("void", wrong)
    deadline = friend.added_at + terms.order_days * DAY
    in_time = sorted((one for one in friend.bought if one.paid_at <= deadline), key=lambda one: one.paid_at)
    kept = [one for one in in_time if one.kept_fen > 0]
    for one in kept:
        if not one.has_open_refund and one.paid_at + terms.return_days * DAY <= now:
            return _counts(friend, terms, one.order_id)
    if not kept and now > deadline:
        return Verdict("void", "refunded" if in_time else "no_order")
    # Refunds, losses and late orders are seen within a day; what is due sooner is seen then.
    due = [one.paid_at + terms.return_days * DAY for one in kept if not one.has_open_refund]
    return Verdict("pending", look_at=min([now + DAY, *(at for at in due if at > now)]))


def _wrong(friend: Friend, terms: Terms) -> str:
    if friend.is_self:
        return "self"
    if not friend.is_new:
        return "not_new"
    if friend.is_stopped:
        return "stopped"
    if friend.is_inviter_stopped:
        return "inviter_stopped"
    if friend.left_at is not None and friend.left_at < friend.added_at + terms.stay_days * DAY:
        return "left"
    if terms.daily_most is not None and friend.earlier_that_day >= terms.daily_most:
        return "daily"
    return friend.shares[0] if friend.shares else ""


def _counts(friend: Friend, terms: Terms, order_id: int) -> Verdict:
    if terms.most is not None and friend.valid_in_all >= terms.most:
        return Verdict("void", "full", order_id=order_id)
    if terms.review_above is not None and friend.valid_of_inviter >= terms.review_above:
        return Verdict("review", "many", order_id=order_id)
    return Verdict("valid", order_id=order_id)


def reason_text(reason: str) -> str:
    """The reason in words; what a manager wrote stands as it is."""
    return REASONS.get(reason, reason)


def shown_name(nickname: str, shows_names: bool) -> str:
    """How friends read the name of who brought them: 小满, or 小* where names are not shown; '' stays ''."""
    return nickname if shows_names or not nickname else f"{nickname[0]}*"


# What a form may hold: least and most of each number.
LIMITS: Mapping[str, tuple[int, int]] = {
    "order_days": (1, 365),
    "return_days": (0, 90),
    "stay_days": (0, 90),
    "daily_most": (1, 10_000),
    "review_above": (0, 100_000),
    "most": (1, 10_000_000),
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A campaign as a manager wrote it down, checked."""

    title: str
    starts_at: datetime
    ends_at: datetime | None
    rules: str
    shows_names: bool
    terms: Terms = field(default_factory=Terms)
