"""Writing scripts: drafts, approval, versions, what is brought back, stopped or moved. Each script has one draft at most."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.content import render
from scrm.content.library import lint, said, store
from scrm.content.library.said import Said
from scrm.content.media import store as media
from scrm.content.media.copies import MESSAGE
from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.tracking import radar, said_links

KEY_RULE = "小写字母、数字、- 和 _，64 个以内"
_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MOST_MINE = 500


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a script stands and how long it is good, beside what it says."""

    folder_id: int | None = None
    key: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """`state` is draft, pending (another manager has to approve) or published; `version` the one it is about."""

    script_id: int
    state: str
    version: int


def said_of(row: Row[Any]) -> Said:
    """What a script or one of its versions says."""
    return Said(row.title, row.text, tuple(row.attachments or ()))


def state_of(row: Row[Any], now: datetime) -> str:
    """One word for where a script stands: stopped, expired, used, pending or draft."""
    if row.is_stopped:
        return "stopped"
    if not row.version:
        return str(row.draft or "draft")
    return "expired" if row.expires_at is not None and row.expires_at <= now else "used"


def check(conn: Connection, one: Said) -> list[lint.Found]:
    """Everything that is wrong with it, what keeps it from being saved first."""
    files = media.find_by_name(conn, said.media_names(one.attachments))
    known = {key: title for key in said.radar_keys(one.attachments) if (title := _radar_title(conn, key))}
    lacks = _lacking_links(conn, one)
    problems = said.problems_of(one, {name: row.kind for name, row in files.items()}, known)
    texts = [one.title, *one.texts]
    return [*(lint.Found(text, True) for text in [*problems, *lacks]), *lint.find(texts, store.read_words(conn))]


def _lacking_links(conn: Connection, one: Said) -> list[str]:
    named = {key for text in one.texts for key in _variables(text) if said_links.knows(key)}
    found = said_links.find_contents(conn, named)
    return [
        f"没有雷达内容“{key.partition('.')[2]}”，可能已下架；可用的变量在「雷达内容」页复制"
        for key in sorted(named - found.keys())
    ]


def _variables(text: str) -> set[str]:
    return set() if render.check(text) else render.variables_of(text)


def _radar_title(conn: Connection, key: str) -> str:
    try:
        row = radar.find_content(conn, key)
    except NotFound:
        return ""
    return "" if row.is_archived else str(row.title)


# Company scripts ------------------------------------------------------------------------------------------------------


def save(
    conn: Connection, script_id: int | None, one: Said, placed: Placed, by: str, *, publish: bool, now: datetime
) -> Saved:
    """Keep a draft; with `publish` it is used at once, or waits for another manager where the shop wants that.

    Raises Invalid with what has to be mended, NotFound for a script that is not the company's.
    """
    if problems := [found.text for found in check(conn, one) if found.blocks]:
        raise Invalid("；".join(problems[:5]))
    _check_place(conn, script_id, placed)
    row = _lock(conn, script_id) if script_id is not None else None
    if row is None:
        row = _lock(conn, _add(conn, one, store.COMPANY, by, now, placed.folder_id))
    _place(conn, row, placed, now)
    if row.version and said_of(row) == one:
        _drop_draft(conn, row, now)
        return Saved(row.id, "published", row.version)
    return _save_draft(conn, row, one, by, publish=publish, now=now)


def _save_draft(
    conn: Connection,
    row: Row[Any],
    one: Said,
    by: str,
    *,
    publish: bool,
    now: datetime,
    restored_from: int | None = None,
) -> Saved:
    version = row.version + 1
    state = "draft" if not publish else "pending" if store.needs_approval(conn) else "published"
    values: dict[str, Any] = {"title": one.title, "text": one.text, "attachments": list(one.attachments)}
    values |= {"restored_from": restored_from}
    values |= {"saved_by": by, "saved_at": now, "state": state, "decided_by": "", "decided_at": None, "why": ""}
    store.save_version(conn, row.id, version, **values)
    if state == "published":
        _use(conn, row, version, one, now)
    else:
        title = {} if row.version else {"title": one.title}
        store.change_script(conn, row.id, draft=state, changed_at=now, **title)
        if title:
            store.save_terms(conn, row.id, row.owner, one.title)
    return Saved(row.id, state, version)


def approve(conn: Connection, script_id: int, by: str, *, is_administrator: bool, now: datetime) -> Saved:
    """Use what was handed in; nobody but an administrator approves what he wrote himself (Forbidden)."""
    row = _lock(conn, script_id)
    draft = _pending(conn, row)
    if draft.saved_by == by and not is_administrator:
        raise Forbidden("自己提交的话术要由另一位主管或管理员批准")
    one = said_of(draft)
    if problems := [found.text for found in check(conn, one) if found.blocks]:
        raise Invalid("；".join(problems[:5]))
    store.save_version(conn, row.id, draft.version, **_kept(draft), state="published", decided_by=by, decided_at=now)
    _use(conn, row, draft.version, one, now)
    return Saved(row.id, "published", draft.version)


