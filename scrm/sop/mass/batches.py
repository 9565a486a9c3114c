"""Batches: steps with the same words by the same member, until they become one message."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal_column,
    select,
    tuple_,
    update,
)

from scrm.db import upsert
from scrm.db.bulk import insert_rows
from scrm.mass_messages.models import mass_message_part, mass_message_target
from scrm.sop.mass.models import mass_step, mass_step_batch, mass_wave_stop

batch, step, stop = mass_step_batch, mass_step, mass_wave_stop
part, target = mass_message_part, mass_message_target

EXPIRED = "已过期：员工没有在有效期内确认"

# Recipients whose steps do not know yet what became of them.
UNTOLD: ColumnElement[bool] = literal_column(
    "mass_message_target.step_run_id IS NOT NULL AND mass_message_target.told <> mass_message_target.state"
)


@dataclass(frozen=True, slots=True)
class Member:
    """One person's step, as it joins a batch."""

    step_run_id: int
    enrolment_id: int
    external_userid: str


def locked(conn: Connection, query: Select[Any], **how: Any) -> Select[Any]:
    return query.with_for_update(**how) if conn.dialect.name == "postgresql" else query


def gather(conn: Connection, groups: Sequence[tuple[Mapping[str, Any], Sequence[Member]]]) -> None:
    """Put each group into the batch of its key that gathers now, or begin one; the batch cannot close meanwhile."""
    rows: list[dict[str, Any]] = []
    for values, members in sorted(groups, key=lambda group: str(group[0]["key"])):
        batch_id = _open_batch(conn, values)
        rows += [
            {
                "step_run_id": one.step_run_id,
                "enrolment_id": one.enrolment_id,
                "batch_id": batch_id,
                "external_userid": one.external_userid,
            }
            for one in members
        ]
    insert_rows(conn, step, rows, skip_known=True)


def _open_batch(conn: Connection, values: Mapping[str, Any]) -> int:
    gathering = and_(batch.c.key == values["key"], literal_column("mass_step_batch.state = 'gathering'"))
    # Those who join share the lock; who closes the batch waits for them, and they for him.
    query = locked(conn, select(batch.c.id).where(gathering), read=True)
    for _ in range(10):
        found = conn.execute(query).scalar_one_or_none()
        if found is not None:
            return int(found)
        insert = upsert(batch, conn).values(**values)
        conn.execute(
            insert.on_conflict_do_nothing(index_elements=["key"], index_where=literal_column("state = 'gathering'"))
        )
    raise RuntimeError("a batch closes faster than it can be joined")


def has_open(enrolment_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a run waits for a mass message."""
    return exists().where(step.c.enrolment_id == enrolment_id, step.c.state != "over")


def has_work(conn: Connection, now: datetime) -> bool:
    """Whether a batch is due, or something became of a customer that his step does not know yet."""
    due = select(batch.c.id).where(literal_column("mass_step_batch.look_at IS NOT NULL"), batch.c.look_at <= now)
    if conn.execute(due.limit(1)).first() is not None:
        return True
    return conn.execute(select(target.c.step_run_id).where(UNTOLD).limit(1)).first() is not None


def next_look_at(conn: Connection) -> datetime | None:
    """When the next batch closes, reminds or expires."""
    query = select(func.min(batch.c.look_at)).where(literal_column("mass_step_batch.look_at IS NOT NULL"))
    return conn.execute(query).scalar_one_or_none()


def claim_batch(conn: Connection, now: datetime) -> Row[Any] | None:
    """A batch that has something to be done; ours until the transaction ends."""
    query: Select[Any] = (
        select(batch)
        .where(literal_column("mass_step_batch.look_at IS NOT NULL"), batch.c.look_at <= now)
        .order_by(batch.c.look_at, batch.c.id)
        .limit(1)
    )
    return conn.execute(locked(conn, query, skip_locked=True)).one_or_none()


def change_batch(conn: Connection, batch_id: int, **values: Any) -> None:
    conn.execute(update(batch).where(batch.c.id == batch_id).values(**values))


def find_batch_of(conn: Connection, message_id: int) -> Row[Any] | None:
    return conn.execute(select(batch).where(batch.c.mass_message_id == message_id)).one_or_none()


def list_living_batches(conn: Connection, playbook_key: str, version: int, step_id: str) -> list[Row[Any]]:
    query = select(batch).where(
        batch.c.playbook_key == playbook_key,
        batch.c.version == version,
        batch.c.step_id == step_id,
        batch.c.state != "over",
    )
    return list(conn.execute(locked(conn, query.order_by(batch.c.id))))


def stopped_waves(conn: Connection, waves: Collection[tuple[str, int, str]]) -> dict[tuple[str, int, str], str]:
    """By (playbook, version, step): why it is sent no more, for those that were stopped."""
    rows = conn.execute(
        select(stop).where(tuple_(stop.c.playbook_key, stop.c.version, stop.c.step_id).in_(list(waves)))
    )
    return {(row.playbook_key, row.version, row.step_id): row.reason for row in rows}


def why_over(conn: Connection, of: Row[Any], now: datetime) -> tuple[str, str] | None:
    """Why nobody of a batch is to be sent anything any more: the state and the words for the steps."""
    wave = (of.playbook_key, of.version, of.step_id)
    stopped = stopped_waves(conn, [wave]).get(wave)
    if stopped is not None:
        return "dropped", stopped
    if of.expires_at <= now:
        return "dropped", EXPIRED
    return None
