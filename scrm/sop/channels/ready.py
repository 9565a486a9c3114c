"""What a channel is given when steps are released, and what it answers."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from scrm.sop.content import Filled, Shop
from scrm.sop.facts import Due
from scrm.sop.guards.answers import House
from scrm.sop.schema import Channel, Step


@dataclass(frozen=True, slots=True)
class Ready:
    """A step that may go out: its row is written, so nobody else will release it."""

    due: Due
    step: Step
    said: Filled
    step_run_id: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that came to an end at once: done, failed, skipped; with the reason in words."""

    step_run_id: int
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """What holds for the whole batch."""

    now: datetime
    house: House
    shop: Shop


def missing_content(step: Step) -> list[str]:
    """That it has nothing to say."""
    said = any(content.text or content.attachments for content in step.contents)
    return [] if said else [f"步骤“{step.id}”缺少 content：写明要说什么"]


def needless_acts(step: Step) -> list[str]:
    """That it wants to act, which only steps of channel X do."""
    return [f"步骤“{step.id}”不是系统动作（X），请把 do 放到单独的一步里"] if step.act else []


_MEMBERS_ACT = (Channel.TASK, Channel.MASS, Channel.GROUP)


def is_left_to_us(step: Step) -> bool:
    """A member has to act, and the author did not say for how long he may: engine.DEFAULT_TTL holds."""
    return step.ttl is None and step.channel in _MEMBERS_ACT


_DECISIONS = {"late": "错过时间怎么办，defer（推迟）或 drop（放弃）", "ttl": "员工多久不发就作废，例如 24h"}


def undecided(step: Step, keys: Collection[str]) -> list[str]:
    """What an author has to decide where a member must act; a window decides for him: deferred to the next, for a day."""
    if step.when.window is not None:
        return []
    return [f"步骤“{step.id}”要员工来发，缺少 {key}：{why}" for key, why in _DECISIONS.items() if key not in keys]