def refuse(conn: Connection, script_id: int, by: str, why: str, *, now: datetime) -> None:
    """What was handed in is a draft again, with the reason beside it."""
    row = _lock(conn, script_id)
    draft = _pending(conn, row)
    if not why.strip():
        raise Invalid("请写一句退回的原因，方便对方修改")
    decided = {"decided_by": by, "decided_at": now, "why": why.strip()[:300]}
    store.save_version(conn, row.id, draft.version, **_kept(draft), state="draft", **decided)
    store.change_script(conn, row.id, draft="draft", changed_at=now)


def restore(conn: Connection, script_id: int, version: int, by: str, *, now: datetime) -> Saved:
    """An old version becomes a new one, by the same way as any change."""
    row, kept = _lock(conn, script_id), store.find_version(conn, script_id, version)
    if kept is None or kept.state != "published":
        raise NotFound(f"没有第 {version} 版")
    one = said_of(kept)
    if problems := [found.text for found in check(conn, one) if found.blocks]:
        raise Invalid(f"第 {version} 版现在不能用：{'；'.join(problems[:5])}")
    return _save_draft(conn, row, one, by, publish=True, now=now, restored_from=version)


def drop_draft(conn: Connection, script_id: int, *, now: datetime) -> bool:
    """Forget what was not published yet; a script that never was goes as a whole. True when it is gone."""
    row = _lock(conn, script_id)
    if row.version:
        _drop_draft(conn, row, now)
        return False
    store.drop_script(conn, row.id)
    media.wish(conn, _wisher(row.id), [])
    return True


def stop(conn: Connection, script_id: int, is_stopped: bool, *, now: datetime) -> None:
    """Out of the members' sight, or in it again; nothing is lost."""
    row = _lock(conn, script_id)
    store.change_script(conn, row.id, is_stopped=is_stopped, changed_at=now)
    _wish(conn, row.id, () if is_stopped else tuple(row.attachments or ()))


def move(conn: Connection, script_id: int, up: bool) -> None:
    """One place up or down among those of its folder."""
    row = _lock(conn, script_id)
    folder = {row.folder_id} if row.folder_id is not None else set()
    rows = [each for each in store.list_siblings(conn, folder) if not each.is_stopped]
    place = next((number for number, each in enumerate(rows) if each.id == row.id), None)
    other = None if place is None else place - 1 if up else place + 1
    if other is not None and 0 <= other < len(rows):
        rows[place], rows[other] = rows[other], rows[place]  # type: ignore[index]
    store.number_scripts(conn, [each.id for each in rows])


def put(conn: Connection, script_id: int, folder_id: int | None, *, now: datetime) -> int | None:
    """Into another folder, behind what is there; returns the folder it lay in. Raises NotFound, Invalid."""
    row = _lock(conn, script_id)
    _check_place(conn, script_id, Placed(folder_id=folder_id))
    last = max((each.position for each in store.list_siblings(conn, {folder_id} if folder_id else set())), default=0)
    store.change_script(conn, row.id, folder_id=folder_id, position=last + 1, changed_at=now)
    before: int | None = row.folder_id
    return before


def _check_place(conn: Connection, script_id: int | None, placed: Placed) -> None:
    if placed.folder_id is not None and store.find_folder(conn, placed.folder_id) is None:
        raise Invalid("没有这个分组，可能已被删除，请重新选择")
    if not placed.key:
        return
    if not _KEY.fullmatch(placed.key):
        raise Invalid(f"编号只能用{KEY_RULE}，写的是“{placed.key[:40]}”")
    taken = store.find_by_key(conn, placed.key)
    if taken is not None and taken.id != script_id:
        raise Conflict(f"编号 {placed.key} 已被“{taken.title}”使用，请换一个")


def _place(conn: Connection, row: Row[Any], placed: Placed, now: datetime) -> None:
    where = {"folder_id": placed.folder_id, "key": placed.key or None, "expires_at": placed.expires_at}
    if any(getattr(row, name) != value for name, value in where.items()):
        store.change_script(conn, row.id, changed_at=now, **where)


def _lock(conn: Connection, script_id: int) -> Row[Any]:
    row = store.lock_script(conn, script_id)
    if row is None or row.owner != store.COMPANY:
        raise NotFound("没有这条话术，可能已被删除。请回到话术库")
    return row


def _pending(conn: Connection, row: Row[Any]) -> Row[Any]:
    draft = store.find_version(conn, row.id, row.version + 1)
    if draft is None or draft.state != "pending":
        raise Conflict("这条话术没有在等待批准，可能已改动过，请刷新页面")
    return draft


def _drop_draft(conn: Connection, row: Row[Any], now: datetime) -> None:
    store.drop_version(conn, row.id, row.version + 1)
    store.change_script(conn, row.id, draft="", changed_at=now)


def _kept(draft: Row[Any]) -> Mapping[str, Any]:
    names = ("title", "text", "attachments", "saved_by", "saved_at", "restored_from")
    return {name: getattr(draft, name) for name in names}


