"""Conditions in a rehearsal: answered from what happened in it, else as the data is today, else taken for granted."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from scrm.profiles.conditions import leaves_trigger as conditions_trigger
from scrm.profiles.conditions.leaf import COUNT_OPERATORS, as_text, duration, listed
from scrm.profiles.conditions.leaves_events import PUSHED, RADAR, SPOKE
from scrm.sop.exits import event_names
from scrm.sop.rehearsal.walks import Person
from scrm.sop.schema import Branch, Condition, Fork, Playbook
from scrm.sop.triggers.facts import find_fact

# Fields that follow from the orders that happen in the rehearsal, where customers are made up.
_ORDERED = {"person.paid_orders": "order.paid", "person.orders": "order.created"}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda found, wanted: bool(found == wanted),
    "gt": lambda found, wanted: bool(found > wanted),
    "gte": lambda found, wanted: bool(found >= wanted),
    "lt": lambda found, wanted: bool(found < wanted),
    "lte": lambda found, wanted: bool(found <= wanted),
}


@dataclass(frozen=True, slots=True)
class Asked:
    """About whom, and in which run: the facts of the event that began it, and when."""

    person: Person
    facts: Mapping[str, Any]
    anchor_at: datetime
    now: datetime


@dataclass(slots=True)
class Answers:
    """`today` has, by `key_of` a leaf, the persons for whom it holds now; None: they are made up.

    What could not be answered from the rehearsal itself is noted in words: `as_of_today` and `assumed`.
    """

    today: Mapping[str, Collection[int]] | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    as_of_today: dict[str, int] = field(default_factory=dict)
    assumed: dict[str, int] = field(default_factory=dict)
    _keys: dict[int, str] = field(default_factory=dict)

    def holds(self, tree: Condition | None, asked: Asked, *, otherwise: bool = True) -> bool:
        """Whether it holds; `otherwise` where nothing in the rehearsal and nothing in the data says so."""
        if tree is None:
            return True
        answer = self._tree(tree, asked)
        return otherwise if answer is None else answer

    def _tree(self, tree: Condition, asked: Asked) -> bool | None:
        if "not" in tree:
            inner = self._tree(tree["not"], asked)
            return None if inner is None else not inner
        for group, deciding in (("all", False), ("any", True)):
            if group in tree:
                answers = [self._tree(part, asked) for part in tree[group]]
                if deciding in answers:
                    return deciding
                return None if None in answers else not deciding
        return self._leaf(tree, asked)

    def _leaf(self, leaf: Condition, asked: Asked) -> bool | None:
        for kind, answer in _FROM_HISTORY.items():
            if kind in leaf:
                return answer(leaf, asked)
        if self.today is not None:
            known = self.today.get(self._key(leaf))
            if known is not None:
                self._note(self.as_of_today, leaf)
                return asked.person.id in known
        elif leaf.get("field") in _ORDERED and leaf.get("op") in _COMPARE:
            found = sum(event.name == _ORDERED[leaf["field"]] for event in asked.person.history)
            return _COMPARE[leaf["op"]](found, leaf.get("value"))
        elif "flag" in leaf:
            return False
        self._note(self.assumed, leaf)
        return None

    def _note(self, noted: dict[str, int], leaf: Condition) -> None:
        key = self._key(leaf)
        words = self.words.get(key, key)
        noted[words] = noted.get(words, 0) + 1

    def _key(self, leaf: Condition) -> str:
        """Leaves are those of the playbook, which stay as long as a rehearsal lasts."""
        key = self._keys.get(id(leaf))
        if key is None:
            key = self._keys[id(leaf)] = key_of(leaf)
        return key


def key_of(leaf: Condition) -> str:
    """The leaf as text, the same in every process."""
    return json.dumps(leaf, ensure_ascii=False, sort_keys=True, default=str)


def _count_fits(spec: Mapping[str, Any], found: int) -> bool:
    wanted = spec if isinstance(spec, Mapping) else {"gte": 1}
    return all(op in COUNT_OPERATORS and _COMPARE[op](found, value) for op, value in wanted.items())


def _number(names: Collection[str], leaf: Condition, asked: Asked, since: datetime | None = None) -> int:
    within = duration(leaf.get("within"))
    return sum(
        event.name in names
        and (within is None or event.occurred_at >= asked.now - within)
        and (since is None or event.occurred_at >= since)
        and _where_fits(leaf.get("where"), event.facts)
        for event in asked.person.history
    )


def _where_fits(where: Any, facts: Mapping[str, Any]) -> bool:
    if not where:
        return True
    return all(as_text(find_fact(facts, key)) in map(as_text, listed(value)) for key, value in where.items())


def _event(leaf: Condition, asked: Asked) -> bool:
    return _count_fits(leaf.get("count", {"gte": 1}), _number({leaf["event"]}, leaf, asked))


def _trigger(leaf: Condition, asked: Asked) -> bool:
    answered = conditions_trigger.answer(leaf, asked.facts)
    return isinstance(answered, conditions_trigger.Answered) and answered.holds


def _no_reply(leaf: Condition, asked: Asked) -> bool:
    return _number(SPOKE, leaf, asked, asked.anchor_at) == 0


def _radar(leaf: Condition, asked: Asked) -> bool:
    about = {**leaf, "where": {"content": leaf["content"]}} if "content" in leaf else leaf
    return _number({RADAR}, about, asked, asked.anchor_at) >= int(leaf["radar_opens_gte"])


def _pushed(leaf: Condition, asked: Asked) -> bool:
    within = duration(leaf.get("within")) or timedelta(days=3650)
    sent = sum(
        each.state == "sent" and each.ended_at is not None and each.ended_at >= asked.now - within
        for each in asked.person.asked
    )
    return _count_fits(leaf["pushed"], sent + _number(PUSHED, leaf, asked))


_FROM_HISTORY: dict[str, Callable[[Condition, Asked], bool]] = {
    "event": _event,
    "trigger": _trigger,
    "no_reply": _no_reply,
    "radar_opens_gte": _radar,
    "pushed": _pushed,
}


def leaves_of(tree: Any) -> Iterator[Condition]:
    """All leaves of a condition, as they stand in the playbook."""
    if not isinstance(tree, dict):
        return
    for group in ("all", "any"):
        if group in tree:
            for part in tree[group]:
                yield from leaves_of(part)
            return
    if "not" in tree:
        yield from leaves_of(tree["not"])
    else:
        yield tree


def is_of_today(leaf: Condition) -> bool:
    """Whether only the data can answer it."""
    return not any(kind in leaf for kind in _FROM_HISTORY)


def trees_of(playbook: Playbook) -> Iterator[Condition]:
    """Every condition of a playbook."""
    found = [playbook.enter_if, playbook.exit_if, *(step.condition for step in playbook.steps)]
    for node in playbook.program:
        if isinstance(node, Fork) and isinstance(node.part, Branch):
            found += [arm.condition for arm in node.part.arms]
    yield from (tree for tree in found if tree is not None)


def asked_events(playbook: Playbook) -> set[str]:
    """The names of events that some condition counts."""
    names: set[str] = set()
    for tree in trees_of(playbook):
        names |= event_names(tree)
        for leaf in leaves_of(tree):
            names |= set(SPOKE) if "no_reply" in leaf else set()
            names |= {RADAR} if "radar_opens_gte" in leaf else set()
            names |= set(PUSHED) if "pushed" in leaf else set()
            names |= {_ORDERED[leaf["field"]]} if leaf.get("field") in _ORDERED else set()
    return names
