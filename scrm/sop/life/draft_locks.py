"""One writes a draft at a time: who it is, since when, and how another takes it over with a word to him."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm.db import upsert
from scrm.errors import Conflict
from scrm.profiles.members import member_names
from scrm.sop.life.board_tables import draft_lock

# Who has not written for so long does not hold it any more.
HOLDS = timedelta(minutes=30)


class Locked(Conflict):
    """Another one writes at the moment, or has taken it over."""

    status = 423
    code = "locked"


def find(conn: Connection, key: str, now: datetime) -> Row[Any] | None:
    """Who holds the draft of a playbook now."""
    row = conn.execute(select(draft_lock).where(draft_lock.c.playbook_key == key)).one_or_none()
    return row if row is not None and row.wrote_at > now - HOLDS else None


def hold(conn: Connection, key: str, userid: str, now: datetime) -> None:
    """It is this one's from now on; raises Locked when another one holds it."""
    row = find(conn, key, now)
    if row is None:
        _write(conn, key, userid=userid, since=now, wrote_at=now, taken_from="", word="")
    elif row.userid == userid:
        _write(conn, key, userid=userid, since=row.since, wrote_at=now, taken_from=row.taken_from, word=row.word)
    else:
        raise Locked(f"{say(conn, row, userid, now)}，你的这一步没有保存")


def take_over(conn: Connection, key: str, userid: str, word: str, now: datetime) -> None:
    """Whoever held it reads the word when he goes on."""
    row = find(conn, key, now)
    if row is not None and row.userid == userid:
        return
    before = row.userid if row is not None else ""
    _write(conn, key, userid=userid, since=now, wrote_at=now, taken_from=before, word=word.strip()[:200])


def let_go(conn: Connection, key: str) -> None:
    conn.execute(delete(draft_lock).where(draft_lock.c.playbook_key == key))


def tell(conn: Connection, key: str, reader: str, now: datetime) -> str:
    """Who else writes the draft, in words; empty when the reader may."""
    row = find(conn, key, now)
    return say(conn, row, reader, now) if row is not None and row.userid != reader else ""


def say(conn: Connection, row: Row[Any], reader: str, now: datetime) -> str:
    """「李娜正在改这个剧本，3 分钟前还在写」, to whom it was taken from 「李娜 3 分钟前接手了：“价格我来改”」"""
    name = member_names(conn, [row.userid]).get(row.userid.lower(), row.userid)
    if row.taken_from == reader:
        return f"{name}{_ago(row.since, now)}接手了这个剧本" + (f"：“{row.word}”" if row.word else "")
    return f"{name}正在改这个剧本，{_ago(row.wrote_at, now).strip()}还在写"


def _ago(moment: datetime, now: datetime) -> str:
    minutes = int((now - moment) / timedelta(minutes=1))
    return f" {minutes} 分钟前" if minutes else "刚刚"


def _write(conn: Connection, key: str, **values: Any) -> None:
    insert = upsert(draft_lock, conn).values(playbook_key=key, **values)
    conn.execute(insert.on_conflict_do_update(index_elements=["playbook_key"], set_=values))
