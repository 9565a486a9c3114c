"""What may hold a step back although its playbook wants it: hours, refusals, brakes, too many messages. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scrm.sop import timing
from scrm.sop.schema import Caps, Channel, Playbook, Step, Window

# A step is not late while it is only as late as a slow tick (or a short restart) makes it.
GRACE = timedelta(minutes=15)
# After a longer silence of ours a person gets overdue messages a day apart, never in a burst.
OVERDUE = timedelta(hours=1)
OVERDUE_GAP = timedelta(hours=24)
# How far back touches are counted.
COUNTED = timedelta(days=30)
# Of playbooks without a share of their own the first so many customers all get their messages.
HOLDOUT_FROM = 200

# Payment and parcel notices (P1) may still go out until then.
_NOTICES_UNTIL = time(22, 0)
MARKETING = frozenset({"P3", "P4"})
_PROMOTION = MARKETING | {"P5"}
_SERVICE = frozenset({"P0", "P1"})
# Where a customer is pushed something that he did not ask for.
PUSHES = frozenset({Channel.TASK, Channel.MASS, Channel.OUTWARD})

NO_CAPS = Caps()

STOP_KINDS = {"relative": "员工亲友", "peer": "同行", "test": "测试号", "black": "黑名单"}


class Promotion(NamedTuple):
    """Days on which the shop's great promotion (大促) speaks, the last one included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class House:
    """What holds for every playbook: the shop's zone, its quiet hours, how much one customer and one member bear.

    `gap` parts any two messages, `caps` those of marketing. `holdout` is the part of 1 that P3 and P4 leave alone.
    """

    zone: ZoneInfo
    quiet: Window | None = None
    gap: timedelta = timedelta(minutes=30)
    caps: Caps = NO_CAPS
    after_sale: timedelta = timedelta(days=7)
    talk: timedelta = timedelta(hours=2)
    tasks_per_day: int | None = 40
    holdout: float = 0.0
    held_at_most: timedelta = timedelta(days=14)
    stop_tags: frozenset[str] = frozenset()
    promotions: tuple[Promotion, ...] = ()


class Touch(NamedTuple):
    """One message of marketing to a person, sent or about to be; `what` names it in words."""

    at: datetime
    what: str = ""


class GuardFacts(NamedTuple):
    """What the guards know of one person at a moment, in the order in which they ask.

    `stopped` and `case` say why in words (empty: nothing). `case_until` is when the after-sale brake lifts, None while
    the case is open. `spoke_at` is when the customer last spoke, `is_waiting` that nobody has answered. `touches` are
    of the last 30 days, oldest first. `rival` names what is more important and comes today.
    """

    is_holdout: bool = False
    stopped: str = ""
    is_black: bool = False
    case: str = ""
    case_until: datetime | None = None
    spoke_at: datetime | None = None
    is_waiting: bool = False
    touches: tuple[Touch, ...] = ()
    rival: str = ""
    is_full: bool = False


NOTHING = GuardFacts()


class Free(NamedTuple):
    """From when on a guard lets the step pass (`at`), and why not now."""

    at: datetime
    why: str = ""


def is_marketing(playbook: Playbook, step: Step) -> bool:
    """Whether caps and the conversation's brake hold: T, M and K of P3 and P4."""
    return playbook.priority in MARKETING and step.channel in PUSHES


# Hours ----------------------------------------------------------------------------------------------------------------


def quiet_hours(playbook: Playbook, step: Step, house: House) -> Window | None:
    """The span in which this step must not disturb; None when it may come at any time."""
    if step.ignores_quiet or playbook.guards.quiet == "none":
        return None
    if isinstance(playbook.guards.quiet, Window):
        return playbook.guards.quiet
    if playbook.priority == "P0":
        return None
    quiet = house.quiet
    if quiet is not None and playbook.priority == "P1" and time(12) < quiet.start < _NOTICES_UNTIL:
        return Window(_NOTICES_UNTIL, quiet.end)
    return quiet


def closed_because(step: Step, quiet: Window | None, moment: datetime, zone: ZoneInfo) -> str:
    """Why the step cannot come at that moment, in words; empty when it can."""
    if quiet is not None and timing.quiet_until(moment, quiet, zone) is not None:
        return f"勿扰时段（{words(quiet)}）"
    if step.when.window is not None and not timing.fits(moment, step.when.window, zone):
        return f"不在发送时段（{words(step.when.window)}）"
    return ""


def next_moment(step: Step, quiet: Window | None, moment: datetime, house: House, spread_key: str) -> datetime:
    """The first moment from `moment` on that lies in the step's window and outside the quiet hours."""
    for _ in range(4):
        if quiet is not None and (ends := timing.quiet_until(moment, quiet, house.zone)) is not None:
            moment = ends
        window = step.when.window
        if window is None or timing.fits(moment, window, house.zone):
            return moment
        moment = timing.next_open(moment, window, house.zone, spread_key=spread_key)
    # Window and quiet hours never meet: publishing refuses that, but the house's hours may change afterwards.
    return moment


# Refusals -------------------------------------------------------------------------------------------------------------


def refused(playbook: Playbook, optout: Mapping[str, object], step: Step | None = None) -> str:
    """Why this person must not be written to; a refusal of everything leaves only complaints (P0) and notices (P1)."""
    if playbook.priority in _SERVICE:
        return ""
    if optout.get("all"):
        return "客户已拒绝接收消息"
    channel = step.channel if step is not None else Channel.TASK
    if optout.get("chat") and channel is Channel.TASK:
        return "客户已拒绝员工的剧本消息"
    if optout.get("mass") and channel is Channel.MASS:
        return "客户已拒绝群发消息"
    if optout.get("promo") and (playbook.priority in _PROMOTION or playbook.guards.optout == "promo"):
        return "客户已拒绝接收营销消息"
    if playbook.guards.optout in ("birthday", "live") and optout.get(playbook.guards.optout):
        return f"客户已拒绝{'生日' if playbook.guards.optout == 'birthday' else '直播'}消息"
    return ""


