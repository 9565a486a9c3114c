"""Corp tags (doc 92117)."""

from ..call import Call, read_text
from ..errors import Refusal
from ..world import Json, Tag, TagGroup


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
    tags = [
        Tag(call.world.make_id("et", f"{group.id}/{name}/{call.world.next_number()}"), name, call.now, order)
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
    group = next((group for group in call.world.tag_groups if group.name == name), None)
    return group or TagGroup(call.world.make_id("et", f"group/{name}"), name, call.now, call.number("order", 0))
