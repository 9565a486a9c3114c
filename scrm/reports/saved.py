"""Reports that were saved, who may see them, and everybody's own board of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, func, or_, select, update

from scrm import audit
from scrm.errors import Forbidden, Invalid, NotFound
from scrm.reports.models import report_pin, saved_report

MOST_PINNED = 12
MOST_OF_ONE = 200


def read_title(form: Mapping[str, Any]) -> str:
    title = str(form.get("title") or "").strip()
    if not title:
        raise Invalid("还没有起名字，请写上报表的名字")
    if len(title) > 40:
        raise Invalid(f"名字最多 40 个字，写了 {len(title)} 个")
    return title


def list_seen(conn: Connection, owner: str) -> Sequence[Row[Any]]:
    """One's own and those that others share, by title; `place` is where it stands on one's board, None when not."""
    pinned = and_(report_pin.c.report_id == saved_report.c.id, report_pin.c.owner == owner)
    query = select(saved_report, report_pin.c.place).outerjoin(report_pin, pinned)
    mine = or_(saved_report.c.owner == owner, saved_report.c.is_shared)
    return conn.execute(query.where(mine).order_by(saved_report.c.title, saved_report.c.id).limit(MOST_OF_ONE)).all()


def list_board(conn: Connection, owner: str) -> Sequence[Row[Any]]:
    """What stands on one's board, in its order; what is no longer shared is left out."""
    query = select(saved_report).join(report_pin, report_pin.c.report_id == saved_report.c.id)
    seen = or_(saved_report.c.owner == owner, saved_report.c.is_shared)
    return conn.execute(query.where(report_pin.c.owner == owner, seen).order_by(report_pin.c.place)).all()


def find(conn: Connection, report_id: int, owner: str) -> Row[Any]:
    """Raises NotFound for what is another's and not shared."""
    seen = or_(saved_report.c.owner == owner, saved_report.c.is_shared)
    row = conn.execute(select(saved_report).where(saved_report.c.id == report_id, seen)).one_or_none()
    if row is None:
        raise NotFound("没有这张报表，可能已经被删除，或者不再共享")
    return row


def save(
    conn: Connection, owner: str, title: str, question: Mapping[str, Any], *, is_shared: bool, now: datetime
) -> int:
    """A new one; it also goes to the end of the owner's board while there is room."""
    if (
        conn.scalar(select(func.count()).select_from(saved_report).where(saved_report.c.owner == owner)) or 0
    ) >= MOST_OF_ONE:
        raise Invalid(f"每人最多保存 {MOST_OF_ONE} 张报表，请先删除不用的")
    values = {"title": title, "question": dict(question), "is_shared": is_shared}
    insert = saved_report.insert().values(**values, owner=owner, created_at=now, updated_at=now)
    report_id: int = conn.scalar(insert.returning(saved_report.c.id)) or 0
    audit.changed(conn, "saved_report", report_id, None, values)
    if len(list_board(conn, owner)) < MOST_PINNED:
        pin(conn, report_id, owner)
    return report_id


def change(
    conn: Connection,
    report_id: int,
    owner: str,
    title: str,
    question: Mapping[str, Any],
    *,
    is_shared: bool,
    now: datetime,
) -> None:
    before = _own(conn, report_id, owner)
    values = {"title": title, "question": dict(question), "is_shared": is_shared}
    conn.execute(update(saved_report).where(saved_report.c.id == report_id).values(**values, updated_at=now))
    audit.changed(conn, "saved_report", report_id, {name: before._mapping[name] for name in values}, values)


def remove(conn: Connection, report_id: int, owner: str) -> Row[Any]:
    """What it was, so that it can be saved again."""
    gone = _own(conn, report_id, owner)
    conn.execute(delete(report_pin).where(report_pin.c.report_id == report_id))
    conn.execute(delete(saved_report).where(saved_report.c.id == report_id))
    told = {"title": gone.title, "question": gone.question, "is_shared": gone.is_shared}
    audit.changed(conn, "saved_report", report_id, told, None)
    return gone


def _own(conn: Connection, report_id: int, owner: str) -> Row[Any]:
    row = find(conn, report_id, owner)
    if row.owner != owner:
        raise Forbidden("这张报表是别人做的，只能查看。可以“另存为自己的”再改")
    return row


def pin(conn: Connection, report_id: int, owner: str) -> None:
    """At the end of one's board; what stands there already stays where it is."""
    find(conn, report_id, owner)
    standing = list_board(conn, owner)
    if any(row.id == report_id for row in standing):
        return
    if len(standing) >= MOST_PINNED:
        raise Invalid(f"看板最多放 {MOST_PINNED} 张报表，请先移下一张")
    last = conn.scalar(select(func.max(report_pin.c.place)).where(report_pin.c.owner == owner)) or 0
    conn.execute(delete(report_pin).where(report_pin.c.owner == owner, report_pin.c.report_id == report_id))
    conn.execute(report_pin.insert().values(owner=owner, report_id=report_id, place=last + 1))


def unpin(conn: Connection, report_id: int, owner: str) -> None:
    conn.execute(delete(report_pin).where(report_pin.c.owner == owner, report_pin.c.report_id == report_id))


def move(conn: Connection, report_id: int, owner: str, by: int) -> None:
    """One place up (-1) or down (1); at an end it stays."""
    order = [row.id for row in list_board(conn, owner)]
    if report_id not in order:
        return
    here = order.index(report_id)
    there = min(max(here + by, 0), len(order) - 1)
    order.insert(there, order.pop(here))
    for place, each in enumerate(order, 1):
        mine = report_pin.c.owner == owner, report_pin.c.report_id == each
        conn.execute(update(report_pin).where(*mine).values(place=place))
