"""One part becomes a mass message at WeCom: intent first, then the call, then the msgid; never twice.

When the call's outcome is not known (a crash, a time-out, -1), WeCom's own list is asked before anything is repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.content import programs
from scrm.content.media import store as media
from scrm.content.media.copies import MESSAGE, PICTURE, ensure_copy
from scrm.errors import ScrmError, Unavailable
from scrm.mass_messages import saying, store
from scrm.mass_messages.audience import Quota, quota_at
from scrm.mass_messages.plan import file_of, queue_create
from scrm.services import Services
from scrm.wecom.customer_messages import Created, GroupMsg
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.work import queue

log = structlog.get_logger()

# WeCom makes mass messages in its own time: only after this is one that its list does not know not there.
SETTLED = timedelta(minutes=3)
LOOK_AGAIN = timedelta(seconds=60)
# Some ten calls whose outcome is not known: an hour.
MOST_LOOKS = 40
# Two clocks may disagree by this much.
SKEW = timedelta(minutes=10)
FIRST_POLL = timedelta(seconds=60)

_UNKNOWN_WORDS = "没有收到企业微信的答复，正在核对是否已创建"
_FINAL = (RetryClass.PARAMETER, RetryClass.RELATION)


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be sent for one part."""

    part: Row[Any]
    message: Row[Any]
    targets: list[str]
    text: str


async def run_create(services: Services, item: queue.Claimed) -> None:
    """Work of kind "mass_message.create". Raises WeCom's error when trying again helps."""
    part_id, looks = int(item.payload["part_id"]), int(item.payload.get("looks", 0))
    part, message = await services.db.read(_load, part_id)
    if part.state == "intent" and not await _resolve(services, part, message, looks):
        return
    try:
        attachments = await build_attachments(services, message.attachments)
    except WeComError as error:
        if error.retry_class in _FINAL:
            await services.db.write(_fail, part_id, error.errcode, f"附件上传失败：{error.text}", services.clock.now())
            return
        raise
    except ScrmError as error:
        await services.db.write(_fail, part_id, 0, error.text, services.clock.now())
        return
    now, settings = services.clock.now(), services.settings
    quota = quota_at(now, settings.mass_messages, settings.shop.zone)
    call = await services.db.write(_begin, part_id, quota, settings.shop.name, now)
    if call is not None:
        await _call(services, call, attachments, looks)


def _load(conn: Connection, part_id: int) -> tuple[Row[Any], Row[Any]]:
    part = conn.execute(store.part.select().where(store.part.c.id == part_id)).one()
    message = store.find_message(conn, part.mass_message_id)
    assert message is not None  # noqa: S101 - messages are never deleted
    return part, message


def _begin(conn: Connection, part_id: int, quota: Quota, shop: str, now: datetime) -> Call | None:
    """The intent: everybody is looked at once more, and from here on the call may have happened."""
    part = store.lock_part(conn, part_id)
    message = store.lock_message(conn, part.mass_message_id)
    if part.state != "planned":
        return None
    if message.state == "cancelled":
        _end(conn, part, "cancelled", "已停止", now)
        return None
    store.drop_unreachable(conn, part, message.kind, quota)
    targets = store.list_part_targets(conn, part.id, "planned")
    if not targets:
        _end(conn, part, "done", "没有可以发送的客户", now)
        return None
    store.change_part(conn, part.id, state="intent", intent_at=now, errcode=0, reason="")
    return Call(part, message, targets, _text_of(conn, part, message, shop))


def _text_of(conn: Connection, part: Row[Any], message: Row[Any], shop: str) -> str:
    """A playbook has filled its words in already."""
    if message.origin != "own":
        return str(message.text)
    return saying.fill(message.text, shop, store.find_member_name(conn, part.userid))


async def _call(services: Services, call: Call, attachments: list[dict[str, Any]], looks: int) -> None:
    names = {"chat_ids" if call.message.kind == "group" else "external_userids": call.targets}
    try:
        created = await services.wecom.customer_messages.add_msg_template(
            sender=call.part.userid, text=call.text, attachments=attachments, **names
        )
    except WeComError as error:
        await _judge(services, call, error, looks)
        return
    await _note_created(services, call.part.id, created)


