"""The lines of the timeline, as a member reads them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from scrm.commerce.words import channel
from scrm.profiles import timeline
from scrm.profiles.timeline import Line
from web.texts import N_, _
from web.texts.kept import retold


def tell(name: str, facts: Mapping[str, Any], who: str, own: Any = None) -> Line:
    """A domain event as a line; `who` is the member it speaks of, or empty (the words: scrm.profiles.timeline)."""
    return timeline.tell(name, facts, who, channel=channel, own=own)


# 免打扰: what a customer may refuse (scrm.privacy.optout.FLAGS), and what that stops.
REFUSALS: dict[str, tuple[str, str]] = {
    "promo": (N_("不收推销"), N_("不再发优惠、上新和活动")),
    "mass": (N_("不收群发"), N_("群发时跳过，一对一照常")),
    "chat": (N_("不收跟进消息"), N_("不再提醒你发剧本里的消息")),
    "birthday": (N_("不收生日祝福"), N_("生日和纪念日的消息都不发")),
    "live": (N_("不收直播通知"), N_("开播、改期都不通知")),
    "all": (N_("全部不打扰"), N_("除了他主动问的，什么都不发")),
}


def refusals(optout: Mapping[str, Any] | None) -> list[str]:
    """What the customer refused, in words, for the head and the task's card; everything else goes without saying."""
    raised = [name for name in REFUSALS if (optout or {}).get(name)]
    return [_(REFUSALS[name][0]) for name in (["all"] if "all" in raised else raised)]


_WELCOMES = {
    "sent": Line("chat", N_("发出欢迎语")),
    "done_by_other": Line("chat", N_("欢迎语由其他方式发出")),
    "intent": Line("chat", N_("欢迎语发送中")),
}


def tell_welcome(outcome: str, text: str, reason: str) -> Line:
    """A welcome of the send ledger: what was said, or why nothing was."""
    line = _WELCOMES.get(outcome) or Line("alert", N_("欢迎语没有发出"))
    return line._replace(title=_(line.title), detail=text if outcome == "sent" else retold(reason))


def days_since(moment: datetime, now: datetime) -> int:
    """Whole days, the first day counting as one."""
    return max(0, (now - moment) // timedelta(days=1)) + 1
