"""Customer groups, their join codes, welcome materials and statistics (docs 92120, 92122, 92229, 92366, 92133)."""

from datetime import datetime, timedelta, timezone

from ..call import Call
from ..cursors import next_cursor, read_cursor
from ..errors import Refusal
from ..group_chats import Group, JoinWay, details
from ..world import Json

CHINA = timezone(timedelta(hours=8))
MOST_WITHOUT_OWNERS = 1000
MOST_OWNERS = 100
MOST_GROUPS_OF_A_CODE = 5
MOST_CODES = 500_000
MOST_WELCOMES = 100
MOST_DAYS, OLDEST_DAYS = 30, 180
ATTACHMENTS = ("image", "link", "miniprogram", "file", "video")


def list_groups(call: Call) -> Json:
    """Living groups by owner and status, page by page."""
    limit = call.body.get("limit")
    if not isinstance(limit, int) or not 1 <= limit <= 1000:
        raise Refusal(40058, "invalid Request Parameter, limit must be 1 to 1000")
    status = call.number("status_filter", 0)
    if status not in range(4):
        raise Refusal(40058, "invalid Request Parameter, status_filter must be 0 to 3")
    owners = _owners(call)
    (first,) = read_cursor(call)
    found = [
        group
        for group in call.world.group_chats.groups.values()
        if group.dismissed_at is None and _is_wanted(call, group, status, owners)
    ]
    rows = [{"chat_id": group.chat_id, "status": group.status} for group in found[first : first + limit]]
    return {"group_chat_list": rows, "next_cursor": next_cursor(call, first + limit, len(found))}


def _is_wanted(call: Call, group: Group, status: int, owners: set[str]) -> bool:
    if status and group.status != status:
        return False
    if group.owner in call.world.out_of_range:
        return False
    if owners:
        return group.owner.casefold() in owners
    # Groups of a resigned owner only come when that owner is named.
    return call.world.find_member(group.owner) is not None


def _owners(call: Call) -> set[str]:
    value = call.body.get("owner_filter") or {}
    owners = value.get("userid_list") or [] if isinstance(value, dict) else []
    if len(owners) > MOST_OWNERS:
        raise Refusal(40058, f"invalid Request Parameter, userid_list has {len(owners)} items, at most {MOST_OWNERS}")
    if not owners and len(call.world.members) > MOST_WITHOUT_OWNERS:
        raise Refusal(81017)
    return {str(owner).casefold() for owner in owners}


def get_group(call: Call) -> Json:
    """The group with its members; for a while after a change it may still show what was before."""
    group = _find(call, call.text("chat_id", missing=40058))
    shown = details(group)
    if group.shown_before is not None and group.shows_at is not None and call.now < group.shows_at:
        shown = group.shown_before
    if not call.number("need_name", 0):
        shown = {**shown, "member_list": [_without_name(row) for row in shown["member_list"]]}
    return {"group_chat": shown}


def _without_name(row: Json) -> Json:
    return {key: value for key, value in row.items() if key != "name"}


def _find(call: Call, chat_id: str) -> Group:
    group = call.world.group_chats.groups.get(chat_id)
    if group is None:
        raise Refusal(40050)
    if group.dismissed_at is not None:
        raise Refusal(49008)
    if group.owner in call.world.out_of_range:
        raise Refusal(60011)
    return group


def opengid_to_chatid(call: Call) -> Json:
    """The chat_id of an own group."""
    chat_id = call.world.group_chats.opengids.get(call.text("opengid", missing=40058))
    if chat_id is None:
        raise Refusal(90511)
    return {"chat_id": chat_id}


# Join codes


def add_join_way(call: Call) -> Json:
    """A code for up to five groups; only the config_id is told, the picture comes from get_join_way."""
    state = call.world.group_chats
    if len(state.join_ways) + len(call.world.contact_ways) >= MOST_CODES:
        raise Refusal(41045)
    config_id = call.world.make_id("", f"join/{call.world.next_number()}/{call.now.timestamp()}")
    state.join_ways[config_id] = _read_join_way(call, config_id)
    call.world.touch()
    return {"config_id": config_id}


