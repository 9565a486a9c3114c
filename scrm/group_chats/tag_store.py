"""Tags of groups: our own, WeCom has none."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, delete, func, select

from scrm import audit
from scrm.db.bulk import among, insert_rows
from scrm.group_chats.models import group_chat_tag

MOST_TAGS = 20


def list_tags(conn: Connection, chat_ids: Collection[str]) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    query = select(group_chat_tag).where(among(conn, group_chat_tag.c.chat_id, chat_ids))
    for row in conn.execute(query.order_by(group_chat_tag.c.name)):
        tags.setdefault(row.chat_id, []).append(row.name)
    return tags


def list_known_tags(conn: Connection) -> list[tuple[str, int]]:
    """Every tag with the number of its groups, the most used first."""
    groups = func.count().label("groups")
    query = select(group_chat_tag.c.name, groups).group_by(group_chat_tag.c.name)
    return [(row.name, row.groups) for row in conn.execute(query.order_by(groups.desc(), group_chat_tag.c.name))]


def set_tags(conn: Connection, chat_id: str, names: Iterable[str]) -> list[str]:
    """Replace the tags of a group; returns what was kept: trimmed, <= 30 characters each, at most twenty."""
    cleaned = dict.fromkeys(" ".join(name.split())[:30] for name in names)
    kept = [name for name in cleaned if name][:MOST_TAGS]
    audit.changed(conn, "group_chat", chat_id, {"tags": list_tags(conn, [chat_id]).get(chat_id, [])}, {"tags": kept})
    conn.execute(delete(group_chat_tag).where(group_chat_tag.c.chat_id == chat_id))
    insert_rows(conn, group_chat_tag, [{"chat_id": chat_id, "name": name} for name in kept])
    return kept
