"""标签: the corp's tags beside a chat, put and taken off in one tap each; WeCom is told of several taps together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from typing import Any

from aiohttp import web
from sqlalchemy import Connection, Row

from scrm.errors import NotFound
from scrm.profiles import store as profiles
from scrm.profiles import tags
from scrm.services import SERVICES
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.door import for_members, page, visit_of
from scrm.sidebar.sheets import behind_door
from scrm.work import queue
from web.texts import _

routes = web.RouteTableDef()

# More than that is for the search.
SHOWN = 300
# Taps that follow each other become one call.
GATHER = timedelta(seconds=2)
# How long after a tap the page looks whether WeCom has it, in seconds; then it stops asking.
LOOKS = (4, 6, 15, 30)
PERSONAL = 2


@dataclass(frozen=True, slots=True)
class Tag:
    """One of the library: on, off, adding, removing, or failed with the reason."""

    id: str
    name: str
    state: str
    problem: str = ""

    @property
    def is_on(self) -> bool:
        return self.state in ("on", "adding")


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the library as the sheet shows it."""

    id: str
    name: str
    is_exclusive: bool
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Chip:
    """A tag in the head of the page; `state` is on, adding, removing or failed."""

    name: str
    state: str = "on"
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What can be chosen, and what stands there that cannot be changed here."""

    groups: list[Group]
    hidden: int
    personal: list[str]
    of_others: list[str]
    chips: list[Chip]

    @property
    def problems(self) -> list[Chip]:
        return [chip for chip in self.chips if chip.problem]


@routes.get("/sidebar/contacts/{external_userid}/tags")
@for_members
async def show(request: web.Request) -> web.StreamResponse:
    """The sheet; with `?q=` only what is found."""
    visit, text = visit_of(request), request.query.get("q")
    sheet = await request.app[SERVICES].db.read(_load, visit, text or "")
    template = "sheets/tags.html" if text is None else "sheets/tags_found.html"
    return page(request, template, visit=visit, sheet=sheet, text=text or "")


@routes.get("/sidebar/contacts/{external_userid}/tags/chips")
@for_members
async def show_chips(request: web.Request) -> web.StreamResponse:
    """The head's tags again, after a while: has WeCom taken them?"""
    visit = visit_of(request)
    sheet = await request.app[SERVICES].db.read(_load, visit, "")
    return page(request, "tags_changed.html", visit=visit, sheet=sheet, look=_look(request) + 1, looks=LOOKS, said=None)


@routes.post("/sidebar/contacts/{external_userid}/tags")
@for_members
async def change(request: web.Request) -> web.StreamResponse:
    """{tag, on: 1 or 0, q}: the tag's group anew, the head's chips, and the way back."""
    services, visit, form = request.app[SERVICES], visit_of(request), await request.post()
    tag_id, is_wanted, text = str(form.get("tag", "")), form.get("on") == "1", str(form.get("q", ""))
    said = await services.db.write(_want, visit, tag_id, is_wanted)
    sheet = await services.db.read(_load, visit, text)
    group = next((group for group in sheet.groups if any(tag.id == tag_id for tag in group.tags)), None)
    return page(request, "tags_changed.html", visit=visit, sheet=sheet, group=group, look=0, looks=LOOKS, said=said)


@dataclass(frozen=True, slots=True)
class Said:
    """What was done, and what undoes it; `instead` is the tag of the same exclusive group that went."""

    tag_id: str
    name: str
    is_wanted: bool
    instead: Tag | None


@behind_door
def _want(conn: Connection, visit: Visit, tag_id: str, is_wanted: bool) -> Said:
    row = next((tag for tag in tags.find_tags(conn, [tag_id]) if tag.tag_id == tag_id), None)
    if row is None:
        raise NotFound(_("这个标签已被删除，请重新打开标签页"))
    assert visit.relation is not None  # noqa: S101 - behind the door
    pair = visit.relation.userid, visit.external_userid
    groups = _groups(conn, visit, [row for row in tags.list_library(conn) if row.group_id])
    mine = next((group for group in groups if any(tag.id == tag_id for tag in group.tags)), None)
    rivals = [tag for tag in mine.tags if tag.is_on and tag.id != tag_id] if mine and mine.is_exclusive else []
    changes: Mapping[str, Any] = {"add": [tag_id]} if is_wanted else {"remove": [tag_id]}
    if tags.wish(conn, *pair, **changes, source="staff", reason="侧边栏", now=visit.now):
        queue.add(conn, tags.mark_work(*pair, due_at=visit.now + GATHER), now=visit.now)
    return Said(tag_id, row.tag_name, is_wanted, rivals[0] if rivals and is_wanted else None)


