"""Radar links: content a member sends to a person, counted when it is opened and for how long it is read."""

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    literal,
    literal_column,
    select,
    true,
    tuple_,
    update,
)

from scrm import audit, events
from scrm.db import UtcDateTime, upsert
from scrm.db.tables import from_millis, to_millis
from scrm.errors import Invalid, NotFound
from scrm.profiles.models import external_contact, follow_user, member
from scrm.tracking.models import radar_content, radar_link, radar_open
from scrm.work import queue

NOTICE = "radar.notice"
PARAMETER = "scrm_r"
MOST_SECONDS = 3600
# Opening the same thing again within half an hour is one line of the timeline.
_SLOT = 1800


def is_allowed(url: str, domains: Iterable[str]) -> bool:
    """Whether a link may lead there: http(s), no name or password in it, and a host of ours."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return False
    # Browsers read a backslash as a slash, and drop tabs and line ends.
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or "\\" in url or not url.isprintable():
        return False
    return is_own_host(host, port, domains)


def is_own_host(host: str, port: int | None, domains: Iterable[str]) -> bool:
    """`*.example.com` means every name below example.com; a port in the list must fit, none fits every one."""
    for domain in domains:
        name, _, wanted = domain.partition(":")
        if wanted and wanted != str(port or ""):
            continue
        if host == name or (name.startswith("*.") and host.endswith(name[1:]) and len(host) > len(name) - 1):
            return True
    return False


def save_content(
    conn: Connection, *, title: str, url: str, domains: Iterable[str], by: str, now: datetime, key: str = ""
) -> Row[Any]:
    """Make content, or change the one of that key; its links follow. Raises Invalid for a target that is not ours."""
    title = title.strip()[:120]
    if not title:
        raise Invalid("请填写内容标题，客户打开后员工会看到它")
    url = url.strip()
    if len(url) > 1000 or not is_allowed(url, domains):
        raise Invalid("链接只能指向商城自己的域名（配置 tracking.domains），以 http:// 或 https:// 开头")
    values = {"title": title, "url": url, "is_archived": False}
    key = key.strip() or secrets.token_urlsafe(6)
    if len(key) > 64 or not key.isprintable():
        raise Invalid("内容编号 key 最多 64 个字符")
    with audit.watched(conn, "radar_content", key, select(radar_content).where(radar_content.c.key == key)):
        conn.execute(
            upsert(radar_content, conn)
            .values(key=key, created_by=by, created_at=now, **values)
            .on_conflict_do_update(index_elements=["key"], set_=values)
        )
    return conn.execute(select(radar_content).where(radar_content.c.key == key)).one()


def find_content(conn: Connection, key: str) -> Row[Any]:
    """Raises NotFound."""
    row = conn.execute(select(radar_content).where(radar_content.c.key == key)).one_or_none()
    if row is None:
        raise NotFound(f"没有雷达内容 {key[:64]}")
    return row


@audit.keeps("radar_content", radar_content.c.key, of=("key",))
def archive(conn: Connection, key: str, is_archived: bool) -> None:
    """Links of archived content lead nowhere."""
    conn.execute(update(radar_content).where(radar_content.c.key == key).values(is_archived=is_archived))


def ensure_link(
    conn: Connection, content_id: int, *, userid: str, person_id: int, external_userid: str, now: datetime
) -> str:
    """The token of the one link for this content, member and person (0: for whoever gets it)."""
    whom = {"content_id": content_id, "userid": userid, "person_id": person_id}
    conn.execute(
        upsert(radar_link, conn)
        .values(**whom, external_userid=external_userid, token=secrets.token_urlsafe(9), created_at=now)
        .on_conflict_do_nothing()
    )
    token: str = conn.execute(
        select(radar_link.c.token).where(*(radar_link.c[name] == value for name, value in whom.items()))
    ).scalar_one()
    return token


@dataclass(frozen=True, slots=True)
class Opened:
    """Where to go, with the view by which the page tells its seconds."""

    url: str
    view: str


def find_target(conn: Connection, token: str) -> str | None:
    """Where a link leads; None when it is unknown or taken down."""
    return conn.execute(
        select(radar_content.c.url)
        .join(radar_link, radar_link.c.content_id == radar_content.c.id)
        .where(radar_link.c.token == token, radar_content.c.is_archived.is_(False))
    ).scalar_one_or_none()


def note_open(conn: Connection, token: str, *, now: datetime) -> Opened | None:
    """Count an opening; the first one by a known person also tells the member, once and never again."""
    row = conn.execute(
        select(radar_link, radar_content.c.title, radar_content.c.url, radar_content.c.key)
        .join(radar_content, radar_content.c.id == radar_link.c.content_id)
        .where(radar_link.c.token == token, radar_content.c.is_archived.is_(False))
    ).one_or_none()
    if row is None:
        return None
    view = secrets.token_urlsafe(12)
    conn.execute(radar_open.insert().values(link_id=row.id, view=view, opened_at=now))
    changes = {
        "opens": radar_link.c.opens + 1,
        "last_opened_at": now,
        "first_opened_at": func.coalesce(radar_link.c.first_opened_at, literal(now, UtcDateTime())),
    }
    conn.execute(update(radar_link).where(radar_link.c.id == row.id).values(**changes))
    if row.person_id:
        _tell(conn, row, now)
    return Opened(with_view(row.url, view), view)


def _tell(conn: Connection, row: Row[Any], now: datetime) -> None:
    told = events.Event(
        name="message.radar_opened",
        occurred_at=now,
        person_id=row.person_id,
        external_userid=row.external_userid,
        userid=row.userid,
        key=row.key,
        facts={"title": row.title, "content": row.key, "link_id": row.id},
        once=f"radar:{row.id}:{int(now.timestamp()) // _SLOT}",
    )
    events.publish(conn, [told], now=now)
    if row.userid and row.first_opened_at is None:
        item = queue.Item(
            lane="send", kind=NOTICE, payload={"link_id": row.id}, dedupe_key=f"radar:{row.id}", correlation=""
        )
        queue.add(conn, item, now=now)


def with_view(url: str, view: str) -> str:
    """The target with the view in its query; everything else as it was."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != PARAMETER]
    query = parts.query if len(kept) == len(parse_qsl(parts.query, keep_blank_values=True)) else urlencode(kept)
    return urlunsplit(parts._replace(query=f"{query}&{PARAMETER}={view}" if query else f"{PARAMETER}={view}"))


