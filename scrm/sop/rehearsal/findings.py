"""What a rehearsal finds: counted as it goes, so that its size does not grow with the crowd's messages."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from scrm.sop.rehearsal.walks import Person, Walk
from scrm.sop.schema import Channel, Step

EXAMPLES = 20
_COLLISIONS = 200
_PERSONS = 20

# What may become of a step; the words are those of docs/playbooks 8.3.
WORDS = {
    "asked": "待员工确认",
    "sent": "已发送",
    "done": "已完成",
    "skipped": "已跳过",
    "deferred": "已推迟",
    "dropped": "放弃",
    "expired": "已过期",
    "withdrawn": "已撤回",
    "paused": "已暂停",
    "failed": "失败",
}


def _counters() -> defaultdict[Any, Counter[Any]]:
    return defaultdict(Counter)


@dataclass(slots=True)
class Findings:
    """Counters by day, step, member and person; `zone` says where a day begins."""

    zone: ZoneInfo
    task_limit: int | None
    entered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    days: dict[date, Counter[str]] = field(default_factory=_counters)
    steps: dict[str, Counter[str]] = field(default_factory=_counters)
    reasons: dict[str, Counter[str]] = field(default_factory=_counters)
    arms: dict[str, Counter[str]] = field(default_factory=_counters)
    tasks: dict[str, Counter[date]] = field(default_factory=_counters)
    members: dict[str, Counter[str]] = field(default_factory=_counters)
    persons: Counter[int] = field(default_factory=Counter)
    guards: Counter[str] = field(default_factory=Counter)
    collisions: list[dict[str, Any]] = field(default_factory=list)
    examples: list[tuple[Person, Walk]] = field(default_factory=list)
    # The same in plain values, with the moment of entry, once it is over.
    told: list[tuple[datetime, dict[str, Any]]] = field(default_factory=list)
    sends: list[tuple[str, str, datetime]] | None = None

    def enter(self, walk: Walk, now: datetime) -> None:
        self.entered[walk.playbook.key] += 1
        self.days[self.day(now)]["entered"] += 1
        if len(self.examples) < EXAMPLES:
            if walk.person.story is None:
                walk.person.story = []
            self.examples.append((walk.person, walk))
            self.tell(walk.person, now, f"进入「{walk.playbook.title}」")

    def refuse(self, reason: str) -> None:
        self.refused[reason] += 1

    def end(self, walk: Walk, now: datetime, reason: str) -> None:
        self.ended[walk.state] += 1
        self.tell(walk.person, now, f"流程结束：{reason}")

    def become(self, walk: Walk, step: Step, state: str, now: datetime, reason: str = "", guard: str = "") -> None:
        """A step came to that; with a `guard` because that guard stopped it."""
        day = self.day(now)
        self.days[day][state] += 1
        self.steps[step.id][state] += 1
        if reason:
            self.reasons[step.id][f"{WORDS[state]}：{_plain(reason)}"] += 1
        if state == "asked":
            self.tasks[walk.userid][day] += 1
            self.members[walk.userid]["asked"] += 1
        elif state in ("sent", "expired", "withdrawn") and step.channel is not Channel.WELCOME:
            self.members[walk.userid][state] += 1
        if state == "sent":
            self.persons[walk.person.id] += 1
            self.days[day][f"by {step.channel.value}"] += 1
        if self.sends is not None and state in ("sent", "done"):
            self.sends.append((str(walk.person.id), step.id, now))
        if guard:
            self.collide(walk, step, guard, WORDS[state], now, reason)
        if walk.person.story is not None:
            words = f"{step.title or step.id}（{step.channel.value}）{WORDS[state]}{f'：{reason}' if reason else ''}"
            self.tell(walk.person, now, words)

    def collide(self, walk: Walk, step: Step, guard: str, came_to: str, now: datetime, reason: str) -> None:
        self.guards[guard] += 1
        if len(self.collisions) < _COLLISIONS and sum(one["guard"] == guard for one in self.collisions) < 30:
            self.collisions.append(
                {
                    "at": now.isoformat(),
                    "person": walk.person.id,
                    "member": walk.userid,
                    "step": step.title or step.id,
                    "guard": guard,
                    "came_to": came_to,
                    "reason": reason,
                }
            )

    def take(self, walk: Walk, fork: str, arm: str, now: datetime) -> None:
        self.arms[fork][arm] += 1
        self.tell(walk.person, now, f"分支 {fork}：{arm}")

    def tell(self, person: Person, now: datetime, words: str) -> None:
        if person.story is not None and len(person.story) < 100:
            person.story.append((now, words))

    def day(self, now: datetime) -> date:
        return now.astimezone(self.zone).date()

    def close(self) -> None:
        """It is over: keep of the examples only what is told of them, so that it can be sent to another process."""
        self.told += [(walk.enrolled_at, self._example(person, walk)) for person, walk in self.examples]
        self.examples.clear()

    def add(self, other: "Findings") -> None:
        """Those of another part of the same crowd."""
        for name in ("entered", "refused", "ended", "persons", "guards"):
            getattr(self, name).update(getattr(other, name))
        for name in ("days", "steps", "reasons", "arms", "tasks", "members"):
            for key, counts in getattr(other, name).items():
                getattr(self, name)[key].update(counts)
        self.collisions = sorted([*self.collisions, *other.collisions], key=lambda one: one["at"])[:_COLLISIONS]
        self.told = sorted([*self.told, *other.told], key=lambda one: one[0])[:EXAMPLES]

    def as_json(self) -> dict[str, Any]:
        """Everything a page shows, in plain values; days and moments in the shop's zone."""
        return {
            "entered": sum(self.entered.values()),
            "refused": dict(self.refused.most_common()),
            "ended": dict(self.ended.most_common()),
            "days": [{"day": day.isoformat(), **self._day(day)} for day in sorted(self.days)],
            "steps": {step: dict(counts) for step, counts in self.steps.items()},
            "reasons": {step: dict(counts.most_common(6)) for step, counts in self.reasons.items()},
            "arms": {fork: dict(counts) for fork, counts in self.arms.items()},
            "members": sorted(map(self._member, self.members), key=lambda one: (-one["peak"], one["userid"])),
            "guards": dict(self.guards.most_common()),
            "collisions": [{**one, "at": self._local(datetime.fromisoformat(one["at"]))} for one in self.collisions],
            "persons": [{"person": person, "messages": count} for person, count in self.persons.most_common(_PERSONS)],
            "messages_of": _histogram(self.persons),
            "examples": [example for _, example in self.told],
        }

    def _day(self, day: date) -> dict[str, Any]:
        loads = [counts[day] for counts in self.tasks.values() if counts[day]]
        over = sum(self.task_limit is not None and load > self.task_limit for load in loads)
        return {
            **self.days[day],
            "members": len(loads),
            "most": max(loads, default=0),
            "mean": round(sum(loads) / len(loads), 1) if loads else 0,
            "over": over,
        }

    def _member(self, userid: str) -> dict[str, Any]:
        by_day, counts = self.tasks[userid], self.members[userid]
        peak_day = max(by_day, key=lambda day: by_day[day], default=None)
        return {
            "userid": userid,
            **{state: counts[state] for state in ("asked", "sent", "expired", "withdrawn")},
            "peak": by_day[peak_day] if peak_day is not None else 0,
            "peak_day": peak_day.isoformat() if peak_day is not None else "",
            "days_over": sum(self.task_limit is not None and load > self.task_limit for load in by_day.values()),
        }

    def _example(self, person: Person, walk: Walk) -> dict[str, Any]:
        lines = [{"at": self._local(at), "words": words} for at, words in person.story or ()]
        return {"person": person.id, "userid": walk.userid, "state": walk.state, "lines": lines}

    def _local(self, at: datetime) -> str:
        return at.astimezone(self.zone).isoformat()[:16]


def _plain(reason: str) -> str:
    """Without the moments and numbers that make the same reason a different one each time."""
    return reason.partition("，推迟后")[0] if "刚" in reason or "已有" in reason else reason


def _histogram(persons: Mapping[int, int]) -> dict[str, int]:
    counts = Counter(persons.values())
    return {str(messages): counts[messages] for messages in sorted(counts)}
