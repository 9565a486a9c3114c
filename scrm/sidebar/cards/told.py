"""Already told: what anybody sent this person in the last days, how much more they may get, and what speaks against it.

Shown before any send: a task's, a script's, a coupon's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.mass_messages.audience import quota_at
from scrm.sidebar import store
from scrm.sidebar.cards.visit import Visit
from scrm.sop.guards import brakes
from scrm.sop.guards.brakes import Standing
from scrm.sop.members.task_store import find_task
from web.texts import N_, _

SINCE = timedelta(days=7)
MOST = 20
_LENGTH = 60

# The channel letters of playbooks, in words.
CHANNELS = {
    "welcome": N_("欢迎语"),
    "chat": N_("员工发送"),
    "mass": N_("群发"),
    "broadcast": N_("群发"),
    "outward": N_("外部推送"),
}
_DOUBTS = {
    "intent": N_("可能已发出"),
    "unknown": N_("可能已发出"),
    "waiting": N_("待员工确认"),
    "done_by_other": N_("由其他方式发出"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One message: when, by which way, by whom, its first words; `doubt` unless it surely went out."""

    at: datetime
    channel: str
    who: str
    text: str
    doubt: str


@dataclass(frozen=True, slots=True)
class Quota:
    """How many of something within some time, and how many are left."""

    title: str
    used: int
    left: int


@dataclass(frozen=True, slots=True)
class Told:
    """`lines` are the newest first; `left` is what every cap leaves, None without caps."""

    lines: list[Line]
    standing: Standing
    quotas: list[Quota]
    task_id: int | None

    @property
    def left(self) -> int | None:
        of_marketing = [quota.left for quota in self.quotas if quota.title != _of_wecom()]
        return min(of_marketing, default=None)


def load(conn: Connection, visit: Visit, task_id: int | None) -> Told:
    """Behind the door; `task_id` is the task that would be sent, None for a send by hand."""
    rows = store.list_told(conn, visit.person_id, since=visit.now - SINCE, limit=MOST)
    standing = _standing(conn, visit, task_id)
    return Told([_line(row, visit) for row in rows], standing, [*_caps(standing), _wecoms(conn, visit)], task_id)


def _standing(conn: Connection, visit: Visit, task_id: int | None) -> Standing:
    assert visit.relation is not None  # noqa: S101 - behind the door
    optout, rules = visit.relation.optout or {}, visit.rules
    task = find_task(conn, task_id) if task_id is not None else None
    if task is None or task.userid.casefold() != visit.userid.casefold():
        return brakes.by_hand(conn, visit.person_id, visit.external_userid, optout, rules.house, visit.now)
    return brakes.of_task(conn, task, optout, rules.published, rules.house, visit.now)


def _caps(standing: Standing) -> list[Quota]:
    caps = standing.caps
    limits = ((_("7 天营销消息"), caps.per_week, standing.week), (_("30 天营销消息"), caps.per_month, standing.month))
    return [Quota(title, used, max(most - used, 0)) for title, most, used in limits if most is not None]


def _of_wecom() -> str:
    return _("本月群发（企业微信）")


def _wecoms(conn: Connection, visit: Visit) -> Quota:
    """WeCom's own: as many mass messages in a calendar month as it has days."""
    since, most = quota_at(visit.now, visit.settings.mass_messages, visit.zone).limits[-1]
    used = store.count_mass_messages(conn, visit.person_id, since=since)
    return Quota(_of_wecom(), used, max(most - used, 0))


def _line(row: Any, visit: Visit) -> Line:
    who = _("我") if row.userid == visit.userid else row.member_name or row.userid
    doubt = _(_DOUBTS[row.outcome]) if row.outcome in _DOUBTS else ""
    return Line(row.at, _(CHANNELS[row.kind]), who, first_words(row.content), doubt)


def first_words(content: Any) -> str:
    """Of what the ledger keeps: {"messages": [...]}, {"text": ...}, {"title": ...} or a call's body. Pure."""
    if not isinstance(content, Mapping):
        return ""
    for message in content.get("messages") or ():
        body = message.get(message.get("msgtype"), {}) if isinstance(message, Mapping) else {}
        if words := body.get("content") or body.get("title"):
            return _short(words)
    step = content.get("body", {}).get("step", {}) if isinstance(content.get("body"), Mapping) else {}
    return _short(content.get("text") or content.get("title") or step.get("title") or "")


def _short(words: Any) -> str:
    line = " ".join(str(words).split())
    return line if len(line) <= _LENGTH else f"{line[:_LENGTH]}…"
