"""The buttons of a reminder: a member ends or puts off one task without opening it (docs 90236, 90240, 94888)."""

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection

from scrm.errors import Conflict, NotFound
from scrm.services import Services
from scrm.sop.members import task_store, tasks
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

KIND = "sop.card"
DONE, LATER = "done", "later"
# A card that still has its buttons after that is answered anew when they are pressed.
LIFE = timedelta(hours=2)

_CARD_ID = re.compile(r"task-(\d{1,18})@[A-Za-z0-9_\-]*")


def card_id(task_id: int, once: str) -> str:
    """WeCom wants another id for each card: the task's and the half hour's."""
    slot = re.sub(r"[^A-Za-z0-9]", "", once.rpartition(":")[0].rpartition(":")[2] + once.rpartition(":")[2])
    return f"task-{task_id}@{slot}"[:128]


def buttons(url: str) -> list[dict[str, Any]]:
    """Open it, done by hand, later; at most six of ten characters."""
    return [
        {"type": 1, "text": "打开待办", "style": 1, "url": url},
        {"type": 0, "text": "已完成", "style": 2, "key": DONE},
        {"type": 0, "text": "稍后", "style": 2, "key": LATER},
    ]


def press(
    conn: Connection, *, userid: str, pressed: str, key: str, response_code: str, zone: ZoneInfo, now: datetime
) -> bool:
    """Do what the button says, and book the card's new words with it; False for a card that is none of ours.

    A button of a task that has ended meanwhile changes nothing: the card then says how it ended.
    """
    match = _CARD_ID.fullmatch(pressed)
    if match is None or key not in (DONE, LATER):
        return False
    words = _act(conn, userid, int(match[1]), key, zone, now)
    if response_code:
        item = queue.Item(
            lane="send",
            kind=KIND,
            payload={"userid": userid, "response_code": response_code, "words": words},
            dedupe_key=f"{KIND}:{response_code}"[:160],
            give_up_at=now + LIFE,
        )
        queue.add(conn, item, now=now)
    return True


def _act(conn: Connection, userid: str, task_id: int, key: str, zone: ZoneInfo, now: datetime) -> str:
    """What the card says from now on: at most ten characters."""
    try:
        if key == DONE:
            tasks.mark_done(conn, userid, task_id, now)
            return "已完成"
        local = tasks.postpone_soon(conn, userid, task_id, now, zone).open_at.astimezone(zone)
        return f"已推迟到 {local:%H:%M}"
    except NotFound:
        return "这条待办不存在"
    except Conflict:
        row = task_store.find_task(conn, task_id)
        state = tasks.state_of(row, now) if row is not None else ""
        return "快到期，不能推迟" if state == "open" else tasks.WORDS.get(state, "已结束")


async def run_update_card(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.card": grey the buttons. The code works once: a second time (60140) is as good as done."""
    payload = item.payload
    try:
        await services.wecom.messages.update_template_card(
            [payload["userid"]], payload["response_code"], replace_name=payload["words"]
        )
    except WeComError as error:
        if error.errcode != 60140 and error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        log.info("sop.card_kept", errcode=error.errcode)
