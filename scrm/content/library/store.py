"""All SQL about folders, scripts, what members like and what was sent."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from scrm import audit
from scrm.content.library.finding import normalise, terms_of
from scrm.content.library.lint import BANNED, DOUBTFUL, Words
from scrm.content.library.models import (
    script,
    script_folder,
    script_habit,
    script_rule,
    script_term,
    script_use,
    script_version,
)
from scrm.db import UtcDateTime, upsert
from scrm.db.bulk import among_given, listed
from scrm.profiles.models import member

COMPANY = ""
# Scripts whose text is looked through when a title does not match: what a search may cost.
_LOOKED_THROUGH = 2000
# Behind every letter there is.
_LAST = "\U0010ffff"

# Rules ----------------------------------------------------------------------------------------------------------------


def read_rule(conn: Connection) -> Row[Any] | None:
    return conn.execute(select(script_rule)).one_or_none()


def read_words(conn: Connection) -> Words:
    """The shop's lists, or those it begins with."""
    row = read_rule(conn)
    return Words(BANNED, DOUBTFUL) if row is None else Words(tuple(row.banned), tuple(row.doubtful))


def needs_approval(conn: Connection) -> bool:
    row = read_rule(conn)
    return row is not None and bool(row.needs_approval)


@audit.keeps("script_rule", script_rule.c.id, of=(1,))
def save_rule(conn: Connection, *, needs_approval: bool, words: Words, by: str, now: datetime) -> None:
    values = {
        "needs_approval": needs_approval,
        "banned": list(words.banned),
        "doubtful": list(words.doubtful),
        "changed_by": by,
        "changed_at": now,
    }
    conn.execute(
        upsert(script_rule, conn).values(id=1, **values).on_conflict_do_update(index_elements=["id"], set_=values)
    )


# Folders --------------------------------------------------------------------------------------------------------------


def list_folders(conn: Connection, owner: str = COMPANY) -> list[Row[Any]]:
    """In their order, the first level and the second one mixed."""
    query = select(script_folder).where(script_folder.c.owner == owner)
    return list(conn.execute(query.order_by(script_folder.c.position, script_folder.c.id)))


def find_folder(conn: Connection, folder_id: int, owner: str = COMPANY) -> Row[Any] | None:
    query = select(script_folder).where(script_folder.c.id == folder_id, script_folder.c.owner == owner)
    return conn.execute(query).one_or_none()


def add_folder(conn: Connection, title: str, parent_id: int | None, owner: str = COMPANY) -> int:
    last = select(func.coalesce(func.max(script_folder.c.position), 0)).where(script_folder.c.owner == owner)
    values = {"owner": owner, "title": title, "parent_id": parent_id, "position": conn.execute(last).scalar_one() + 1}
    made: int = conn.execute(insert(script_folder).values(**values).returning(script_folder.c.id)).scalar_one()
    audit.changed(conn, "script_folder", made, None, {"title": title, "parent_id": parent_id})
    return made


@audit.keeps("script_folder", script_folder.c.id, of=("folder_id",))
def change_folder(conn: Connection, folder_id: int, /, **values: Any) -> None:
    conn.execute(update(script_folder).where(script_folder.c.id == folder_id).values(**values))


def is_folder_used(conn: Connection, folder_id: int) -> bool:
    inside = select(script.c.id).where(script.c.folder_id == folder_id).limit(1)
    below = select(script_folder.c.id).where(script_folder.c.parent_id == folder_id).limit(1)
    return conn.execute(inside).first() is not None or conn.execute(below).first() is not None


@audit.keeps("script_folder", script_folder.c.id, of=("folder_id",))
def drop_folder(conn: Connection, folder_id: int) -> None:
    conn.execute(delete(script_folder).where(script_folder.c.id == folder_id))


# Scripts --------------------------------------------------------------------------------------------------------------


def find_script(conn: Connection, script_id: int) -> Row[Any] | None:
    return conn.execute(select(script).where(script.c.id == script_id)).one_or_none()


def lock_script(conn: Connection, script_id: int) -> Row[Any] | None:
    query = select(script).where(script.c.id == script_id)
    return conn.execute(query.with_for_update() if conn.dialect.name == "postgresql" else query).one_or_none()