def _add(conn: Connection, one: Said, owner: str, by: str, now: datetime, folder_id: int | None) -> int:
    who = {"owner": owner, "created_by": by, "created_at": now, "changed_at": now}
    return store.add_script(conn, title=one.title, folder_id=folder_id, **who)


def _use(conn: Connection, row: Row[Any], version: int, one: Said, now: datetime) -> None:
    values = {"title": one.title, "text": one.text, "attachments": list(one.attachments)}
    store.change_script(conn, row.id, version=version, draft="", is_stopped=False, changed_at=now, **values)
    store.save_terms(conn, row.id, row.owner, one.title)
    _wish(conn, row.id, one.attachments)


def _wish(conn: Connection, script_id: int, attachments: tuple[dict[str, Any], ...]) -> None:
    """What it attaches stays alive at WeCom, and cannot be thrown out of the media library."""
    found = media.find_by_name(conn, said.media_names(attachments))
    media.wish(conn, _wisher(script_id), [(row.sha256, MESSAGE) for row in found.values()])


def _wisher(script_id: int) -> str:
    return f"script:{script_id}"


# Folders --------------------------------------------------------------------------------------------------------------


def save_folder(conn: Connection, folder_id: int | None, title: str, parent_id: int | None) -> int:
    """A folder of the company's; raises Invalid when it would stand on a third level."""
    title = title.strip()
    if not 0 < len(title) <= 20:
        raise Invalid(f"分组名称要 1 到 20 个字，写了 {len(title)} 个")
    parent = store.find_folder(conn, parent_id) if parent_id is not None else None
    if parent_id is not None and (parent is None or parent.parent_id is not None or parent.id == folder_id):
        raise Invalid("分组最多两级，请选一个一级分组作为上级")
    folders = store.list_folders(conn)
    if any(each.title == title and each.parent_id == parent_id and each.id != folder_id for each in folders):
        raise Conflict(f"这里已经有分组“{title}”，请换一个名称")
    if folder_id is None:
        return store.add_folder(conn, title, parent_id)
    if not any(each.id == folder_id for each in folders):
        raise NotFound("没有这个分组，可能已被删除，请刷新页面")
    if parent_id is not None and any(each.parent_id == folder_id for each in folders):
        raise Invalid("这个分组下面还有分组，不能放到别的分组里：分组最多两级")
    store.change_folder(conn, folder_id, title=title, parent_id=parent_id)
    return folder_id


def drop_folder(conn: Connection, folder_id: int) -> None:
    if store.find_folder(conn, folder_id) is None:
        raise NotFound("没有这个分组，可能已被删除，请刷新页面")
    if store.is_folder_used(conn, folder_id):
        raise Conflict("分组里还有话术或下级分组，先把它们移走或停用后移出，再删除分组")
    store.drop_folder(conn, folder_id)


def move_folder(conn: Connection, folder_id: int, up: bool) -> None:
    """One place up or down among those on its level."""
    folder = store.find_folder(conn, folder_id)
    if folder is None:
        raise NotFound("没有这个分组，可能已被删除，请刷新页面")
    folders = store.list_folders(conn)
    level = [each.id for each in folders if each.parent_id == folder.parent_id]
    place = level.index(folder_id)
    other = place - 1 if up else place + 1
    if 0 <= other < len(level):
        level[place], level[other] = level[other], level[place]
    beside = [each.id for each in folders if each.parent_id != folder.parent_id]
    for number, each in enumerate([*level, *beside], 1):
        store.change_folder(conn, each, position=number)


# Members' own ---------------------------------------------------------------------------------------------------------


def save_mine(conn: Connection, userid: str, script_id: int | None, one: Said, *, now: datetime) -> Saved:
    """A member's own script, in use at once; nobody else sees it. Raises Invalid, NotFound."""
    if problems := [found.text for found in check(conn, one) if found.blocks]:
        raise Invalid("；".join(problems[:3]))
    if script_id is None:
        if store.count_mine(conn, userid) >= MOST_MINE:
            raise Conflict(f"个人话术最多 {MOST_MINE} 条，请先删掉不用的")
        script_id = _add(conn, one, userid, userid, now, None)
    row = _lock_mine(conn, userid, script_id)
    if row.version and said_of(row) == one:
        return Saved(row.id, "published", row.version)
    values = {"title": one.title, "text": one.text, "attachments": list(one.attachments)}
    store.save_version(conn, row.id, row.version + 1, **values, saved_by=userid, saved_at=now, state="published")
    _use(conn, row, row.version + 1, one, now)
    return Saved(row.id, "published", row.version + 1)


def put_away_mine(conn: Connection, userid: str, script_id: int, is_away: bool, *, now: datetime) -> None:
    """Delete, and undo it: a deleted one is only out of sight."""
    row = _lock_mine(conn, userid, script_id)
    store.change_script(conn, row.id, is_stopped=is_away, changed_at=now)
    _wish(conn, row.id, () if is_away else tuple(row.attachments or ()))


def _lock_mine(conn: Connection, userid: str, script_id: int) -> Row[Any]:
    row = store.lock_script(conn, script_id)
    if row is None or row.owner != userid:
        raise NotFound("没有这条话术，或者它不是你的。")
    return row
