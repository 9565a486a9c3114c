"""What may hold a step back although its playbook wants it: quiet hours, refusals, too many messages. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from scrm.sop import timing
from scrm.sop.schema import Playbook, Step, Window

# A step is not late while it is only as late as a slow tick (or a short restart) makes it.
GRACE = timedelta(minutes=15)
# After a longer silence of ours a person gets overdue messages a day apart, never in a burst.
OVERDUE = timedelta(hours=1)
OVERDUE_GAP = timedelta(hours=24)

# Payment and parcel notices (P1) may still go out until then.
_NOTICES_UNTIL = time(22, 0)
_MARKETING = frozenset({"P3", "P4", "P5"})


@dataclass(frozen=True, slots=True)
class House:
    """What holds for every playbook: the shop's zone, its quiet hours, and the least time between two messages."""

    zone: ZoneInfo
    quiet: Window | None = None
    gap: timedelta = timedelta(minutes=30)


def quiet_hours(playbook: Playbook, step: Step, house: House) -> Window | None:
    """The span in which this step must not disturb; None when it may come at any time."""
    if step.ignores_quiet or playbook.priority == "P0" or playbook.guards.quiet == "none":
        return None
    if isinstance(playbook.guards.quiet, Window):
        return playbook.guards.quiet
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


def refused(playbook: Playbook, optout: Mapping[str, object]) -> str:
    """Why this person must not be written to; a refusal of everything leaves only complaints (P0) and notices (P1)."""
    if optout.get("all") and playbook.priority not in ("P0", "P1"):
        return "客户已拒绝接收消息"
    if optout.get("chat") and playbook.priority not in ("P0", "P1"):
        return "客户已拒绝员工的剧本消息"
    if optout.get("promo") and playbook.priority in _MARKETING:
        return "客户已拒绝接收营销消息"
    return ""


def capped(playbook: Playbook, pushes: int) -> str:
    """Why this run has said enough; empty while it has not."""
    limit = playbook.guards.max_pushes
    return f"本流程已发 {pushes} 次，达到上限" if limit is not None and pushes >= limit else ""


def free_at(
    playbook: Playbook, late: timedelta, last_push_at: datetime | None, now: datetime, house: House
) -> datetime:
    """From when on this person may be written to again: now, or a while after the last message."""
    if last_push_at is None or playbook.priority == "P0":
        return now
    return max(now, last_push_at + (OVERDUE_GAP if late > OVERDUE else house.gap))


def words(window: Window) -> str:
    return f"{window.start:%H:%M}–{window.end:%H:%M}"
