"""A batch that gathers no more becomes a message, a thousand recipients in each transaction."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from scrm.db.bulk import among, insert_rows
from scrm.mass_messages import plan
from scrm.sop.mass.batches import batch, change_batch, step
from scrm.sop.mass.ending import finish, once_of
from scrm.sop.models import enrolment, send
from scrm.wecom.customer_messages import MOST_CUSTOMERS

MOST_IN_SLICE = MOST_CUSTOMERS
# On SQLite nobody else writes meanwhile.
ADDRESSED_AT_ONCE = 1000

DOUBLE = "同一条群发里已有这位客户，不重复发送"


def close_batch(conn: Connection, row: Row[Any], now: datetime) -> None:
    """Nobody joins any more; those beyond one call's ten thousand are a batch of their own, which is due as well.

    By customer, so that two steps of one customer stay together.
    """
    mine = and_(step.c.batch_id == row.id, step.c.state == "gathering")
    names = select(step.c.external_userid).where(mine).order_by(step.c.external_userid)
    if conn.execute(names.limit(1)).first() is None:
        change_batch(conn, row.id, state="over", look_at=None)
        return
    last = conn.execute(names.offset(MOST_IN_SLICE - 1).limit(1)).scalar_one_or_none()
    if last is not None:
        _split_off(conn, row, and_(mine, step.c.external_userid > last))
    message_id, part_id = plan.create_for_steps(
        conn, userid=row.userid, title=row.title, text=row.text, attachments=row.attachments, now=now
    )
    change_batch(conn, row.id, state="closing", mass_message_id=message_id, part_id=part_id)


def _split_off(conn: Connection, row: Row[Any], rest: ColumnElement[bool]) -> None:
    if conn.execute(select(step.c.step_run_id).where(rest).limit(1)).first() is None:
        return
    change_batch(conn, row.id, state="closing")
    values = {name: value for name, value in row._mapping.items() if name != "id"}
    other = conn.execute(batch.insert().values(**values).returning(batch.c.id)).scalar_one()
    conn.execute(update(step).where(rest).values(batch_id=other))


def address_some(conn: Connection, row: Row[Any], now: datetime) -> None:
    """The next thousand of a closing batch become recipients; after the last ones the making is queued."""
    mine = and_(step.c.batch_id == row.id, step.c.state == "gathering")
    names = select(step.c.external_userid).where(mine).order_by(step.c.external_userid)
    last = conn.execute(names.offset(ADDRESSED_AT_ONCE - 1).limit(1)).scalar_one_or_none()
    some = mine if last is None else and_(mine, step.c.external_userid <= last)
    taken = conn.execute(update(step).where(some).values(state="sending").returning(step)).all()
    if taken:
        _address(conn, row, taken, now)
    if last is None:
        plan.queue_create(conn, row.mass_message_id, row.part_id, row.userid, now)
        change_batch(conn, row.id, state="open", look_at=row.remind_at)


def _address(conn: Connection, row: Row[Any], taken: Sequence[Row[Any]], now: datetime) -> None:
    """With each one's line in the ledger; who stands there already has his other step skipped."""
    first: dict[str, Row[Any]] = {}
    doubles = []
    for one in sorted(taken, key=lambda one: int(one.step_run_id)):
        if first.setdefault(one.external_userid, one) is not one:
            doubles.append(one.step_run_id)
    finish(conn, {("skipped", DOUBLE): doubles}, now)
    persons = _persons_of(conn, [one.enrolment_id for one in first.values()])
    recipients = [
        plan.Recipient(name, persons[one.enrolment_id].person_id, one.step_run_id) for name, one in first.items()
    ]
    plan.add_recipients(conn, row.mass_message_id, row.part_id, row.userid, recipients, now)
    ledger = [_intent(row, one, persons[one.enrolment_id], now) for one in first.values()]
    insert_rows(conn, send, ledger, skip_known=True)


def _persons_of(conn: Connection, enrolment_ids: Collection[int]) -> dict[int, Row[Any]]:
    query = select(enrolment.c.id, enrolment.c.person_id, enrolment.c.correlation)
    rows: list[Row[Any]] = list(conn.execute(query.where(among(conn, enrolment.c.id, enrolment_ids))))
    return {row.id: row for row in rows}


def _intent(row: Row[Any], one: Row[Any], person: Row[Any], now: datetime) -> dict[str, Any]:
    """The ledger's line before the call."""
    return {
        "kind": "mass",
        "userid": row.userid,
        "external_userid": one.external_userid,
        "person_id": person.person_id,
        "playbook_key": row.playbook_key,
        "step_id": row.step_id,
        "once": once_of(one.step_run_id),
        "content": {"text": row.text[:200], "mass_message_id": row.mass_message_id},
        "decided_at": now,
        "outcome": "intent",
        "correlation": person.correlation,
    }