async def _judge(services: Services, call: Call, error: WeComError, looks: int) -> None:
    now, part_id = services.clock.now(), call.part.id
    is_unknown = error.perhaps_done if isinstance(error, WeComUnreachable) else error.errcode == -1
    if is_unknown:
        await services.db.write(_wait, call.part, looks, error.errcode, now)
        return
    if error.errcode == 41048:
        await services.db.write(_note_unreachable, part_id, now)
        return
    if error.retry_class in _FINAL:
        log.warning("mass_message.refused", errcode=error.errcode)
        await services.db.write(_fail, part_id, error.errcode, error.text, now)
        return
    await services.db.write(_step_back, part_id, error)
    if error.retry_class is RetryClass.MEDIA:
        for each in call.message.attachments:
            if name := file_of(each):
                await services.db.write(media.forget_copy, name, MESSAGE)
    raise error


def _wait(conn: Connection, part: Row[Any], looks: int, errcode: int, now: datetime) -> None:
    """Raises Unavailable when that has been done too often: it is left to a person then."""
    if looks >= MOST_LOOKS:
        raise Unavailable("多次核对仍不知道企业微信有没有创建这条群发，请到企业微信后台查看")
    store.change_part(conn, part.id, reason=_UNKNOWN_WORDS, errcode=errcode)
    due_at = now + LOOK_AGAIN
    queue_create(conn, part.mass_message_id, part.id, part.userid, now, due_at=due_at, looks=looks + 1)


def _step_back(conn: Connection, part_id: int, error: WeComError) -> None:
    """WeCom refused for now: surely nothing was made."""
    store.change_part(conn, part_id, state="planned", errcode=error.errcode, reason=error.text)


def _fail(conn: Connection, part_id: int, errcode: int, reason: str, now: datetime) -> None:
    part = store.lock_part(conn, part_id)
    store.move_targets(conn, part_id, "failed", before=("planned",))
    store.change_part(conn, part_id, errcode=errcode)
    _end(conn, part, "failed", reason, now)


def give_up(conn: Connection, part_id: int, reason: str, now: datetime) -> None:
    """Nobody will make this part any more; what WeCom has of it already stays as it is."""
    if store.lock_part(conn, part_id).state in ("planned", "intent"):
        _fail(conn, part_id, 0, reason, now)


def _note_unreachable(conn: Connection, part_id: int, now: datetime) -> None:
    part = store.lock_part(conn, part_id)
    store.move_targets(conn, part_id, "unreachable", before=("planned",))
    _end(conn, part, "done", "企业微信说这些客户都无法送达", now)


def _end(conn: Connection, part: Row[Any], state: str, reason: str, now: datetime) -> None:
    if state == "cancelled":
        store.move_targets(conn, part.id, "cancelled", before=("planned", "waiting"))
    store.change_part(conn, part.id, state=state, reason=reason[:300], poll_at=None)
    store.end_if_over(conn, part.mass_message_id, now)


async def _note_created(services: Services, part_id: int, created: Created) -> None:
    is_cancelled = await services.db.write(_keep_created, part_id, created, services.clock.now())
    if is_cancelled:
        await services.wecom.customer_messages.cancel_groupmsg_send(created.msgid)
        await services.db.write(note_cancelled, part_id, services.clock.now())


def _keep_created(conn: Connection, part_id: int, created: Created, now: datetime) -> bool:
    """Whether somebody stopped the message while it was being made."""
    part = store.lock_part(conn, part_id)
    store.move_targets(conn, part_id, "unreachable", before=("planned",), only=created.fail_list)
    store.move_targets(conn, part_id, "waiting", before=("planned",))
    store.change_part(
        conn,
        part_id,
        state="created",
        msgid=created.msgid,
        created_at=now,
        poll_at=now + FIRST_POLL,
        errcode=0,
        reason="",
    )
    return bool(store.lock_message(conn, part.mass_message_id).state == "cancelled")


def note_cancelled(conn: Connection, part_id: int, now: datetime) -> None:
    """What waits for its member will not go out any more; what a playbook recalls is ended by the playbook."""
    part = store.lock_part(conn, part_id)
    if part.state != "recalling":
        _end(conn, part, "cancelled", "已停止", now)


