"""A pushed message as a manager may read it: names, phones, addresses and mails are covered, numbers of orders stay."""

import json
import re
from typing import Any
from urllib.parse import unquote_plus

from scrm.commerce.connectors.hook import Unreadable, read_json

COVER = "••••"
_MOST = 20_000
_DEPTH = 12

_PRIVATE = re.compile(
    r"phone|mobile|tel(?:$|_)|_tel|email|address|addr|receiver|detail_info|first_name|last_name|user_name|nick|"
    r"buyer_name|id_?card|token|secret|browser_ip|latitude|longitude|zip|post_?code|company|street",
    re.IGNORECASE,
)
# What holds them is opened; what looks like them and is none is left.
_HARMLESS = frozenset(("tracking_company", "express_company_id", "company_name", "is_phone", "hash_code"))
_PHONE = re.compile(r"(?<![\w.])(\+?86[- ]?)?(1[3-9]\d)[- ]?\d{4}[- ]?(\d{4})(?!\w)", re.ASCII)
_ADDRESS_MARKS = ("phone", "mobile", "address", "address1", "address_1", "tel", "city")


def masked(body: bytes) -> str:
    """Indented JSON where it is JSON, also inside its texts; at most 20,000 characters."""
    try:
        value = read_json(body)
    except Unreadable:
        text = body.decode("utf-8", "backslashreplace")
        # Not understood, so nothing tells what is private: a long text is shown only by its beginning.
        return cover_phones(re.sub(r"(>|%3E)([^<>%]{1,200})(</)", r"\1…\3", text))[:2000]
    return json.dumps(_covered(value, 0), ensure_ascii=False, indent=2)[:_MOST]


def _covered(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        return "…"
    if isinstance(value, dict):
        whose = any(mark in value for mark in _ADDRESS_MARKS)
        return {name: _of(name, one, whose, depth) for name, one in value.items()}
    if isinstance(value, list):
        return [_covered(one, depth + 1) for one in value[:200]]
    return _text(value, depth) if isinstance(value, str) else value


def _of(name: str, value: Any, whose: bool, depth: int) -> Any:
    if isinstance(value, dict | list):
        return _covered(value, depth + 1)
    private = name not in _HARMLESS and (_PRIVATE.search(name) is not None or (whose and name == "name"))
    if private and value not in (None, "", True, False):
        return COVER
    return _text(value, depth) if isinstance(value, str) else value


def _text(text: str, depth: int) -> Any:
    """JSON inside a text, plain or URL-encoded, is opened so that what it holds can be covered."""
    inside = unquote_plus(text) if text.startswith(("%7B", "%7b", "%5B", "%5b")) else text
    if inside[:1] in ("{", "["):
        try:
            return _covered(read_json(inside.encode("utf-8", "replace")), depth + 1)
        except Unreadable:
            return COVER
    return cover_phones(text)


def cover_phones(text: str) -> str:
    """138****6620 wherever a mobile number stands."""
    return _PHONE.sub(lambda found: f"{found[2]}****{found[3]}", text)