def note_seconds(conn: Connection, told: Iterable[Mapping[str, Any]]) -> None:
    """What pages say of how long they were read: the longest of a view counts, and no more than an hour."""
    longest: dict[str, int] = {}
    for facts in told:
        view, seconds = str(facts.get("radar") or ""), int(facts.get("seconds") or 0)
        if view:
            longest[view] = max(longest.get(view, 0), min(seconds, MOST_SECONDS))
    for view, seconds in sorted(longest.items()):
        row = conn.execute(
            select(radar_open.c.link_id, radar_open.c.seconds).where(radar_open.c.view == view).with_for_update()
        ).one_or_none()
        if row is not None and seconds > row.seconds:
            conn.execute(update(radar_open).where(radar_open.c.view == view).values(seconds=seconds))
            more = radar_link.c.seconds + (seconds - row.seconds)
            conn.execute(update(radar_link).where(radar_link.c.id == row.link_id).values(seconds=more))


# Figures --------------------------------------------------------------------------------------------------------------

_FIGURES = (
    func.count(radar_link.c.id).label("links"),
    func.count(func.nullif(radar_link.c.person_id, 0)).label("persons"),
    func.sum(case((and_(radar_link.c.person_id != 0, radar_link.c.opens > 0), 1), else_=0)).label("readers"),
    func.coalesce(func.sum(radar_link.c.opens), 0).label("opens"),
    func.coalesce(func.sum(radar_link.c.seconds), 0).label("seconds"),
    func.max(radar_link.c.last_opened_at).label("last_opened_at"),
)


def list_contents(conn: Connection, *, before: int | None = None, limit: int = 200) -> list[Row[Any]]:
    """Content with its figures, the newest first: links, persons, readers (who opened), opens, seconds."""
    shown = select(radar_content.c.id).where(radar_content.c.id < before if before is not None else true())
    # Chosen before it is counted: what is not shown is not added up.
    ids = list(conn.execute(shown.order_by(radar_content.c.id.desc()).limit(limit)).scalars())
    return list(
        conn.execute(
            select(radar_content, *_FIGURES)
            .outerjoin(radar_link, radar_link.c.content_id == radar_content.c.id)
            .where(radar_content.c.id.in_(ids))
            .group_by(radar_content.c.id)
            .order_by(radar_content.c.id.desc())
        )
    )


def list_living(conn: Connection, *, limit: int = 500) -> list[Row[Any]]:
    """What can be sent, the newest first, without figures."""
    query = select(radar_content).where(radar_content.c.is_archived.is_(False))
    return list(conn.execute(query.order_by(radar_content.c.id.desc()).limit(limit)))