def _read_join_way(call: Call, config_id: str) -> JoinWay:
    if call.body.get("scene") not in (1, 2):
        raise Refusal(41040 if "scene" in call.body else 41038)
    chat_ids = call.texts("chat_id_list")
    if not chat_ids:
        raise Refusal(40058, "invalid Request Parameter, chat_id_list is empty")
    if len(chat_ids) > MOST_GROUPS_OF_A_CODE:
        raise Refusal(41091)
    for chat_id in chat_ids:
        _find(call, chat_id)
    return JoinWay(
        config_id,
        call.number("scene", 2),
        chat_ids,
        remark=call.text("remark")[:30],
        state=call.text("state", chars=30),
        auto_create_room=call.number("auto_create_room", 1),
        room_base_name=call.text("room_base_name", chars=40),
        room_base_id=call.number("room_base_id", 1),
        mark_source=call.flag("mark_source", True),
    )


def _find_join_way(call: Call) -> JoinWay:
    way = call.world.group_chats.join_ways.get(call.text("config_id", missing=41043))
    if way is None:
        raise Refusal(41044)
    return way


def get_join_way(call: Call) -> Json:
    """All settings of one code, and the address of its picture."""
    way = _find_join_way(call)
    shown: Json = {
        "config_id": way.config_id,
        "scene": way.scene,
        "remark": way.remark,
        "auto_create_room": way.auto_create_room,
        "room_base_name": way.room_base_name,
        "room_base_id": way.room_base_id,
        "chat_id_list": list(way.chat_ids),
        "state": way.state,
        "mark_source": way.mark_source,
    }
    if way.scene == 2:
        shown["qr_code"] = f"{call.config.base_url}/group-qr/{way.config_id}.png"
    return {"join_way": shown}


def update_join_way(call: Call) -> Json:
    """Overwrites everything."""
    way = _find_join_way(call)
    call.world.group_chats.join_ways[way.config_id] = _read_join_way(call, way.config_id)
    call.world.touch()
    return {}


def del_join_way(call: Call) -> Json:
    """The code ends."""
    del call.world.group_chats.join_ways[_find_join_way(call).config_id]
    call.world.touch()
    return {}


# Welcome materials


def add_welcome(call: Call) -> Json:
    """A material; the owner of a group applies it in the client."""
    state = call.world.group_chats
    if len(state.welcomes) >= MOST_WELCOMES:
        raise Refusal(41055)
    template_id = call.world.make_id("msg", f"welcome/{call.world.next_number()}", 34)
    state.welcomes[template_id] = _read_welcome(call)
    call.world.touch()
    return {"template_id": template_id}


def _read_welcome(call: Call) -> Json:
    text = call.body.get("text") or {}
    content = text.get("content", "") if isinstance(text, dict) else ""
    if not isinstance(content, str) or len(content.encode()) > 3000:
        raise Refusal(40058, "invalid Request Parameter, text.content longer than 3000 bytes")
    kind = next((kind for kind in ATTACHMENTS if call.body.get(kind)), "")
    if not content and not kind:
        raise Refusal(40058, "invalid Request Parameter, text and attachments are both empty")
    if kind == "link":
        _check_link(call.body["link"])
    if kind in ("file", "video") and not call.world.find_media(str(call.body[kind].get("media_id", "")), call.now):
        raise Refusal(40007)
    if call.number("notify", 1) not in (0, 1):
        raise Refusal(40058, "invalid Request Parameter, notify must be 0 or 1")
    return {"text": {"content": content}} | ({kind: call.body[kind]} if kind else {})


def _check_link(link: object) -> None:
    if not isinstance(link, dict) or not link.get("title") or not link.get("url"):
        raise Refusal(40058, "invalid Request Parameter, link needs title and url")
    if len(str(link["title"]).encode()) > 128 or len(str(link.get("desc", "")).encode()) > 512:
        raise Refusal(40058, "invalid Request Parameter, link.title or link.desc too long")


