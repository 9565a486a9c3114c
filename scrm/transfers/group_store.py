"""Customer groups on their way to another owner."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from scrm.transfers.models import transfer_group


def list_begun_groups(conn: Connection, transfer_id: int) -> list[str]:
    return list(
        conn.scalars(
            select(transfer_group.c.chat_id).where(
                transfer_group.c.transfer_id == transfer_id, transfer_group.c.state == "asking"
            )
        )
    )


def take_pending_groups(conn: Connection, transfer_id: int, *, limit: int, now: datetime) -> list[str]:
    some = (
        select(transfer_group.c.id)
        .where(transfer_group.c.transfer_id == transfer_id, transfer_group.c.state == "pending")
        .order_by(transfer_group.c.id)
        .limit(limit)
    )
    taken = conn.execute(
        update(transfer_group)
        .where(transfer_group.c.id.in_(some))
        .values(state="asking", asked_at=now)
        .returning(transfer_group.c.chat_id)
    )
    return list(taken.scalars())


def end_groups(
    conn: Connection, transfer_id: int, chat_ids: Collection[str], reasons: Mapping[str, tuple[int, str]], now: datetime
) -> None:
    """Those with a (errcode, reason) have failed, the others have their new owner."""
    for chat_id in chat_ids:
        errcode, reason = reasons.get(chat_id, (0, ""))
        conn.execute(
            update(transfer_group)
            .where(
                transfer_group.c.transfer_id == transfer_id,
                transfer_group.c.chat_id == chat_id,
                transfer_group.c.state.in_(("pending", "asking")),
            )
            .values(state="failed" if errcode else "done", errcode=errcode, reason=reason[:200], ended_at=now)
        )


def count_groups_since(conn: Connection, handover_userid: str, since: datetime) -> int:
    """How many groups of an owner were asked for since then: WeCom allows 300 a day."""
    return int(
        conn.execute(
            select(func.count()).where(
                func.lower(transfer_group.c.handover_userid) == handover_userid.lower(),
                transfer_group.c.asked_at >= since,
                transfer_group.c.state.in_(("asking", "done")),
            )
        ).scalar_one()
    )


def count_pending_groups(conn: Connection, transfer_id: int) -> int:
    return int(
        conn.execute(
            select(func.count()).where(
                transfer_group.c.transfer_id == transfer_id, transfer_group.c.state.in_(("pending", "asking"))
            )
        ).scalar_one()
    )