# After a crash or a silence ----------------------------------------------------------------------------------------------


async def _resolve(services: Services, part: Row[Any], message: Row[Any], looks: int) -> bool:
    """Whether the call must be made (again): True only when WeCom had time enough and does not know it."""
    now = services.clock.now()
    try:
        msgid = await _find_made(services, part, message, now)
    except WeComError as error:
        if error.retry_class is RetryClass.LATER:
            await services.db.write(_wait, part, looks, error.errcode, now)
            return False
        raise
    if msgid:
        log.info("mass_message.found_again", part=part.id)
        await _note_created(services, part.id, Created(msgid, ()))
        return False
    if now - part.intent_at < SETTLED:
        await services.db.write(_wait, part, looks, part.errcode, now)
        return False
    log.info("mass_message.was_not_made", part=part.id)
    await services.db.write(store.change_part, part.id, state="planned", reason="上次调用没有生效，重新创建")
    return True


async def _find_made(services: Services, part: Row[Any], message: Row[Any], now: datetime) -> str:
    """The msgid of what our lost call made: same words, same member, same customers, and nobody else's; or ''."""
    listing = services.wecom.customer_messages.get_groupmsg_list_v2(
        message.kind, part.intent_at - SKEW, now + SKEW, filter_type=0
    )
    shop = services.settings.shop.name
    alike = [each async for each in listing if _is_alike(each, message, shop)]
    known = await services.db.read(store.known_msgids, [each.msgid for each in alike])
    for each in sorted(alike, key=lambda one: one.created_at):
        if each.msgid not in known and await _is_ours(services, each.msgid, part, message.kind):
            return each.msgid
    return ""


def _is_alike(each: GroupMsg, message: Row[Any], shop: str) -> bool:
    kinds = [kind_of(attachment) for attachment in message.attachments]
    found = [str(attachment.get("msgtype", "")) for attachment in each.attachments]
    same_kinds = len(found) == len(kinds) and all(
        kind in ("media", name) for kind, name in zip(kinds, found, strict=True)
    )
    is_template = message.origin == "own"
    same_words = (
        saying.is_said(message.text, each.text, shop) if is_template else each.text.strip() == message.text.strip()
    )
    return each.is_corp and not each.creator and same_words and same_kinds


def kind_of(attachment: dict[str, Any]) -> str:
    """link, miniprogram or media, as authors write it."""
    return next((kind for kind in ("link", programs.KIND) if kind in attachment), "media")


async def _is_ours(services: Services, msgid: str, part: Row[Any], kind: str) -> bool:
    messages = services.wecom.customer_messages
    members = {task.userid.lower() async for task in messages.get_groupmsg_task(msgid)}
    if members != {part.userid.lower()}:
        return False
    if kind == "group":
        return True
    # Whoever was taken out meanwhile was still in the call.
    mine = set(await services.db.read(store.list_part_targets, part.id, "planned", "cancelled"))
    async for sent in messages.get_groupmsg_send_result(msgid, part.userid):
        return sent.target in mine
    return True


# Attachments -------------------------------------------------------------------------------------------------------------


async def build_attachments(services: Services, attachments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the shape of add_msg_template, with living media ids; uploads what has none. Raises WeComError, ScrmError."""
    built = []
    for each in attachments:
        if "link" in each:
            built.append({"msgtype": "link", "link": await _link(services, each["link"])})
            continue
        if programs.KIND in each:
            cover = await ensure_copy(services, file_of(each), MESSAGE)
            built.append(programs.server_message(each[programs.KIND], cover))
            continue
        sha256 = str(each["media"])
        original = await services.db.read(media.find_original, sha256)
        kind = original.kind if original is not None else "file"
        built.append({"msgtype": kind, kind: {"media_id": await ensure_copy(services, sha256, MESSAGE)}})
    return built


async def _link(services: Services, link: dict[str, Any]) -> dict[str, Any]:
    """A cover from the library gets its permanent address."""
    shown = {key: link[key] for key in ("title", "url", "desc", "picurl") if link.get(key)}
    if cover := link.get("media"):
        shown["picurl"] = await ensure_copy(services, str(cover), PICTURE)
    return shown
