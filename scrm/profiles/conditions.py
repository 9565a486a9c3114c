"""Condition trees: checked, compiled to SQL for one person or a whole audience, and explained leaf by leaf.

`{all: [...]}`, `{any: [...]}`, `{not: ...}` and leaves. No condition admits everyone; an empty group and a leaf about
something unknown or deleted admit nobody, wherever in the tree they stand, even below a `not`.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from scrm import events
from scrm.db.json_text import json_text
from scrm.profiles import models
from scrm.profiles.custom_conditions import with_definitions
from scrm.profiles.fields import (
    OPERATORS,
    OPERATORS_OF,
    Field,
    PersonId,
    compare,
    find_field,
    follow_user,
    is_date,
    person,
    read_value,
    suggest_field,
)

event = events.event.alias("asked_event")
follow_user_tag = models.follow_user_tag.alias("asked_tag")
corp_tag = models.corp_tag.alias("kept_tag")

Tree = Mapping[str, Any]
Path = tuple[str | int, ...]
Since = datetime | ColumnElement[datetime] | None

MAX_DEPTH = 20
MAX_LEAVES = 200

# What the timeline may hold; a condition about anything else would wait for ever.
EVENTS = {
    "contact.added": "客户添加了员工",
    "contact.confirmed": "员工通过了客户的添加",
    "contact.chat_started": "获客链接的客户第一次发言",
    "contact.archiving_agreed": "客户同意会话存档",
    "contact.taken_over": "客户转给了另一位员工",
    "contact.transfer_failed": "客户转接失败",
    "contact.lost_by_customer": "客户删除了员工",
    "contact.lost_by_member": "员工删除了客户",
    "person.merged": "与另一份客户档案合并",
    "person.parted": "撤销了客户档案合并",
    "group.joined": "加入客户群",
    "group.left": "离开客户群",
    "order.created": "下单",
    "order.paid": "付款",
    "order.shipped": "发货",
    "order.delivered": "签收",
    "order.completed": "交易成功",
    "order.cancelled": "订单取消",
    "order.closed": "交易关闭",
    "order.bound": "员工绑定了订单",
    "refund.opened": "发起售后",
    "refund.agreed": "商家同意售后",
    "refund.refused": "商家拒绝售后",
    "refund.done": "退款成功",
    "refund.closed": "售后结束",
    "coupon.issued": "领到券",
    "coupon.opened": "打开券",
    "coupon.redeemed": "核销券",
    "coupon.sent": "员工发送了券",
    "coupon.expiring": "券快到期",
    "coupon.expired": "券已过期",
    "coupon.restored": "退款返还券",
    "coupon.released": "券未送达，已收回",
    "coupon.voided": "券被作废",
    "points.changed": "积分变动",
    "points.expiring": "积分快到期",
    "level.changed": "会员等级变动",
    "task.sent": "员工发送了待办消息",
    "mass_message.sent": "收到群发消息",
    "optout.changed": "修改了消息偏好",
    "transfer.begun": "开始转给另一位员工",
    "message.radar_opened": "看了雷达内容",
    "product.searched": "搜索了商品",
    "product.viewed": "浏览了商品",
    "product.reviewed": "评价了商品",
    "wishlist.added": "收藏了商品",
    "cart.added": "加入购物车",
    "cart.removed": "移出购物车",
    "cart.abandoned": "加购后没有下单",
    "checkout.started": "去结算",
    "checkout.shipping_added": "填写了收货信息",
    "checkout.payment_added": "选择了支付方式",
    "checkout.abandoned": "结算后没有付款",
    "browse.abandoned": "反复浏览没有加购",
    "coupon.viewed": "看了优惠券",
    "coupon.received": "在商城领取了优惠券",
    "coupon.entered": "输入了优惠码",
    "coupon.used": "下单时用了优惠券",
    "coupon.denied": "优惠券没能使用",
    "content.shared": "分享了内容",
    "content.read": "读了内容",
    "kf.entered": "进入微信客服",
    "kf.message": "在微信客服发来消息",
    "oa.subscribed": "关注了公众号",
    "oa.unsubscribed": "取消关注公众号",
    "oa.scanned": "扫了公众号二维码",
    "oa.message": "给公众号发来消息",
}
# Kinds of events that the shop's own programs and pages tell of.
OWN_EVENT = re.compile(r"custom\.[a-z][a-z0-9_.]{0,39}")
FLAGS = {
    "optout.all": "拒绝一切消息",
    "optout.promo": "拒绝促销消息",
    "optout.mass": "拒绝群发",
    "optout.chat": "拒绝员工剧本消息",
    "optout.birthday": "拒绝生日消息",
    "optout.live": "拒绝直播消息",
}
_COUNT_OPERATORS = ("eq", "gt", "gte", "lt", "lte")
_GROUPS = ("all", "any", "not")
_DURATION = re.compile(r"(\d{1,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Problem(NamedTuple):
    """What is wrong, in the author's words, and where in the tree."""

    path: Path
    text: str


