"""POST /api/v1/events: what other programs of the shop tell of its customers, in kinds of their own."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy import Connection

from scrm import events
from scrm.api.operation import Each, operation
from scrm.api.parameters import PAGED_BY_KEY, SAYS_SOMETHING, Moment, Page, decode, page_of_few
from scrm.errors import Invalid
from scrm.http import require_keepable
from scrm.profiles import identities, redirects, timeline
from scrm.profiles.conditions.tree import EVENTS, OWN_EVENT
from scrm.profiles.store import find_member, get_person
from scrm.services import SERVICES, Services
from scrm.sop.calendar.lives import MOVED, move_live
from scrm.sop.triggers import ALIASES
from scrm.tracking.reading import KINDS, clean_tree, read_claim, read_moment

routes = web.RouteTableDef()

MOST = 500
MOST_FACTS = 50
MOST_BYTES = 8 * 1024
AHEAD = timedelta(minutes=10)
# What was told this long after it happened belongs to the timeline, and starts no playbook.
HISTORY = timedelta(days=3)

# What only the shop's other systems can know of: lives, forms, goods, promises, reviews. Own kinds are `custom.*`.
OUTSIDE = frozenset(
    {"live.booked", MOVED, "form.submitted", "stock.available", "staff.promised", "product.reviewed", "review.received"}
)

FACT_TYPES = {"text": "文字", "number": "数字", "money": "金额（整数分）", "date": "日期时间", "bool": "是否"}


_Id = Annotated[int, Meta(ge=1, lt=2**62)]


class Nobody(Invalid):
    """Whoever is meant is nobody we know."""

    status = 404
    code = "not_found"


class Who(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody by our id, or by identities, of which the surest counts; `scope` is the app of an openid."""

    id: _Id | None = None
    person_id: _Id | None = None
    external_userid: str = ""
    wecom_external_userid: str = ""
    unionid: str = ""
    wx_unionid: str = ""
    openid: str = ""
    wx_openid: str = ""
    oa_openid: str = ""
    external_ref: str = ""
    member_no: str = ""
    member_card: str = ""
    mobile_e164: str = ""
    mobile: str = ""
    phone: str = ""
    scope: str = ""


NOBODY = '缺少 person：如 {"external_userid": "wm…"}、{"unionid": "…"}、{"phone": "…"} 或 {"id": 12}'
FactType = Literal["text", "number", "money", "date", "bool"]


_FactKey = Annotated[str, Meta(pattern="^[A-Za-z_][A-Za-z0-9_]{0,39}$")]


class EventType(Struct):
    """A kind of event of the shop's own; `facts`: {key: type}."""

    name: str
    title: str
    sentence: str
    facts: dict[str, FactType]


class EventTypeWanted(Struct, kw_only=True):
    """`sentence` is what the timeline says: "预约了{product}的试用"."""

    title: Annotated[str, Meta(max_length=60, extra_json_schema=SAYS_SOMETHING)]
    sentence: Annotated[str, Meta(max_length=200)] | None = None
    facts: Annotated[dict[_FactKey, FactType], Meta(max_length=MOST_FACTS)] | None = None


class EventTold(Struct, kw_only=True):
    """One event; the same `event_id` counts once. live.moved without a person is told to all who booked that live."""

    name: Annotated[str, Meta(min_length=1, max_length=48)]
    person: Who | None = None
    facts: Annotated[dict[str, Any], Meta(max_length=MOST_FACTS)] | None = None
    occurred_at: Moment | int | None = None
    key: Annotated[str, Meta(max_length=150)] | None = None
    userid: Annotated[str, Meta(max_length=64)] | None = None
    event_id: Annotated[str, Meta(max_length=120)] | None = None


class EventAnswer(Struct, kw_only=True):
    """`known`: told before; `error` says why it was rejected."""

    index: int
    result: Literal["created", "known", "rejected"]
    person_id: int | UnsetType | None = UNSET
    error: str | UnsetType = UNSET


class EventCounts(Struct):
    """How many of each result."""

    created: int = 0
    known: int = 0
    rejected: int = 0


class SavedEvents(Struct):
    """One result for each, in their order."""

    items: list[EventAnswer]
    counts: EventCounts


