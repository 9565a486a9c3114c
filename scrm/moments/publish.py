"""A moment becomes a task at WeCom: intent first, then the call, then its job; after a silence WeCom's list is asked."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm import audit
from scrm.content.media import library
from scrm.content.media import store as media
from scrm.content.media.copies import IN_MOMENT, ensure_copy
from scrm.errors import Conflict, Invalid, NotFound, ScrmError, Unavailable
from scrm.moments import store
from scrm.moments.results import take_publishers
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError, WeComUnreachable
from scrm.work import queue

KIND = "moment.create"
TEXT_CHARS, TEXT_BYTES, IMAGES = 2000, 4000, 9
SETTLED, LOOK_AGAIN, SKEW = timedelta(minutes=3), timedelta(seconds=60), timedelta(minutes=10)
FIRST_POLL = timedelta(seconds=5)
# Some ten calls whose outcome is not known: an hour.
MOST_LOOKS = 40
_FINAL = (RetryClass.PARAMETER, RetryClass.RELATION)


async def create(
    services: Services,
    *,
    text: str,
    attachments: Sequence[Mapping[str, Any]] = (),
    userids: Sequence[str] = (),
    tag_ids: Sequence[str] = (),
    once: str | None = None,
    created_by: str = "",
) -> int:
    """Keep the moment and begin to make it; the same `once` twice is one. Returns its id; raises Invalid."""
    text, now = text.strip(), services.clock.now()
    values = {
        "text": text,
        "attachments": [dict(each) for each in attachments],
        "userids": list(userids),
        "tag_ids": list(tag_ids),
        "once": once,
        "created_by": created_by,
        "created_at": now,
    }
    return await services.db.write(_create, values, now)


def create_in(
    conn: Connection,
    *,
    text: str,
    attachments: Sequence[Mapping[str, Any]],
    userids: Sequence[str],
    tag_ids: Sequence[str],
    once: str,
    now: datetime,
) -> int:
    """`create` in the caller's transaction."""
    values = {
        "text": text.strip(),
        "attachments": [dict(each) for each in attachments],
        "userids": list(userids),
        "tag_ids": list(tag_ids),
        "once": once,
        "created_at": now,
    }
    return _create(conn, values, now)


def _create(conn: Connection, values: dict[str, Any], now: datetime) -> int:
    check_content(conn, values["text"], values["attachments"])
    number = store.add_moment(conn, values)
    if number is None:
        known = store.find_once(conn, values["once"])
        assert known is not None  # noqa: S101 - the conflict was with it
        return known
    audit.changed(conn, "moment", number, None, values)
    _queue(conn, number, now)
    return number


def _queue(conn: Connection, number: int, now: datetime, due_at: datetime | None = None, looks: int = 0) -> None:
    payload = {"id": number, "looks": looks}
    item = queue.Item(lane="send", kind=KIND, payload=payload, due_at=due_at, order_key=f"moment:{number}")
    queue.add(conn, item, now=now)


def check_content(conn: Connection, text: str, attachments: Sequence[Mapping[str, Any]]) -> None:
    """Raises Invalid for what WeCom would refuse (doc 95094)."""
    if not text and not attachments:
        raise Invalid("朋友圈内容是空的，请写文字或加图片。")
    if len(text) > TEXT_CHARS or len(text.encode()) > TEXT_BYTES:
        raise Invalid(f"文字太长：最多 {TEXT_BYTES} 字节（约 {TEXT_BYTES // 3} 个汉字），请删短一些。")
    names = [str(each["media"]) for each in attachments if "media" in each]
    originals = media.find_originals(conn, names)
    for name in names:
        if name not in originals or originals[name].is_hidden:
            raise Invalid("选中的素材已被删除，请重新选择。")
        library.check_use(originals[name], IN_MOMENT)
    kinds = {originals[str(each["media"])].kind if "media" in each else "link" for each in attachments}
    if len(kinds) > 1:
        raise Invalid("一条朋友圈只能发图片、视频、链接中的一种。")
    if len(attachments) > (IMAGES if kinds == {"image"} else 1):
        raise Invalid("一条朋友圈最多 9 张图片，或 1 个视频，或 1 个链接。")
    for each in attachments:
        if "link" in each and not re.match(r"https?://[^/\s]+", str(each["link"].get("url") or "")):
            raise Invalid("链接地址要以 http:// 或 https:// 开头。")


