"""From a form to parts: the message is kept, its audience written down piece by piece, then one part per member."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from scrm.content import programs
from scrm.content.media import store as media
from scrm.content.render import LINK_DESC_BYTES, LINK_TITLE_BYTES, WELCOME_TEXT_BYTES
from scrm.db import Priority
from scrm.db.bulk import insert_rows
from scrm.errors import Invalid
from scrm.mass_messages import saying, store
from scrm.mass_messages.audience import Audience, Forecast, check_audience, forecast, quota_at
from scrm.services import Services
from scrm.wecom.customer_messages import MOST_ATTACHMENTS, MOST_CHATS
from scrm.work import queue

PREPARE, CREATE = "mass_message.prepare", "mass_message.create"
CHUNK = 1000
FARTHEST = timedelta(days=60)


async def foresee(services: Services, audience: Audience) -> Forecast:
    """How many it would reach and who had enough already; nothing is written. Raises Invalid."""
    check_audience(audience)
    now, settings = services.clock.now(), services.settings
    return await services.db.read(forecast, audience, quota_at(now, settings.mass_messages, settings.shop.zone), now)


async def create(
    services: Services,
    audience: Audience,
    *,
    text: str,
    attachments: Sequence[Mapping[str, Any]] = (),
    title: str = "",
    once: str | None = None,
    created_by: str = "",
    scheduled_at: datetime | None = None,
) -> int:
    """Keep the message and prepare it, now or at its time; the same `once` twice is one message.

    One that would reach more than `approve_above` customers waits for an approval. Returns its id; raises Invalid.
    """
    now, most = services.clock.now(), services.settings.mass_messages.approve_above
    text = text.strip()
    check_content(text, attachments)
    check_time(scheduled_at, now)
    await services.db.read(saying.check_words, text, attachments)
    if len(audience.chats) > MOST_CHATS:
        raise Invalid(f"一次最多选 {MOST_CHATS} 个客户群，现在选了 {len(audience.chats)} 个。")
    expected = (await foresee(services, audience)).reachable
    values = {
        "state": "pending" if 0 < most < expected and not audience.chats else "preparing",
        "expected": expected,
        "scheduled_at": scheduled_at,
        "kind": "group" if audience.chats else "single",
        "title": title.strip()[:80],
        "text": text,
        "attachments": [dict(each) for each in attachments],
        "audience": audience.as_json(),
        "once": once,
        "created_by": created_by,
        "created_at": now,
    }
    return await services.db.write(_create, values, now)


def check_time(scheduled_at: datetime | None, now: datetime) -> None:
    """Raises Invalid for a time that is over, or too far away to be meant. Pure."""
    if scheduled_at is not None and scheduled_at <= now:
        raise Invalid("定时的时间已经过了，请选晚一点的时间，或改成立即创建。")
    if scheduled_at is not None and scheduled_at > now + FARTHEST:
        raise Invalid(f"定时最远 {FARTHEST.days} 天以后，请选近一点的时间。")


def _create(conn: Connection, values: dict[str, Any], now: datetime) -> int:
    _check_media(conn, values["attachments"])
    message_id = store.add_message(conn, values)
    if message_id is None:
        known = store.find_message_once(conn, values["once"])
        assert known is not None  # noqa: S101 - the conflict was with it
        return known
    if values.get("state") != "pending":
        queue_prepare(conn, message_id, values.get("scheduled_at"), now)
    return message_id


def queue_prepare(
    conn: Connection, message_id: int, due_at: datetime | None, now: datetime, *, is_again: bool = False
) -> None:
    """Write the audience down when it is time: who fits then is meant.

    `is_again` does not lean on the first work: that may be just ending, having seen the stop.
    """
    key = None if is_again else f"{PREPARE}:{message_id}"
    item = queue.Item(lane="bulk", kind=PREPARE, payload={"id": message_id}, due_at=due_at, dedupe_key=key)
    queue.add(conn, item, now=now)


@dataclass(frozen=True, slots=True)
class Recipient:
    """A customer in a message that is made for steps of a playbook, with his step."""

    external_userid: str
    person_id: int
    step_run_id: int


def create_for_steps(
    conn: Connection, *, userid: str, title: str, text: str, attachments: Sequence[Mapping[str, Any]], now: datetime
) -> tuple[int, int]:
    """One member's message, and its part, for at most 10,000 customers whom `add_recipients` names one by one.

    Its making is for the caller to queue, when all are there.
    """
    values = {
        "kind": "single",
        "origin": "playbook",
        "title": title[:80],
        "text": text,
        "attachments": [dict(each) for each in attachments],
        "audience": {"userids": [userid]},
        "state": "running",
        "created_at": now,
    }
    message_id = store.add_message(conn, values)
    assert message_id is not None  # noqa: S101 - without `once` nothing can conflict
    return message_id, store.add_part_for(conn, message_id, userid, ())


def create_for_groups(
    conn: Connection,
    chats: Sequence[tuple[str, str]],
    *,
    title: str,
    text: str,
    attachments: Sequence[Mapping[str, Any]],
    once: str,
    now: datetime,
) -> int:
    """A message into these groups (chat_id, owner), in the caller's transaction; raises Invalid."""
    check_content(text, attachments)
    values = {
        "kind": "group",
        "title": title[:80],
        "text": text,
        "attachments": [dict(each) for each in attachments],
        "audience": Audience(chats=tuple(chats)).as_json(),
        "once": once,
        "created_at": now,
    }
    return _create(conn, values, now)


