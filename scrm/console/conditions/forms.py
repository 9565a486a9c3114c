"""What the builder of conditions offers: every question a condition can ask, with its controls, and whom or what to pick.

One builder serves segments and playbooks. A question is described here once, by the leaf it makes and the controls of
that leaf; the island (web/islands/console/conditions) knows only the controls.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from scrm.console.conditions.store import find_options
from scrm.console.conditions.texts import read_text, read_tree, write_text
from scrm.console.door import for_managers
from scrm.console.playbooks.board_words import event_groups
from scrm.errors import Invalid
from scrm.profiles.conditions.fields import OPERATORS, OPERATORS_OF, Field, Kind
from scrm.profiles.conditions.leaves_own_fields import list_condition_fields
from scrm.profiles.conditions.leaves_own_fields import with_definitions as with_own_fields
from scrm.profiles.conditions.leaves_trigger import FACTS, TRIGGER
from scrm.profiles.conditions.tree import FLAGS, Problem, check_condition, find_missing
from scrm.profiles.words import ADD_WAYS
from scrm.segments import store
from scrm.segments.leaves_coupons import STATES
from scrm.services import SERVICES

routes = web.RouteTableDef()

# Where the builder asks: below the segments, and for who may only edit playbooks below these.
OF_SEGMENTS, OF_PLAYBOOKS = "/console/segments/conditions", "/console/playbook-conditions"

# By the beginning of a field's key; the first that fits.
_FAMILIES = {
    "person.stage": "客户资料",
    "person.name": "客户资料",
    "person.members": "好友关系",
    "person.": "订单与消费",
    "orders.": "订单与消费",
    "coupons.": "优惠券",
    "points.": "会员与积分",
    "rfm.": "RFM 与生命周期",
    "life.": "RFM 与生命周期",
    "contact.": "客户资料",
    "follow.": "好友关系",
    "relation.": "本次跟进",
    "member.": "本次跟进",
}
_OWN = "自定义字段"
_ORDER = (
    "客户资料",
    "好友关系",
    "订单与消费",
    "标签、人群包",
    "优惠券",
    "会员与积分",
    "RFM 与生命周期",
    "消息与互动",
    _OWN,
    "本次跟进",
)
# Fields whose values are picked from a list that the house keeps; others may be typed too.
_PICKED = {
    "follow.userid": "member",
    "member.userid": "member",
    "member.department": "department",
    "person.stage": "stage",
    "points.level": "level",
    "follow.state": "channel",
    "relation.state": "channel",
}
_WHEN = {"gt": "晚于", "gte": "不早于", "lt": "早于", "lte": "不晚于", "eq": "是", "ne": "不是"}
_UNITS = {Kind.YUAN: "元"}
_COUNTS = {"gte": "至少", "eq": "正好", "lte": "至多", "gt": "多于", "lt": "少于"}


# Asking ---------------------------------------------------------------------------------------------------------------


@routes.get(OF_SEGMENTS + "/catalogue")
@for_managers
async def catalogue_of_segments(request: web.Request) -> web.StreamResponse:
    return await _catalogue(request, of_run=False)


@routes.get(OF_PLAYBOOKS + "/catalogue")
@for_managers
async def catalogue_of_playbooks(request: web.Request) -> web.StreamResponse:
    return await _catalogue(request, of_run=True)


@routes.get(OF_SEGMENTS + "/options")
@routes.get(OF_PLAYBOOKS + "/options")
@for_managers
async def options(request: web.Request) -> web.StreamResponse:
    """`of` with `q`: what to pick from; with `value` (several): what those are called."""
    services, query = request.app[SERVICES], request.query
    of, wanted, values = query.get("of", ""), query.get("q", "").strip(), query.getall("value", [])
    if of == "stage":
        found = [(stage, stage) for stage in services.settings.shop.stages if wanted in stage]
    else:
        found = await services.db.read(find_options, of, wanted, values)
    return web.json_response({"options": [{"value": value, "title": title} for value, title in found]})


@routes.post(OF_SEGMENTS + "/check")
@for_managers
async def check_of_segment(request: web.Request) -> web.StreamResponse:
    return await _check(request, lambda conn, tree: store.find_problems(conn, "", tree))


@routes.post(OF_PLAYBOOKS + "/check")
@for_managers
async def check_of_playbook(request: web.Request) -> web.StreamResponse:
    return await _check(request, _playbook_problems)


def _playbook_problems(conn: Connection, tree: Any) -> list[Problem]:
    tree = with_own_fields(conn, tree)
    return check_condition(tree) or find_missing(conn, tree)


async def _catalogue(request: web.Request, *, of_run: bool) -> web.Response:
    services = request.app[SERVICES]
    zone = services.settings.shop.zone
    now = services.clock.now().astimezone(zone)
    offset = now.isoformat()[-6:]
    found = await services.db.read(describe, of_run=of_run, midnight=f"{now.date()}T00:00{offset}")
    return web.json_response(found | {"offset": offset})


async def _check(request: web.Request, find_problems: Callable[[Connection, Any], list[Problem]]) -> web.Response:
    said = read_posted(await request.post())
    if isinstance(said, Invalid):
        return web.json_response(answer_of(None, [Problem((), said.text)], is_read=False))
    problems = [] if said is None else await request.app[SERVICES].db.read(find_problems, said)
    return web.json_response(answer_of(said, problems))


def read_posted(form: Mapping[str, Any]) -> Any:
    """The tree out of `text` where somebody writes, else out of `tree`; Invalid (not raised) for what is neither."""
    try:
        return read_text(str(form["text"])) if "text" in form else read_tree(str(form.get("tree", "")))
    except Invalid as error:
        return error


def shown(tree: Any) -> dict[str, str]:
    """What the macro `builder` of console/condition_parts.html starts with."""
    return {"tree": "" if tree is None else json.dumps(tree, ensure_ascii=False), "text": write_text(tree)}


def answer_of(tree: Any, problems: list[Problem], *, is_read: bool = True) -> dict[str, Any]:
    """What the builder is told: the tree and its text as we read them, and what is wrong at which place."""
    told = [{"path": list(problem.path), "text": problem.text} for problem in problems]
    return {"is_read": is_read, "tree": tree, "text": write_text(tree) if is_read else "", "problems": told}


# What there is to ask -------------------------------------------------------------------------------------------------


def describe(conn: Connection, *, of_run: bool, midnight: str) -> dict[str, Any]:
    """Every question in its group; with `of_run` also those only a playbook's run can answer."""
    groups: dict[str, list[dict[str, Any]]] = {title: [] for title in _ORDER}
    for known in list_condition_fields(conn):
        if known.of_run is None or of_run:
            groups[_family(known.key)].append(_field(known, midnight))
    for family, ask in _others(of_run=of_run):
        groups[family].append(ask)
    for family, events in event_groups().items():
        groups[f"发生过 · {family}"] = [_event(name, title) for name, title in events]
    asked = [{"title": title, "asks": asks} for title, asks in groups.items() if asks]
    return {"groups": asked, "counts": _COUNTS, "any_event": _event("", ""), "any_field": _undefined()}


