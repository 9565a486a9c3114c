"""What a page or a program posted, read and put right before anything is kept: pure."""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from scrm.db.vault import Vault, mask_phone
from scrm.errors import Invalid
from scrm.profiles.phones import normalise_phone
from scrm.tracking import names

MOST_EVENTS = 100
MOST_PROPS_BYTES = 8 * 1024
MOST_ITEMS = 50
MOST_CLAIMS = 8
SKEW = timedelta(minutes=1)
LATEST = timedelta(days=30)
EARLIEST = timedelta(minutes=10)

# What may be written for a kind of identity.
KINDS = {
    "wecom_external_userid": "wecom_external_userid",
    "external_userid": "wecom_external_userid",
    "wx_unionid": "wx_unionid",
    "unionid": "wx_unionid",
    "wx_openid": "wx_openid",
    "openid": "wx_openid",
    "oa_openid": "oa_openid",
    "external_ref": "external_ref",
    "member_no": "member_no",
    "member_card": "member_no",
    "mobile_e164": "mobile_e164",
    "mobile": "mobile_e164",
    "phone": "mobile_e164",
}
# Nobody can guess these; a phone number anybody can, and a page's key is no secret.
_HARD_TO_GUESS = frozenset({"wecom_external_userid", "wx_unionid", "wx_openid", "oa_openid"})

_SCOPED = frozenset({"wx_openid", "external_ref"})

_NOBODY = frozenset({"", "0", "null", "undefined", "unknown", "none", "nan", "anonymous", "test", "[object object]"})
_ID = re.compile(r"[A-Za-z0-9_\-.:]{6,64}")
_PHONE = re.compile(r"(?<![0-9A-Za-z])(?:\+?86)?1[3-9]\d{9}(?![0-9A-Za-z])")
_TEXTS = {
    "source": 20,
    "product_id": 80,
    "sku": 80,
    "title": 120,
    "category": 80,
    "currency": 8,
    "order_no": 64,
    "coupon_no": 64,
    "template_no": 64,
    "page_path": 300,
    "referrer": 300,
    "utm_source": 80,
    "utm_medium": 80,
    "utm_campaign": 80,
    "utm_term": 80,
    "utm_content": 80,
    "staff_id": 64,
    "share_id": 64,
    "scene": 64,
    "query": 80,
    "radar": 32,
}
_NUMBERS = ("price_fen", "qty", "seconds")


@dataclass(frozen=True, slots=True)
class Claim:
    """An identity as it is looked up; a phone's `value` is its keyed hash, `sealed` and `mask` are what is kept of it."""

    kind: str
    scope: str
    value: str
    is_trusted: bool
    sealed: str = ""
    mask: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """One event that can be kept."""

    event_id: str
    name: str
    anonymous_id: str
    occurred_at: datetime
    facts: dict[str, Any]
    session_id: str = ""
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """One request; `consent` is None when nothing was said about it, `refused` says which events cannot be kept."""

    received_at: datetime
    events: tuple[Told, ...] = ()
    claims: tuple[Claim, ...] = ()
    anonymous_id: str = ""
    consent: bool | None = None
    refused: tuple[dict[str, Any], ...] = field(default=())