def find_by_key(conn: Connection, key: str) -> Row[Any] | None:
    return conn.execute(select(script).where(script.c.key == key)).one_or_none()


def find_by_title(conn: Connection, folder_id: int | None, title: str) -> Row[Any] | None:
    """A company script, as a table that is brought in names it."""
    folder = script.c.folder_id.is_(None) if folder_id is None else script.c.folder_id == folder_id
    query = select(script).where(script.c.owner == COMPANY, folder, script.c.title == title)
    return conn.execute(query.order_by(script.c.id).limit(1)).one_or_none()


def list_keyed(conn: Connection, now: datetime | None = None) -> list[Row[Any]]:
    """What playbooks can name: company scripts in use that have a key; without `now`, past their day or not."""
    query = select(script.c.key, script.c.text, script.c.attachments)
    query = query.where(script.c.key.is_not(None), script.c.owner == COMPANY)
    is_used = and_(script.c.version > 0, script.c.is_stopped.is_(False)) if now is None else is_usable(now)
    return list(conn.execute(query.where(is_used)))


def add_script(conn: Connection, **values: Any) -> int:
    last = select(func.coalesce(func.max(script.c.position), 0)).where(script.c.owner == values["owner"])
    values["position"] = conn.execute(last).scalar_one() + 1
    made: int = conn.execute(insert(script).values(**values).returning(script.c.id)).scalar_one()
    audit.changed(conn, "script", made, None, {"title": values["title"], "owner": values["owner"]})
    save_terms(conn, made, values["owner"], values["title"])
    return made


@audit.keeps("script", script.c.id, of=("script_id",))
def change_script(conn: Connection, script_id: int, /, **values: Any) -> None:
    conn.execute(update(script).where(script.c.id == script_id).values(**values))


def list_siblings(conn: Connection, folder_ids: Collection[int]) -> list[Row[Any]]:
    """Company scripts of a folder (none: of no folder) in their order."""
    folder = script.c.folder_id.in_(list(folder_ids)) if folder_ids else script.c.folder_id.is_(None)
    query = select(script.c.id, script.c.position, script.c.is_stopped).where(script.c.owner == COMPANY, folder)
    return list(conn.execute(query.order_by(script.c.position, script.c.id)))


def number_scripts(conn: Connection, ids: Sequence[int]) -> None:
    """These stand in this order, on the places that they have among all."""
    rows = conn.execute(select(script.c.position).where(script.c.id.in_(list(ids)))).scalars()
    for script_id, position in zip(ids, _apart(sorted(rows)), strict=True):
        conn.execute(update(script).where(script.c.id == script_id).values(position=position))


def _apart(places: Sequence[int]) -> list[int]:
    """The same places, none of them twice."""
    apart: list[int] = []
    for place in places:
        apart.append(max(place, apart[-1] + 1) if apart else place)
    return apart


def count_mine(conn: Connection, userid: str) -> int:
    query = select(func.count()).where(script.c.owner == userid, script.c.is_stopped.is_(False))
    return int(conn.execute(query).scalar_one())


@audit.keeps("script", script.c.id, of=("script_id",))
def drop_script(conn: Connection, script_id: int) -> None:
    """With its versions, terms and habits; what was sent stays counted in `script_use`."""
    conn.execute(delete(script).where(script.c.id == script_id))


def save_terms(conn: Connection, script_id: int, owner: str, title: str) -> None:
    conn.execute(delete(script_term).where(script_term.c.script_id == script_id))
    rows = [{"owner": owner, "term": term, "script_id": script_id} for term in sorted(terms_of(title))]
    if rows:
        conn.execute(insert(script_term), rows)


def is_usable(now: datetime) -> ColumnElement[bool]:
    """In use today: has a version, not stopped, not past its day."""
    is_alive = or_(script.c.expires_at.is_(None), script.c.expires_at > now)
    return and_(script.c.version > 0, script.c.is_stopped.is_(False), is_alive)


# Versions -------------------------------------------------------------------------------------------------------------


def list_versions(conn: Connection, script_id: int, *, limit: int = 100) -> list[Row[Any]]:
    """The newest first."""
    query = select(script_version).where(script_version.c.script_id == script_id)
    return list(conn.execute(query.order_by(script_version.c.version.desc()).limit(limit)))


