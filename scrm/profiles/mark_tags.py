"""Tells WeCom which corp tags a contact gets and loses: people write names, WeCom wants ids (docs 92117, 92118)."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, Row

from scrm.profiles import tags
from scrm.profiles.tags import Wish
from scrm.services import Services
from scrm.wecom.corp_tags import MOST_NAME_CHARACTERS, MOST_TAGS, MOST_TAGS_IN_A_CALL, MOST_TAGS_ON_A_PAIR
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work import queue

log = structlog.get_logger()

# Where tags go that nobody has made yet.
GROUP = "SCRM"

_UNKNOWN_TAG = 40068
_NAME_TAKEN = 40071
_NO_RELATION = 84061
# A member who has not confirmed for so long will not.
_HALF_WAITS = timedelta(days=3)
_HALF_PAUSE = timedelta(minutes=30)


async def run_mark(services: Services, item: queue.Claimed) -> None:
    """Work of kind "tags.mark"; marking a tag twice changes nothing, so an interrupted call is simply repeated."""
    await mark(services, item.payload["userid"], item.payload["external_userid"])


async def mark(services: Services, userid: str, external_userid: str) -> None:
    """Settle every wish of the pair with one call; to be run under `tags.order_key` alone.

    Raises WeCom's error when trying again helps; wishes that can never be had keep the reason.
    """
    wishes = await services.db.read(tags.list_wishes, userid, external_userid)
    if not wishes:
        return
    pair = userid, external_userid
    wishes = await _within_limits(services, pair, wishes)
    try:
        await _tell(services, pair, wishes)
    except WeComError as error:
        if error.retry_class not in (RetryClass.PARAMETER, RetryClass.RELATION):
            raise
        await services.db.write(_refuse, pair, wishes, error, services.clock.now())


async def _tell(services: Services, pair: tuple[str, str], wishes: Sequence[Wish]) -> None:
    try:
        await _mark_once(services, pair, wishes)
    except WeComError as error:
        if error.errcode != _UNKNOWN_TAG:
            raise
        # Somebody deleted a tag and we have not heard of it yet.
        await refresh_library(services, is_omitted_gone=True)
        await _mark_once(services, pair, wishes)


async def _mark_once(services: Services, pair: tuple[str, str], wishes: Sequence[Wish]) -> None:
    library = await _ensure_tags(services, [one.tag for one in wishes if one.is_wanted])
    exclusive = await services.db.read(tags.list_exclusive)
    wanted = [(one, library[one.tag]) for one in wishes if one.is_wanted and one.tag in library]
    added, overtaken = one_of_each_group(wanted, exclusive)
    unwanted = [one for one in wishes if not one.is_wanted]
    known = await services.db.read(tags.find_tags, [one.tag for one in unwanted]) if unwanted else []
    removed = [(one, [tag.tag_id for tag in known if one.tag in (tag.tag_name, tag.tag_id)]) for one in unwanted]
    removed += [(one, [tag.tag_id]) for one, tag in overtaken]
    rivals = await services.db.read(tags.list_rivals, *pair, [tag for _, tag in added])
    removed += [(one, [rival for rival, group in rivals.items() if group == tag.group_id]) for one, tag in added]
    add_ids = list(dict.fromkeys(tag.tag_id for _, tag in added))
    remove_ids = list(dict.fromkeys(tag_id for _, tag_ids in removed for tag_id in tag_ids))
    for add_part, remove_part in _parts(add_ids, [tag_id for tag_id in remove_ids if tag_id not in add_ids]):
        await services.wecom.corp_tags.mark_tag(*pair, add_tag=add_part, remove_tag=remove_part)
    await services.db.write(tags.settle, *pair, added, removed, now=services.clock.now())


def one_of_each_group(
    wanted: Sequence[tuple[Wish, Row[Any]]], exclusive: Collection[str]
) -> tuple[list[tuple[Wish, Row[Any]]], list[tuple[Wish, Row[Any]]]]:
    """Of several wishes in one exclusive group the latest counts: (those that count, those overtaken). Pure."""
    last: dict[str, str] = {}
    for _, tag in sorted(wanted, key=lambda each: (each[0].wanted_at, each[0].turn)):
        last[tag.group_id] = tag.tag_id
    counts = [(one, tag) for one, tag in wanted if tag.group_id not in exclusive or last[tag.group_id] == tag.tag_id]
    return counts, [each for each in wanted if each not in counts]


def _parts(add: list[str], remove: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Nearly always one; a call never names more than the most."""
    while add or remove:
        taken, add = add[:MOST_TAGS_IN_A_CALL], add[MOST_TAGS_IN_A_CALL:]
        room = MOST_TAGS_IN_A_CALL - len(taken)
        yield taken, remove[:room]
        remove = remove[room:]


async def _within_limits(services: Services, pair: tuple[str, str], wishes: list[Wish]) -> list[Wish]:
    """What WeCom would refuse is refused here, so that it does not take the others with it."""
    long = [one for one in wishes if one.is_wanted and len(one.tag) > MOST_NAME_CHARACTERS]
    if long:  # an id is longer than any name may be
        known = {tag.tag_id for tag in await services.db.read(tags.find_tags, [one.tag for one in long])}
        long = [one for one in long if one.tag not in known]
    problem = f"标签名超过 {MOST_NAME_CHARACTERS} 个字，企业微信不接受，请改短。"
    wanted = {one.tag for one in wishes if one.is_wanted}
    carried = await services.db.read(tags.list_pair_tags, *pair)
    if wanted and len(wanted) + len(carried) > MOST_TAGS_ON_A_PAIR:
        long = [one for one in wishes if one.is_wanted]
        problem = f"这位客户的标签已接近 {MOST_TAGS_ON_A_PAIR} 个的上限，请先去掉一些。"
    if long:
        await services.db.write(tags.refuse, *pair, long, problem)
    return [one for one in wishes if one not in long]


