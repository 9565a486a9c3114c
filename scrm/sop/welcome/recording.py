"""The outcome into the ledger, and to the member where the customer got nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, update

from scrm.sop.models import send, task
from scrm.sop.welcome.intents import Added, Outcome, Prepared

_TASK_LIFE = timedelta(hours=24)
_NO_CONSENT_YET = 41053  # consent brings a new code, and the welcome with it


@dataclass(frozen=True, slots=True)
class Settled:
    """An outcome with what is needed to ask the member for help when it is a bad one."""

    outcome: Outcome
    added: Added
    prepared: Prepared
    now: datetime


def record_many(conn: Connection, settled: list[Settled]) -> list[None]:
    """For `Database.together`: the ledger's outcome, and a task for the member when the customer got nothing."""
    conn.execute(_RECORD, [_outcome_row(one.outcome) for one in settled])
    for one in settled:
        if one.outcome.outcome in ("failed", "too_late", "unknown") and one.outcome.errcode != _NO_CONSENT_YET:
            _ask_member(conn, one)
    return [None] * len(settled)


_RECORD = update(send).where(send.c.id == bindparam("send_id"))


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        "send_id": outcome.send_id,
        "outcome": outcome.outcome,
        "sent_at": outcome.sent_at,
        "errcode": outcome.errcode,
        "reason": outcome.reason[:300],
        "content": dict(outcome.content),
    }


def _ask_member(conn: Connection, settled: Settled) -> None:
    outcome, added, chosen = settled.outcome, settled.added, settled.prepared.chosen
    messages = [
        {"msgtype": "news", "news": {"link": link["url"], "title": link["title"], "desc": link.get("desc", "")}}
        for link in (part["link"] for part in outcome.content.get("attachments", ()) if part["msgtype"] == "link")
    ]
    conn.execute(
        task.insert().values(
            playbook_key=chosen.playbook_key if chosen else "",
            playbook_title=chosen.playbook_title if chosen else "",
            step_id=chosen.step.id if chosen else "",
            userid=added.userid,
            external_userid=added.external_userid,
            person_id=settled.prepared.person_id,
            title="欢迎语可能没有送达，请看一眼聊天"
            if outcome.outcome == "unknown"
            else "欢迎语没有送达，请亲自打个招呼",
            text=outcome.content.get("text", ""),
            attachments=messages,
            reason=outcome.reason[:300],
            open_at=settled.now,
            expires_at=settled.now + _TASK_LIFE,
            created_at=settled.now,
            correlation=added.correlation,
        )
    )