def add_recipients(
    conn: Connection, message_id: int, part_id: int, userid: str, recipients: Sequence[Recipient], now: datetime
) -> None:
    """Nobody is chosen or counted here: who has become unreachable or had enough is left out before the call."""
    rows = [
        {
            "mass_message_id": message_id,
            "target": each.external_userid,
            "part_id": part_id,
            "userid": userid,
            "person_id": each.person_id,
            "state": "planned",
            "counted_at": now,
            "step_run_id": each.step_run_id,
            "told": "planned",
        }
        for each in recipients
    ]
    insert_rows(conn, store.target, rows)


def check_content(text: str, attachments: Sequence[Mapping[str, Any]]) -> None:
    """Raises Invalid for what WeCom would refuse (doc 92135). Pure."""
    if not text and not attachments:
        raise Invalid("群发内容是空的，请写文字或加附件。")
    if (size := len(text.encode())) > WELCOME_TEXT_BYTES:
        over = -(-(size - WELCOME_TEXT_BYTES) // 3)
        raise Invalid(
            f"文字太长：最多 {WELCOME_TEXT_BYTES} 字节（约 {WELCOME_TEXT_BYTES // 3} 个汉字），请删掉约 {over} 个字。"
        )
    if len(attachments) > MOST_ATTACHMENTS:
        raise Invalid(f"附件有 {len(attachments)} 个，最多 {MOST_ATTACHMENTS} 个。")
    for each in attachments:
        if "link" in each:
            _check_link(each["link"])
        elif programs.KIND in each:
            _check_program(each[programs.KIND])
        elif "media" not in each:
            raise Invalid("附件只能是链接、小程序，或素材库里的图片、视频、文件。")


def _check_link(link: Mapping[str, Any]) -> None:
    title, url = str(link.get("title") or ""), str(link.get("url") or "")
    if not title:
        raise Invalid("链接缺少标题。")
    if len(title.encode()) > LINK_TITLE_BYTES:
        raise Invalid(f"链接标题太长，最多 {LINK_TITLE_BYTES // 3} 个汉字。")
    if len(str(link.get("desc") or "").encode()) > LINK_DESC_BYTES:
        raise Invalid(f"链接描述太长，最多 {LINK_DESC_BYTES // 3} 个汉字。")
    if not re.match(r"https?://[^/\s]+", url) or len(url) > 2048:
        raise Invalid("链接地址要以 http:// 或 https:// 开头，最多 2048 个字符。")


def _check_program(card: Mapping[str, Any]) -> None:
    if not all(card.get(key) for key in ("appid", "title", "page", "media")):
        raise Invalid("小程序要有标题、AppID、页面路径和封面图，请补齐。")
    if not programs.APPID.fullmatch(str(card["appid"])):
        raise Invalid("小程序的 AppID 是 wx 加 16 位数字或小写字母（a 到 f），请到小程序后台复制。")
    if not programs.PAGE.fullmatch(str(card["page"])):
        raise Invalid("小程序的页面路径要以 .html 结尾，例如 pages/goods/detail.html?id=12。")
    if len(str(card["title"]).encode()) > programs.TITLE_BYTES:
        raise Invalid(f"小程序的标题太长，最多 {programs.TITLE_BYTES // 3} 个汉字。")


def file_of(attachment: Mapping[str, Any]) -> str:
    """The SHA-256 of what it shows: a file of the library, or a mini-program's cover; empty for a link."""
    return str(attachment.get("media") or (attachment.get(programs.KIND) or {}).get("media") or "")


def _check_media(conn: Connection, attachments: Sequence[Mapping[str, Any]]) -> None:
    wanted = [name for each in attachments if (name := file_of(each))]
    known = media.find_originals(conn, wanted)
    for name in wanted:
        if name not in known or known[name].is_hidden:
            raise Invalid("选中的素材已被删除，请重新选择。")
        if known[name].kind == "voice":
            raise Invalid("群发不支持语音，请换成图片、视频或文件。")
    for each in attachments:
        if programs.KIND in each and known[file_of(each)].kind != "image":
            raise Invalid("小程序的封面要选一张图片。")


async def run_prepare(services: Services, item: queue.Claimed) -> None:
    """Work of kind "mass_message.prepare": a thousand customers, or one part, in each transaction; a kill resumes."""
    settings = services.settings
    while True:
        now = services.clock.now()
        quota = quota_at(now, settings.mass_messages, settings.shop.zone)
        if not await services.db.write_as(Priority.IMPORT, _prepare_some, int(item.payload["id"]), quota, now):
            return


def _prepare_some(conn: Connection, message_id: int, quota: Any, now: datetime) -> bool:
    """True when there is more to write down."""
    row = store.lock_message(conn, message_id)
    if row.state == "preparing":
        # What was written down before a stop that was taken back.
        if not row.prepared_until and store.drop_targets(conn, message_id, CHUNK):
            return True
        if row.kind == "group":
            store.add_chats(conn, row, quota, now)
        elif store.add_targets(conn, row, quota, now, CHUNK):
            return True
        store.change_message(conn, message_id, state="dividing", prepared_until="")
        return True
    if row.state != "dividing":
        return False
    made = store.add_part(conn, row)
    if made is not None:
        queue_create(conn, message_id, *made, now)
        return True
    store.change_message(conn, message_id, state="running")
    store.end_if_over(conn, message_id, now)
    return False


def queue_create(
    conn: Connection,
    message_id: int,
    part_id: int,
    userid: str,
    now: datetime,
    due_at: datetime | None = None,
    looks: int = 0,
) -> None:
    """One member's parts of a message are made one after the other, so that WeCom's list tells them apart.

    `looks` is how often the list has been asked without an end.
    """
    item = queue.Item(
        lane="send",
        kind=CREATE,
        payload={"part_id": part_id, "looks": looks},
        due_at=due_at,
        order_key=f"mass_message:{message_id}:{userid}",
    )
    queue.add(conn, item, now=now)