def read_body(body: bytes) -> dict[str, Any]:
    """The request as an object: `{"events": [...]}`, a list of events, or one event. Raises Invalid."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Invalid(
            '请求体应为 JSON：{"key": "…", "anonymous_id": "…", "events": [{"name": "product.viewed"}]}'
        ) from None
    if isinstance(found, list):
        return {"events": found}
    if isinstance(found, dict):
        return found if "events" in found or "name" not in found else {**_head_of(found), "events": [found]}
    raise Invalid("请求体应为一个对象、一个事件或事件的列表")


def _head_of(event: Mapping[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("key", "write_key", "token", "consent", "sent_at") if name in event}


def read_batch(
    body: Mapping[str, Any], *, now: datetime, vault: Vault, is_trusted: bool, proven: tuple[Claim, ...] = ()
) -> Batch:
    """The events that can be kept, their clocks put right; `proven` are identities of a signed token.

    Raises Invalid when the whole request cannot be read; a single bad event only lands in `refused`.
    """
    listed = body.get("events") or []
    if not isinstance(listed, list) or len(listed) > MOST_EVENTS:
        raise Invalid(f"events 应为列表，最多 {MOST_EVENTS} 个事件")
    anonymous_id = _anonymous(body.get("anonymous_id"))
    claims = _claims(body.get("identities"), vault, is_trusted) + proven
    events: list[Told] = []
    refused: list[dict[str, Any]] = []
    for index, item in enumerate(listed):
        try:
            events.append(_event(item, body, anonymous_id, now, vault, is_trusted))
        except Invalid as error:
            refused.append({"index": index, "error": error.text})
    consent = body.get("consent")
    batch = Batch(
        now, tuple(events), claims, anonymous_id, consent if isinstance(consent, bool) else None, tuple(refused)
    )
    return _without_ids(batch) if batch.consent is False else batch


def _without_ids(batch: Batch) -> Batch:
    """Without consent nothing is known of who it was; the id of the request stays, because it is withdrawn by it."""
    events = tuple(Told(one.event_id, one.name, "", one.occurred_at, _anonymised(one.facts)) for one in batch.events)
    return Batch(batch.received_at, events, (), batch.anonymous_id, False, batch.refused)


def _anonymised(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("source", "product_id", "sku", "category", "price_fen", "qty") if key in facts}


def _event(
    item: Any, body: Mapping[str, Any], anonymous_id: str, now: datetime, vault: Vault, is_trusted: bool
) -> Told:
    if not isinstance(item, dict):
        raise Invalid("事件应为对象")
    written = item.get("name") or item.get("event")
    name = names.find_name(written) if isinstance(written, str) else None
    if name is None:
        raise Invalid(f"事件名“{str(written)[:40]}”不认识：用标准名（如 product.viewed），自定义的以 custom. 开头")
    anonymous_id = _anonymous(item.get("anonymous_id")) or anonymous_id
    occurred_at = _corrected(item, item.get("sent_at") or body.get("sent_at"), now)
    facts = _facts(item)
    given = str(item.get("event_id") or item.get("message_id") or "").strip()
    return Told(
        event_id=given if _ID.fullmatch(given) else _made_up_id(name, anonymous_id, item),
        name=name,
        anonymous_id=anonymous_id,
        occurred_at=occurred_at,
        facts=facts,
        session_id=_anonymous(item.get("session_id")),
        claims=_claims(item.get("identities"), vault, is_trusted),
    )


def _corrected(item: Mapping[str, Any], sent: Any, now: datetime) -> datetime:
    """When it happened by our clock: a page's clock may be minutes or hours off, its differences are right."""
    written = item.get("occurred_at", item.get("timestamp"))
    if written is None:
        return now
    occurred_at, sent_at = read_moment(written), read_moment(sent) if sent is not None else None
    if occurred_at is None:
        raise Invalid(f"occurred_at“{str(written)[:40]}”看不懂：写成带时区的 ISO 8601 或毫秒时间戳")
    if sent_at is not None and abs(now - sent_at) > SKEW:
        try:
            occurred_at += now - sent_at
        except OverflowError:
            raise Invalid("occurred_at 与 sent_at 相差太多，请检查时钟") from None
    if occurred_at > now + EARLIEST:
        raise Invalid("occurred_at 在未来 10 分钟以后，请检查时钟")
    if occurred_at < now - LATEST:
        raise Invalid("事件发生在 30 天以前，不再接收")
    return min(occurred_at, now)


