"""SQL of the actions: members and owners, playbooks, the runs of a person."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from scrm.profiles.models import follow_user, member, person
from scrm.sop.models import enrolment, playbook, step_run


def find_members(conn: Connection, userids: Sequence[str]) -> list[str]:
    """Those who are still with us, as WeCom spells them, in the order that was asked for."""
    folded = [userid.casefold() for userid in userids]
    rows = conn.execute(select(member.c.folded, member.c.userid).where(member.c.folded.in_(folded), member.c.is_active))
    known = {row.folded: row.userid for row in rows}
    return [known[each] for each in dict.fromkeys(folded) if each in known]


def list_friends(conn: Connection, person_ids: Collection[int], userids: Collection[str]) -> dict[int, list[str]]:
    """By person: which of these members are his contact."""
    rows = conn.execute(
        select(follow_user.c.person_id, follow_user.c.userid).where(
            follow_user.c.person_id.in_(list(person_ids)),
            follow_user.c.userid.in_(list(userids)),
            follow_user.c.ended_by == "",
        )
    )
    friends: dict[int, list[str]] = {}
    for row in rows:
        friends.setdefault(row.person_id, []).append(row.userid)
    return friends


def count_owned(conn: Connection, userids: Collection[str]) -> dict[str, int]:
    """How many persons each is responsible for."""
    counted = (
        select(person.c.owner_userid, func.count().label("persons"))
        .where(person.c.owner_userid.in_(list(userids)))
        .group_by(person.c.owner_userid)
    )
    return dict.fromkeys(userids, 0) | {row.owner_userid: row.persons for row in conn.execute(counted)}


def set_owner(conn: Connection, person_ids: Collection[int], userid: str) -> None:
    conn.execute(update(person).where(person.c.id.in_(list(person_ids))).values(owner_userid=userid))


def list_published(conn: Connection, keys: Collection[str]) -> set[str]:
    """Those of these playbooks that take people in."""
    query = select(playbook.c.key).where(playbook.c.key.in_(list(keys)), playbook.c.state == "published")
    return set(conn.scalars(query))


def lock_runs(conn: Connection, person_id: int, keys: Collection[str] | None, but: int) -> list[Row[Any]]:
    """The person's runs under way, of these playbooks or of all; `but` is left alone."""
    query = select(enrolment.c.id, enrolment.c.playbook_key).where(
        enrolment.c.person_id == person_id,
        enrolment.c.state.in_(("active", "paused", "queued")),
        enrolment.c.id != but,
    )
    if keys is not None:
        query = query.where(enrolment.c.playbook_key.in_(list(keys)))
    return list(conn.execute(query.order_by(enrolment.c.id).with_for_update()))


def end_runs(conn: Connection, ids: Collection[int], reason: str, now: datetime) -> None:
    """Also those that were held."""
    conn.execute(
        update(enrolment)
        .where(enrolment.c.id.in_(list(ids)), enrolment.c.state.in_(("active", "paused", "queued")))
        .values(state="exited", ended_reason=reason[:200], ended_at=now, due_at=None)
    )


def fail_step(conn: Connection, step_run_id: int, words: str, now: datetime) -> None:
    """One of its acts could not be done; what others could not do stays said."""
    before = conn.execute(select(step_run.c.reason).where(step_run.c.id == step_run_id)).scalar_one_or_none() or ""
    reason = (before if words in before else "；".join(filter(None, [before, words])))[:300]
    values = {"state": "failed", "reason": reason, "outcome_at": now}
    conn.execute(update(step_run).where(step_run.c.id == step_run_id).values(**values))


def open_again(conn: Connection, step_run_id: int, words: str, state: str = "intent") -> None:
    """A step that failed for nothing but these words is under way again, or done."""
    failed = step_run.c.id == step_run_id, step_run.c.state == "failed", step_run.c.reason == words
    conn.execute(update(step_run).where(*failed).values(state=state, reason=""))


def end_if_open(conn: Connection, step_run_id: int, now: datetime) -> None:
    """Done, unless something of it has failed."""
    open_one = step_run.c.id == step_run_id, step_run.c.state == "intent"
    conn.execute(update(step_run).where(*open_one).values(state="done", outcome_at=now))
