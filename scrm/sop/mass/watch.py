"""The slow tick: a wave whose recipients delete the member too often goes no further, and the managers hear of it."""

from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.services import Services
from scrm.sop import ledger, store
from scrm.sop.mass import batches, losses, recalling
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

WARN = "sop.mass_warn"
# How often the waves are looked at for losses.
WATCH_SECONDS = 60.0
_REFUSED = (RetryClass.PARAMETER, RetryClass.RELATION)


async def watch(services: Services) -> int:
    """The slow tick: a wave whose recipients delete the member too often goes no further; returns how many stopped."""
    now = services.clock.now()
    found = await services.db.read(losses.find_losses, now)
    stopped = 0
    for wave in found:
        stopped += await services.db.write(_stop_wave, wave, now)
    return stopped


def _stop_wave(conn: Connection, wave: Row[Any], now: datetime) -> int:
    share = wave.losses / wave.recipients
    reason = (
        f"24 小时内 {wave.recipients} 位客户收到，{wave.losses} 位删除了员工"
        f"（{share:.1%}，上限 {wave.stop_at:.1%}），这一波已自动停发"
    )
    if not losses.stop_wave(conn, wave, reason, now):
        return 0
    log.warning("sop.mass_wave_stopped", playbook=wave.playbook_key, step=wave.step_id, losses=wave.losses)
    for batch in batches.list_living_batches(conn, wave.playbook_key, wave.version, wave.step_id):
        runs = recalling.end_batch(conn, batch, ("dropped", reason), now)
        store.finish_idle(conn, runs, now=now)
    once = f"mass_stop:{wave.playbook_key}:{wave.version}:{wave.step_id}"
    payload = {"once": once, "title": wave.title, "playbook_key": wave.playbook_key, "reason": reason}
    queue.add(conn, queue.Item(lane="send", kind=WARN, payload=payload, dedupe_key=once), now=now)
    return 1


async def run_warn(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mass_warn": tell the managers that a wave was stopped, once.

    Raises WeCom's error when trying again helps; the same request is then sent with the duplicate check on.
    """
    once = str(item.payload["once"])
    body = await services.db.write(
        _take_warning, item.payload, services.settings.server.public_url, services.clock.now()
    )
    if body is None:
        return
    try:
        await services.wecom.messages.send_message(body, duplicate_check=True)
    except WeComError as error:
        await services.db.write(_note_warning, once, "failed", error.text, None)
        if error.retry_class in _REFUSED:
            log.warning("sop.mass_warning_refused", errcode=error.errcode)
            return
        raise
    await services.db.write(_note_warning, once, "sent", "", services.clock.now())


def _take_warning(conn: Connection, payload: dict[str, Any], public_url: str, now: datetime) -> dict[str, Any] | None:
    """The message with its line in the ledger; None when it was sent, or there is no manager to tell."""
    kept = ledger.find_send(conn, str(payload["once"]))
    if kept is not None:
        return None if kept.outcome in ("sent", "none") else dict(kept.content["body"])
    managers = losses.list_managers(conn)
    body = {
        "touser": "|".join(managers),
        "msgtype": "textcard",
        "textcard": {
            "title": f"群发已自动停发：{payload['title']}"[:60],
            "description": f"{payload['reason']}。\n没发的客户不会再收到；改好内容、发布新版本后恢复。",
            "url": f"{public_url}/console/playbooks/{payload['playbook_key']}",
            "btntxt": "看剧本",
        },
    }
    ledger.add_send(
        conn,
        {
            "kind": "app_message",
            "userid": managers[0] if managers else "",
            "playbook_key": payload["playbook_key"],
            "once": payload["once"],
            "content": {"body": body},
            "decided_at": now,
            "outcome": "intent" if managers else "none",
            "reason": "" if managers else "没有主管或管理员可以通知",
        },
    )
    return body if managers else None


def _note_warning(conn: Connection, once: str, outcome: str, reason: str, sent_at: datetime | None) -> None:
    ledger.change_send(conn, once, outcome=outcome, reason=reason[:300], sent_at=sent_at)