def stopped(playbook: Playbook, facts: GuardFacts) -> str:
    """Why the stop list keeps this person out; complaints and notices reach all but the blacklisted."""
    if not facts.stopped or (playbook.priority in _SERVICE and not facts.is_black):
        return ""
    return f"客户在停发名单：{facts.stopped}"


def capped(playbook: Playbook, pushes: int) -> str:
    """Why this run has said enough; empty while it has not."""
    limit = playbook.guards.max_pushes
    return f"本流程已发 {pushes} 次，达到上限" if limit is not None and pushes >= limit else ""


# Brakes ---------------------------------------------------------------------------------------------------------------


def braked(playbook: Playbook, facts: GuardFacts) -> str:
    """Why a case of this person leaves room for complaints and notices only."""
    if not facts.case or playbook.priority in _SERVICE or playbook.guards.brake == "none":
        return ""
    return facts.case


# How the words of a pause for a promotion begin.
IN_PROMOTION = "大促期间"


def in_promotion(now: datetime, house: House) -> Free | None:
    """The same time of the day after the promotion that is on, and the words; None on ordinary days.

    A pause of whole days: steps keep their time of day when their dates move by it.
    """
    today = now.astimezone(house.zone).date()
    lasts = [each.last for each in house.promotions if each.first <= today <= each.last]
    if not lasts:
        return None
    last = max(lasts)
    ends = now + (last + timedelta(days=1) - today)
    return Free(ends, f"{IN_PROMOTION}（到 {last.month}月{last.day}日），生命周期的营销等结束再接着走")


def gives_way(playbook: Playbook) -> bool:
    """Whether it waits while a promotion speaks: P3, but not for a customer's own dates, which come once."""
    return playbook.priority == "P3" and playbook.guards.brake != "none" and playbook.trigger.event != "date.reached"


def talking(playbook: Playbook, facts: GuardFacts, now: datetime, house: House) -> Free | None:
    """Nobody is advertised to while he talks with us, or waits for our answer."""
    if playbook.guards.brake == "none" or facts.spoke_at is None:
        return None
    local = facts.spoke_at.astimezone(house.zone)
    if facts.is_waiting:
        return Free(now + house.talk, f"客户 {_moment(local)} 的消息还没有回复")
    ends = facts.spoke_at + house.talk
    return Free(ends, f"客户 {_moment(local)} 刚说过话") if ends > now else None


# Caps -----------------------------------------------------------------------------------------------------------------


def caps_of(playbook: Playbook, house: House) -> Caps:
    """The playbook's own caps; what it leaves open is the house's."""
    own = playbook.guards.cap
    if own == "none":
        return NO_CAPS
    if not isinstance(own, Caps):
        return house.caps
    return Caps(
        own.gap if own.gap is not None else house.caps.gap,
        own.per_week if own.per_week is not None else house.caps.per_week,
        own.per_month if own.per_month is not None else house.caps.per_month,
    )


def full(caps: Caps, touches: Sequence[Touch], now: datetime, zone: ZoneInfo) -> Free | None:
    """From when on one more message stays under every cap, and which cap says so; None when that is now."""
    if not touches:
        return None
    frees = []
    last = touches[-1]
    if caps.gap is not None and last.at + caps.gap > now:
        hours = timing.write_duration(caps.gap)
        frees.append(Free(last.at + caps.gap, f"{_named(last, zone)}，{hours}内不再打扰"))
    for days, most in ((7, caps.per_week), (30, caps.per_month)):
        recent = [touch for touch in touches if touch.at > now - timedelta(days=days)]
        if most is not None and len(recent) >= most:
            frees.append(
                Free(
                    recent[-most].at + timedelta(days=days), f"{days} 天内已发 {len(recent)} 次营销消息，上限 {most} 次"
                )
            )
    return max(frees, key=lambda one: one.at, default=None)


def counted(
    caps: Caps, touches: Sequence[Touch], now: datetime, zone: ZoneInfo
) -> tuple[str, int, int | None, int, int | None]:
    """How much this person got and may get, for the record of a step that goes out (`guard_words` tells it)."""
    if not touches:
        return "", 0, caps.per_week, 0, caps.per_month
    week_ago = now - timedelta(days=7)
    last = _moment(touches[-1].at.astimezone(zone))
    return last, sum(touch.at > week_ago for touch in touches), caps.per_week, len(touches), caps.per_month


def free_at(
    playbook: Playbook, late: timedelta, last_push_at: datetime | None, now: datetime, house: House
) -> datetime:
    """From when on this person may be written to again: now, or a while after the last message."""
    if last_push_at is None or playbook.priority == "P0":
        return now
    return max(now, last_push_at + (OVERDUE_GAP if late > OVERDUE else house.gap))


@lru_cache(maxsize=64)
def words(window: Window) -> str:
    return f"{window.start:%H:%M}–{window.end:%H:%M}"


def _named(touch: Touch, zone: ZoneInfo) -> str:
    at = _moment(touch.at.astimezone(zone))
    return f"{at} 已有{touch.what}" if touch.what else f"{at} 刚发过营销消息"


def _moment(local: datetime) -> str:
    return f"{local.month}月{local.day}日 {local:%H:%M}"
