"""Which playbooks a person is in, what comes next in each and when, in words for those who talk with him."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scrm.sop.reasons.explain import RUN_WORDS, title_of
from scrm.sop.schema import Playbook, Step


@dataclass(frozen=True, slots=True)
class Running:
    """One run under way; `next` is empty when its steps are over, `held` says why it stands still."""

    title: str
    word: str
    next: str
    at: datetime | None
    held: str
    speaks: bool


def tell_running(runs: Iterable[Any], find: Callable[[str, int], Playbook | None]) -> list[Running]:
    """From rows of enrolment; a run whose version nobody knows any more is left out. Pure."""
    found = []
    for run in sorted(runs, key=lambda run: (run.due_at is None, run.due_at, run.id)):
        playbook = find(run.playbook_key, run.version)
        if playbook is not None:
            found.append(_tell(run, playbook))
    return found


def _tell(run: Any, playbook: Playbook) -> Running:
    node = playbook.node(run.step)
    is_active = run.state == "active"
    return Running(
        title=playbook.title,
        word=RUN_WORDS[run.state],
        next=title_of(node) if node is not None else "",
        at=run.due_at if is_active and node is not None else None,
        held=run.held_reason,
        speaks=isinstance(node, Step) and node.channel.speaks,
    )
