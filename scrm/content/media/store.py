"""All SQL about media."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, exists, or_, select, update

from scrm import audit
from scrm.content.media.models import media_copy, media_original, media_wish
from scrm.db import upsert

CLAIM = timedelta(minutes=5)


def add_original(conn: Connection, values: Mapping[str, Any]) -> bool:
    """False when the same bytes are there already; they then come back into sight."""
    added = conn.execute(
        upsert(media_original, conn)
        .values(**values)
        .on_conflict_do_nothing(index_elements=["sha256"])
        .returning(media_original.c.sha256)
    ).one_or_none()
    if added is not None:
        told = {"filename": values.get("filename"), "kind": values.get("kind")}
        audit.changed(conn, "media", values["sha256"], None, told)
    else:
        conn.execute(update(media_original).where(media_original.c.sha256 == values["sha256"]).values(is_hidden=False))
    return added is not None


def find_original(conn: Connection, sha256: str) -> Row[Any] | None:
    return conn.execute(select(media_original).where(media_original.c.sha256 == sha256)).one_or_none()


def find_originals(conn: Connection, names: Collection[str]) -> dict[str, Row[Any]]:
    rows = conn.execute(select(media_original).where(media_original.c.sha256.in_(list(names))))
    return {row.sha256: row for row in rows}


def list_originals(conn: Connection, *, kind: str = "", limit: int = 200) -> list[Row[Any]]:
    """The newest first."""
    query = select(media_original).where(media_original.c.is_hidden.is_(False))
    if kind:
        query = query.where(media_original.c.kind == kind)
    query = query.order_by(media_original.c.created_at.desc(), media_original.c.sha256).limit(limit)
    return list(conn.execute(query))


def list_copies(conn: Connection, names: Collection[str]) -> list[Row[Any]]:
    return list(conn.execute(select(media_copy).where(media_copy.c.sha256.in_(list(names)))))


def wished(conn: Connection, names: Collection[str]) -> set[str]:
    """Those that something needs, so that they are renewed."""
    return set(conn.execute(select(media_wish.c.sha256).where(media_wish.c.sha256.in_(list(names)))).scalars())


@audit.keeps("media", media_original.c.sha256, of=("sha256",))
def show_original(conn: Connection, sha256: str) -> None:
    """The way back from `hide_original`."""
    conn.execute(update(media_original).where(media_original.c.sha256 == sha256).values(is_hidden=False))


@audit.keeps("media", media_original.c.sha256, of=("sha256",))
def hide_original(conn: Connection, sha256: str) -> bool:
    """Out of sight and no longer renewed; False when something published still needs it."""
    if conn.execute(select(media_wish.c.owner).where(media_wish.c.sha256 == sha256).limit(1)).first():
        return False
    conn.execute(update(media_original).where(media_original.c.sha256 == sha256).values(is_hidden=True))
    return True


def find_living(conn: Connection, sha256: str, use: str, now: datetime) -> str:
    """The media id (or address) that can be used now; '' when there is none."""
    return find_all_living(conn, [(sha256, use)], now).get((sha256, use), "")


def find_all_living(conn: Connection, wanted: Iterable[tuple[str, str]], now: datetime) -> dict[tuple[str, str], str]:
    """By (sha256, use): what can be used now."""
    pairs = set(wanted)
    rows = conn.execute(
        select(media_copy.c.sha256, media_copy.c.use, media_copy.c.media_id).where(
            media_copy.c.sha256.in_({sha256 for sha256, _ in pairs}),
            media_copy.c.media_id != "",
            or_(media_copy.c.expires_at.is_(None), media_copy.c.expires_at > now),
        )
    )
    return {(row.sha256, row.use): row.media_id for row in rows if (row.sha256, row.use) in pairs}


@dataclass(frozen=True, slots=True)
class Living:
    """What can be sent now: image, video or file, and WeCom's id of it."""

    kind: str
    media_id: str


def find_living_by_name(conn: Connection, filenames: Collection[str], use: str, now: datetime) -> dict[str, Living]:
    """By file name, of several the newest that WeCom has."""
    if not filenames:
        return {}
    rows = conn.execute(
        select(media_original.c.filename, media_original.c.kind, media_copy.c.media_id)
        .join(media_copy, media_copy.c.sha256 == media_original.c.sha256)
        .where(
            media_original.c.filename.in_(list(filenames)),
            media_copy.c.use == use,
            media_copy.c.media_id != "",
            or_(media_copy.c.expires_at.is_(None), media_copy.c.expires_at > now),
        )
        .order_by(media_original.c.created_at, media_original.c.sha256)
    )
    return {row.filename: Living(row.kind, row.media_id) for row in rows}


