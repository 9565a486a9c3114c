"""The library as one member sees it beside one customer: each script filled for that customer before it is shown."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row

from scrm.content.attachments import LinkCard
from scrm.content.library import said, store
from scrm.content.library.keep import said_of
from scrm.content.library.said import Said
from scrm.content.media import links
from scrm.content.media import store as media
from scrm.content.render import MissingVariable, render, title_of
from scrm.content.variables import FALLBACKS
from scrm.db.vault import Vault
from scrm.errors import NotFound
from scrm.sidebar.cards.visit import Visit
from scrm.sop.contact_values import Contact, values_of
from scrm.sop.values import Shop
from scrm.tracking import radar, said_links
from web.texts import N_, _

PAGE = 30
VIEWS = {"all": N_("全部"), "used": N_("常用"), "recent": N_("最近"), "liked": N_("收藏"), "mine": N_("我的")}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a member asks the shelf for."""

    typed: str = ""
    view: str = "all"
    folder_id: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ScriptView:
    """One script for one customer; `once` is for one sending of it, `missing` says why there can be none."""

    id: int
    title: str
    folder: str
    text: str
    attachments: list[dict[str, Any]]
    missing: str
    is_mine: bool
    is_liked: bool
    uses: int
    once: str
    copied: str


@dataclass(frozen=True, slots=True)
class Shelf:
    """A page of scripts; `after` is where the next one begins."""

    rows: list[ScriptView]
    wanted: Wanted
    after: int | None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the first level with those in it."""

    id: int
    title: str
    inside: list["Folder"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Desk:
    """What filling takes beside the script."""

    visit: Visit
    shop: Shop
    vault: Vault


def load_shelf(conn: Connection, desk: Desk, wanted: Wanted) -> Shelf:
    """The door has opened. What was typed goes through everything, whatever the view and the folder."""
    visit = desk.visit
    tree = folder_tree(store.list_folders(conn))
    if wanted.typed:
        rows, after = store.search_usable(conn, visit.userid, wanted.typed, visit.now, limit=PAGE), None
    else:
        rows = store.list_usable(
            conn,
            visit.userid,
            visit.now,
            view=wanted.view,
            folder_ids=_below(tree, wanted.folder_id),
            limit=PAGE + 1,
            offset=wanted.offset,
        )
        after = wanted.offset + PAGE if len(rows) > PAGE else None
    return Shelf(_views(conn, desk, rows[:PAGE], titles_of(tree)), wanted, after)


def load_script(conn: Connection, desk: Desk, script_id: int) -> ScriptView:
    """One script in full; raises NotFound when this member cannot use it."""
    row = find_usable(conn, desk.visit, script_id)
    return _views(conn, desk, [row], titles_of(folder_tree(store.list_folders(conn))))[0]


def find_usable(conn: Connection, visit: Visit, script_id: int) -> Row[Any]:
    row = store.find_usable(conn, visit.userid, script_id, visit.now)
    if row is None:
        raise NotFound(_("这条话术已停用、过期或被删除，请刷新列表。"))
    return row


def folder_tree(rows: Sequence[Row[Any]]) -> list[Folder]:
    tops = {row.id: Folder(row.id, row.title) for row in rows if row.parent_id is None}
    for row in rows:
        if row.parent_id in tops:
            tops[row.parent_id].inside.append(Folder(row.id, row.title))
    return list(tops.values())


def titles_of(tree: Sequence[Folder]) -> dict[int, str]:
    """「售前 / 新客」 by folder."""
    titles = {top.id: top.title for top in tree}
    return titles | {each.id: f"{top.title} / {each.title}" for top in tree for each in top.inside}


def _below(tree: Sequence[Folder], folder_id: int | None) -> set[int]:
    """The folder and those in it."""
    if folder_id is None:
        return set()
    return {folder_id} | {each.id for top in tree if top.id == folder_id for each in top.inside}


# Filling --------------------------------------------------------------------------------------------------------------


class LinksLack(Exception):
    """Scripts name radar content of which this customer has no link yet: `make_links`, then read again."""

    def __init__(self, named: frozenset[str]) -> None:
        super().__init__(f"{len(named)} links")
        self.named = named


def values_for(conn: Connection, desk: Desk, scripts: Sequence[Said]) -> dict[str, Any]:
    """Raises LinksLack."""
    visit, named = desk.visit, _named_in(scripts)
    contact = Contact(visit.person_id, visit.userid, visit.external_userid)
    values = values_of(conn, contact, named, desk.shop, visit.now)
    if lacking := frozenset(said_links.find_contents(conn, named).keys() - values.keys()):
        raise LinksLack(lacking)
    return values


def _named_in(scripts: Sequence[Said]) -> frozenset[str]:
    return frozenset().union(*(said.variables_in(one) for one in scripts))


def make_links(conn: Connection, desk: Desk, named: frozenset[str]) -> None:
    """This customer's own links to radar content, so that what a member reads, copies or sends is what counts."""
    visit = desk.visit
    whom = said_links.Whom(visit.userid, visit.person_id, visit.external_userid)
    said_links.make(conn, named, whom, desk.shop.public_url, now=visit.now)