def find_version(conn: Connection, script_id: int, version: int) -> Row[Any] | None:
    query = select(script_version).where(script_version.c.script_id == script_id)
    return conn.execute(query.where(script_version.c.version == version)).one_or_none()


def save_version(conn: Connection, script_id: int, version: int, **values: Any) -> None:
    conn.execute(
        upsert(script_version, conn)
        .values(script_id=script_id, version=version, **values)
        .on_conflict_do_update(index_elements=["script_id", "version"], set_=values)
    )


def drop_version(conn: Connection, script_id: int, version: int) -> None:
    where = (script_version.c.script_id == script_id, script_version.c.version == version)
    conn.execute(delete(script_version).where(*where))


# What members see -----------------------------------------------------------------------------------------------------


def list_usable(
    conn: Connection,
    userid: str,
    now: datetime,
    *,
    view: str = "all",
    folder_ids: Collection[int] = (),
    limit: int,
    offset: int = 0,
) -> list[Row[Any]]:
    """Scripts a member may send, with their own habits, in the order of an index.

    `view`: all (the company's), mine, liked, used (the most) or recent.
    """
    narrowed, order = _VIEWS.get(view, _VIEWS["all"])
    query = _with_habits(userid, is_inner=view in _HABITUAL).where(*narrowed, is_usable(now))
    query = query.where(script.c.owner.in_((COMPANY, userid)) if view in _HABITUAL else _whose(view, userid))
    if folder_ids:
        query = query.where(script.c.folder_id.in_(list(folder_ids)))
    return list(conn.execute(query.order_by(*order, script.c.id).limit(limit).offset(offset)))


def _whose(view: str, userid: str) -> ColumnElement[bool]:
    return script.c.owner == (userid if view == "mine" else COMPANY)


_HABITUAL = frozenset({"liked", "used", "recent"})
_VIEWS: dict[str, tuple[tuple[ColumnElement[bool], ...], tuple[Any, ...]]] = {
    "all": ((), (script.c.position,)),
    "mine": ((), (script.c.position.desc(),)),
    "liked": ((script_habit.c.liked_at.is_not(None),), (script_habit.c.liked_at.desc(),)),
    "used": ((script_habit.c.uses > 0,), (script_habit.c.uses.desc(), script_habit.c.used_at.desc())),
    "recent": ((script_habit.c.used_at.is_not(None),), (script_habit.c.used_at.desc(),)),
}


def find_usable(conn: Connection, userid: str, script_id: int, now: datetime) -> Row[Any] | None:
    """One that this member may send."""
    mine = script.c.owner.in_((COMPANY, userid))
    return conn.execute(_with_habits(userid).where(script.c.id == script_id, mine, is_usable(now))).one_or_none()


def search_usable(conn: Connection, userid: str, typed: str, now: datetime, *, limit: int) -> list[Row[Any]]:
    """By Chinese, pinyin or first letters of the title; then by words of the text, as far as there is room."""
    ids = search_ids(conn, (COMPANY, userid), typed, limit=limit * 4)
    order = {script_id: place for place, script_id in enumerate(ids)}
    values = {"userid": userid, "now": now, "ids": listed(conn, ids)}
    rows = list(conn.execute(_found_by_title(conn.dialect.name), values)) if ids else []
    rows.sort(key=lambda row: (-(row.my_uses or 0), order[row.id]))
    wanted = typed.strip()
    # Letters that name a title already are pinyin, not words of a text.
    if wanted and len(rows) < limit and not (rows and wanted.isascii()):
        values |= {"wanted": wanted.lower(), "room": limit - len(rows)}
        rows += conn.execute(_found_by_text(conn.dialect.name), values)
    return rows[:limit]


@cache
def _found_by_title(dialect: str) -> Select[Any]:
    return _with_habits(_USERID).where(among_given(dialect, script.c.id, "ids"), is_usable(_NOW))


