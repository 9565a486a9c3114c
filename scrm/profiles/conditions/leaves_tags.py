"""Leaves about tags and refusals: `{tag: 新客}`, `{tag: 新客, of: run}`, `{flag: optout.promo}`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    union_all,
)

from scrm.db.json_text import json_text
from scrm.profiles import models
from scrm.profiles.conditions.fields import Asked, follow_user, person
from scrm.profiles.conditions.leaf import Leaf, Spec, is_among, other_keys

follow_user_tag = models.follow_user_tag.alias("asked_tag")
corp_tag = models.corp_tag.alias("kept_tag")

FLAGS = {
    "optout.all": "拒绝一切消息",
    "optout.promo": "拒绝促销消息",
    "optout.mass": "拒绝群发",
    "optout.chat": "拒绝员工剧本消息",
    "optout.birthday": "拒绝生日消息",
    "optout.live": "拒绝直播消息",
}


def _check_flag(spec: Spec) -> list[str]:
    if not isinstance(spec["flag"], str) or spec["flag"] not in FLAGS:
        return [f"不认识的标记 {spec['flag']}，可用的有 {'、'.join(FLAGS)}"]
    return other_keys(spec, "flag")


def _compile_flag(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    names = {spec["flag"].partition(".")[2], "all"}
    raised = or_(*(func.coalesce(json_text(person.c.optout, name), "") == "true" for name in sorted(names)))
    return exists(select(1).where(person.c.id == asked.person_id, raised))


def _check_tag(spec: Spec) -> list[str]:
    if not isinstance(spec["tag"], str) or not spec["tag"].strip():
        return ["tag 后面要写一个标签的名称或 id"]
    if spec.get("of", "any") not in ("any", "run"):
        return ["tag 的 of 只能是 any（任一员工打的）或 run（本次跟进的员工打的）"]
    return other_keys(spec, "tag", "of")


def _compile_tag(spec: Spec, asked: Asked) -> ColumnElement[bool]:
    same_member: ColumnElement[bool] = follow_user.c.userid == follow_user_tag.c.userid
    if asked.joins:
        # A contact has hardly more than one member: taken for another condition, PostgreSQL expects a fiftieth.
        same_member = case((same_member, true()), else_=false())
    worn = and_(
        same_member,
        follow_user.c.external_userid == follow_user_tag.c.external_userid,
        follow_user.c.ended_by == "",
        _is_tag(spec),
    )
    if asked.is_audience:
        return is_among(asked, select(follow_user.c.person_id).join_from(follow_user_tag, follow_user, worn))
    whose = [follow_user.c.person_id == asked.person_id]
    if spec.get("of") == "run":
        whose += [
            follow_user.c.external_userid == asked.external_userid,
            func.lower(follow_user.c.userid) == func.lower(asked.userid),
        ]
    return exists(select(1).join_from(follow_user_tag, follow_user, worn).where(*whose))


class DefinedTag(str):
    """A tag's name or id with the ids that it means."""

    __slots__ = ("ids",)
    ids: tuple[str, ...]

    def __new__(cls, name: str, ids: Iterable[str]) -> "DefinedTag":
        defined = super().__new__(cls, name)
        defined.ids = (name, *ids)
        return defined


def with_tags(conn: Connection, tree: Any) -> Any:
    """The tree with the ids of its tags, for an audience: so the database can tell beforehand how many wear them."""
    names = _names(tree)
    if not names:
        return tree
    found = defaultdict(list)
    query = select(corp_tag.c.tag_name, corp_tag.c.tag_id)
    for name, tag_id in conn.execute(query.where(corp_tag.c.tag_name.in_(names), corp_tag.c.is_deleted.is_(False))):
        found[name].append(tag_id)
    return _defined(tree, {name: DefinedTag(name, found[name]) for name in names})


def _names(tree: Any) -> set[str]:
    if isinstance(tree, list):
        return set().union(*(_names(part) for part in tree))
    if not isinstance(tree, Mapping):
        return set()
    own = {tree["tag"]} if isinstance(tree.get("tag"), str) else set()
    return own.union(*(_names(tree[group]) for group in ("all", "any", "not") if group in tree))


def _defined(tree: Any, known: Mapping[str, DefinedTag]) -> Any:
    if isinstance(tree, list):
        return [_defined(part, known) for part in tree]
    if not isinstance(tree, Mapping):
        return tree
    if isinstance(tree.get("tag"), str):
        return {**tree, "tag": known[tree["tag"]]}
    return {name: _defined(part, known) if name in ("all", "any", "not") else part for name, part in tree.items()}


def _is_tag(spec: Spec) -> ColumnElement[bool]:
    """By its id, which an index serves; a personal tag has its name for one."""
    if isinstance(spec["tag"], DefinedTag):
        return follow_user_tag.c.tag_id.in_(spec["tag"].ids)
    kept = corp_tag.alias("named_tag")
    named = select(kept.c.tag_id).where(kept.c.tag_name == spec["tag"], kept.c.is_deleted.is_(False))
    return follow_user_tag.c.tag_id.in_(union_all(named, select(literal(spec["tag"], String))))


def _tag_exists(spec: Spec) -> ColumnElement[bool]:
    kept = or_(corp_tag.c.tag_id == spec["tag"], corp_tag.c.tag_name == spec["tag"])
    return exists(select(1).where(kept, corp_tag.c.is_deleted.is_(False)))


def _tag_words(spec: Spec) -> str:
    return f"有标签“{spec['tag']}”" + ("（本次跟进的员工打的）" if spec.get("of") == "run" else "")


def _object(name: str, value: dict[str, object], **more: object) -> dict[str, object]:
    properties = {name: value, **more}
    return {"type": "object", "properties": properties, "required": [name], "additionalProperties": False}


FLAG = Leaf(
    _check_flag,
    _compile_flag,
    lambda spec: f"客户{FLAGS[spec['flag']]}",
    schema=_object("flag", {"enum": list(FLAGS)}),
)
TAG = Leaf(
    _check_tag,
    _compile_tag,
    _tag_words,
    guard=_tag_exists,
    needs=lambda spec: "run" if spec.get("of") == "run" else "",
    schema=_object("tag", {"type": "string", "minLength": 1}, of={"enum": ["any", "run"]}),
)
