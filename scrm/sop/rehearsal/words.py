"""What a manager should read first: the findings in sentences, the troubling ones before the others. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from scrm.sop.schema import Playbook

# How often something must happen, of all, before it is told.
_WORTH_TELLING = 0.05
_MANY_MESSAGES = 8


def tell(summary: Mapping[str, Any], playbook: Playbook) -> list[dict[str, str]]:
    """[{"tone": bad | warn | good, "text": ...}], with the most troubling first."""
    told = [*_nobody(summary), *_load(summary), *_never_sent(summary, playbook), *_expired(summary, playbook)]
    told += [*_collisions(summary), *_much(summary)]
    if not told:
        told.append({"tone": "good", "text": "没有发现冲突：员工忙得过来，客户也不会收到太多"})
    return told


def _nobody(summary: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    if not summary["entered"]:
        why = "；".join(f"{reason} {count:,} 次" for reason, count in summary["refused"].items())
        yield {"tone": "bad", "text": f"没有人进入{f'：{why}' if why else '：这段时间没有发生过触发它的事件'}"}


def _load(summary: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """「此人群预计每天给 18 名员工各 63 条待办，超过 40 条上限」."""
    limit = summary["task_limit"]
    busiest = max(summary["days"], key=lambda day: (day["over"], day["mean"]), default=None)
    if limit is None or busiest is None or not busiest["over"]:
        return
    days = sum(bool(day["over"]) for day in summary["days"])
    over = [day for day in summary["days"] if day["over"]]
    members = round(sum(day["members"] for day in over) / days)
    mean = round(sum(day["mean"] * day["members"] for day in over) / max(1, sum(day["members"] for day in over)))
    text = f"此人群预计每天给 {members} 名员工各 {mean} 条待办，超过 {limit} 条上限（{days} 天如此，最多一天一人 {busiest['most']} 条）"
    if mean <= limit:
        worst = max(over, key=lambda day: day["most"])
        text = f"{days} 天里有员工一天的待办超过 {limit} 条上限，最多一人 {worst['most']} 条（{worst['day']}）"
    yield {"tone": "bad", "text": text}


def _never_sent(summary: Mapping[str, Any], playbook: Playbook) -> Iterator[dict[str, str]]:
    if not summary["entered"]:
        return
    for number, step in enumerate(playbook.steps, 1):
        counts = summary["steps"].get(step.id, {})
        if counts.get("sent") or counts.get("done"):
            continue
        if not counts:
            if summary["under_way"] < summary["entered"]:
                yield {"tone": "warn", "text": f"第 {number} 步“{step.title or step.id}”没有一位客户走到"}
            continue
        reasons = summary["reasons"].get(step.id, {})
        why = next(iter(reasons), "")
        yield {
            "tone": "bad",
            "text": f"第 {number} 步“{step.title or step.id}”一次也没有发出{f'，多数因为{why}' if why else ''}",
        }


def _expired(summary: Mapping[str, Any], playbook: Playbook) -> Iterator[dict[str, str]]:
    for number, step in enumerate(playbook.steps, 1):
        counts = summary["steps"].get(step.id, {})
        asked, expired = counts.get("asked", 0), counts.get("expired", 0)
        if asked >= 20 and expired / asked >= 0.3:
            share = round(100 * expired / asked)
            yield {"tone": "warn", "text": f"第 {number} 步“{step.title or step.id}”有 {share}% 等到过期员工也没有发"}


def _collisions(summary: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    for guard, count in summary["guards"].items():
        if summary["entered"] and count / summary["entered"] >= _WORTH_TELLING:
            yield {"tone": "warn", "text": f"因为{guard}推迟或放弃了 {count:,} 次"}


def _much(summary: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    many = sum(count for messages, count in summary["messages_of"].items() if int(messages) > _MANY_MESSAGES)
    if many:
        yield {"tone": "warn", "text": f"{many:,} 位客户会收到 {_MANY_MESSAGES} 条以上"}