@cache
def _found_by_text(dialect: str) -> Select[Any]:
    """Among the newest, but for those found already."""
    # No index by owner: those of one owner would all be sorted, instead of the newest taken from the end.
    owner = func.coalesce(script.c.owner, COMPANY)
    owners = or_(owner == COMPANY, owner == _USERID)
    newest = select(script.c.id, script.c.text).where(
        owners, is_usable(_NOW), ~among_given(dialect, script.c.id, "ids")
    )
    looked = newest.order_by(script.c.id.desc()).limit(_LOOKED_THROUGH).subquery()
    says = (
        select(looked.c.id).where(_says(dialect, looked.c.text)).order_by(looked.c.id.desc()).limit(bindparam("room"))
    )
    return _with_habits(_USERID).where(script.c.id.in_(says)).order_by(script.c.id.desc())


_USERID: Any = bindparam("userid", type_=String)
_NOW: Any = bindparam("now", type_=UtcDateTime)


def _says(dialect: str, said: ColumnElement[str]) -> Any:
    """Letters of either size; without a pattern to read, which costs most of the time."""
    place_of = func.strpos if dialect == "postgresql" else func.instr
    return place_of(func.lower(said), bindparam("wanted", type_=String)) > 0


def search_ids(conn: Connection, owners: Sequence[str], typed: str, *, limit: int) -> list[int]:
    """Scripts one of whose beginnings is what was typed, the shortest fit first: each owner is one range of the index."""
    wanted = normalise(typed)
    if not wanted:
        return []
    found: list[tuple[str, int]] = []
    for owner in owners:
        rows = conn.execute(_beginning(), {"of_owner": owner, "least": wanted, "below": wanted + _LAST, "most": limit})
        found += [(row.term, row.script_id) for row in rows]
    return list(dict.fromkeys(script_id for _, script_id in sorted(found, key=lambda pair: (len(pair[0]), pair))))


@cache
def _beginning() -> Select[Any]:
    return (
        select(script_term.c.term, script_term.c.script_id)
        .where(
            script_term.c.owner == bindparam("of_owner"),
            script_term.c.term >= bindparam("least", type_=String),
            script_term.c.term < bindparam("below", type_=String),
        )
        .order_by(script_term.c.term, script_term.c.script_id)
        .limit(bindparam("most"))
    )


def _with_habits(userid: Any, *, is_inner: bool = False) -> Select[Any]:
    mine = and_(script_habit.c.script_id == script.c.id, script_habit.c.userid == userid)
    columns = (script, script_habit.c.liked_at, script_habit.c.uses.label("my_uses"))
    return select(*columns).join_from(script, script_habit, mine, isouter=not is_inner)


def has_habits(conn: Connection, userid: str) -> bool:
    """Whether this member has sent a few different scripts already."""
    query = select(script_habit.c.script_id).where(script_habit.c.userid == userid, script_habit.c.uses > 0)
    return len(conn.execute(query.limit(3)).all()) == 3


def like(conn: Connection, userid: str, script_id: int, liked_at: datetime | None) -> None:
    conn.execute(
        upsert(script_habit, conn)
        .values(userid=userid, script_id=script_id, liked_at=liked_at)
        .on_conflict_do_update(index_elements=["userid", "script_id"], set_={"liked_at": liked_at})
    )


def note_use(
    conn: Connection, once: str, script_id: int, *, version: int, userid: str, is_edited: bool, now: datetime
) -> bool:
    """Count a sending, once; False when it is counted already."""
    values = {"script_id": script_id, "version": version, "userid": userid, "is_edited": is_edited, "used_at": now}
    kept = conn.execute(
        upsert(script_use, conn).values(once=once, **values).on_conflict_do_nothing().returning(script_use.c.once)
    ).one_or_none()
    if kept is None:
        return False
    habit = {"uses": script_habit.c.uses + 1, "used_at": now}
    conn.execute(
        upsert(script_habit, conn)
        .values(userid=userid, script_id=script_id, uses=1, used_at=now)
        .on_conflict_do_update(index_elements=["userid", "script_id"], set_=habit)
    )
    conn.execute(update(script).where(script.c.id == script_id).values(uses=script.c.uses + 1))
    return True


# What managers see ----------------------------------------------------------------------------------------------------

# How long before its last day a script is pointed out.
SOON = timedelta(days=14)
_STATES: dict[str, Any] = {
    "used": lambda now: is_usable(now),
    "pending": lambda now: script.c.draft == "pending",
    "draft": lambda now: script.c.draft == "draft",
    "expired": lambda now: and_(script.c.expires_at <= now, script.c.is_stopped.is_(False)),
    "stopped": lambda now: script.c.is_stopped.is_(True),
    "soon": lambda now: and_(is_usable(now), script.c.expires_at <= now + SOON),
}


