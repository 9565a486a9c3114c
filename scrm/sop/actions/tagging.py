"""Tells WeCom which corp tags a contact gets and loses: authors write names, WeCom wants ids (docs 92117, 92118)."""

from typing import Any

from sqlalchemy import Connection, Row

from scrm.profiles import store as profiles
from scrm.services import Services
from scrm.sop import store
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

# Where tags go that nobody has made yet.
GROUP = "SCRM"


async def run_mark_tag(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.mark_tag"; marking a tag twice changes nothing, so an interrupted call is simply repeated.

    Raises WeCom's error when trying again helps; else the step counts as failed, with the reason.
    """
    payload = item.payload
    try:
        added = await _ensure_tags(services, list(payload["add"]))
        removed = await services.db.read(profiles.find_tags, list(payload["remove"])) if payload["remove"] else []
        if added or removed:
            await services.wecom.corp_tags.mark_tag(
                payload["userid"],
                payload["external_userid"],
                add_tag=[tag.tag_id for tag in added],
                remove_tag=[tag.tag_id for tag in removed],
            )
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        await services.db.write(_note, payload, "failed", error.text, services)
        return
    await services.db.write(_note_done, payload, added, removed, services)


async def _ensure_tags(services: Services, names: list[str]) -> list[Row[Any]]:
    """One tag for each name; those that nobody knows are looked for in WeCom's library, then made."""
    if not names:
        return []
    known = await services.db.read(profiles.find_tags, names)
    if not _unknown(names, known):
        return _one_each(names, known)
    groups = await services.wecom.corp_tags.get_corp_tag_list()
    await services.db.write(_remember, groups)
    known = await services.db.read(profiles.find_tags, names)
    if unknown := _unknown(names, known):
        await services.db.write(_remember, await _make_tags(services, unknown))
        known = await services.db.read(profiles.find_tags, names)
    return _one_each(names, known)


async def _make_tags(services: Services, names: list[str]) -> list[dict[str, Any]]:
    """The groups with the new tags; 40071 says that somebody made one a moment ago, so the library has it now."""
    try:
        return [await services.wecom.corp_tags.add_corp_tag(GROUP, names)]
    except WeComError as error:
        if error.errcode != 40071:
            raise
        return await services.wecom.corp_tags.get_corp_tag_list()


def _unknown(names: list[str], known: list[Row[Any]]) -> list[str]:
    found = {tag.tag_name for tag in known}
    return [name for name in dict.fromkeys(names) if name not in found]


def _one_each(names: list[str], known: list[Row[Any]]) -> list[Row[Any]]:
    """Two groups may have a tag of one name: the first by id is taken, always the same."""
    by_name: dict[str, Row[Any]] = {}
    for tag in sorted(known, key=lambda tag: str(tag.tag_id)):
        by_name.setdefault(tag.tag_name, tag)
    return [by_name[name] for name in dict.fromkeys(names) if name in by_name]


def _remember(conn: Connection, groups: list[dict[str, Any]]) -> None:
    for group in groups:
        for tag in group.get("tag", ()):
            if not tag.get("deleted"):
                profiles.remember_tag(
                    conn, tag["id"], tag["name"], group.get("group_name", ""), group.get("group_id", "")
                )


def _note_done(
    conn: Connection, payload: dict[str, Any], added: list[Row[Any]], removed: list[Row[Any]], services: Services
) -> None:
    """WeCom sends no event for calls of ours (doc 92130): our own rows follow here."""
    pair = payload["userid"], payload["external_userid"]
    profiles.add_tags(conn, *pair, added)
    if removed:
        profiles.remove_tags(conn, *pair, [tag.tag_id for tag in removed])
    # Another act of the same step may have failed before the tags' turn came.
    failed = str(payload.get("failed") or "")
    _note(conn, payload, "failed" if failed else "done", failed, services)


def _note(conn: Connection, payload: dict[str, Any], state: str, reason: str, services: Services) -> None:
    if payload.get("step_run_id") is not None:
        store.end_step_runs(conn, [payload["step_run_id"]], state, reason, now=services.clock.now())
