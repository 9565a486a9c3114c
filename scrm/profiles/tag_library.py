"""What managers do to the corp's tags: in WeCom first, then here (doc 92117)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, update

from scrm import audit
from scrm.errors import Invalid, NotFound
from scrm.profiles import tags
from scrm.profiles.models import corp_tag
from scrm.services import Services
from scrm.wecom.corp_tags import MOST_NAME_CHARACTERS, MOST_TAGS, MOST_TAGS_IN_A_CALL, CorpTag, CorpTagGroup


async def add_tags(services: Services, group_name: str, names: Sequence[str]) -> None:
    """New tags in a group, made when there is none of that name; names that are there already are left alone.

    Raises Invalid for what WeCom would refuse, and WeCom's own error.
    """
    group_name, wanted = _name(group_name, "标签组"), list(dict.fromkeys(_name(name, "标签") for name in names))
    if not wanted:
        raise Invalid("请填写标签名")
    if len(wanted) > MOST_TAGS_IN_A_CALL:
        raise Invalid(f"一次最多新建 {MOST_TAGS_IN_A_CALL} 个标签，现在有 {len(wanted)} 个")
    library = await services.db.read(tags.list_library)
    known = {row.tag_name for row in library if row.group_name == group_name}
    new = [name for name in wanted if name not in known]
    if len(library) + len(new) > MOST_TAGS:
        raise Invalid(f"企业标签最多 {MOST_TAGS:,} 个，请先删掉一些不用的")
    if new:
        group = await services.wecom.corp_tags.add_corp_tag(new, group_name=group_name)
        await services.db.write(_keep_new, group, set(new))


def _keep_new(conn: Connection, group: CorpTagGroup, new: Collection[str]) -> None:
    tags.save_library(conn, [group])
    for tag in group.tag:
        if tag.name in new:
            audit.changed(conn, "tag", tag.id, None, {"tag_name": tag.name, "group_name": group.group_name})


async def change_tag(services: Services, tag_id: str, name: str, order: int | None = None) -> None:
    """Another name, another place (larger first); customers carry the tag on. Only tags of this app: 81011."""
    name = _name(name, "标签")
    row = await services.db.read(_find, tag_id)
    if any(
        each.tag_name == name and each.tag_id != tag_id and each.group_id == row.group_id
        for each in await services.db.read(tags.list_library)
    ):
        raise Invalid(f"标签组“{row.group_name}”里已经有“{name}”")
    await services.wecom.corp_tags.edit_corp_tag(tag_id, name=name, order=order)
    changed = CorpTag(tag_id, name, order=row.sort_order if order is None else order)
    group = CorpTagGroup(row.group_id, row.group_name, order=row.group_order, tag=[changed])
    await services.db.write(_rename, tag_id, group)


@audit.keeps("tag", corp_tag.c.tag_id, of=("tag_id",))
def _rename(conn: Connection, tag_id: str, group: CorpTagGroup) -> None:
    tags.save_library(conn, [group])


async def move_group(services: Services, group_id: str, *, up: bool) -> None:
    """A place up or down among the groups, in WeCom and here; at the end it stays. Only groups of this app: 81011."""
    groups = await services.db.read(tags.list_group_orders)
    orders = moved(groups, group_id, up=up)
    if orders is None:
        raise NotFound("没有这个标签组，可能已被删除，请刷新页面")
    for changed, order in orders.items():
        await services.wecom.corp_tags.edit_corp_tag(changed, order=order)
        await services.db.write(_reorder, changed, groups[changed], order)


def moved(orders: Mapping[str, int], key: str, *, up: bool) -> dict[str, int] | None:
    """Pure: the fewest new orders (larger first) that give `key` its new place; None when there is no such key."""
    places = list(orders)
    if key not in orders:
        return None
    old = places.index(key)
    new = min(max(old + (-1 if up else 1), 0), len(places) - 1)
    if new == old:
        return {}
    places.insert(new, places.pop(old))
    changed: dict[str, int] = {}
    below = -1
    for each in reversed(places):
        if orders[each] <= below:
            changed[each] = below + 1
        below = changed.get(each, orders[each])
    return changed


def _reorder(conn: Connection, group_id: str, before: int, order: int) -> None:
    audit.changed(conn, "tag", group_id, {"group_order": before}, {"group_order": order})
    conn.execute(update(corp_tag).where(corp_tag.c.group_id == group_id).values(group_order=order))


async def delete_tag(services: Services, tag_id: str) -> None:
    """Gone from the library and from every customer, on both sides. Only tags of this app: 81011."""
    await services.db.read(_find, tag_id)
    await services.wecom.corp_tags.del_corp_tag(tag_id=[tag_id])
    await services.db.write(_delete, tag_id)


@audit.keeps("tag", corp_tag.c.tag_id, of=("tag_id",))
def _delete(conn: Connection, tag_id: str) -> None:
    tags.delete_tags(conn, [tag_id])


def _find(conn: Connection, tag_id: str) -> Row[Any]:
    found = [row for row in tags.find_tags(conn, [tag_id]) if row.tag_id == tag_id]
    if not found:
        raise NotFound("没有这个标签，或者它已经被删除")
    return found[0]


def _name(text: str, what: str) -> str:
    name = text.strip()
    if not name or len(name) > MOST_NAME_CHARACTERS:
        raise Invalid(f"{what}名要有 1 到 {MOST_NAME_CHARACTERS} 个字，“{name[:40]}”有 {len(name)} 个")
    return name