def _welcome_id(call: Call) -> str:
    template_id = call.text("template_id", missing=40058)
    state = call.world.group_chats
    if template_id in state.foreign_welcomes:
        raise Refusal(41058)
    if template_id not in state.welcomes:
        raise Refusal(40058, "invalid Request Parameter, invalid template_id")
    return template_id


def edit_welcome(call: Call) -> Json:
    """The new content; groups that apply the material use it from now on."""
    template_id = _welcome_id(call)
    call.world.group_chats.welcomes[template_id] = _read_welcome(call)
    call.world.touch()
    return {}


def get_welcome(call: Call) -> Json:
    """The content of one material."""
    return dict(call.world.group_chats.welcomes[_welcome_id(call)])


def del_welcome(call: Call) -> Json:
    """Gone."""
    del call.world.group_chats.welcomes[_welcome_id(call)]
    call.world.touch()
    return {}


# Statistics


def statistic(call: Call) -> Json:
    """Per owner."""
    first, last = _span(call)
    owners = _owners(call)
    order_by = call.number("order_by", 1)
    if order_by not in range(1, 5):
        raise Refusal(40058, "invalid Request Parameter, order_by must be 1 to 4")
    by_owner: dict[str, list[Group]] = {}
    for group in _counted(call, owners):
        by_owner.setdefault(group.owner, []).append(group)
    items = [{"owner": owner, "data": _data(groups, first, last)} for owner, groups in by_owner.items()]
    key = ("new_chat_cnt", "chat_total", "new_member_cnt", "member_total")[order_by - 1]
    items.sort(key=lambda item: item["data"][key], reverse=not call.number("order_asc", 0))  # type: ignore[index]
    offset, limit = call.number("offset", 0), min(max(call.number("limit", 500), 1), 1000)
    shown = items[offset : offset + limit]
    return {"total": len(items), "next_offset": offset + len(shown), "items": shown}


def statistic_by_day(call: Call) -> Json:
    """Per day."""
    first, last = _span(call)
    groups = _counted(call, _owners(call))
    items = []
    day = first
    while day <= last:
        items.append({"stat_time": int(day.timestamp()), "data": _data(groups, day, day)})
        day += timedelta(days=1)
    return {"items": items}


def _counted(call: Call, owners: set[str]) -> list[Group]:
    return [g for g in call.world.group_chats.groups.values() if not owners or g.owner.casefold() in owners]


def _span(call: Call) -> tuple[datetime, datetime]:
    """China's days; closed, at most thirty of them, none older than 180 days, ends yesterday."""
    if "day_begin_time" not in call.body:
        raise Refusal(40058, "invalid Request Parameter, day_begin_time is missing")
    first = _midnight(datetime.fromtimestamp(call.number("day_begin_time", 0), CHINA))
    last = _midnight(datetime.fromtimestamp(call.number("day_end_time", int(first.timestamp())), CHINA))
    today = _midnight(call.now.astimezone(CHINA))
    if last < first or (last - first).days >= MOST_DAYS or (today - first).days > OLDEST_DAYS:
        raise Refusal(40058, "invalid Request Parameter, the span must be 1 to 30 days of the last 180")
    return first, min(last, today - timedelta(days=1))


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _data(groups: list[Group], first: datetime, last: datetime) -> Json:
    end = last + timedelta(days=1)
    living = [g for g in groups if g.created_at < end and (g.dismissed_at is None or g.dismissed_at >= end)]
    return {
        "new_chat_cnt": sum(first <= group.created_at < end for group in groups),
        "chat_total": len(living),
        "chat_has_msg": 0,
        "new_member_cnt": sum(first <= at < end for group in groups for at, _ in group.joins),
        "member_total": sum(len(group.seats) for group in living),
        "member_has_msg": 0,
        "msg_total": 0,
    }