def _family(key: str) -> str:
    return next((family for start, family in _FAMILIES.items() if key.startswith(start)), _OWN)


def _ask(key: str, title: str, leaf: Mapping[str, Any], *controls: Mapping[str, Any]) -> dict[str, Any]:
    return {"key": key, "title": title, "leaf": leaf, "controls": list(controls)}


def _field(known: Field, midnight: str) -> dict[str, Any]:
    op, usual = _usual_op(known), _usual_value(known, midnight)
    leaf: dict[str, Any] = {"field": known.key, "op": op}
    if op not in ("present", "missing"):
        leaf["value"] = usual
    return _ask(f"field:{known.key}", known.title, leaf, {"control": "compare", "usual": usual, **_compared(known)})


def _undefined() -> dict[str, Any]:
    """Fields that playbooks set without a definition, and those that are archived: compared as the value is."""
    ops = [[op, OPERATORS[op]] for op in OPERATORS_OF[Kind.ANY]]
    return _ask(
        "", "", {"field": "", "op": "eq", "value": ""}, {"control": "compare", "usual": "", "ops": ops, "kind": "any"}
    )


def _compared(known: Field) -> dict[str, Any]:
    """How a field is compared: its operators in words, and the kind of control for the value."""
    is_time = known.kind in (Kind.DATE, Kind.MOMENT)
    words = OPERATORS | (_WHEN if is_time else {"eq": "是", "ne": "不是"} if _is_chosen(known) else {})
    allowed = _operators(known)
    described: dict[str, Any] = {"ops": [[op, words[op]] for op in allowed], "kind": _kind(known)}
    if choices := _choices(known):
        described["choices"] = choices
    if known.key in _PICKED:
        described["of"] = _PICKED[known.key]
    if unit := _UNITS.get(known.kind):
        described["unit"] = unit
    return described


def _is_chosen(known: Field) -> bool:
    return bool(_choices(known)) or known.key in _PICKED


def _operators(known: Field) -> tuple[str, ...]:
    """What is chosen from a list is not greater or less than anything."""
    allowed = OPERATORS_OF[known.kind]
    return tuple(op for op in allowed if op not in ("gt", "gte", "lt", "lte")) if _choices(known) else allowed


