"""What a person refuses: everything, promotions, or one way of being reached; it holds for every member and channel."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from scrm import audit
from scrm.errors import Invalid, NotFound
from scrm.events import Event, publish
from scrm.privacy import store

# In the order in which forms show them. Welcomes and answers to what a person asks are service and go on.
FLAGS: dict[str, str] = {
    "all": "一切消息",
    "promo": "促销消息",
    "mass": "群发",
    "chat": "员工剧本消息",
    "birthday": "生日消息",
    "live": "直播消息",
}


def set_optout(
    conn: Connection, person_id: int, changes: Mapping[str, bool], *, actor: str, now: datetime
) -> dict[str, bool]:
    """Raise or lower flags; what is not named stays. Returns all that are raised; raises Invalid or NotFound.

    A change is an act in the log and an event (`optout.changed`); the same again is neither.
    """
    unknown = sorted(set(changes) - set(FLAGS))
    if unknown:
        raise Invalid(f"没有退订项 {unknown[0][:40]}：可用的有 {'、'.join(FLAGS)}")
    kept = store.lock_person(conn, person_id)
    if kept is None:
        raise NotFound("没有这位客户，可能已被删除")
    after = {**kept, **changes}
    raised = {name: True for name, value in after.items() if value}
    if raised == {name: True for name, value in kept.items() if value}:
        return raised
    store.save_optout(conn, person_id, raised)
    audit.changed(conn, "person", person_id, {"optout": kept}, {"optout": raised})
    is_out = any(changes[name] and not kept.get(name) for name in changes)
    store.note_act(
        conn, "opted_out" if is_out else "opted_in", person_id, actor=actor, facts={"flags": sorted(raised)}, now=now
    )
    told = Event("optout.changed", now, person_id, facts={"optout": raised}, key="")
    publish(conn, [told], now=now)
    return raised
