"""All SQL of roles and of who has which; a change is kept in the log by the same transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, or_, select, union_all, update

from scrm import audit
from scrm.access.models import access_role, local_account
from scrm.access.roles import ADMINISTRATOR, BUILT_IN, STAFF, Role, made_of
from scrm.db import upsert
from scrm.errors import Conflict, Invalid, NotFound
from scrm.profiles.models import department, member, member_department

PAGE = 50
MOST_ROLES = 50


def list_administrators(conn: Connection) -> list[str]:
    """The names of those who may give rights, at most five; members of the company before local accounts."""
    members = select(member.c.name).where(
        member.c.role == ADMINISTRATOR, member.c.is_active.is_(True), member.c.name != ""
    )
    found = list(conn.scalars(members.order_by(member.c.name).limit(5)))
    if found:
        return found
    accounts = select(local_account.c.name).where(
        local_account.c.role == ADMINISTRATOR, local_account.c.is_active.is_(True)
    )
    return list(conn.scalars(accounts.order_by(local_account.c.name).limit(5)))


# Roles ----------------------------------------------------------------------------------------------------------------


def list_roles(conn: Connection) -> list[Role]:
    """The built-in ones, then the shop's own by title."""
    rows = conn.execute(select(access_role).order_by(access_role.c.title).limit(MOST_ROLES))
    return [*BUILT_IN.values(), *map(_role, rows)]


def find_role(conn: Connection, key: str) -> Role | None:
    if key in BUILT_IN:
        return BUILT_IN[key]
    row = conn.execute(select(access_role).where(access_role.c.key == key)).one_or_none()
    return None if row is None else _role(row)


def _role(row: Row[Any]) -> Role:
    return made_of(row.key, row.title, row.rights, row.reach, row.fields, row.note)


def save_role(conn: Connection, role: Role, *, by: str, now: datetime) -> None:
    """Make or change one of the shop's own roles; raises Conflict for a title that another has."""
    if role.key in BUILT_IN:
        raise Conflict("内置角色不能修改，请复制成自己的角色再改")
    before = find_role(conn, role.key)
    others = [one for one in list_roles(conn) if one.key != role.key]
    if any(one.title == role.title for one in others):
        raise Conflict(f"已经有叫“{role.title}”的角色，请换一个名称")
    if before is None and len(others) >= MOST_ROLES:
        raise Conflict(f"角色最多 {MOST_ROLES} 个，请先删除不用的")
    values = {
        "title": role.title,
        "note": role.note,
        "rights": sorted(role.rights),
        "reach": role.reach,
        "fields": sorted(role.fields),
        "changed_by": by,
        "changed_at": now,
    }
    conn.execute(
        upsert(access_role, conn)
        .values(key=role.key, **values)
        .on_conflict_do_update(index_elements=["key"], set_=values)
    )
    audit.changed(conn, "role", role.key, _told(before), _told(role))


def delete_role(conn: Connection, key: str) -> None:
    """Raises Conflict while somebody has it."""
    role = find_role(conn, key)
    if role is None or key in BUILT_IN:
        raise NotFound("没有这个角色，可能已被删除")
    if holders := count_holders(conn).get(key, 0):
        raise Conflict(f"还有 {holders} 人是“{role.title}”，请先给他们换成别的角色")
    conn.execute(delete(access_role).where(access_role.c.key == key))
    audit.changed(conn, "role", key, _told(role), None)


def _told(role: Role | None) -> dict[str, Any] | None:
    if role is None:
        return None
    return {
        "title": role.title,
        "note": role.note,
        "rights": role.rights,
        "reach": role.reach,
        "fields": role.fields,
    }


def count_holders(conn: Connection) -> dict[str, int]:
    """How many active people have each role."""
    both = union_all(
        select(member.c.role).where(member.c.is_active.is_(True)),
        select(local_account.c.role).where(local_account.c.is_active.is_(True)),
    ).subquery()
    return {row.role: row.n for row in conn.execute(select(both.c.role, func.count().label("n")).group_by(both.c.role))}


