"""The one thing to do now, what waits behind it, and what became of the others."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from scrm.sidebar.cards.visit import Visit
from scrm.sop.members.tasks import SKIP_REASONS, TaskView, list_for_contact, postpone_choices, views_of


@dataclass(frozen=True, slots=True)
class Tasks:
    """`now` is the task on top of the page; `told` the one that was just dealt with."""

    now: TaskView | None
    told: TaskView | None
    waiting: list[TaskView]
    later: list[TaskView]
    ended: list[TaskView]
    # What may be said when they talk anyway; nobody is reminded of it.
    suggestions: list[TaskView]
    postpone_to: list[tuple[str, datetime]]
    skip_reasons: tuple[str, ...] = SKIP_REASONS

    @property
    def count(self) -> int:
        return len(self.waiting) + (self.now is not None)

    @property
    def is_empty(self) -> bool:
        return not (self.now or self.told or self.waiting or self.later or self.ended or self.suggestions)


def load(conn: Connection, visit: Visit) -> Tasks:
    if visit.picture is not None:
        return arrange(views_of(visit.picture.tasks, visit.now), visit)
    return arrange(list_for_contact(conn, visit.userid, visit.external_userid, visit.now), visit)


def _can_be_done(view: TaskView) -> bool:
    """A promise also before its time."""
    return view.state in ("open", "postponed") if view.kind == "promise" else view.is_open and view.kind != "hint"


def arrange(views: list[TaskView], visit: Visit) -> Tasks:
    """The task the member came for is on top when it can still be done, else the most urgent one. Pure."""
    wanted = next((view for view in views if view.id == visit.task_id), None)
    waiting = [view for view in views if view.is_open and view.kind in ("send", "promise")]
    now = wanted if wanted is not None and _can_be_done(wanted) else next(iter(waiting), None)
    return Tasks(
        now=now,
        told=wanted if wanted is not None and not wanted.is_open and wanted is not now else None,
        waiting=[view for view in waiting if view is not now],
        later=[view for view in views if view.state == "postponed" and view is not now],
        ended=[view for view in views if not view.is_open and view.state != "postponed"],
        suggestions=[
            view for view in views if view.is_open and view.kind not in ("send", "promise") and view is not now
        ],
        postpone_to=postpone_choices(visit.now, visit.zone, now.expires_at) if now and now.kind == "send" else [],
    )
