"""客户阶段: where somebody stands on the way from a stranger to a regular, as a member judges it."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from scrm.errors import Invalid, NotFound
from scrm.events import Event, event, publish
from scrm.profiles.models import person
from web.texts import _

MOST_CHARACTERS = 40


def change_stage(
    conn: Connection, person_id: int, stage: str, *, userid: str, external_userid: str, now: datetime
) -> str:
    """Another stage, or none; told to the timeline and to playbooks once. Returns the one before.

    Raises Invalid for one that is too long, NotFound without such a person.
    """
    if len(stage) > MOST_CHARACTERS:
        raise Invalid(_("阶段最多 {most} 个字，现在有 {n} 个", most=MOST_CHARACTERS, n=len(stage)))
    query = select(person.c.stage).where(person.c.id == person_id)
    row = conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()
    if row is None:
        raise NotFound(_("没有这位客户，可能已被删除或合并"))
    if row.stage != stage:
        conn.execute(update(person).where(person.c.id == person_id).values(stage=stage))
        told = Event("stage.changed", now, person_id, external_userid, userid, facts={"from": row.stage, "to": stage})
        publish(conn, [told], now=now)
    return str(row.stage)


def find_previous(conn: Connection, person_id: int) -> str:
    """The stage before the last change; empty when there was none."""
    last = (
        select(event.c.facts)
        .where(event.c.person_id == person_id, event.c.name == "stage.changed")
        .order_by(event.c.occurred_at.desc(), event.c.id.desc())
        .limit(1)
    )
    facts = conn.execute(last).scalar_one_or_none() or {}
    return str(facts.get("from") or "")
