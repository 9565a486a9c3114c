"""跟进记录: what members write down of a talk, for themselves and for colleagues who follow the customer too."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Connection, ForeignKey, Index, Row, String, Table, Text, func, select, text, update

from scrm.db import BigId, UtcDateTime, metadata
from scrm.errors import Conflict, Forbidden, Invalid, NotFound
from scrm.events import Event, publish, retell
from scrm.profiles.models import member
from web.texts import N_, _

KINDS = {"call": N_("电话"), "chat": N_("聊天"), "visit": N_("到店"), "other": N_("其他")}
MOST_CHARACTERS = 2_000
# After that a note is history: others have read it and acted on it.
EDITABLE = timedelta(hours=24)
UNDO = timedelta(minutes=10)
# As much of it as the timeline tells.
_TOLD_CHARACTERS = 200

note = Table(
    "note",
    metadata,
    Column("id", BigId, primary_key=True, autoincrement=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("external_userid", String(64), nullable=False),
    Column("userid", String(64), nullable=False),
    # call, chat, visit, other
    Column("kind", String(8), nullable=False),
    Column("text", Text, nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("deleted_by", String(64), nullable=False, server_default=text("''")),
    Index("ix_note_person_id", "person_id", "id"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a member typed, fit to be kept."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, beside which chat."""

    userid: str
    external_userid: str
    person_id: int


def read_draft(kind: str, text: str) -> Draft:
    """Raises Invalid in words for an unknown kind, no text or too much of it. Pure."""
    text = text.strip().replace("\r\n", "\n")
    if kind not in KINDS:
        raise Invalid(_("跟进方式只能选{kinds}", kinds="、".join(map(_, KINDS.values()))))
    if not text:
        raise Invalid(_("还没有写内容"))
    if len(text) > MOST_CHARACTERS:
        raise Invalid(_("写了 {n} 个字，最多 {most} 个，请删短一些", n=len(text), most=MOST_CHARACTERS))
    return Draft(kind, text)


def may_change(row: Row[Any], userid: str, now: datetime) -> bool:
    """Its author, within a day. Pure."""
    return str(row.userid).casefold() == userid.casefold() and now - row.written_at <= EDITABLE


def add(conn: Connection, author: Author, draft: Draft, *, now: datetime) -> int:
    """A new note, told in the timeline and to playbooks; returns its id."""
    values = {"kind": draft.kind, "text": draft.text, "written_at": now, **_of(author)}
    note_id = int(conn.execute(note.insert().values(**values).returning(note.c.id)).scalar_one())
    told = Event(
        "note.added",
        now,
        author.person_id,
        author.external_userid,
        author.userid,
        key=str(note_id),
        facts=_facts(draft.kind, draft.text),
        once=_once(note_id),
    )
    publish(conn, [told], now=now)
    return note_id


def change(conn: Connection, author: Author, note_id: int, draft: Draft, *, now: datetime) -> None:
    """Other words; raises NotFound, Forbidden for somebody else's note, Conflict after a day."""
    row = _own(conn, author, note_id)
    if not may_change(row, author.userid, now):
        raise Conflict(_("写下超过 24 小时的记录不能再改，可以再写一条补充"))
    conn.execute(update(note).where(note.c.id == note_id).values(kind=draft.kind, text=draft.text, changed_at=now))
    retell(conn, _once(note_id), "note.added", _facts(draft.kind, draft.text))


def delete(conn: Connection, author: Author, note_id: int, *, now: datetime) -> None:
    """Gone from every list, the timeline says so; `restore` brings it back for ten minutes."""
    row = _own(conn, author, note_id)
    if not may_change(row, author.userid, now):
        raise Conflict(_("写下超过 24 小时的记录不能删除，可以再写一条补充"))
    conn.execute(update(note).where(note.c.id == note_id).values(deleted_at=now, deleted_by=author.userid))
    retell(conn, _once(note_id), "note.deleted", {"kind": KINDS[row.kind]})


def restore(conn: Connection, author: Author, note_id: int, *, now: datetime) -> None:
    """The way back from `delete`; raises Conflict when it was too long ago."""
    row = _own(conn, author, note_id, deleted=True)
    if now - row.deleted_at > UNDO:
        raise Conflict(_("只能在删除后的 10 分钟内撤销"))
    conn.execute(update(note).where(note.c.id == note_id).values(deleted_at=None, deleted_by=""))
    retell(conn, _once(note_id), "note.added", _facts(row.kind, row.text))


def list_notes(conn: Connection, person_id: int, *, before: int | None = None, limit: int = 20) -> Sequence[Row[Any]]:
    """A page of a person's notes, the newest first, with their authors' names; `before` is the last id seen."""
    named = select(note, member.c.name.label("author")).outerjoin(member, member.c.folded == func.lower(note.c.userid))
    query = named.where(note.c.person_id == person_id, note.c.deleted_at.is_(None))
    if before is not None:
        query = query.where(note.c.id < before)
    return conn.execute(query.order_by(note.c.id.desc()).limit(limit)).all()


def _own(conn: Connection, author: Author, note_id: int, *, deleted: bool = False) -> Row[Any]:
    """The author's own note about this person."""
    row = conn.execute(select(note).where(note.c.id == note_id, note.c.person_id == author.person_id)).one_or_none()
    if row is None or (row.deleted_at is not None) is not deleted:
        raise NotFound(_("没有这条跟进记录，可能已被删除，请刷新页面"))
    if str(row.userid).casefold() != author.userid.casefold():
        raise Forbidden(_("只能修改自己写的跟进记录"))
    return row


def _of(author: Author) -> dict[str, Any]:
    return {"userid": author.userid, "external_userid": author.external_userid, "person_id": author.person_id}


def _facts(kind: str, text: str) -> dict[str, Any]:
    return {"kind": KINDS[kind], "text": text[:_TOLD_CHARACTERS]}


def _once(note_id: int) -> str:
    return f"note:{note_id}"
