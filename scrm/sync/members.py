"""Departments and members, as far as a self-built app may see them (wecom-client 3.3): nobody tells it of changes."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, select

from scrm.db.bulk import insert_rows
from scrm.profiles.models import department, member, member_department
from scrm.profiles.store import save_member, save_member_left
from scrm.services import Services
from scrm.sync.patience import patiently
from scrm.wecom.errors import RetryClass, WeComError
from scrm.wecom.members import BriefUser, DepartmentId
from scrm.work.progress import Progress

_NOBODY = 60111


async def run(services: Services, progress: Progress, full: bool) -> None:
    """The source's run (scrm.sync.sources): new and lost members are asked for one by one, the others by department."""
    departments = await patiently(services.clock, services.wecom.members.department_simplelist)
    progress.expect(len(departments))
    names = await _names(services, progress, departments, full)
    users, is_whole = await _users(services, progress, departments)
    now = services.clock.now()
    if await services.db.read(_keep_departments, departments, names, users, is_whole, False):
        await services.db.write(_keep_departments, departments, names, users, is_whole, True)
    known = await services.db.read(_known)
    for folded, user in users.items():
        row = known.get(folded)
        if row is None or row.refreshed_at is None or full:
            await _ask(services, progress, user.userid, user.name, row)
        elif row.is_active and row.name != user.name and user.name:
            await services.db.write(
                save_member, user.userid, name=user.name, alias=row.alias, avatar=row.avatar, now=now
            )
            progress.advance(0, changed=1)
    for folded, row in known.items():
        if is_whole and folded not in users and row.is_active:
            await _ask(services, progress, row.userid, row.name, row)


async def _names(
    services: Services, progress: Progress, departments: Sequence[DepartmentId], full: bool
) -> Mapping[int, str]:
    """Names are asked for once, and again by a full sync: each is a call of its own (doc 95351)."""
    known = await services.db.read(_known_names)
    for one in departments:
        if known.get(one.id) and not full:
            continue
        try:
            name = await patiently(services.clock, lambda one=one: services.wecom.members.department_name(one.id))  # type: ignore[misc]
        except WeComError as error:
            if error.retry_class is RetryClass.TRANSIENT:
                raise
            progress.note(f"部门 {one.id} 的名称没有读到：{error.text}")
            continue
        known[one.id] = name[:80]
    return known


async def _users(
    services: Services, progress: Progress, departments: Sequence[DepartmentId]
) -> tuple[dict[str, BriefUser], bool]:
    """Members by case-folded userid, and whether every department could be read: only then is anybody missing."""
    found: dict[str, BriefUser] = {}
    is_whole = True
    for one in departments:
        try:
            users = await patiently(services.clock, lambda one=one: services.wecom.members.user_simplelist(one.id))  # type: ignore[misc]
        except WeComError as error:
            if error.retry_class is RetryClass.TRANSIENT:
                raise
            is_whole = False
            progress.note(f"部门 {one.id} 的成员没有读到：{error.text}")
            continue
        finally:
            progress.advance()
        for user in users:
            folded = user.userid.lower()
            if folded in found:
                both = {*found[folded].department, *user.department, one.id}
                found[folded] = BriefUser(user.userid, user.name, tuple(sorted(both)))
            else:
                found[folded] = BriefUser(user.userid, user.name, user.department or (one.id,))
    return found, is_whole


async def _ask(services: Services, progress: Progress, userid: str, name: str, row: Any) -> None:
    """What user/get says of one member; 60111 for somebody we know means that they have left (wecom-client 3.3)."""
    now, is_new = services.clock.now(), row is None
    try:
        user = await patiently(services.clock, lambda: services.wecom.members.get_user(userid))
    except WeComError as error:
        if error.errcode == _NOBODY and not is_new:
            await services.db.write(save_member_left, userid, left_at=now, now=now)
            progress.advance(0, ended=1)
        elif error.retry_class in (RetryClass.TRANSIENT, RetryClass.WINDOW):
            raise
        elif is_new:
            await services.db.write(save_member, userid, name=name, now=now)
            progress.advance(0, added=1)
        else:
            progress.note(f"员工 {userid} 没有读到，没有改动：{error.text}")
        return
    said: dict[str, Any] = {
        "name": str(user.get("name") or name),
        "alias": str(user.get("alias") or ""),
        # WeCom does not tell an app of today about avatars: one that we know from a login stays.
        "avatar": str(user.get("avatar") or (row.avatar if row is not None else "")),
        "is_active": int(user.get("status") or 1) == 1,
    }
    if not is_new and row.refreshed_at is not None and all(getattr(row, key) == value for key, value in said.items()):
        return
    await services.db.write(save_member, userid, **said, now=now)
    progress.advance(0, added=int(is_new), changed=int(not is_new))


# SQL ------------------------------------------------------------------------------------------------------------------


def _known(conn: Connection) -> dict[str, Any]:
    return {row.folded: row for row in conn.execute(select(member))}


def _known_names(conn: Connection) -> dict[int, str]:
    return {row.id: row.name for row in conn.execute(select(department))}


def _keep_departments(
    conn: Connection,
    departments: Sequence[DepartmentId],
    names: Mapping[int, str],
    users: Mapping[str, BriefUser],
    is_whole: bool,
    do_write: bool,
) -> bool:
    """Whether departments or who belongs to them differ; with `do_write` they are made what WeCom says."""
    told = {(one.id, names.get(one.id, "")[:80], one.parentid, min(one.order, 2**62)) for one in departments}
    kept = {(row.id, row.name, row.parent_id, row.sort_order) for row in conn.execute(select(department))}
    belongs = {(user.userid, id_) for user in users.values() for id_ in user.department}
    belonged = {(row.userid, row.department_id) for row in conn.execute(select(member_department))}
    differs = told != kept or (is_whole and belongs != belonged)
    if not differs or not do_write:
        return differs
    conn.execute(delete(department))
    columns = ("id", "name", "parent_id", "sort_order")
    insert_rows(conn, department, [dict(zip(columns, row, strict=True)) for row in sorted(told)])
    if is_whole:
        conn.execute(delete(member_department))
        rows = [{"userid": userid, "department_id": id_} for userid, id_ in sorted(belongs)]
        insert_rows(conn, member_department, rows)
    return True
