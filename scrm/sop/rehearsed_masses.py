"""Mass messages in a rehearsal: what WeCom makes of them, and the member who confirms them after a while."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, update

from scrm.mass_messages import dispatch, plan, results
from scrm.mass_messages.models import mass_message_part
from scrm.services import Services
from scrm.sop import mass_steps

Json = dict[str, Any]

# Work that a rehearsal does as the application does it.
EXECUTORS = {
    plan.CREATE: dispatch.run_create,
    mass_steps.RECALL: mass_steps.run_recall,
    mass_steps.REMIND: mass_steps.run_remind,
}


@dataclass(slots=True)
class _Made:
    """A message that waits for its member."""

    userid: str
    targets: list[str]
    text: str
    made_at: datetime
    confirmed_at: datetime | None = None
    is_cancelled: bool = False

    @property
    def is_waiting(self) -> bool:
        return self.confirmed_at is None and not self.is_cancelled


class RehearsedMasses:
    """WeCom's side of it."""

    def __init__(self) -> None:
        self._made: dict[str, _Made] = {}

    def answer(self, path: str, body: Json, now: datetime) -> Json | None:
        """What WeCom says to a call about mass messages; None for any other."""
        if path == "externalcontact/add_msg_template":
            return self._make(body, now)
        made = self._made.get(str(body.get("msgid", "")))
        if made is None:
            return None
        if path == "externalcontact/cancel_groupmsg_send":
            made.is_cancelled = True
            return {"errcode": 0}
        sent_at = int(made.confirmed_at.timestamp()) if made.confirmed_at else 0
        if path == "externalcontact/get_groupmsg_task":
            return {"errcode": 0, "task_list": [_told(sent_at, 2, userid=made.userid)]}
        if path == "externalcontact/get_groupmsg_send_result":
            sent = [_told(sent_at, 1, external_userid=target, userid=made.userid) for target in made.targets]
            return {"errcode": 0, "send_list": sent}
        return None

    def _make(self, body: Json, now: datetime) -> Json:
        msgid = f"rehearsal-{len(self._made) + 1}"
        text = str((body.get("text") or {}).get("content", ""))
        self._made[msgid] = _Made(str(body["sender"]), list(body["external_userid"]), text, now)
        return {"errcode": 0, "fail_list": [], "msgid": msgid}

    def coming(self, after: timedelta | None) -> list[datetime]:
        """When the member confirms what waits for him; never when `after` is None."""
        return [made.made_at + after for made in self._made.values() if made.is_waiting] if after is not None else []

    async def confirm_due(self, services: Services, after: timedelta | None) -> list[str]:
        """The member confirms what has waited that long, and its results are asked for; returns the texts."""
        now = services.clock.now()
        ready = [made for made in self._made.values() if after is not None and made.is_waiting]
        ready = [made for made in ready if after is not None and made.made_at + after <= now]
        for made in ready:
            made.confirmed_at = now
        if ready:
            await services.db.write(_poll_now, now)
            await results.poll(services)
        return [made.text for made in ready]


def _told(sent_at: int, status: int, **who: str) -> Json:
    return {**who, "status": status if sent_at else 0} | ({"send_time": sent_at} if sent_at else {})


def _poll_now(conn: Connection, now: datetime) -> None:
    conn.execute(update(mass_message_part).where(mass_message_part.c.state == "created").values(poll_at=now))


def outcome_of(state: str, reason: str) -> str:
    """What an author calls the end of a mass message: sent, expired, withdrawn, or the step's own state."""
    if state == "done":
        return "sent"
    if state == "dropped" and reason.startswith("已过期"):
        return "expired"
    return "withdrawn" if state == "skipped" and "撤回" in reason else state
