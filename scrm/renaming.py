"""A member's new userid: every table that names members follows at once (doc 90970, NewUserID)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import structlog
from sqlalchemy import Column, Connection, Integer, String, Table, Text, cast, delete, func, or_, select, update
from sqlalchemy import UniqueConstraint as Unique

from scrm.db.tables import metadata
from scrm.profiles.store import find_member
from scrm.services import Services
from scrm.wecom.errors import RetryClass, WeComError
from scrm.work.models import work_item
from scrm.work.queue import Claimed

log = structlog.get_logger()

KIND = "member.rename"
# Rows of a table without an index on its members are looked through by so many ids in one transaction.
WINDOW = 20_000

# Columns that look like a member's and are none, or that keep what was said; "*" is every table.
EXEMPT: Mapping[str, str] = {
    "*.external_userid": "a customer",
    "*.ended_by": "a word: customer, member ...",
    "orders.bound_by": "a word: how the order found its person",
    "media_wish.owner": "which thing of the shop uses a file",
    "local_account.userid": "accounts that are not WeCom's",
    "audit_entry.actor": "the log says who it was called then",
    "privacy_act.actor": "the log says who it was called then",
    "field_change.actor": "the log says who it was called then",
    "inbox_event.userid": "what WeCom said then; found by either name",
    "missed_callback.userid": "what was noticed then",
    "sync_part.userids": "where a sync stands; it begins again with the names of then",
    "sync_run.holder": "a process",
}
# Columns that hold members among other things.
NESTED: Mapping[str, Sequence[str]] = {
    "acquisition_link": ("userids",),
    "contact_way": ("userids", "plan", "live"),
    "group_chat": ("admins",),
    "mass_message": ("audience",),
    "member": ("leaders",),
    "moment": ("userids",),
    "saved_report": ("question",),
    "segment": ("condition",),
}
_OTHER_NAMES = frozenset({"owner", "actor"})


def names_a_member(column: Column[Any]) -> bool:
    """By the house's names: userid, of_userid, owner, created_by ..."""
    name, is_text = column.name, isinstance(column.type, String)
    looks = name == "userid" or name.endswith(("_userid", "_by")) or name in _OTHER_NAMES
    return is_text and looks and not {f"*.{name}", f"{column.table.name}.{name}"} & EXEMPT.keys()


def renamed_columns() -> Iterator[Column[Any]]:
    for table in metadata.sorted_tables:
        yield from (column for column in table.columns if names_a_member(column))


async def run_rename(services: Services, item: Claimed) -> None:
    """Work of kind member.rename, payload {"userid", "new_userid"}: again does nothing.

    A table at a time, tables of history a window at a time, so that nobody waits for it.
    """
    old, new = str(item.payload["userid"]), str(item.payload["new_userid"])
    if old.lower() == new.lower() or await _is_somebody_else(services, old):
        return
    known = await services.db.read(find_member, old)
    names = sorted({old, known.userid} if known else {old})
    for column in renamed_columns():
        for low, high in await services.db.read(_windows, column):
            await services.db.write(_rename, column, names, new, low, high)
    for name, columns in NESTED.items():
        await services.db.write(_rename_inside, metadata.tables[name], columns, names, new)
    await services.db.write(_rename_inside, work_item, ("payload",), names, new)
    log.info("member.renamed")


async def _is_somebody_else(services: Services, userid: str) -> bool:
    """An event may be old, or told again: whoever bears the userid now is not the one who gave it up."""
    try:
        user = await services.wecom.members.get_user(userid)
    except WeComError as error:
        if error.retry_class in (RetryClass.PARAMETER, RetryClass.RELATION, RetryClass.CONFIGURATION):
            return False
        raise
    return str(user.get("userid", "")).lower() == userid.lower()


# SQL ------------------------------------------------------------------------------------------------------------------


def _windows(conn: Connection, column: Column[Any]) -> list[tuple[int, int]]:
    """Everything at once where an index finds the member, or rows have no number; else by their ids."""
    table = column.table
    is_found = any(next(iter(index.columns)) is column for index in [table.primary_key, *table.indexes])  # type: ignore[attr-defined]
    if is_found or "id" not in table.c or not isinstance(table.c.id.type, Integer):
        return [(-1, -1)]
    newest = conn.execute(select(func.max(table.c.id))).scalar() or 0
    return [(low, low + WINDOW) for low in range(0, newest + 1, WINDOW)]


def _rename(conn: Connection, column: Column[Any], names: Sequence[str], new: str, low: int, high: int) -> None:
    table = column.table
    here = [column.in_(names)] + ([table.c.id > low, table.c.id <= high] if high >= 0 else [])
    for key in _unique_with(column):
        _drop_twins(conn, column, key, names, new)
    values = {column.name: new, **({"folded": new.lower()} if "folded" in table.c else {})}
    conn.execute(update(table).where(*here).values(values))


def _unique_with(column: Column[Any]) -> list[list[Column[Any]]]:
    """What must be unique and holds the member: of each, the other columns."""
    table = column.table
    keys = [list(table.primary_key.columns)]
    keys += [list(each.columns) for each in table.constraints if isinstance(each, Unique)]
    keys += [list(index.columns) for index in table.indexes if index.unique and not _is_partial(index)]
    return [[each for each in key if each is not column] for key in keys if any(each is column for each in key)]


def _is_partial(index: Any) -> bool:
    return index.dialect_options["postgresql"].get("where") is not None


def _drop_twins(
    conn: Connection, column: Column[Any], key: Sequence[Column[Any]], names: Sequence[str], new: str
) -> None:
    """What was begun under the new name already: the member's old row knows more, and WeCom is asked anew."""
    old = column.table.alias("old")
    same = [old.c[each.name] == each for each in key]
    twin = select(old.c[column.name]).where(old.c[column.name].in_(names), *same).correlate(column.table).exists()
    conn.execute(delete(column.table).where(column == new, twin))


def _rename_inside(conn: Connection, table: Table, columns: Sequence[str], names: Sequence[str], new: str) -> None:
    keys = list(table.primary_key.columns)
    for name in columns:
        column = table.c[name]
        mentioned = or_(*(cast(column, Text).contains(f'"{each}"', autoescape=True) for each in names))
        for row in conn.execute(select(*keys, column).where(mentioned)).all():
            value = _replaced(row[-1], frozenset(names), new)
            if value != row[-1]:
                here = [key == part for key, part in zip(keys, row[:-1], strict=True)]
                conn.execute(update(table).where(*here).values({name: value}))


def _replaced(value: Any, names: frozenset[str], new: str) -> Any:
    if isinstance(value, str):
        return new if value in names else value
    if isinstance(value, dict):
        return {_replaced(key, names, new): _replaced(each, names, new) for key, each in value.items()}
    return [_replaced(each, names, new) for each in value] if isinstance(value, list) else value