def _kind(known: Field) -> str:
    if _choices(known):
        return "choice"
    return {Kind.YUAN: "number", Kind.SEALED: "none"}.get(known.kind, str(known.kind))


def _choices(known: Field) -> list[list[Any]]:
    if known.key.endswith(".add_way"):
        return [[number, title] for number, title in ADD_WAYS.items()]
    # Roles stand there under two names.
    kept: dict[Any, str] = {}
    for name, value in known.choices.items():
        kept.setdefault(value, name)
    return [[name, name] for name in kept.values()]


def _usual_op(known: Field) -> str:
    allowed = _operators(known)
    return next(
        (op for op in ("gte", "contains", "eq") if op in allowed and not (op == "contains" and "eq" in allowed)),
        allowed[0],
    )


def _usual_value(known: Field, midnight: str) -> Any:
    if choices := _choices(known):
        return choices[0][0]
    return {Kind.NUMBER: 1, Kind.YUAN: 100, Kind.DATE: "today", Kind.MOMENT: midnight}.get(known.kind, "")


def _event(name: str, title: str) -> dict[str, Any]:
    """Once is enough until somebody says otherwise; `where` says which of them count."""
    return _ask(
        f"event:{name}",
        title,
        {"event": name, "within": "30d"},
        {"control": "count", "at": ["count"]},
        {"control": "span", "at": ["within"], "title": "多久之内", "none": "不限时间"},
        {"control": "where", "at": ["where"]},
    )


def _fact() -> dict[str, Any]:
    """What the event that began a run says; each kind of event has its own things, these are the usual ones."""
    allowed = TRIGGER.schema["properties"]["op"]["enum"]
    return {
        "control": "fact",
        "usual": "",
        "ops": [[op, OPERATORS[op]] for op in allowed],
        "names": [*map(list, FACTS.items())],
    }


def _others(*, of_run: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    span = {"control": "span", "at": ["within"], "title": "多久之内", "none": "不限时间"}
    whose = {
        "control": "choice",
        "at": ["of"],
        "title": "谁打的",
        "choices": [[None, "任一员工打的"], ["run", "本次跟进的员工打的"]],
    }
    tag = {"control": "pick", "at": ["tag"], "of": "tag", "title": "标签"}
    yield "标签、人群包", _ask("tag", "有标签", {"tag": ""}, tag, *([whose] if of_run else []))
    segment = {"control": "pick", "at": ["segment"], "of": "segment", "title": "人群包"}
    yield "标签、人群包", _ask("segment", "在人群包里", {"segment": ""}, segment)
    yield (
        "优惠券",
        _ask(
            "coupon",
            "持有优惠券",
            {"coupon": {"state": "unused"}},
            {"control": "pick", "at": ["coupon", "of"], "of": "coupon", "title": "哪种券", "none": "任一张券"},
            {"control": "choice", "at": ["coupon", "state"], "title": "状态", "choices": [*map(list, STATES.items())]},
            {"control": "span", "at": ["coupon", "expires_within"], "title": "多久内到期", "none": "不限到期"},
        ),
    )
    goods = {"sku": "规格编码", "item": "商品编号", "title": "名称含", "channel": "渠道", "shop": "店铺"}
    yield (
        "订单与消费",
        _ask(
            "bought",
            "买过的商品",
            {"bought": "any", "within": "90d"},
            {"control": "goods", "at": ["bought"], "names": [*map(list, goods.items())]},
            {"control": "count", "at": ["count"]},
            span,
        ),
    )
    yield "消息与互动", _ask("no_reply", "没有回复", {"no_reply": True, "within": "7d"}, span)
    opens = {"control": "number", "at": ["radar_opens_gte"], "title": "次数", "before": "至少", "unit": "次"}
    which = {"control": "texts", "at": ["content"], "title": "素材编号", "none": "任一素材"}
    yield (
        "消息与互动",
        _ask("radar_opens_gte", "打开过雷达素材", {"radar_opens_gte": 1, "within": "30d"}, opens, span, which),
    )
    pushes = {"control": "count", "at": ["pushed"], "is_needed": True}
    yield "消息与互动", _ask("pushed", "收到过营销消息", {"pushed": {"gte": 3}, "within": "7d"}, pushes, span)
    for flag, words in FLAGS.items():
        yield "消息与互动", _ask(f"flag:{flag}", f"客户{words}", {"flag": flag})
    if of_run:
        yield (
            "本次跟进",
            _ask("trigger", "触发事件里的一项", {"trigger": "paid", "op": "gte", "value": 1}, _fact()),
        )