class Compared(NamedTuple):
    """One leaf in words, what was found, and whether it holds (as the tree asks: a `not` above is counted in)."""

    words: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom a leaf is about and when; with `since`, events count only after that moment."""

    person_id: PersonId
    now: datetime
    since: Since = None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A kind of leaf: what is wrong with one, its SQL (never NULL), its words, and what must exist for it to count."""

    check: Callable[[Mapping[str, Any]], list[str]]
    compile: Callable[[Mapping[str, Any], Asked], ColumnElement[bool]]
    words: Callable[[Mapping[str, Any]], str]
    # False when what the leaf speaks of is unknown or deleted: then nobody is admitted.
    guard: Callable[[Mapping[str, Any]], ColumnElement[bool]] | None = None
    found: Callable[[Mapping[str, Any], Asked], ColumnElement[Any]] | None = None


def check_condition(tree: Any) -> list[Problem]:
    """Everything that is wrong with a tree; empty for a good one and for None."""
    if tree is None:
        return []
    problems = list(_problems(tree, (), 0))
    if not problems and (count := sum(1 for _ in list_leaves(tree))) > MAX_LEAVES:
        problems.append(Problem((), f"条件太多：{count} 个，最多 {MAX_LEAVES} 个"))
    return problems


def list_leaves(tree: Any, path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """All leaves of a checked tree with their places."""
    if not isinstance(tree, Mapping):
        return
    for group in ("all", "any"):
        if isinstance(tree.get(group), list):
            for number, part in enumerate(tree[group]):
                yield from list_leaves(part, (*path, group, number))
            return
    if "not" in tree:
        yield from list_leaves(tree["not"], (*path, "not"))
    else:
        yield path, tree


def compile_condition(
    tree: Tree | None, person_id: PersonId, now: datetime, *, since: Since = None
) -> ColumnElement[bool]:
    """The tree as SQL that is true or false, never NULL; `person_id` may be a column, for an audience.

    Fields of the shop's own are as defined only in a tree that went through `with_definitions`.
    """
    if tree is None:
        return true()
    if check_condition(tree):
        return false()
    asked = Asked(person_id, now, since)
    guards = [leaf.guard(spec) for _, spec in list_leaves(tree) if (leaf := LEAVES[_kind(spec)]).guard is not None]
    return and_(*guards, _compile(tree, asked))


def holds(conn: Connection, tree: Tree | None, person_id: int, now: datetime, *, since: Since = None) -> bool:
    """Whether one person fits; id 0 is somebody we know nothing of yet."""
    if tree is None:
        return True
    fits = compile_condition(with_definitions(conn, tree), literal(person_id, BigInteger), now, since=since)
    return bool(conn.execute(select(fits)).scalar_one())


def holding(
    conn: Connection, tree: Tree | None, person_ids: Iterable[int], now: datetime, *, since: Since = None
) -> set[int]:
    """Those of many persons who fit, in one statement for each thousand."""
    wanted = sorted(set(person_ids))
    if tree is None:
        return set(wanted)
    fits = compile_condition(with_definitions(conn, tree), models.person.c.id, now, since=since)
    found: set[int] = set()
    for start in range(0, len(wanted), 1000):
        query = select(models.person.c.id).where(models.person.c.id.in_(wanted[start : start + 1000]), fits)
        found.update(conn.execute(query).scalars())
    return found


def explain(
    conn: Connection, tree: Tree | None, person_id: int, now: datetime, *, since: Since = None
) -> list[Compared]:
    """What each leaf asked, what was found, whether it held; for a tree that admits nobody, why it does not."""
    if tree is None:
        return []
    tree = with_definitions(conn, tree)
    if problems := check_condition(tree):
        return [Compared(problem.text, "", False) for problem in problems]
    asked = Asked(literal(person_id, BigInteger), now, since)
    return [_compared(conn, path, spec, asked) for path, spec in list_leaves(tree)]


def words_of(spec: Mapping[str, Any]) -> str:
    """One leaf in words: 「已付款订单数 等于 0」."""
    return LEAVES[_kind(spec)].words(spec)


def _compared(conn: Connection, path: Path, spec: Mapping[str, Any], asked: Asked) -> Compared:
    leaf = LEAVES[_kind(spec)]
    if leaf.guard is not None and not conn.execute(select(leaf.guard(spec))).scalar_one():
        return Compared(leaf.words(spec), "不存在或已删除", False)
    held = bool(conn.execute(select(leaf.compile(spec, asked))).scalar_one())
    found = "" if leaf.found is None else _written(conn.execute(select(leaf.found(spec, asked))).scalars().all())
    if path.count("not") % 2:
        return Compared(f"并非：{leaf.words(spec)}", found, not held)
    return Compared(leaf.words(spec), found, held)


def _written(values: Iterable[Any]) -> str:
    known = [f"{value:g}" if isinstance(value, float) else str(value) for value in values if value is not None]
    return "、".join(known[:5]) or "没有值"


def _kind(spec: Mapping[str, Any]) -> str:
    return next((kind for kind in LEAVES if kind in spec), "")


def _compile(tree: Tree, asked: Asked) -> ColumnElement[bool]:
    if "all" in tree:
        return and_(*(_compile(part, asked) for part in tree["all"]))
    if "any" in tree:
        return or_(*(_compile(part, asked) for part in tree["any"]))
    if "not" in tree:
        return not_(_compile(tree["not"], asked))
    return LEAVES[_kind(tree)].compile(tree, asked)


def _problems(tree: Any, path: Path, depth: int) -> Iterator[Problem]:
    if not isinstance(tree, Mapping) or not tree:
        yield Problem(path, "条件是空的，这样谁也不会满足；请写 all、any、not 或一个具体条件，不需要条件就整行删掉")
    elif depth > MAX_DEPTH:
        yield Problem(path, f"条件套得太深，最多 {MAX_DEPTH} 层")
    elif group := next((group for group in _GROUPS if group in tree), None):
        yield from _group_problems(tree, group, path, depth)
    else:
        yield from (Problem(path, text) for text in _leaf_problems(tree))


def _group_problems(tree: Mapping[str, Any], group: str, path: Path, depth: int) -> Iterator[Problem]:
    if len(tree) > 1:
        others = "、".join(str(key) for key in tree if key != group)
        yield Problem(path, f"{group} 旁边不能再写 {others}，请把它放进 {group} 里面")
    elif group == "not":
        yield from _problems(tree["not"], (*path, "not"), depth + 1)
    elif not isinstance(tree[group], list) or not tree[group]:
        yield Problem(path, f"{group} 里面是空的，这样谁也不会满足；请写成列表，至少一个条件")
    else:
        for number, part in enumerate(tree[group]):
            yield from _problems(part, (*path, group, number), depth + 1)


def _leaf_problems(spec: Mapping[str, Any]) -> list[str]:
    kind = _kind(spec)
    if kind:
        return LEAVES[kind].check(spec)
    if unsupported := next((key for key in _LATER if key in spec), None):
        return [f"条件 {unsupported}（{_LATER[unsupported]}）还不支持"]
    written = "、".join(str(key) for key in spec)
    return [f"不认识的条件“{written}”，可用的有 all、any、not、{'、'.join(LEAVES)}"]


_LATER = {"no_reply": "客户未回复，需要会话存档", "radar_opens_gte": "素材打开次数"}


def _other_keys(spec: Mapping[str, Any], *allowed: str) -> list[str]:
    others = [str(key) for key in spec if key not in allowed]
    return [f"条件里不认识“{'、'.join(others)}”，这里可以写 {'、'.join(allowed)}"] if others else []


# field


def _check_field(spec: Mapping[str, Any]) -> list[str]:
    key, op = spec["field"], spec.get("op", "eq")
    known = find_field(key) if isinstance(key, str) else None
    if known is None:
        close = suggest_field(str(key))
        return [f"不认识的字段 {key}" + (f"，是不是想写 {close}？" if close else "")]
    if op not in OPERATORS_OF[known.kind]:
        return [f"“{known.title}”不能用 {op} 比较，可用的有 {'、'.join(OPERATORS_OF[known.kind])}"]
    return _other_keys(spec, "field", "op", "value") or _check_value(known, op, spec)


def _check_value(known: Field, op: str, spec: Mapping[str, Any]) -> list[str]:
    if op in ("present", "missing"):
        return ["present 和 missing 不需要写 value"] if "value" in spec else []
    if "value" not in spec:
        return [f"条件 {known.key} 缺少 value，不知道和什么比较"]
    value = spec["value"]
    if op in ("in", "not_in") and (not isinstance(value, list) or not 0 < len(value) <= 100):
        return [f"{op} 要写一个列表，1 到 100 个值"]
    if op == "contains" and not value:
        return ["contains 后面是空的，这样谁都包含；请写要找的文字"]
    try:
        read = _read(known, op, value)
    except ValueError as error:
        return [str(error)]
    if op in ("gt", "gte", "lt", "lte") and isinstance(read, str) and not is_date(read):
        return [f"“{known.title}”只能用数字比大小，写的是“{value}”"]
    if isinstance(read, list) and len({type(each) for each in read} - {int}) > 1:
        return [f"{op} 的列表里不能既有文字又有数字"]
    return []


def _read(known: Field, op: str, value: Any) -> Any:
    if op in ("in", "not_in"):
        return [read_value(known, each) for each in value]
    return None if op in ("present", "missing") else read_value(known, value)


def _field_of(spec: Mapping[str, Any]) -> tuple[Field, str, Any]:
    known, op = find_field(spec["field"]), spec.get("op", "eq")
    if known is None:
        raise KeyError(spec["field"])
    return known, op, _read(known, op, spec.get("value"))


def _compile_field(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    known, op, value = _field_of(spec)
    return compare(known, op, value, asked.person_id, asked.now)


def _field_found(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[Any]:
    known, _, _ = _field_of(spec)
    value = known.value(asked.person_id, asked.now)
    if known.rows is None:
        return value
    source, which = known.rows(asked.person_id)
    return select(value).select_from(source).where(which).limit(1).scalar_subquery()


def _field_words(spec: Mapping[str, Any]) -> str:
    known, op, _ = _field_of(spec)
    value = spec.get("value", "")
    written = "、".join(str(each) for each in value) if isinstance(value, list) else str(value)
    return f"{known.title} {OPERATORS[op]} {written}".strip()


# event


def _check_event(spec: Mapping[str, Any]) -> list[str]:
    name = spec["event"]
    if not isinstance(name, str) or not (name in EVENTS or OWN_EVENT.fullmatch(name)):
        close = get_close_matches(str(name), EVENTS, n=1)
        return [f"不认识的事件 {name}" + (f"，是不是想写 {close[0]}？" if close else "")]
    problems = _other_keys(spec, "event", "count", "within", "where")
    count = spec.get("count", {"gte": 1})
    if not isinstance(count, Mapping) or len(count) != 1 or not _is_count(count):
        problems.append("count 要写成 {gte: 2} 这样：比较方式（eq、gt、gte、lt、lte）和次数")
    if "within" in spec and _duration(spec["within"]) is None:
        problems.append(f"看不懂 within 的时长“{spec['within']}”，请写成 90d、72h 这样")
    return problems + _check_where(spec.get("where", {"": ""}))


def _is_count(count: Mapping[Any, Any]) -> bool:
    return all(
        op in _COUNT_OPERATORS and isinstance(times, int) and not isinstance(times, bool) and 0 <= times < 10**6
        for op, times in count.items()
    )


def _check_where(where: Any) -> list[str]:
    if not isinstance(where, Mapping) or not where:
        return ["where 是空的；请写要比较的内容，不需要就整行删掉"]
    for key, value in where.items():
        values = value if isinstance(value, list) else [value]
        if (
            '"' in str(key)
            or "\\" in str(key)
            or not values
            or not all(isinstance(v, str | int | float) for v in values)
        ):
            return [f"where 里的“{key}”要和文字、数字或它们的列表比较"]
    return []


def _compile_event(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    happened = [event.c.person_id == asked.person_id, event.c.name == spec["event"]]
    if within := _duration(spec.get("within")):
        happened.append(event.c.occurred_at >= asked.now - within)
    if asked.since is not None:
        happened.append(event.c.occurred_at > asked.since)
    for key, value in spec.get("where", {}).items():
        wanted = [_as_text(each) for each in (value if isinstance(value, list) else [value])]
        happened.append(func.coalesce(*_facts(key), "").in_(wanted))
    count = spec.get("count", {"gte": 1})
    if dict(count) == {"gte": 1}:
        return exists(select(1).where(*happened))
    ((op, times),) = count.items()
    counted = select(func.count()).select_from(event).where(*happened).scalar_subquery()
    return _COUNTED[op](counted, times)


def _facts(key: str) -> list[ColumnElement[str]]:
    """`channel.kind` as it stands, then level by level, as triggers look for it."""
    whole = json_text(event.c.facts, key)
    return [whole, json_text(event.c.facts, *key.split("."))] if "." in key else [whole]


_COUNTED: dict[str, Callable[[ColumnElement[Any], int], ColumnElement[bool]]] = {
    "eq": lambda counted, times: counted == times,
    "gt": lambda counted, times: counted > times,
    "gte": lambda counted, times: counted >= times,
    "lt": lambda counted, times: counted < times,
    "lte": lambda counted, times: counted <= times,
}


def _as_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _duration(text: Any) -> timedelta | None:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]]) if found else None


def _event_words(spec: Mapping[str, Any]) -> str:
    within = f"{spec['within']} 内" if "within" in spec else ""
    ((op, times),) = spec.get("count", {"gte": 1}).items()
    where = "".join(f"，{key} 是 {value}" for key, value in spec.get("where", {}).items())
    name = spec["event"]
    return f"{within}“{EVENTS.get(name, name)}”次数 {OPERATORS[op]} {times}{where}"


# flag, tag, segment


def _check_flag(spec: Mapping[str, Any]) -> list[str]:
    if not isinstance(spec["flag"], str) or spec["flag"] not in FLAGS:
        return [f"不认识的标记 {spec['flag']}，可用的有 {'、'.join(FLAGS)}"]
    return _other_keys(spec, "flag")


def _compile_flag(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    names = {spec["flag"].partition(".")[2], "all"}
    raised = or_(*(func.coalesce(json_text(person.c.optout, name), "") == "true" for name in sorted(names)))
    return exists(select(1).where(person.c.id == asked.person_id, raised))


def _check_tag(spec: Mapping[str, Any]) -> list[str]:
    if not isinstance(spec["tag"], str) or not spec["tag"].strip():
        return ["tag 后面要写一个标签的名称或 id"]
    return _other_keys(spec, "tag")


def _compile_tag(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    worn = select(1).join_from(
        follow_user_tag,
        follow_user,
        and_(
            follow_user.c.userid == follow_user_tag.c.userid,
            follow_user.c.external_userid == follow_user_tag.c.external_userid,
        ),
    )
    named = or_(follow_user_tag.c.tag_id == spec["tag"], follow_user_tag.c.tag_name == spec["tag"])
    return exists(worn.where(follow_user.c.person_id == asked.person_id, follow_user.c.ended_by == "", named))


def _tag_exists(spec: Mapping[str, Any]) -> ColumnElement[bool]:
    kept = or_(corp_tag.c.tag_id == spec["tag"], corp_tag.c.tag_name == spec["tag"])
    return exists(select(1).where(kept, corp_tag.c.is_deleted.is_(False)))


def _check_segment(spec: Mapping[str, Any]) -> list[str]:
    return [f"人群包“{spec['segment']}”不存在"]


def _no_segment(spec: Mapping[str, Any], asked: Asked) -> ColumnElement[bool]:
    return false()


LEAVES: dict[str, Leaf] = {
    "field": Leaf(_check_field, _compile_field, _field_words, found=_field_found),
    "event": Leaf(_check_event, _compile_event, _event_words),
    "flag": Leaf(_check_flag, _compile_flag, lambda spec: f"客户{FLAGS[spec['flag']]}"),
    "tag": Leaf(_check_tag, _compile_tag, lambda spec: f"有标签“{spec['tag']}”", guard=_tag_exists),
    "segment": Leaf(_check_segment, _no_segment, lambda spec: f"在人群包“{spec['segment']}”里"),
}