def make_links_of(conn: Connection, desk: Desk, scripts: Sequence[Said]) -> None:
    """`make_links` of everything that scripts name."""
    make_links(conn, desk, _named_in(scripts))


def addresses_of(conn: Connection, desk: Desk, scripts: Sequence[Said], *, public: str = "") -> said.Address:
    """Of the pictures: with the server's own address before them for the client, with nothing for a page of ours."""
    files = media.find_by_name(conn, set().union(*(said.media_names(one.attachments) for one in scripts)))
    lives = links.CARD if public else links.PREVIEW

    def address(name: str) -> str:
        row = files.get(name)
        return f"{public}{links.media_path(desk.vault, row.sha256, desk.visit.now, lives)}" if row is not None else ""

    return address


def radar_cards(conn: Connection, scripts: Sequence[Said], addresses: Mapping[str, str]) -> dict[str, LinkCard]:
    """Tracked content by its key; what was taken down is left out. `addresses` are those of this customer's links."""
    cards = {}
    for key in set().union(*(said.radar_keys(one.attachments) for one in scripts)):
        try:
            row = radar.find_content(conn, key)
        except NotFound:
            continue
        if not row.is_archived:
            cards[key] = LinkCard(row.title, addresses.get(key, row.url))
    return cards


def _views(conn: Connection, desk: Desk, rows: Sequence[Row[Any]], folders: Mapping[int, str]) -> list[ScriptView]:
    scripts = [said_of(row) for row in rows]
    values = values_for(conn, desk, scripts) if scripts else {}
    cards = radar_cards(conn, scripts, {})
    address = addresses_of(conn, desk, scripts)
    shown = []
    for row, one in zip(rows, scripts, strict=True):
        filled = said.fill(one, values, address, cards)
        text = with_gaps(one.text, values) if filled.missing else filled.text
        shown.append(
            ScriptView(
                id=row.id,
                title=row.title,
                folder=folders.get(row.folder_id, ""),
                text=text,
                attachments=[_shown(each, address) for each in filled.attachments],
                missing=filled.missing,
                is_mine=row.owner == desk.visit.userid,
                is_liked=row.liked_at is not None,
                uses=row.my_uses or 0,
                once=once_of(row.id),
                copied="" if filled.missing else "\n".join(filter(None, map(_in_words, filled.messages))),
            )
        )
    return shown


def once_of(script_id: int) -> str:
    """For one sending: whoever taps twice sends once."""
    return f"script:{script_id}:{secrets.token_hex(8)}"


def gap_of(key: str) -> str:
    """What stands where a value is missing, for the member to write over."""
    return f"【{title_of(key)}】"


def with_gaps(text: str, values: Mapping[str, Any]) -> str:
    """The text as far as it can be filled; raises nothing."""
    known = {key: value for key, value in values.items() if value not in (None, "")}
    try:
        return render(text, known)
    except MissingVariable as missing:
        return render(text, known | {key: gap_of(key) for key in missing.names if key not in FALLBACKS})


def _shown(message: dict[str, Any], address: said.Address) -> dict[str, Any]:
    """A file with its picture, as the page draws a message."""
    if "name" not in message:
        return message
    picture = address(message["name"]) if message["msgtype"] == "image" else ""
    return {**message, message["msgtype"]: {"imgUrl": picture} if picture else {}}


def _in_words(message: Mapping[str, Any]) -> str:
    """What can be copied where nothing can be sent: texts and addresses."""
    body = message.get(message["msgtype"], {})
    if message["msgtype"] == "text":
        return str(body["content"])
    return f"{body.get('title', '')} {body['link']}".strip() if body.get("link") else ""
