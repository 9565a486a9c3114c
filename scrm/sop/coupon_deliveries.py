"""Whether reserved coupons reached their customers: what the ledger of sends and the tasks tell of them."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, select

from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons.lifecycle import BATCH, RESERVED
from scrm.db.bulk import among
from scrm.profiles.models import external_contact
from scrm.services import Services
from scrm.sop.models import send, task

TICK_SECONDS = 300.0

# Perhaps sent is sent: better one coupon too many with its customer than one code with two.
_REACHED = frozenset(("sent", "done_by_other", "unknown"))
# The intent is written a moment before or after the coupon.
_SLACK = timedelta(minutes=5)

Shown = list[tuple[str, str]]


def judge(token: str, code: str, shown: Iterable[tuple[str, str]]) -> str:
    """delivered, waiting or lost; `shown` are (what was or will be said, what became of it). Pure.

    What became of it is a send's outcome, or a task's state with "released" for one that left for the client.
    """
    fates = {fate for said, fate in shown if f"/c/{token}" in said or code in said}
    if fates & (_REACHED | {"released"}):
        return "delivered"
    return "waiting" if fates & {"intent", "open", "postponed"} else "lost"


async def tick(services: Services) -> int:
    """Confirm or take back what was reserved long enough; returns how many were taken back."""
    after = released = 0
    while True:
        now = services.clock.now()
        reserved = await services.db.read(
            coupons_lifecycle.list_reserved, before=now - RESERVED, after=after, limit=BATCH
        )
        if not reserved:
            return released
        after = reserved[-1].id
        released += await services.db.write(_settle, reserved, now)


def _settle(conn: Connection, reserved: Sequence[Row[Any]], now: datetime) -> int:
    since = min(row.issued_at for row in reserved) - _SLACK
    shown = _find_shown(conn, {row.person_id for row in reserved}, since)
    verdicts = {row.id: judge(row.token, row.code, shown.get(row.person_id, ())) for row in reserved}
    coupons_lifecycle.confirm(conn, [key for key, verdict in verdicts.items() if verdict == "delivered"], now=now)
    lost = [key for key, verdict in verdicts.items() if verdict == "lost"]
    return coupons_lifecycle.release(conn, lost, now=now) if lost else 0


def _find_shown(conn: Connection, person_ids: Collection[int], since: datetime) -> dict[int, Shown]:
    shown: dict[int, Shown] = {}
    sends = conn.execute(
        select(external_contact.c.person_id, send.c.content, send.c.outcome)
        .join(send, send.c.external_userid == external_contact.c.external_userid)
        .where(among(conn, external_contact.c.person_id, person_ids), send.c.decided_at >= since)
    )
    for row in sends:
        shown.setdefault(row.person_id, []).append((_text(row.content), row.outcome))
    tasks = conn.execute(
        select(task.c.person_id, task.c.text, task.c.attachments, task.c.state, task.c.released_at).where(
            among(conn, task.c.person_id, person_ids), task.c.created_at >= since
        )
    )
    for one in tasks:
        fate = "released" if one.released_at is not None else one.state
        shown.setdefault(one.person_id, []).append((one.text + _text(one.attachments), fate))
    return shown


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