@behind_door
def _load(conn: Connection, visit: Visit, text: str) -> Sheet:
    rows = profiles.list_tags(conn, visit.person_id)
    mine = [row for row in rows if (row.userid, row.external_userid) == _pair(visit)]
    others = [row.tag_name for row in rows if row not in mine and row.type != PERSONAL]
    library, wishes = tags.list_library(conn), tags.list_open_wishes(conn, *_pair(visit))
    carried, exclusive = {row.tag_id for row in mine}, tags.list_exclusive(conn)
    shown, hidden = cut(arrange(library, carried, wishes, exclusive, text), SHOWN)
    chips = chips_of(arrange(library, carried, wishes, exclusive), mine, wishes)
    known = {chip.name for chip in chips}
    chips += [Chip(name) for name in dict.fromkeys(others) if name not in known]
    personal = [row.tag_name for row in mine if row.type == PERSONAL]
    return Sheet(shown, hidden, personal, sorted(set(others) - known), chips)


def _pair(visit: Visit) -> tuple[str, str]:
    assert visit.relation is not None  # noqa: S101 - behind the door
    return str(visit.relation.userid), visit.external_userid


def _groups(conn: Connection, visit: Visit, library: Sequence[Row[Any]]) -> list[Group]:
    pair = _pair(visit)
    carried = {row.tag_id for row in tags.list_pair_tags(conn, *pair)}
    return arrange(library, carried, tags.list_open_wishes(conn, *pair), tags.list_exclusive(conn))


# Pure -----------------------------------------------------------------------------------------------------------------


def arrange(
    library: Iterable[Any], carried: Collection[str], wishes: Iterable[Any], exclusive: Collection[str], text: str = ""
) -> list[Group]:
    """The library as it will be when WeCom has been told, and what has not been told yet; `text` narrows it."""
    wanted = {wish.tag: wish for wish in wishes}
    groups = []
    for (group_id, name), rows in groupby(library, key=lambda row: (row.group_id, row.group_name)):
        members = [_tag(row, carried, wanted.get(row.tag_id) or wanted.get(row.tag_name)) for row in rows]
        if group_id in exclusive:
            members = _one_only(members, wanted)
        if text and text.casefold() not in name.casefold():
            members = [tag for tag in members if text.casefold() in tag.name.casefold()]
        if members:
            groups.append(Group(group_id, name, group_id in exclusive, tuple(members)))
    return groups


def _tag(row: Any, carried: Collection[str], wish: Any) -> Tag:
    is_carried = row.tag_id in carried
    if wish is not None and wish.problem:
        return Tag(row.tag_id, row.tag_name, "failed", wish.problem)
    if wish is None or wish.is_wanted == is_carried:
        return Tag(row.tag_id, row.tag_name, "on" if is_carried else "off")
    return Tag(row.tag_id, row.tag_name, "adding" if wish.is_wanted else "removing")


def _one_only(members: list[Tag], wanted: Mapping[str, Any]) -> list[Tag]:
    """In an exclusive group the tag that was chosen last stays, the others go with it."""

    def chosen_at(tag: Tag) -> Any:
        wish = wanted.get(tag.id) or wanted.get(tag.name)
        return (wish.wanted_at.timestamp(), wish.turn) if wish is not None and wish.is_wanted else (0.0, 0)

    on = [tag for tag in members if tag.is_on]
    last = max(on, key=chosen_at, default=None)
    if last is None or chosen_at(last) == (0.0, 0):
        return members
    gone = {"on": "removing", "adding": "off"}
    return [tag if tag is last or not tag.is_on else replace(tag, state=gone[tag.state]) for tag in members]


def cut(groups: Sequence[Group], most: int) -> tuple[list[Group], int]:
    """The first `most` tags and all that are not off; how many are left out."""
    shown, left, hidden = [], most, 0
    for group in groups:
        kept = tuple(tag for number, tag in enumerate(group.tags) if number < left or tag.state != "off")
        left, hidden = max(0, left - len(group.tags)), hidden + len(group.tags) - len(kept)
        if kept:
            shown.append(replace(group, tags=kept))
    return shown, hidden


def chips_of(groups: Iterable[Group], carried: Iterable[Any], wishes: Iterable[Any]) -> list[Chip]:
    """The member's own tags in the order of the library, then what is in no library: personal ones, ones to be made."""
    chips = {tag.name: Chip(tag.name, tag.state, tag.problem) for group in groups for tag in group.tags}
    known = {tag.id for group in groups for tag in group.tags}
    found = [chip for chip in chips.values() if chip.state != "off"]
    found += [Chip(row.tag_name) for row in carried if row.tag_id not in known and row.tag_name not in chips]
    to_make = [wish for wish in wishes if wish.is_wanted and wish.tag not in known and wish.tag not in chips]
    return found + [Chip(wish.tag, "failed" if wish.problem else "adding", wish.problem) for wish in to_make]


def _look(request: web.Request) -> int:
    text = request.query.get("look", "0")
    return min(int(text), len(LOOKS)) if text.isascii() and text.isdigit() and len(text) < 3 else 0