def list_company(
    conn: Connection,
    now: datetime,
    *,
    folder_ids: Collection[int] | None = None,
    typed: str = "",
    state: str = "",
    limit: int,
    offset: int = 0,
) -> list[Row[Any]]:
    """Company scripts in their order; what is stopped only when asked for."""
    query = select(script).where(script.c.owner == COMPANY)
    if folder_ids is not None:
        query = query.where(script.c.folder_id.in_(list(folder_ids)) if folder_ids else script.c.folder_id.is_(None))
    query = query.where(_STATES[state](now) if state in _STATES else script.c.is_stopped.is_(False))
    if typed.strip():
        ids = search_ids(conn, (COMPANY,), typed, limit=500)
        said = script.c.text.icontains(typed.strip(), autoescape=True)
        query = query.where(or_(script.c.id.in_(ids), said, script.c.key == typed.strip()))
    return list(conn.execute(query.order_by(script.c.position, script.c.id).limit(limit).offset(offset)))


def list_all_company(conn: Connection, *, limit: int) -> list[Row[Any]]:
    """For a table to take away."""
    query = select(script).where(script.c.owner == COMPANY).order_by(script.c.position, script.c.id).limit(limit)
    return list(conn.execute(query))


def count_company(conn: Connection) -> Mapping[int | None, int]:
    """How many there are in each folder; what is stopped is not counted."""
    query = select(script.c.folder_id, func.count()).where(script.c.owner == COMPANY, script.c.is_stopped.is_(False))
    return {row[0]: row[1] for row in conn.execute(query.group_by(script.c.folder_id))}


def count_pending(conn: Connection) -> int:
    query = select(func.count()).where(script.c.owner == COMPANY, script.c.draft == "pending")
    return int(conn.execute(query).scalar_one())


def count_soon(conn: Connection, now: datetime) -> int:
    """How many can be used for a few days more only."""
    query = select(func.count()).where(script.c.owner == COMPANY, _STATES["soon"](now))
    return int(conn.execute(query).scalar_one())


def count_uses(conn: Connection, since: datetime, *, limit: int = 100) -> list[Row[Any]]:
    """The scripts most sent since then: title, sends, members, how many were edited first. Members' own count too."""
    query = (
        select(
            script_use.c.script_id,
            script.c.title,
            script.c.owner,
            func.count().label("sends"),
            func.count(script_use.c.userid.distinct()).label("members"),
            func.count(case((script_use.c.is_edited, 1))).label("edited"),
            func.max(script_use.c.used_at, type_=UtcDateTime).label("used_at"),
        )
        .outerjoin(script, script.c.id == script_use.c.script_id)
        .where(script_use.c.used_at >= since)
        .group_by(script_use.c.script_id, script.c.title, script.c.owner)
        .order_by(func.count().desc(), script_use.c.script_id)
        .limit(limit)
    )
    return list(conn.execute(query))


def count_members(conn: Connection, since: datetime, *, limit: int = 100) -> list[Row[Any]]:
    """The members who send most from the library: name, sends, how many different scripts."""
    query = (
        select(
            script_use.c.userid,
            member.c.name,
            func.count().label("sends"),
            func.count(script_use.c.script_id.distinct()).label("scripts"),
        )
        .outerjoin(member, member.c.userid == script_use.c.userid)
        .where(script_use.c.used_at >= since)
        .group_by(script_use.c.userid, member.c.name)
        .order_by(func.count().desc(), script_use.c.userid)
        .limit(limit)
    )
    return list(conn.execute(query))


def count_versions(conn: Connection, script_id: int) -> dict[int, int]:
    """How often each version of one script was sent."""
    query = select(script_use.c.version, func.count()).where(script_use.c.script_id == script_id)
    return {row[0]: row[1] for row in conn.execute(query.group_by(script_use.c.version))}


def member_names(conn: Connection, userids: Collection[str]) -> dict[str, str]:
    rows = conn.execute(select(member.c.userid, member.c.name).where(member.c.userid.in_(set(userids))))
    return {row.userid: row.name for row in rows}
