"""Work of kind `callback`: parse what was kept, hand it to its handler, record what became of it."""

import structlog

from scrm.callbacks import inbox
from scrm.callbacks.handlers import router
from scrm.callbacks.metrics import CALLBACK_EVENTS
from scrm.callbacks.models import FORGOTTEN
from scrm.callbacks.router import Callback
from scrm.services import Services
from scrm.wecom.callback_xml import Unreadable
from scrm.wecom.events import Event, parse_event
from scrm.work.queue import Claimed

log = structlog.get_logger()


async def run_callback(services: Services, item: Claimed) -> None:
    """Raises what the handler raises, so that the worker repeats it; handlers are idempotent and refetch state."""
    kept = await services.db.read_together(inbox.get_kept_many, item.payload["inbox"])
    if kept is None:
        # It failed, and was older than failed ones are kept before its next try came.
        log.warning("callback.gone", inbox=item.payload["inbox"])
        return
    if bytes(kept.body) == FORGOTTEN:
        await _record(services, kept.id, "unused", Event("", "", kept.received_at, {}))
        return
    try:
        event = parse_event(kept.body)
        _require_pair(event)
    except Unreadable as error:
        log.warning("callback.unreadable", reason=str(error))
        await _record(services, kept.id, "unreadable", Event("", "", kept.received_at, {}), str(error))
        return
    handler = router.find(event)
    if handler is None:
        state = "unused" if router.is_unused(event) else "unknown"
        if state == "unknown":
            log.warning("callback.unknown", event_name=event.name[:64], change_type=event.change_type[:64])
        await _record(services, kept.id, state, event)
        return
    callback = Callback(event, services, kept.received_at, kept.digest, kept.correlation)
    try:
        await handler(callback)
    except Exception as error:
        await _record(services, kept.id, "failed", event, f"{type(error).__name__}: {error}")
        raise
    await _record(services, kept.id, "done", event)
    log.info("callback.handled", event_name=event.name, change_type=event.change_type)


def _require_pair(event: Event) -> None:
    """Every contact event names a member and a contact (doc 92130); without them it is about nobody."""
    if event.name == "change_external_contact" and not (event.text("UserID") and event.text("ExternalUserID")):
        raise Unreadable("客户事件里缺少 UserID 或 ExternalUserID")


async def _record(services: Services, inbox_id: int, state: str, event: Event, error: str = "") -> None:
    outcome = inbox.Outcome(
        inbox_id,
        state,
        event.name,
        event.change_type,
        services.clock.now(),
        error,
        external_userid=event.text("ExternalUserID"),
        userid=event.text("UserID"),
    )
    await services.db.together(inbox.record_many, outcome)
    known = state not in ("unknown", "unreadable")  # strangers' names must not become labels
    CALLBACK_EVENTS.labels(event.name if known else "", event.change_type if known else "", state).inc()
