"""The playbook format as JSON Schema, so that editors complete and check while an author writes."""

from typing import Any

from scrm.content.attachments import MEDIA_KINDS
from scrm.profiles.conditions import EVENTS, LEAVES, OWN_EVENT
from scrm.sop.actions import ACTIONS
from scrm.sop.parse import PLAYBOOK_KEYS, PRIORITIES
from scrm.sop.parse_coupons import COUPON_KEYS
from scrm.sop.parse_guards import OPTOUTS
from scrm.sop.parse_steps import STEP_KEYS
from scrm.sop.parse_trigger import RUN_KEYS
from scrm.sop.schema import Channel, Late
from scrm.sop.triggers import TRIGGERS

_EVENT = {"anyOf": [{"enum": list(EVENTS)}, {"type": "string", "pattern": f"^{OWN_EVENT.pattern}$"}]}
_DURATION = {"type": "string", "pattern": r"^(\d+[smhd])+$", "description": "30m、4h、3d"}
_WINDOW = {"type": "string", "pattern": r"^\d{1,2}:\d{2}\s*[-–~～至]\s*\d{1,2}:\d{2}$", "description": "10:00-11:30"}
_KEY = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}
_TEXT = {"type": "string", "minLength": 1}
_CONDITION = {"$ref": "#/$defs/condition"}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12; what only shows in the whole (expired coupons, closed windows) is left to `lint`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "SOP 剧本",
        **_object(
            {key: _PLAYBOOK[key] for key in PLAYBOOK_KEYS},
            ["playbook", "title", "trigger", "run_key", "reentry", "exit_if", "goal", "steps"],
        ),
        "$defs": {"condition": _condition(), "coupon": _coupon(), "step": _step()},
    }


def _object(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**described, "required": required} if required else described


def _condition() -> dict[str, Any]:
    group = {"type": "array", "minItems": 1, "items": _CONDITION}
    groups = [_object({"all": group}, ["all"]), _object({"any": group}, ["any"]), _object({"not": _CONDITION}, ["not"])]
    return {"oneOf": groups + [dict(leaf.schema) for leaf in LEAVES.values()]}


def _coupon() -> dict[str, Any]:
    money = {"type": "number", "minimum": 0, "description": "元"}
    properties = {
        "title": _TEXT,
        "kind": {"enum": ["generated", "pool", "link"]},
        "benefit": {"enum": ["amount", "percent", "gift", "freight"]},
        "amount": money,
        "percent_off": {"type": "integer", "minimum": 1, "maximum": 99, "description": "15 表示 8.5 折"},
        "threshold": money,
        "valid": _DURATION,
        "url": {"type": "string", "pattern": "^https?://"},
        "rules": _TEXT,
        "budget": {"type": "integer", "minimum": 1},
    }
    return _object({key: properties[key] for key in COUPON_KEYS}, ["title"])


def _step() -> dict[str, Any]:
    link = _object({"title": _TEXT, "url": _TEXT, "desc": _TEXT, "picurl": _TEXT}, ["title", "url"])
    files = [
        _object({kind: {**_TEXT, "description": f"素材库里的{title}"}}, [kind]) for kind, title in MEDIA_KINDS.items()
    ]
    attachment = {"oneOf": [_object({"coupon": _KEY}, ["coupon"]), _object({"link": link}, ["link"]), *files]}
    inline = _object(
        {"text": _TEXT, "attachments": {"type": "array", "minItems": 1, "maxItems": 9, "items": attachment}}
    )
    act = _object({action.name: {"description": action.title} for action in ACTIONS})
    properties = {
        "id": _KEY,
        "title": _TEXT,
        "at": {"type": "string", "pattern": r"^(T0(\+\S+)?|D\+\d{1,4}(\s+\S.*)?)$"},
        "window": _WINDOW,
        "channel": {"enum": [channel.value for channel in Channel]},
        "if": _CONDITION,
        "late": {"enum": [late.value for late in Late]},
        "ttl": _DURATION,
        "quiet": {"enum": ["inherit", "none"]},
        "content": {"oneOf": [_TEXT, inline]},
        "coupon": _KEY,
        "do": {"type": "array", "minItems": 1, "items": act},
    }
    return _object({key: properties[key] for key in STEP_KEYS}, ["id", "at", "channel"])


_NONE = {"enum": ["none", None]}
_TEST = _object(
    {
        "name": _TEXT,
        "given": {"type": "array", "minItems": 1},
        "staff": _object({"confirms_after": {"type": "string"}}),
        "until": {"type": "string"},
        "expect": {"type": "object", "minProperties": 1},
    },
    ["name", "given", "expect"],
)
_CAPS = _object(
    {
        "gap": _DURATION,
        "per_week": {"type": "integer", "minimum": 1},
        "per_month": {"type": "integer", "minimum": 1},
    }
)
_PLAYBOOK: dict[str, Any] = {
    "playbook": _KEY,
    "title": _TEXT,
    "description": _TEXT,
    "version": {"type": "integer"},
    "priority": {"enum": list(PRIORITIES)},
    "trigger": _object(
        {"event": {"enum": [trigger.name for trigger in TRIGGERS]}, "where": {"type": "object"}}, ["event"]
    ),
    "run_key": {"enum": list(RUN_KEYS)},
    "reentry": {"oneOf": [{"enum": ["never", "per_key"]}, _object({"every": _DURATION}, ["every"])]},
    "enter_if": _CONDITION,
    "exit_if": {"oneOf": [_NONE, _CONDITION]},
    "goal": {"oneOf": [_NONE, _object({"event": {"enum": list(EVENTS)}, "within": _DURATION}, ["event"])]},
    "guards": _object(
        {
            "quiet": {"anyOf": [{"enum": ["inherit", "none"]}, _WINDOW]},
            "cap": {"anyOf": [{"enum": ["inherit", "none"]}, _CAPS]},
            "max_pushes": {"type": "integer", "minimum": 1},
            "brake": {"enum": ["inherit", "none"]},
            "queue": {"enum": ["inherit", "none"]},
            "optout": {"enum": list(OPTOUTS)},
            "value": {"type": "integer", "minimum": 0, "description": "预期价值（元），同级剧本同一天时高的先发"},
        }
    ),
    "coupons": {"type": "object", "minProperties": 1, "additionalProperties": {"$ref": "#/$defs/coupon"}},
    "steps": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}},
    "tests": {"type": "array", "items": _TEST},
}
