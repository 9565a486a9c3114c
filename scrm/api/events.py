"""POST /api/v1/events: what other programs of the shop tell of its customers, in kinds of their own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web
from sqlalchemy import Connection

from scrm import events
from scrm.errors import Invalid
from scrm.http import require_keepable
from scrm.profiles import identities, redirects, timeline
from scrm.profiles.conditions import EVENTS, OWN_EVENT
from scrm.profiles.store import find_member, get_person
from scrm.services import SERVICES, Services
from scrm.sop.lives import MOVED, move_live
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


@routes.get("/api/v1/event_types")
async def list_types(request: web.Request) -> web.Response:
    """The shop's own kinds of events."""
    rows = await request.app[SERVICES].db.read(timeline.list_event_types)
    items = [{"name": row.name, "title": row.title, "sentence": row.sentence, "facts": row.facts} for row in rows]
    return web.json_response({"items": items})


@routes.put("/api/v1/event_types/{name}")
async def save_type(request: web.Request) -> web.Response:
    """`{"title": "预约试用", "sentence": "预约了{product}的试用", "facts": {"product": "text"}}`; 422 says what is wrong.

    The name is `custom.` and small letters, digits, `_` or `.`; types of facts are text, number, money, date, bool.
    """
    services = request.app[SERVICES]
    name = request.match_info["name"]
    body = _decode(await request.read())
    if not isinstance(body, dict):
        raise Invalid('请求体应为 {"title": "…", "sentence": "可选", "facts": {"键": "类型"}}')
    title, sentence = str(body.get("title") or "").strip(), str(body.get("sentence") or "").strip()
    facts = body.get("facts") or {}
    _check_type(name, title, sentence, facts)
    await services.db.write(
        timeline.save_event_type, name, title=title, sentence=sentence, facts=facts, now=services.clock.now()
    )
    return web.json_response({"name": name, "title": title, "sentence": sentence, "facts": facts})


def _check_type(name: str, title: str, sentence: str, facts: Any) -> None:
    _check_name(name)
    require_keepable({"title": title, "sentence": sentence})
    if not 0 < len(title) <= 60 or len(sentence) > 200:
        raise Invalid("title 要有 1 到 60 个字，sentence 最多 200 个字")
    if not isinstance(facts, dict) or len(facts) > MOST_FACTS:
        raise Invalid(f"facts 应为 {{键: 类型}}，最多 {MOST_FACTS} 个")
    for key, kind in facts.items():
        if not key.isidentifier() or len(key) > 40 or kind not in FACT_TYPES:
            raise Invalid(f"facts 的“{key[:40]}”：键用字母数字下划线，类型是 {'、'.join(FACT_TYPES)} 之一")


def _check_name(name: Any) -> None:
    if isinstance(name, str) and OWN_EVENT.fullmatch(name):
        return
    written = str(name)[:48]
    reason = "是系统自己的事件，不能由外部写入" if written in EVENTS else "不是可用的事件名"
    raise Invalid(f"“{written}”{reason}：自有事件以 custom. 开头，后面是小写字母、数字、_ 或 .，如 custom.trial_booked")


@dataclass(frozen=True, slots=True)
class _Told:
    name: str
    occurred_at: datetime
    who: Mapping[str, Any]
    facts: dict[str, Any]
    key: str
    userid: str
    event_id: str


@routes.post("/api/v1/events")
async def save_events(request: web.Request) -> web.Response:
    """One event or a list of at most 500; per item `created`, `known` (told before) or `rejected` with the reason.

    `{"name", "person": {"external_userid" | "unionid" | "phone" | "id" …}, "occurred_at", "facts", "key", "event_id"}`.
    Names are `custom.*` or one of OUTSIDE; live.moved without a person is told to all who booked the live `key`.
    """
    services = request.app[SERVICES]
    body = _decode(await request.read())
    listed = body if isinstance(body, list) else [body]
    if len(listed) > MOST:
        raise Invalid(f"一次最多 {MOST} 个事件，收到 {len(listed)} 个")
    answers = await services.db.write(_save_all, listed, services, services.clock.now())
    counts = {result: sum(1 for one in answers if one["result"] == result) for result in _RESULTS}
    return web.json_response({"items": answers, "counts": counts})


_RESULTS = ("created", "known", "rejected")


def _save_all(conn: Connection, listed: list[Any], services: Services, now: datetime) -> list[dict[str, Any]]:
    names = {str(item.get("name")) for item in listed if isinstance(item, dict)}
    types = timeline.find_event_types(conn, names)
    answers: list[dict[str, Any]] = []
    for index, item in enumerate(listed):
        answer: dict[str, Any] = {"index": index}
        try:
            told = _read(item, types, now)
            if told.name == MOVED and "everybody" in told.who:
                answers.append({**answer, **_move_live(conn, told, now)})
                continue
            person_id = find_person(conn, told.who, services)
            answer |= {"result": _save(conn, told, person_id, now), "person_id": person_id}
        except Invalid as error:
            answer |= {"result": "rejected", "error": error.text}
        answers.append(answer)
    return answers


def _move_live(conn: Connection, told: _Told, now: datetime) -> dict[str, Any]:
    """Without a person it is told to everybody who booked that live."""
    starts_at = told.facts.get("starts_at")
    if not told.key or not isinstance(starts_at, str) or not _is_date(starts_at):
        raise Invalid("live.moved 要写 key（直播编号）和 facts.starts_at（新的开播时间，带时区的 ISO 8601）")
    move_live(conn, told.key, starts_at, told.facts, now=now)
    return {"result": "created", "person_id": None}


def _save(conn: Connection, told: _Told, person_id: int, now: datetime) -> str:
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
        raise Invalid('缺少 person：如 {"external_userid": "wm…"}、{"unionid": "…"}、{"phone": "…"} 或 {"id": 12}')
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
    """By our id, else by the surest identity that is somebody's; raises Invalid when it is nobody's."""
    number = who.get("id", who.get("person_id"))
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 2**62:
        person_id = redirects.follow(conn, number)
        if get_person(conn, person_id) is not None:
            return person_id
        raise Invalid(f"没有客户 {number}")
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
    raise Invalid("没有找到这位客户：person 里的身份都不属于任何人")


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid("请求体应为 JSON") from None
