"""Whose customers somebody reaches: their own, their departments', or all. One condition and one check for everybody.

    scope = scope_of(request)                              # scrm.console.door; Scope(userid, role.reach) elsewhere
    query.where(reaches(scope, person.c.id))               # a list of anything that names a person
    query.where(reaches_member(scope, task.c.userid))      # a list of what belongs to members of staff
    require_person(conn, scope, person_id)                 # one person; raises Forbidden

A person belongs to somebody who follows them now, or whom the person has deleted: what profiles.store.access_contact
shows in the sidebar. With the reach `department` that is everybody in the departments one belongs to or leads, and in
all departments below. Persons whom nobody follows, such as buyers known by their orders only, need the reach `all`.

The console's door asks `require_person` for every address with {person_id} in it, so pages of one customer are safe
without a line of their own; lists and figures are the page's own business.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Connection,
    String,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from scrm.access.roles import ALL, DEPARTMENT, OWN
from scrm.errors import Forbidden
from scrm.profiles.models import department, external_contact, follow_user, member, member_department


@dataclass(frozen=True, slots=True)
class Scope:
    """Somebody's reach; `departments` are those one leads (member.leads), besides those one belongs to."""

    userid: str
    reach: str = OWN
    leads: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        return self.reach == ALL


EVERYONE = Scope("", ALL)

# A name of its own, so that a query over follow_user does not lend its rows to the condition.
_follows = follow_user.alias("reach_follow")


def reaches(scope: Scope, person_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """That a person is within the reach; `person_id` is any column that holds a person's number."""
    if scope.is_whole:
        return true()
    lives = _follows.c.ended_by != "member"
    if scope.reach == OWN:
        # One member follows few of all persons: their list first.
        return person_id.in_(select(_follows.c.person_id).where(lives, _follows.c.userid == scope.userid))
    if scope.reach == DEPARTMENT:
        # A department may follow most of them: look at each person's own relations.
        return exists().where(_follows.c.person_id == person_id, lives, _follows.c.userid.in_(_colleagues(scope)))
    return false()


def reaches_contact(scope: Scope, external_userid: ColumnElement[Any]) -> ColumnElement[bool]:
    """`reaches`, for tables that name an external contact instead of a person."""
    if scope.is_whole:
        return true()
    lives = _follows.c.ended_by != "member"
    return exists().where(
        _follows.c.external_userid == external_userid, lives, reaches_member(scope, _follows.c.userid)
    )


def reaches_member(scope: Scope, userid: ColumnElement[Any]) -> ColumnElement[bool]:
    """That a member of staff is within the reach: oneself, the departments' members, or anybody."""
    if scope.is_whole:
        return true()
    if scope.reach == OWN:
        return userid == scope.userid
    return userid.in_(_colleagues(scope)) if scope.reach == DEPARTMENT else false()


def may_reach(conn: Connection, scope: Scope, person_id: int) -> bool:
    """Whether this person is within the reach."""
    if scope.is_whole:
        return True
    return bool(conn.scalar(select(reaches(scope, literal(person_id, BigInteger)))))


def require_person(conn: Connection, scope: Scope, person_id: int) -> None:
    """Raises Forbidden when the person is not within the reach; it does not tell whether there is one."""
    if not may_reach(conn, scope, person_id):
        raise Forbidden(_NOT_YOURS.get(scope.reach, _NOT_YOURS[OWN]))


def require_contact(conn: Connection, scope: Scope, external_userid: str) -> None:
    """`require_person`, by a contact's id."""
    if scope.is_whole:
        return
    person_id = conn.scalar(
        select(external_contact.c.person_id).where(external_contact.c.external_userid == external_userid)
    )
    require_person(conn, scope, person_id or 0)


def scope_for(conn: Connection, userid: str, reach: str) -> Scope:
    """A member's scope with the departments they lead."""
    if reach != DEPARTMENT:
        return Scope(userid, reach)
    leads = conn.scalar(select(member.c.leads).where(member.c.folded == userid.lower()))
    return Scope(userid, reach, tuple(leads or ()))


_NOT_YOURS = {
    OWN: "这位客户不在你的数据范围里：你的角色只能查看自己跟进的客户。需要查看请联系管理员",
    DEPARTMENT: "这位客户不在你的数据范围里：你的角色只能查看本部门及下级部门的客户。需要查看请联系管理员",
}


def _colleagues(scope: Scope) -> CompoundSelect[Any]:
    """Userids of oneself and of everybody in one's departments and those below."""
    mine = select(member_department.c.department_id).where(
        func.lower(member_department.c.userid) == scope.userid.lower()
    )
    first = select(department.c.id).where(or_(department.c.id.in_(mine), department.c.id.in_(scope.leads)))
    tree = first.cte(recursive=True)
    below = department.alias()
    # UNION, not UNION ALL: a loop among departments ends.
    tree = tree.union(select(below.c.id).where(below.c.parent_id == tree.c.id))
    theirs = select(member_department.c.userid).where(member_department.c.department_id.in_(select(tree.c.id)))
    return theirs.union(select(literal(scope.userid, String)))