def read_moment(value: Any) -> datetime | None:
    """ISO 8601 with a zone, or seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, bool):
            return None
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
        moment = datetime.fromisoformat(str(value))
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _facts(item: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for key, limit in _TEXTS.items():
        value = item.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            facts[key] = clean(str(value))[:limit]
    for key in _NUMBERS:
        value = item.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**11:
            facts[key] = value
    props = item.get("props", item.get("properties"))
    items = item.get("items")
    if isinstance(items, list):
        facts["items"] = [_item(one) for one in items[:MOST_ITEMS] if isinstance(one, dict)]
    if isinstance(props, dict) and props:
        if len(json.dumps(props, ensure_ascii=False).encode(errors="replace")) > MOST_PROPS_BYTES:
            raise Invalid(f"props 超过 {MOST_PROPS_BYTES // 1024} KB")
        facts["props"] = clean_tree(props)
    return facts


def _item(one: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {
        key: clean(str(one[key]))[:120]
        for key in ("product_id", "sku", "title")
        if isinstance(one.get(key), str | int) and one[key] != ""
    }
    for key in ("price_fen", "qty"):
        if isinstance(one.get(key), int) and not isinstance(one[key], bool) and abs(one[key]) < 10**11:
            kept[key] = one[key]
    return kept


def clean(text: str) -> str:
    """Without what no database can keep, and with phone numbers masked wherever they stand."""
    text = text.replace("\0", "").encode(errors="replace").decode()
    return _PHONE.sub(lambda found: mask_phone(found[0][-11:]), text)


def clean_tree(value: Any, depth: int = 0) -> Any:
    """`clean` for every text of a JSON value; what lies deeper than five levels goes."""
    if depth > 5:
        return None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key))[:60]: clean_tree(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [clean_tree(each, depth + 1) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and _PHONE.fullmatch(str(value)):
        return clean(str(value))
    return value if value == value and value not in (float("inf"), float("-inf")) else None


def _anonymous(value: Any) -> str:
    text = str(value).strip() if isinstance(value, str) else ""
    return text if _ID.fullmatch(text) and not is_nobody(text) else ""


def is_nobody(value: str) -> bool:
    """Values that many share: null, unknown, masks, the same digit all along."""
    text = value.strip().lower()
    return text in _NOBODY or "*" in text or len(set(text.replace("-", ""))) <= 1


def _claims(listed: Any, vault: Vault, is_trusted: bool) -> tuple[Claim, ...]:
    if isinstance(listed, dict):
        listed = [{"kind": kind, "value": value} for kind, value in listed.items()]
    if not isinstance(listed, list):
        return ()
    read = (read_claim(one, vault, is_trusted=is_trusted) for one in listed[:MOST_CLAIMS] if isinstance(one, dict))
    return tuple(claim for claim in read if claim is not None)


def read_claim(one: Mapping[str, Any], vault: Vault, *, is_trusted: bool) -> Claim | None:
    """`{kind, value, scope}` as it is looked up; None for an unknown kind, a value that names nobody, or one that a
    page may not claim.
    """
    kind = KINDS.get(str(one.get("kind", "")))
    value, scope = str(one.get("value") or "").strip(), str(one.get("scope") or one.get("appid") or "").strip()[:80]
    if kind is None or is_nobody(value) or len(value) > 128 or not value.isprintable():
        return None
    if not is_trusted and kind not in _HARD_TO_GUESS:
        return None
    if kind == "mobile_e164":
        phone = normalise_phone(value)
        if phone is None or is_nobody(phone[5:]):
            return None
        return Claim(kind, "", vault.lookup(phone), is_trusted, vault.seal(phone), mask_phone(phone))
    return Claim(kind, scope if kind in _SCOPED else "", value, is_trusted)


def _made_up_id(name: str, anonymous_id: str, item: Mapping[str, Any]) -> str:
    """A page that gives no id still sends the same beacon twice at times; without a moment every event is another."""
    if "occurred_at" not in item and "timestamp" not in item:
        return "r" + secrets.token_hex(16)
    told = {key: value for key, value in item.items() if key not in ("sent_at", "identities", "key", "token")}
    written = json.dumps([name, anonymous_id, told], sort_keys=True, default=str)
    return "h" + hashlib.sha256(written.encode(errors="replace")).hexdigest()[:40]