@routes.get("/api/v1/event_types")
@operation("自有事件的定义", query=PAGED_BY_KEY)
async def list_types(request: web.Request) -> Page[EventType]:
    rows = await request.app[SERVICES].db.read(timeline.list_event_types)
    return page_of_few(
        request, rows, lambda row: EventType(row.name, row.title, row.sentence, row.facts), lambda row: str(row.name)
    )


@routes.put("/api/v1/event_types/{name}")
@operation(
    "定义自有事件：标题、动态里的句子、字段类型",
    body=EventTypeWanted,
    path={"name": r"^custom\.[a-z][a-z0-9_.]{0,39}$"},
)
async def save_type(request: web.Request) -> EventType:
    """The name is `custom.` and small letters, digits, `_` or `.`."""
    services, name = request.app[SERVICES], request.match_info["name"]
    asked = decode(await request.read(), EventTypeWanted, '{"title": "…", "sentence": "可选", "facts": {"键": "类型"}}')
    kind = EventType(name, asked.title.strip(), (asked.sentence or "").strip(), asked.facts or {})
    _check_type(kind)
    await services.db.write(
        timeline.save_event_type,
        name,
        title=kind.title,
        sentence=kind.sentence,
        facts=kind.facts,
        now=services.clock.now(),
    )
    return kind


def _check_type(kind: EventType) -> None:
    _check_name(kind.name)
    if not kind.title:
        raise Invalid("title 要有 1 到 60 个字")
    for key in kind.facts:
        if not key.isidentifier() or len(key) > 40:
            raise Invalid(f"facts 的“{key[:40]}”：键用字母数字下划线，最多 40 个字符")


def _check_name(name: Any) -> None:
    if isinstance(name, str) and OWN_EVENT.fullmatch(name):
        return
    written = str(name)[:48]
    reason = "是系统自己的事件，不能由外部写入" if written in EVENTS else "不是可用的事件名"
    raise Invalid(f"“{written}”{reason}：自有事件以 custom. 开头，后面是小写字母、数字、_ 或 .，如 custom.trial_booked")


@dataclass(frozen=True, slots=True)
class _Told:
    name: str
    occurred_at: Moment
    who: Mapping[str, Any]
    facts: dict[str, Any]
    key: str
    userid: str
    event_id: str


@routes.post("/api/v1/events")
@operation(
    f"写入自有事件，一个或最多 {MOST} 个；同一 event_id 只记一次",
    says="每条的结果；有几条被拒收也是 200",
    body=Each(EventTold, MOST, may_be_one=True),
)
async def save_events(request: web.Request) -> SavedEvents:
    """Names are `custom.*` or one of OUTSIDE."""
    services = request.app[SERVICES]
    listed = _listed(await request.read())
    if len(listed) > MOST:
        raise Invalid(f"一次最多 {MOST} 个事件，收到 {len(listed)} 个")
    answers = await services.db.write(_save_all, listed, services, services.clock.now())
    return SavedEvents(answers, _count(answers))


def _listed(body: bytes) -> list[Any]:
    try:
        read = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("请求体应为 JSON：一个事件或事件的列表") from None
    if not isinstance(read, list | dict):
        raise Invalid(f"请求体应为一个事件（对象）或事件的列表，收到 {str(read)[:40]}")
    return read if isinstance(read, list) else [read]


def _count(answers: list[EventAnswer]) -> EventCounts:
    counts = Counter(answer.result for answer in answers)
    return msgspec.convert(dict(counts), EventCounts)


def _save_all(conn: Connection, listed: list[Any], services: Services, now: datetime) -> list[EventAnswer]:
    names = {str(item.get("name")) for item in listed if isinstance(item, dict)}
    types = timeline.find_event_types(conn, names)
    answers = []
    for index, item in enumerate(listed):
        try:
            told = _read(item, types, now)
            if told.name == MOVED and "everybody" in told.who:
                _move_live(conn, told, now)
                answers.append(EventAnswer(index=index, result="created", person_id=None))
                continue
            person_id = find_person(conn, told.who, services)
            answers.append(EventAnswer(index=index, result=_save(conn, told, person_id, now), person_id=person_id))
        except Invalid as error:
            answers.append(EventAnswer(index=index, result="rejected", error=error.text))
    return answers


def _move_live(conn: Connection, told: _Told, now: datetime) -> None:
    """Without a person it is told to everybody who booked that live."""
    starts_at = told.facts.get("starts_at")
    if not told.key or not isinstance(starts_at, str) or not _is_date(starts_at):
        raise Invalid("live.moved 要写 key（直播编号）和 facts.starts_at（新的开播时间，带时区的 ISO 8601）")
    move_live(conn, told.key, starts_at, told.facts, now=now)


