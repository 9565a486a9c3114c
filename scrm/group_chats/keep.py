"""What WeCom says of a group becomes our state: compared with what we hold, written only where it differs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row

from scrm import events
from scrm.events import Event
from scrm.group_chats import store
from scrm.wecom.group_chats import GroupChat, GroupMember

# Who came longer ago than this was there before we looked: it is told for the timeline, and starts nothing.
HISTORIC = timedelta(days=1)
_SHOWN = ("group_nickname", "name", "unionid", "invitor", "state", "join_scene", "type")


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of keeping a group."""

    is_new: bool = False
    is_changed: bool = False
    joined: int = 0
    left: int = 0
    missed: int = 0


def keep(
    conn: Connection,
    chat: GroupChat,
    *,
    now: datetime,
    hints: Sequence[Row[Any]] = (),
    status: int | None = None,
    heard: str = "",
    correlation: str = "",
) -> Kept:
    """One transaction: the group, its members, the history and the events that playbooks wait for.

    `hints` are what events said of joins and leaves before the fetch; they give the moment and the manner of a leave.
    `status` comes from groupchat/list, which names living groups only: a group thought dismissed lives again.
    `heard` is the version that events had told of before the fetch; one that came since stays to be fetched.
    """
    is_new = store.ensure_group(conn, chat.chat_id, created_at=chat.created_at or now)
    group = store.find_group(conn, chat.chat_id)
    assert group is not None  # noqa: S101 - made above
    if group.dismissed_at is not None and status is None:
        return Kept()  # an answer that lagged behind the end of the group
    change = _Change(chat, group, {row.userid: row for row in store.list_members(conn, chat.chat_id)}, hints, now)
    # A group that we only knew by name until now: nobody in it has come just now.
    change.is_first = is_new or group.refreshed_at is None
    is_changed = _save_members(conn, change)
    values = _group_values(chat, group, status, heard, change)
    if is_changed or values:
        store.set_group(conn, chat.chat_id, {**values, "refreshed_at": now})
    missed = _save_history(conn, change)
    store.drop_hints(conn, [hint.id for hint in hints])
    _tell(conn, change, correlation)
    return Kept(is_new, is_changed or bool(values), len(change.joined), len(change.left), missed)


class _Change:
    """The difference between the members we hold and those that WeCom names."""

    def __init__(
        self,
        chat: GroupChat,
        group: Row[Any],
        old: Mapping[str, Row[Any]],
        hints: Sequence[Row[Any]],
        now: datetime,
    ) -> None:
        self.chat, self.group, self.old, self.now = chat, group, old, now
        self.is_first = False
        self.new = {member.userid: member for member in chat.members}
        self.hints = hints
        self._hints: dict[tuple[str, str], list[Row[Any]]] = {}  # of each the oldest first
        for hint in hints:
            self._hints.setdefault((hint.userid, hint.kind), []).append(hint)
        again = {userid for userid in self.new.keys() & old.keys() if self.joined_at(userid) != old[userid].joined_at}
        self.joined = [userid for userid in self.new if userid not in old or userid in again]
        self.left = [userid for userid in old if userid not in self.new or userid in again]

    def joined_at(self, userid: str) -> datetime:
        member = self.new[userid]
        if member.joined_at is not None:
            return member.joined_at
        return self.old[userid].joined_at if userid in self.old else self.now

    def left_at(self, userid: str) -> datetime:
        """When the stay that we know ended, by the event that told of it; else the moment we noticed."""
        hint = self.leave_of(userid)
        if hint is not None:
            at: datetime = hint.at
            return at
        return min(self.now, self.joined_at(userid)) if userid in self.new else self.now

    def leave_of(self, userid: str) -> Row[Any] | None:
        """The event that ended the stay we know of."""
        leaves = self._hints.get((userid, "left"), ())
        return next((hint for hint in leaves if hint.at >= self.old[userid].joined_at), None)

    def is_join_told(self, userid: str) -> bool:
        at = self.joined_at(userid)
        return any(abs(hint.at - at) <= store.SAME_JOIN for hint in self._hints.get((userid, "joined"), ()))


def _save_members(conn: Connection, change: _Change) -> bool:
    """False when every row was right already."""
    rows = {userid: _row(change, member) for userid, member in change.new.items()}
    different = [userid for userid, row in rows.items() if userid in change.old and _differs(row, change.old[userid])]
    gone = [userid for userid in change.old if userid not in rows]
    fresh = [userid for userid in rows if userid not in change.old]
    if not (different or gone or fresh):
        return False
    if gone or different:
        store.remove_members(conn, change.chat.chat_id, gone + different)
    store.add_members(conn, [rows[userid] for userid in fresh + different])
    return True


def _row(change: _Change, member: GroupMember) -> dict[str, Any]:
    return {
        "chat_id": change.chat.chat_id,
        "userid": member.userid,
        "type": member.type,
        "unionid": member.unionid[:64],
        "name": member.name[:120],
        "group_nickname": member.group_nickname[:120],
        "joined_at": change.joined_at(member.userid),
        "join_scene": member.join_scene,
        "invitor": member.invitor[:64],
        "state": member.state[:64],
    }


def _differs(row: Mapping[str, Any], old: Row[Any]) -> bool:
    return row["joined_at"] != old.joined_at or any(row[name] != getattr(old, name) for name in _SHOWN)


