"""Corp tags (doc 92117)."""

from ..call import Call, read_text
from ..errors import Refusal
from ..world import Json, Tag, TagGroup, World

MOST_TAGS = 10_000


def get_corp_tag_list(call: Call) -> Json:
    """All groups, or those asked for; with both lists only group_id counts."""
    group_ids, tag_ids = call.texts("group_id"), call.texts("tag_id")
    groups = sorted(call.world.tag_groups, key=lambda group: -group.order)
    asked = bool(group_ids or tag_ids)
    if group_ids:
        groups = [group for group in groups if group.id in group_ids]
    elif tag_ids:
        groups = [group for group in groups if any(tag.id in tag_ids for tag in group.tags)]
    wanted = set() if group_ids else set(tag_ids)
    shown = [_group(group, wanted, asked) for group in groups]
    return {"tag_group": [group for group in shown if group["tag"]]}


def _group(group: TagGroup, wanted: set[str], asked: bool) -> Json:
    tags = [tag for tag in group.tags if (asked or not tag.is_deleted) and (not wanted or tag.id in wanted)]
    answer: Json = {
        "group_id": group.id,
        "group_name": group.name,
        "create_time": int(group.created_at.timestamp()),
        "order": group.order,
        "tag": [_tag(tag, asked) for tag in sorted(tags, key=lambda tag: -tag.order)],
    }
    if asked:
        answer["deleted"] = all(tag.is_deleted for tag in group.tags)
    return answer


def _tag(tag: Tag, asked: bool) -> Json:
    answer: Json = {
        "id": tag.id,
        "name": tag.name,
        "create_time": int(tag.created_at.timestamp()),
        "order": tag.order,
    }
    if asked:
        answer["deleted"] = tag.is_deleted
    return answer


def add_corp_tag(call: Call) -> Json:
    """New tags in a group that is there or made; equal names in one call are made once."""
    wanted = call.body.get("tag")
    if not isinstance(wanted, list) or not wanted:
        raise Refusal(40058, "invalid Request Parameter, tag is empty")
    rows = {_name(item): item.get("order", 0) for item in wanted if isinstance(item, dict)}
    group = _group_for(call)
    living = {tag.name for tag in group.tags if not tag.is_deleted}
    if living & rows.keys():
        raise Refusal(40071)
    if sum(not tag.is_deleted for each in call.world.tag_groups for tag in each.tags) + len(rows) > MOST_TAGS:
        raise Refusal(40126, "tag count of the corp reached the limit")
    tags = [
        Tag(
            call.world.make_id("et", f"{group.id}/{name}/{call.world.next_number()}"),
            name,
            call.now,
            order,
            is_of_app=True,
        )
        for name, order in rows.items()
    ]
    group.tags.extend(tags)
    if group not in call.world.tag_groups:
        call.world.tag_groups.append(group)
    call.world.touch()
    answer = _group(group, {tag.id for tag in tags}, asked=False)
    return {"tag_group": answer}


def _name(item: Json) -> str:
    name = read_text(item, "name", missing=40058)
    if len(name) > 30:
        raise Refusal(40072)
    return name


def _group_for(call: Call) -> TagGroup:
    group_id, name = call.text("group_id"), call.text("group_name")
    if group_id:
        group = next((group for group in call.world.tag_groups if group.id == group_id), None)
        if group is None:
            raise Refusal(40068)
        return group
    if not name:
        raise Refusal(40058, "invalid Request Parameter, group_id and group_name are both empty")
    if len(name) > 30:
        raise Refusal(40072)
    living = (group for group in call.world.tag_groups if not all(tag.is_deleted for tag in group.tags))
    group = next((group for group in living if group.name == name), None)
    return group or TagGroup(call.world.make_id("et", f"group/{name}"), name, call.now, call.number("order", 0))


def edit_corp_tag(call: Call) -> Json:
    """Rename or re-sort a tag or a group that the app made; names stay unique."""
    asked = call.text("id", missing=40068)
    name = call.text("name")
    if len(name) > 30:
        raise Refusal(40072)
    groups = [group for group in call.world.tag_groups if not all(tag.is_deleted for tag in group.tags)]
    group = next((group for group in groups if group.id == asked), None)
    found = call.world.find_tag(asked)
    thing: Tag | TagGroup
    if group is not None:
        siblings, thing = {each.name for each in groups if each is not group}, group
    elif found is not None:
        siblings = {tag.name for tag in found[0].tags if tag is not found[1] and not tag.is_deleted}
        thing = found[1]
    else:
        raise Refusal(40068)
    _must_own(group.tags if group is not None else [found[1]] if found else [])
    if name in siblings:
        raise Refusal(40071)
    thing.name = name or thing.name
    thing.order = call.number("order", thing.order)
    call.world.touch()
    return {}


def del_corp_tag(call: Call) -> Json:
    """Tags go from every customer; a group goes with its last tag."""
    tag_ids, group_ids = call.texts("tag_id"), call.texts("group_id")
    if not tag_ids and not group_ids:
        raise Refusal(40058, "invalid Request Parameter, tag_id and group_id are both empty")
    known = {group.id for group in call.world.tag_groups}
    if set(group_ids) - known or any(call.world.find_tag(tag_id) is None for tag_id in tag_ids):
        raise Refusal(40068)
    gone = [
        tag
        for group in call.world.tag_groups
        for tag in group.tags
        if not tag.is_deleted and (tag.id in tag_ids or group.id in group_ids)
    ]
    _must_own(gone)
    delete_tags(call.world, gone)
    return {}


def delete_tags(world: World, gone: list[Tag]) -> None:
    """End these tags, also on the customers who carry them."""
    ids = {tag.id for tag in gone}
    for tag in gone:
        tag.is_deleted = True
    for pair in world.pairs.values():
        if ids & set(pair.tag_ids):
            pair.tag_ids = [tag_id for tag_id in pair.tag_ids if tag_id not in ids]
    world.touch()


def _must_own(tags: list[Tag]) -> None:
    if not all(tag.is_of_app for tag in tags):
        raise Refusal(81011, "no privilege to edit the tag")


def get_strategy_tag_list(call: Call) -> Json:
    """The corp of the sandbox has no management groups (doc 94882)."""
    return {"tag_group": []}