def _save(conn: Connection, told: _Told, person_id: int, now: datetime) -> Literal["created", "known"]:
    member = find_member(conn, told.userid) if told.userid else None
    event = events.Event(
        name=told.name,
        occurred_at=told.occurred_at,
        person_id=person_id,
        userid=member.userid if member is not None else "",
        key=told.key,
        facts={**told.facts, "historic": True} if told.occurred_at < now - HISTORY else told.facts,
        once=f"api:{told.name}:{told.event_id}" if told.event_id else None,
    )
    return "created" if events.publish(conn, [event], now=now) else "known"


def _read(item: Any, types: Mapping[str, Any], now: datetime) -> _Told:
    if not isinstance(item, dict):
        raise Invalid("事件应为对象")
    name, who, facts = item.get("name"), item.get("person"), item.get("facts") or {}
    if name not in OUTSIDE:
        _check_name(name)
    if name == MOVED and not who:
        who = {"everybody": True}
    if not isinstance(who, dict) or not who:
        raise Invalid(NOBODY)
    if not isinstance(facts, dict) or len(facts) > MOST_FACTS or len(msgspec.json.encode(facts)) > MOST_BYTES:
        raise Invalid(f"facts 应为对象，最多 {MOST_FACTS} 个键、{MOST_BYTES // 1024} KB")
    if str(name) in types:
        _check_facts(facts, types[str(name)].facts)
    written = item.get("occurred_at")
    occurred_at = now if written is None else read_moment(written)
    if occurred_at is None:
        raise Invalid(f"occurred_at“{str(written)[:40]}”看不懂：写成带时区的 ISO 8601")
    if occurred_at > now + AHEAD:
        raise Invalid("occurred_at 在未来，请检查时钟和时区")
    key, userid, event_id = (str(item.get(part) or "") for part in ("key", "userid", "event_id"))
    require_keepable({"key": key, "userid": userid, "event_id": event_id})
    if len(key) > 150 or len(event_id) > 120 or len(userid) > 64:
        raise Invalid("key 最多 150 个字符，event_id 最多 120 个，userid 最多 64 个")
    return _Told(
        ALIASES.get(str(name), str(name)), min(occurred_at, now), who, clean_tree(facts), key, userid, event_id
    )


def _check_facts(facts: Mapping[str, Any], wanted: Mapping[str, str]) -> None:
    """The facts of a kind that says what it carries; one that says nothing takes all."""
    for key, value in facts.items():
        if wanted and key not in wanted:
            raise Invalid(f"facts 里的“{key[:40]}”不在这类事件的定义里，定义的有 {'、'.join(wanted)}")
        if wanted and value is not None and not _FITS[wanted[key]](value):
            raise Invalid(f"facts 里的“{key}”应为{FACT_TYPES[wanted[key]]}，收到“{str(value)[:40]}”")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FITS: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": _is_number,
    "money": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "date": lambda value: isinstance(value, str) and _is_date(value),
    "bool": lambda value: isinstance(value, bool),
}


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def find_person(conn: Connection, who: Mapping[str, Any], services: Services) -> int:
    """By our id, else by the surest identity that is somebody's; raises Nobody."""
    number = who.get("id", who.get("person_id"))
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**62:
        person_id = redirects.follow(conn, number)
        if get_person(conn, person_id) is not None:
            return person_id
        raise Nobody(f"没有客户 {number}")
    unknown = [key for key in who if key not in KINDS and key != "scope"]
    if unknown:
        raise Invalid(f"person 里的“{str(unknown[0])[:40]}”不认识，可用的有 id、{'、'.join(KINDS)}")
    order = [kind.key for kind in identities.KINDS]
    scope = who.get("scope", "")
    claims = [
        read_claim({"kind": key, "value": value, "scope": scope}, services.vault, is_trusted=True)
        for key, value in who.items()
        if key != "scope"
    ]
    for claim in sorted(filter(None, claims), key=lambda claim: order.index(claim.kind)):
        found = identities.find_owner(conn, claim.kind, claim.value, claim.scope)
        if found is not None:
            return redirects.follow(conn, found)
    raise Nobody("没有找到这位客户：person 里的身份都不属于任何人")