def _group_values(chat: GroupChat, group: Row[Any], status: int | None, heard: str, change: _Change) -> dict[str, Any]:
    """The columns that differ from what the row says."""
    told: dict[str, Any] = {
        "name": chat.name[:160],
        "owner": chat.owner[:64],
        "notice": chat.notice,
        "admins": list(chat.admins),
        "created_at": chat.created_at or group.created_at,
        "member_version": chat.member_version[:64],
        "told_version": "" if group.told_version in (heard, chat.member_version) else group.told_version,
        "members": len(change.new),
        "customers": sum(member.type == store.CUSTOMER for member in chat.members),
    }
    if status is not None:
        told |= {"status": status, "dismissed_at": None}
    values = {name: value for name, value in told.items() if value != getattr(group, name)}
    if group.refreshed_at is None:
        values.setdefault("told_version", "")
    return values


def _save_history(conn: Connection, change: _Change) -> int:
    """Returns how many joins and leaves no event had told of. What events told and no fetch has seen is kept too:
    somebody came and went between two fetches."""
    rows = [_joined_row(change, userid) for userid in change.joined] + [_left_row(change, u) for u in change.left]
    store.add_changes(conn, rows)
    written = {(row["userid"], row["kind"], row["at"]) for row in rows}
    for hint in change.hints:
        if (hint.userid, hint.kind, hint.at) in written:
            continue
        known = change.new.get(hint.userid) or change.old.get(hint.userid)
        type_ = known.type if known is not None else store.CUSTOMER if is_external(hint.userid) else 1
        store.take_hint(
            conn, change.chat.chat_id, hint.userid, hint.kind,
            at=hint.at, scene=hint.scene, member_type=type_, now=change.now,
        )  # fmt: skip
    return sum(not row["is_told"] for row in rows)


def _joined_row(change: _Change, userid: str) -> dict[str, Any]:
    member = change.new[userid]
    return _change_row(
        change,
        userid,
        "joined",
        change.joined_at(userid),
        type=member.type,
        scene=member.join_scene or -1,
        invitor=member.invitor[:64],
        state=member.state[:64],
        name=member.name[:120],
        is_told=change.is_first or change.is_join_told(userid),
    )


def _left_row(change: _Change, userid: str) -> dict[str, Any]:
    hint, old = change.leave_of(userid), change.old[userid]
    return _change_row(
        change,
        userid,
        "left",
        change.left_at(userid),
        type=old.type,
        scene=-1 if hint is None else hint.scene,
        invitor=old.invitor,
        state=old.state,
        name=old.name,
        is_told=hint is not None,
    )


def _change_row(change: _Change, userid: str, kind: str, at: datetime, **more: Any) -> dict[str, Any]:
    row = {"scene": -1, "invitor": "", "state": "", "name": "", "is_told": True, **more}
    return {
        "chat_id": change.chat.chat_id, "userid": userid, "kind": kind, "at": at, "noticed_at": change.now, **row
    }  # fmt: skip


def is_external(userid: str) -> bool:
    """WeCom's ids of outsiders: wm or wo and 30 more characters (doc 92114)."""
    return len(userid) == 32 and userid.startswith(("wm", "wo"))


def _tell(conn: Connection, change: _Change, correlation: str) -> None:
    """Events of the group, and of each customer in it whom we know."""
    told: list[Event] = []
    historic: list[Event] = []
    if change.is_first:
        told.append(_created(change))
    customers = [
        (userid, change.new[userid].unionid) for userid in change.joined if change.new[userid].type == store.CUSTOMER
    ]
    leaving = [
        (userid, change.old[userid].unionid) for userid in change.left if change.old[userid].type == store.CUSTOMER
    ]
    persons = store.persons_of(conn, customers + leaving)
    for userid, _ in leaving:
        if userid in persons:
            told.append(_left(change, userid, persons[userid]))
    for userid, _ in customers:
        if userid in persons:
            joined = _joined(change, userid, persons[userid])
            (historic if joined.facts.get("historic") else told).append(joined)
    events.publish(conn, told, now=change.now, correlation=correlation)
    events.record(conn, historic, now=change.now, correlation=correlation)


def _created(change: _Change) -> Event:
    chat, now = change.chat, change.now
    at = chat.created_at or now
    facts: dict[str, Any] = {"chat_id": chat.chat_id, "title": chat.name}
    if now - at > HISTORIC:
        facts["historic"] = True
    return Event(
        "group.created", at, userid=chat.owner[:64], key=chat.chat_id, facts=facts, once=f"group.created:{chat.chat_id}"
    )


def _joined(change: _Change, userid: str, person_id: int) -> Event:
    member, at = change.new[userid], change.joined_at(userid)
    facts = {
        **_facts(change),
        "join_scene": member.join_scene,
        "state": member.state,
        "invitor": member.invitor,
    }
    if change.now - at > HISTORIC:
        facts["historic"] = True
    return _person_event("group.joined", change, userid, person_id, at, at, facts)


def _left(change: _Change, userid: str, person_id: int) -> Event:
    hint, old = change.leave_of(userid), change.old[userid]
    facts = {**_facts(change), "is_removed": hint is not None and hint.scene == 1}
    return _person_event("group.left", change, userid, person_id, change.left_at(userid), old.joined_at, facts)


def _facts(change: _Change) -> dict[str, Any]:
    chat = change.chat
    return {"chat_id": chat.chat_id, "title": chat.name or change.group.name, "owner": chat.owner}


def _person_event(
    name: str, change: _Change, userid: str, person_id: int, at: datetime, joined_at: datetime, facts: dict[str, Any]
) -> Event:
    chat_id = change.chat.chat_id
    return Event(
        name=name,
        occurred_at=at,
        person_id=person_id,
        external_userid=userid,
        userid=change.chat.owner[:64],
        key=chat_id,
        facts=facts,
        # One stay in one group is joined once and left once.
        once=f"{name}:{chat_id}:{userid}:{int(joined_at.timestamp())}",
    )