# Who has which --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """A member of the company as the page of rights lists them."""

    row: Row[Any]
    departments: tuple[str, ...]


def list_people(
    conn: Connection, *, text: str = "", role: str = "", after: str = "", limit: int = PAGE
) -> tuple[list[Person], str]:
    """Members by userid, and the key to go on from; `text` is part of a name or userid."""
    query = select(member).where(member.c.folded > after).order_by(member.c.folded).limit(limit + 1)
    if text:
        part = text.lower()
        query = query.where(
            or_(
                func.lower(member.c.name).contains(part, autoescape=True),
                member.c.folded.contains(part, autoescape=True),
            )
        )
    if role:
        query = query.where(member.c.role == role)
    rows = conn.execute(query).all()
    shown = rows[:limit]
    places = _departments(conn, [row.folded for row in shown])
    people = [Person(row, tuple(places.get(row.folded, ()))) for row in shown]
    return people, shown[-1].folded if len(rows) > limit else ""


def _departments(conn: Connection, folded: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    same = func.lower(member_department.c.userid)
    query = (
        select(same.label("folded"), department.c.name, department.c.id)
        .join(department, department.c.id == member_department.c.department_id)
        .where(same.in_(folded))
        .order_by(department.c.sort_order.desc(), department.c.id)
    )
    for row in conn.execute(query):
        found.setdefault(row.folded, []).append(row.name or f"部门 {row.id}")
    return found


def role_of(conn: Connection, userid: str) -> str:
    """Empty for a stranger."""
    return conn.scalar(select(member.c.role).where(member.c.folded == userid.lower())) or ""


def give_role(conn: Connection, userid: str, role: str, *, by_command: bool = False) -> None:
    """`by_command`: a shop that has no administrator yet may still be set up. Raises NotFound for a stranger or an unknown role, Conflict for the last administrator."""
    row = conn.execute(select(member.c.userid, member.c.role).where(member.c.folded == userid.lower())).one_or_none()
    if row is None:
        raise NotFound("没有这位员工，请先在企业微信里让应用对他可见，再同步一次")
    require_role(conn, role)
    conn.execute(update(member).where(member.c.userid == row.userid).values(role=role))
    if row.role == ADMINISTRATOR or not by_command:
        require_administrator(conn)
    audit.changed(conn, "member", row.userid, {"role": row.role}, {"role": role})


def require_role(conn: Connection, role: str) -> None:
    """Raises Invalid for a role that there is not."""
    if find_role(conn, role) is None:
        known = "、".join(f"{one.title}（{one.key}）" for one in list_roles(conn))
        raise Invalid(f"没有角色“{role[:20]}”，可用的有：{known}")


def require_administrator(conn: Connection) -> None:
    """Raises Conflict when nobody could give rights any more; the transaction is then undone."""
    members, accounts = _administrators()
    if conn.dialect.name == "postgresql":
        # Two administrators who remove each other at once: the second waits and finds himself the last.
        members, accounts = members.with_for_update(), accounts.with_for_update()
    if not conn.execute(members.limit(2)).first() and not conn.execute(accounts.limit(2)).first():
        raise Conflict("不能去掉最后一位管理员：请先把另一个人设为管理员")


def is_any_administrator(conn: Connection) -> bool:
    return any(conn.scalar(query.limit(1)) is not None for query in _administrators())


def _administrators() -> tuple[Select[Any], Select[Any]]:
    """Members of the company and local accounts who may give rights."""
    return (
        select(member.c.userid).where(member.c.role == ADMINISTRATOR, member.c.is_active.is_(True)),
        select(local_account.c.userid).where(
            local_account.c.role == ADMINISTRATOR, local_account.c.is_active.is_(True)
        ),
    )


def spelled(role: str) -> str:
    """What people write for a role: `staff` is what WeCom calls a member."""
    return STAFF if role == "staff" else role