async def run_create(services: Services, item: queue.Claimed) -> None:
    """Work of kind "moment.create". Raises WeCom's error when trying again helps."""
    number, now, looks = int(item.payload["id"]), services.clock.now(), int(item.payload.get("looks", 0))
    row = await services.db.read(store.find_moment, number)
    if row is None or row.state not in ("planned", "intent"):
        return
    if row.state == "intent" and not await _resolve(services, row, looks):
        return
    try:
        attachments = await _build(services, row.attachments)
        if not await services.db.write(_begin, number, now):
            return
        jobid = await services.wecom.moments.add_moment_task(
            text=row.text, attachments=attachments, userids=row.userids, tag_ids=row.tag_ids
        )
    except WeComError as error:
        await _judge(services, row, error, looks)
        return
    except ScrmError as error:
        await services.db.write(store.change_moment, number, state="failed", reason=error.text)
        return
    await services.db.write(
        store.change_moment,
        number,
        state="job",
        jobid=jobid,
        made_at=now,
        poll_at=now + FIRST_POLL,
        errcode=0,
        reason="",
    )


def _begin(conn: Connection, number: int, now: datetime) -> bool:
    if store.lock_moment(conn, number).state != "planned":
        return False
    store.change_moment(conn, number, state="intent", intent_at=now)
    return True


async def _judge(services: Services, row: Row[Any], error: WeComError, looks: int) -> None:
    is_unknown = error.perhaps_done if isinstance(error, WeComUnreachable) else error.errcode == -1
    now, in_call = services.clock.now(), error.path.endswith("add_moment_task")
    if is_unknown and in_call:
        await services.db.write(_wait, row.id, looks, now)
        return
    state = "failed" if error.retry_class in _FINAL else "planned"
    await services.db.write(store.change_moment, row.id, state=state, errcode=error.errcode, reason=error.text)
    if error.retry_class is RetryClass.MEDIA:
        for each in row.attachments:
            if sha256 := each.get("media") or each.get("link", {}).get("media"):
                await services.db.write(media.forget_copy, str(sha256), IN_MOMENT)
    if state != "failed":
        raise error


def _wait(conn: Connection, number: int, looks: int, now: datetime) -> None:
    """Raises Unavailable when that has been done too often: it is left to a person then."""
    if looks >= MOST_LOOKS:
        raise Unavailable("多次核对仍不知道企业微信有没有创建这条朋友圈，请到企业微信后台查看")
    store.change_moment(conn, number, reason="没有收到企业微信的答复，正在核对是否已创建")
    _queue(conn, number, now, due_at=now + LOOK_AGAIN, looks=looks + 1)


async def _resolve(services: Services, row: Row[Any], looks: int) -> bool:
    """Whether the call must be made (again): only when WeCom had time enough and its list does not have it."""
    now = services.clock.now()
    listing = services.wecom.moments.get_moment_list(row.intent_at - SKEW, now + SKEW, filter_type=0)
    alike = [each async for each in listing if each.is_corp and each.text.strip() == row.text.strip()]
    known = await services.db.read(store.known_ids, [each.moment_id for each in alike])
    for each in sorted(alike, key=lambda one: one.created_at):
        if each.moment_id not in known:
            await services.db.write(
                store.change_moment,
                row.id,
                state="created",
                moment_id=each.moment_id,
                made_at=each.created_at,
                poll_at=now,
                reason="",
            )
            return False
    if now - row.intent_at < SETTLED:
        await services.db.write(_wait, row.id, looks, now)
        return False
    await services.db.write(store.change_moment, row.id, state="planned", reason="上次调用没有生效，重新创建")
    return True


async def _build(services: Services, attachments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    built = []
    for each in attachments:
        if "link" in each:
            link = {key: each["link"][key] for key in ("title", "url") if each["link"].get(key)}
            if cover := each["link"].get("media"):
                link["media_id"] = await ensure_copy(services, str(cover), IN_MOMENT)
            built.append({"msgtype": "link", "link": link})
            continue
        original = await services.db.read(media.find_original, str(each["media"]))
        kind = original.kind if original is not None else "image"
        built.append({"msgtype": kind, kind: {"media_id": await ensure_copy(services, str(each["media"]), IN_MOMENT)}})
    return built


async def cancel(services: Services, number: int) -> None:
    """Members who have not published it cannot any more; what is published stays. Raises NotFound, Conflict."""
    row = await services.db.read(store.find_moment, number)
    if row is None:
        raise NotFound("没有这条朋友圈。")
    if row.state in ("intent", "job"):
        raise Conflict("企业微信正在创建这条朋友圈，请一分钟后再停止。")
    if row.state not in ("planned", "created"):
        raise Conflict("这条朋友圈已经结束，不用停止。")
    if row.state == "created":
        try:
            await services.wecom.moments.cancel_moment_task(row.moment_id)
            await take_publishers(services, row)  # the last look: some may have been faster
        except WeComError as error:
            raise Conflict(f"没能停止：{error.text}") from None
    await services.db.write(store.change_moment, number, state="cancelled", poll_at=None, reason="已停止发表")
