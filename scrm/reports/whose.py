"""Whose customers a report counts: what the reader reaches, narrowed to a member or a department they chose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, true

from scrm.access.roles import ALL, DEPARTMENT, OWN
from scrm.access.scope import EVERYONE, Scope, reaches, reaches_member
from scrm.errors import Invalid
from scrm.profiles.models import department, member

MOST_LISTED = 1_000


@dataclass(frozen=True, slots=True)
class Whose:
    """The reader's reach and the choice; both must hold, so that a choice never widens."""

    reader: Scope = EVERYONE
    chosen: Scope = EVERYONE

    @property
    def is_whole(self) -> bool:
        return not self._narrow

    def has_member(self, userid: ColumnElement[Any]) -> ColumnElement[bool]:
        return and_(true(), *(reaches_member(each, userid) for each in self._narrow))

    def has_person(self, person_id: ColumnElement[Any]) -> ColumnElement[bool]:
        return and_(true(), *(reaches(each, person_id) for each in self._narrow))

    @property
    def _narrow(self) -> list[Scope]:
        return [each for each in (self.reader, self.chosen) if not each.is_whole]


def read_whose(text: str, reader: Scope) -> Whose:
    """`m:userid` is a member, `d:3` a department, nothing everybody within reach."""
    kind, _, name = text.partition(":")
    if not text:
        return Whose(reader)
    if kind == "m" and 0 < len(name) <= 64:
        return Whose(reader, Scope(name, OWN))
    if kind == "d" and name.isascii() and name.isdigit() and len(name) < 10:
        return Whose(reader, Scope("", DEPARTMENT, (int(name),)))
    raise Invalid("没有看懂要看谁的数据，请从“员工”列表里重新选择")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the picker offers; a reader who reaches only themselves has nothing to choose."""

    departments: Sequence[Any]
    members: Sequence[Any]


def list_choices(conn: Connection, reader: Scope) -> Choices:
    members = conn.execute(
        select(member.c.userid, member.c.name)
        .where(member.c.is_active, reaches_member(reader, member.c.userid))
        .order_by(member.c.name, member.c.userid)
        .limit(MOST_LISTED)
    ).all()
    if reader.reach != ALL:
        return Choices((), members if len(members) > 1 else ())
    by_rank = select(department.c.id, department.c.name).order_by(department.c.sort_order.desc(), department.c.id)
    return Choices(conn.execute(by_rank.limit(MOST_LISTED)).all(), members)