def count_by_member(conn: Connection, content_id: int) -> list[Row[Any]]:
    """The figures of one content for each member, the most opened first."""
    return list(
        conn.execute(
            select(radar_link.c.userid, func.coalesce(member.c.name, "").label("member_name"), *_FIGURES)
            .outerjoin(member, member.c.userid == radar_link.c.userid)
            .where(radar_link.c.content_id == content_id)
            .group_by(radar_link.c.userid, member.c.name)
            .order_by(func.sum(radar_link.c.opens).desc(), radar_link.c.userid)
        )
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a list goes on: after the row of this moment and id."""

    at: datetime
    id: int

    def __str__(self) -> str:
        return f"{to_millis(self.at)}-{self.id}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """None for what no list of ours has said: it begins at the top."""
        found = re.fullmatch(r"([0-9]{1,14})-([0-9]{1,18})", text, re.ASCII)
        return cls(from_millis(int(found[1])), int(found[2])) if found else None


def _after(place: Place | None, at: Column[datetime], row_id: Column[int]) -> ColumnElement[bool]:
    if place is None:
        return true()
    return tuple_(at, row_id) < tuple_(literal(place.at, UtcDateTime()), literal(place.id))


def list_readers(conn: Connection, content_id: int, *, after: Place | None = None, limit: int = 50) -> list[Row[Any]]:
    """The links that were opened, the latest first, with the name of the person."""
    at, is_opened = radar_link.c.last_opened_at, radar_link.c.opens > literal_column("0")
    return list(
        conn.execute(
            _named_link(radar_link)
            # As the index says it: a parameter would not match.
            .where(radar_link.c.content_id == content_id, is_opened, _after(after, at, radar_link.c.id))
            .order_by(at.desc(), radar_link.c.id.desc())
            .limit(limit)
        )
    )


def _named_link(*columns: Any) -> Select[Any]:
    return (
        select(*columns, external_contact.c.name.label("contact_name"), member.c.name.label("member_name"))
        .outerjoin(external_contact, external_contact.c.external_userid == radar_link.c.external_userid)
        .outerjoin(member, member.c.userid == radar_link.c.userid)
    )


def find_reader(conn: Connection, content_id: int, link_id: int) -> Row[Any]:
    """Raises NotFound, for a link of another content too."""
    query = _named_link(radar_link).where(radar_link.c.id == link_id, radar_link.c.content_id == content_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound("没有这条雷达链接，它可能属于另一个内容")
    return row


def list_openings(conn: Connection, link: Row[Any], *, after: Place | None = None, limit: int = 50) -> list[Row[Any]]:
    """Each opening, the latest first: of a person through whichever member, of a link for all through this one."""
    mine: ColumnElement[bool] = radar_open.c.link_id == link.id
    if link.person_id:
        whom = and_(radar_link.c.person_id == link.person_id, radar_link.c.content_id == link.content_id)
        mine = radar_open.c.link_id.in_(select(radar_link.c.id).where(whom))
    return list(
        conn.execute(
            select(radar_open, radar_link.c.userid, member.c.name.label("member_name"))
            .join_from(radar_open, radar_link, radar_link.c.id == radar_open.c.link_id)
            .outerjoin(member, member.c.userid == radar_link.c.userid)
            .where(mine, _after(after, radar_open.c.opened_at, radar_open.c.id))
            .order_by(radar_open.c.opened_at.desc(), radar_open.c.id.desc())
            .limit(limit)
        )
    )


def find_notice(conn: Connection, link_id: int) -> Row[Any] | None:
    """What a notice says: the link with its content's title and the person's name or the member's remark of it."""
    return conn.execute(
        select(
            radar_link,
            radar_content.c.title,
            external_contact.c.name.label("contact_name"),
            follow_user.c.remark,
        )
        .join(radar_content, radar_content.c.id == radar_link.c.content_id)
        .outerjoin(external_contact, external_contact.c.external_userid == radar_link.c.external_userid)
        .outerjoin(
            follow_user,
            and_(
                follow_user.c.userid == radar_link.c.userid,
                follow_user.c.external_userid == radar_link.c.external_userid,
            ),
        )
        .where(radar_link.c.id == link_id)
    ).one_or_none()


def list_open_links(conn: Connection, content_id: int, *, limit: int = 100) -> list[Row[Any]]:
    """The links of members for whoever gets them."""
    return list(
        conn.execute(
            select(radar_link, member.c.name.label("member_name"))
            .outerjoin(member, member.c.userid == radar_link.c.userid)
            .where(radar_link.c.content_id == content_id, radar_link.c.person_id == 0)
            .order_by(radar_link.c.id.desc())
            .limit(limit)
        )
    )
