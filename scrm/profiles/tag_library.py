"""What managers do to the corp's tags: in WeCom first, then here (doc 92117)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, update

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
    """A place up or down among the groups; at the end it stays."""
    await place_group(services, group_id, _neighbour(await services.db.read(tags.list_group_orders), group_id, up))


async def move_tag(services: Services, tag_id: str, *, up: bool) -> None:
    """A place up or down in its group; at the end it stays."""
    await place_tag(services, tag_id, _neighbour(await services.db.read(tags.list_tag_orders, tag_id), tag_id, up))


async def place_group(services: Services, group_id: str, before: str) -> None:
    """In front of another group, or at the end, in WeCom and here. Only groups of this app: 81011."""
    orders = await services.db.read(tags.list_group_orders)
    await _place(services, corp_tag.c.group_id, corp_tag.c.group_order, orders, group_id, before)


async def place_tag(services: Services, tag_id: str, before: str) -> None:
    """In front of another tag of its group, or at the end, in WeCom and here. Only tags of this app: 81011."""
    orders = await services.db.read(tags.list_tag_orders, tag_id)
    await _place(services, corp_tag.c.tag_id, corp_tag.c.sort_order, orders, tag_id, before)


async def _place(
    services: Services, key: Column[Any], kept: Column[Any], orders: Mapping[str, int], moved: str, before: str
) -> None:
    if moved not in orders or (before and before not in orders):
        raise NotFound("没有这个标签或标签组，可能已被删除，请刷新页面")
    for changed, order in placed(orders, moved, before).items():
        await services.wecom.corp_tags.edit_corp_tag(changed, order=order)
        await services.db.write(_reorder, key, kept, changed, orders[changed], order)


def _neighbour(orders: Mapping[str, int], moved: str, up: bool) -> str:
    """In front of whom it stands one place further; what is at the end already stays in front of its next."""
    places = [*orders]
    if moved not in orders:
        return ""
    at = places.index(moved)
    after = max(at - 1, 0) if up else at + 2
    return places[after] if after < len(places) else ""


def placed(orders: Mapping[str, int], moved: str, before: str) -> dict[str, int]:
    """Pure: new orders (larger first) that put `moved` in front of `before` (the end when empty), as few as it takes."""
    places = [key for key in orders if key != moved]
    at = places.index(before) if before and before != moved else len(places)
    if before == moved or [*places[:at], moved, *places[at:]] == [*orders]:
        return {}
    low = orders[places[at]] if at < len(places) else -1
    # Where there is room between its neighbours, nobody else moves.
    if at == 0 or orders[places[at - 1]] > low + 1:
        return {moved: low + 1}
    changed: dict[str, int] = {}
    below = -1
    for each in reversed([*places[:at], moved, *places[at:]]):
        if orders[each] <= below:
            changed[each] = below + 1
        below = changed.get(each, orders[each])
    return changed


def _reorder(conn: Connection, key: Column[Any], kept: Column[Any], changed: str, before: int, order: int) -> None:
    audit.changed(conn, "tag", changed, {kept.name: before}, {kept.name: order})
    conn.execute(update(corp_tag).where(key == changed).values({kept: order}))


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