def find_by_name(conn: Connection, filenames: Collection[str]) -> dict[str, Row[Any]]:
    """The newest original in sight of each name."""
    query = select(media_original).where(
        media_original.c.filename.in_(list(filenames)), media_original.c.is_hidden.is_(False)
    )
    rows = conn.execute(query.order_by(media_original.c.created_at, media_original.c.sha256))
    return {row.filename: row for row in rows}


def save_copy(
    conn: Connection,
    sha256: str,
    use: str,
    *,
    media_id: str = "",
    jobid: str = "",
    made_at: datetime,
    renew_at: datetime | None,
    expires_at: datetime | None,
) -> None:
    values = {
        "media_id": media_id,
        "jobid": jobid,
        "made_at": made_at,
        "renew_at": renew_at,
        "expires_at": expires_at,
        "claimed_until": None,
        "errcode": 0,
        "reason": "",
    }
    _put(conn, sha256, use, values)


def note_failure(conn: Connection, sha256: str, use: str, *, errcode: int, reason: str, again_at: datetime) -> None:
    """What is there goes on living; the next try is at `again_at`."""
    values = {"errcode": errcode, "reason": reason[:300], "renew_at": again_at, "claimed_until": None}
    _put(conn, sha256, use, values)


def forget_copy(conn: Connection, sha256: str, use: str) -> None:
    """WeCom no longer knows the id (40007)."""
    which = and_(media_copy.c.sha256 == sha256, media_copy.c.use == use)
    conn.execute(update(media_copy).where(which).values(media_id="", renew_at=None, expires_at=None))


def _put(conn: Connection, sha256: str, use: str, values: Mapping[str, Any]) -> None:
    conn.execute(
        upsert(media_copy, conn)
        .values(sha256=sha256, use=use, **values)
        .on_conflict_do_update(index_elements=["sha256", "use"], set_=dict(values))
    )


def find_job(conn: Connection, jobid: str) -> Row[Any] | None:
    return conn.execute(select(media_copy).where(media_copy.c.jobid == jobid)).one_or_none()


def wish(conn: Connection, owner: str, wanted: Collection[tuple[str, str]]) -> None:
    """What `owner` needs alive from now on, instead of what it needed before: (sha256, use)."""
    conn.execute(delete(media_wish).where(media_wish.c.owner == owner))
    if wanted:
        rows = [{"owner": owner, "sha256": sha256, "use": use} for sha256, use in sorted(set(wanted))]
        conn.execute(media_wish.insert(), rows)


def _is_wished() -> Any:
    return exists().where(media_wish.c.sha256 == media_copy.c.sha256, media_wish.c.use == media_copy.c.use)


def has_due(conn: Connection, now: datetime) -> bool:
    """A cheap look before claiming."""
    return conn.execute(select(media_copy.c.sha256).where(_is_due(now)).limit(1)).first() is not None or bool(
        _list_missing(conn, 1)
    )


def _is_due(now: datetime) -> Any:
    is_free = or_(media_copy.c.claimed_until.is_(None), media_copy.c.claimed_until < now)
    is_old = or_(media_copy.c.renew_at <= now, and_(media_copy.c.renew_at.is_(None), media_copy.c.media_id == ""))
    return and_(is_old, is_free, media_copy.c.jobid == "", _is_wished())


def _list_missing(conn: Connection, limit: int) -> list[Row[Any]]:
    has_copy = exists().where(media_copy.c.sha256 == media_wish.c.sha256, media_copy.c.use == media_wish.c.use)
    query = select(media_wish.c.sha256, media_wish.c.use).where(~has_copy).distinct().limit(limit)
    return list(conn.execute(query))


def claim_due(conn: Connection, now: datetime, limit: int) -> list[tuple[str, str]]:
    """The (sha256, use) that are ours to renew for five minutes: only what something published needs."""
    missing = [(row.sha256, row.use) for row in _list_missing(conn, limit)]
    for sha256, use in missing:
        conn.execute(
            upsert(media_copy, conn)
            .values(sha256=sha256, use=use)
            .on_conflict_do_nothing(index_elements=["sha256", "use"])
        )
    query = select(media_copy.c.sha256, media_copy.c.use).where(_is_due(now))
    query = query.order_by(media_copy.c.renew_at.nulls_first(), media_copy.c.sha256).limit(limit)
    if conn.dialect.name == "postgresql":
        query = query.with_for_update(skip_locked=True, of=media_copy)
    due = [(row.sha256, row.use) for row in conn.execute(query)]
    for sha256, use in due:
        conn.execute(
            update(media_copy)
            .where(media_copy.c.sha256 == sha256, media_copy.c.use == use)
            .values(claimed_until=now + CLAIM)
        )
    return due