def _refuse(conn: Connection, pair: tuple[str, str], wishes: Sequence[Wish], error: WeComError, now: datetime) -> None:
    """A half relation may become whole: its wishes wait; what should go from a relation that is gone is gone."""
    if error.errcode == _NO_RELATION and tags.is_half(conn, *pair):
        wishes = [one for one in wishes if one.wanted_at < now - _HALF_WAITS]
        queue.add(conn, tags.mark_work(*pair, due_at=now + _HALF_PAUSE), now=now)
    if error.errcode == _NO_RELATION:
        unwanted = [one for one in wishes if not one.is_wanted]
        found = tags.find_tags(conn, [one.tag for one in unwanted]) if unwanted else []
        off = [(one, [tag.tag_id for tag in found if one.tag in (tag.tag_name, tag.tag_id)]) for one in unwanted]
        tags.settle(conn, *pair, [], off, now=now)
        wishes = [one for one in wishes if one.is_wanted]
    tags.refuse(conn, *pair, wishes, error.text)


async def _ensure_tags(services: Services, names: list[str]) -> dict[str, Row[Any]]:
    """One tag for each name or id; names that nobody knows are looked for in WeCom's library, then made."""
    if not names:
        return {}
    found = _one_each(names, await services.db.read(tags.find_tags, names))
    if len(found) < len(set(names)):
        await refresh_library(services)
        found = _one_each(names, await services.db.read(tags.find_tags, names))
    if unknown := [name for name in dict.fromkeys(names) if name not in found]:
        if await services.db.read(tags.count_library) + len(unknown) > MOST_TAGS:
            raise WeComError(40126, "the corp has as many tags as it may", path="externalcontact/add_corp_tag")
        await _make_tags(services, unknown)
        found = _one_each(names, await services.db.read(tags.find_tags, names))
    return found


async def _make_tags(services: Services, names: list[str]) -> None:
    """What somebody else has made in this moment is taken as it is."""
    try:
        group = await services.wecom.corp_tags.add_corp_tag(names, group_name=GROUP)
    except WeComError as error:
        if error.errcode != _NAME_TAKEN:
            raise
        await refresh_library(services)
        known = {tag.tag_name for tag in await services.db.read(tags.find_tags, names)}
        left = [name for name in names if name not in known]
        if left == names:
            raise
        if left:
            await _make_tags(services, left)
    else:
        await services.db.write(tags.save_library, [group])


def _one_each(names: list[str], known: list[Row[Any]]) -> dict[str, Row[Any]]:
    """Two groups may have a tag of one name: the first by id is taken, always the same."""
    found: dict[str, Row[Any]] = {}
    for name in names:
        fitting = [tag for tag in known if name in (tag.tag_id, tag.tag_name)]
        if fitting:
            found[name] = min(fitting, key=lambda tag: (tag.tag_id != name, str(tag.tag_id)))
    return found


async def refresh_library(services: Services, *, is_omitted_gone: bool = False) -> int:
    """Make our library WeCom's: one call for all, and one by id for those it left out; returns rows changed.

    A tag is taken for deleted when WeCom says so (doc 92117). One that it leaves out even when asked by its id may be
    too new for that answer: it is `is_omitted_gone` only when a call has been refused because of it.
    """
    groups = await services.wecom.corp_tags.get_corp_tag_list()
    changed = await services.db.write(tags.save_library, groups)
    unseen = await services.db.read(tags.list_unseen, [tag.id for group in groups for tag in group.tag])
    for start in range(0, len(unseen), MOST_TAGS_IN_A_CALL):
        asked = unseen[start : start + MOST_TAGS_IN_A_CALL]
        told = await services.wecom.corp_tags.get_corp_tag_list(tag_id=asked)
        changed += await services.db.write(tags.save_library, told)
        named = {tag.id for group in told for tag in group.tag}
        omitted = [tag_id for tag_id in asked if tag_id not in named]
        if omitted and is_omitted_gone:
            await services.db.write(tags.delete_tags, omitted)
            changed += len(omitted)
    return changed


LIBRARY = "tags.library"


def library_work(now: datetime, correlation: str = "") -> queue.Item:
    """One refetch for all events of two seconds: a new group with its tags is several (doc 92130).

    The key names the two seconds and the work begins after them, so that no event comes too late for its refetch.
    """
    span = int(now.timestamp()) // 2
    return queue.Item(
        lane="sync",
        kind=LIBRARY,
        due_at=now + timedelta(seconds=3),
        dedupe_key=f"{LIBRARY}:{span}",
        correlation=correlation,
    )


async def run_library(services: Services, item: queue.Claimed) -> None:
    """Work of kind "tags.library"."""
    changed = await refresh_library(services)
    log.info("tags.library", changed=changed)


async def tick(services: Services) -> int:
    """Take tags off whose time is over; returns how many."""
    now = services.clock.now()
    if not await services.db.read(tags.has_expired, now=now):
        return 0
    return int(await services.db.write(tags.expire, now=now))
