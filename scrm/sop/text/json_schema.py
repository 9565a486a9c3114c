"""The playbook format as JSON Schema, so that editors complete and check while an author writes."""

from typing import Any

from scrm.content import programs
from scrm.content.attachments import MAX_ATTACHMENTS, MEDIA_KINDS
from scrm.profiles.conditions.tree import EVENTS, LEAVES, OWN_EVENT
from scrm.sop.actions import ACTIONS
from scrm.sop.calendar import consumption, dates, schedules
from scrm.sop.calendar.workdays import ONLY
from scrm.sop.channels import CHANNELS
from scrm.sop.schema import Channel, Late
from scrm.sop.text import start_fields
from scrm.sop.text.contents import MAX_VARIANTS
from scrm.sop.text.coupons import COUPON_KEYS
from scrm.sop.text.guards import OPTOUTS
from scrm.sop.text.parse import PLAYBOOK_KEYS, PRIORITIES
from scrm.sop.text.steps import STEP_KEYS
from scrm.sop.text.trigger import RUN_KEYS
from scrm.sop.triggers import ALIASES, BY_HAND, TRIGGERS

_EVENT = {"anyOf": [{"enum": [*EVENTS, *ALIASES]}, {"type": "string", "pattern": f"^{OWN_EVENT.pattern}$"}]}
_DURATION = {"type": "string", "pattern": r"^(\d+[smhd])+$", "description": "30m、4h、3d"}
_WINDOW = {"type": "string", "pattern": r"^\d{1,2}:\d{2}\s*[-–~～至]\s*\d{1,2}:\d{2}$", "description": "10:00-11:30"}
_KEY = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$"}
_TEXT = {"type": "string", "minLength": 1}
_CONDITION = {"$ref": "#/$defs/condition"}
_AT = {
    "type": "string",
    "pattern": r"^\s*(T0([+-]\S+)?|[DW]([+-]\d{1,4})?(\s+\S.*)?)\s*$",
    "description": "T0、T0+30m、T0-2h、D+3 10:00-11:30、D-3、W+2",
}
_ONLY = {"enum": list(ONLY), "description": "只在工作日或休息日发"}
_SHARE = {"type": "string", "pattern": r"^\s*\d{1,3}(\.\d{1,2})?%\s*$", "description": "50%"}
_PART = {
    # Each kind has its own word; a step has none of them.
    "if": {"required": ["branch"]},
    "then": {"$ref": "#/$defs/branch"},
    "else": {
        "if": {"required": ["split"]},
        "then": {"$ref": "#/$defs/split"},
        "else": {
            "if": {"required": ["wait"]},
            "then": {"$ref": "#/$defs/wait"},
            "else": {"$ref": "#/$defs/step"},
        },
    },
}
_PARTS = {"$ref": "#/$defs/parts"}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12; what only shows in the whole (expired coupons, closed windows) is left to `lint`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "SOP 剧本",
        **_object(
            {key: _PLAYBOOK[key] for key in PLAYBOOK_KEYS},
            ["playbook", "title", "trigger", "run_key", "reentry", "exit_if", "goal", "steps"],
        ),
        "$defs": {
            "condition": _condition(),
            "coupon": _coupon(),
            "step": _step(),
            "branch": _branch(),
            "split": _split(),
            "wait": _wait(),
            "parts": {"type": "array", "items": _PART},
        },
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
    act = _object({action.name: {"description": action.title} for action in ACTIONS})
    properties = {
        "id": _KEY,
        "title": _TEXT,
        "at": _AT,
        "window": _WINDOW,
        "only": _ONLY,
        "channel": {"enum": [channel.value for channel in Channel]},
        "if": _CONDITION,
        "late": {"enum": [late.value for late in Late]},
        "ttl": _DURATION,
        "quiet": {"enum": ["inherit", "none", None]},
        "content": {"oneOf": [_TEXT, _content()]},
        "coupon": _KEY,
        "do": {"type": "array", "minItems": 1, "items": act},
    }
    of_channels = {
        key: {"description": f"渠道 {each.letter}（{each.title}）"} for each in CHANNELS for key in each.keys
    }
    return {
        **_object({**{key: properties[key] for key in STEP_KEYS}, **of_channels}, ["id", "at", "channel"]),
        # What only one channel reads is for its steps alone.
        "allOf": [
            {
                "if": {"required": [key]},
                "then": {"properties": {"channel": {"enum": [each.letter for each in CHANNELS if key in each.keys]}}},
            }
            for key in of_channels
        ],
    }


def _content() -> dict[str, Any]:
    link = _object({"title": _TEXT, "url": _TEXT, "desc": _TEXT, "picurl": _TEXT}, ["title", "url"])
    files = [
        _object({kind: {**_TEXT, "description": f"素材库里的{title}"}}, [kind]) for kind, title in MEDIA_KINDS.items()
    ]
    program = _object(dict.fromkeys(programs.KEYS, _TEXT), [*programs.KEYS])
    cards = [
        _object({"coupon": _KEY}, ["coupon"]),
        _object({"link": link}, ["link"]),
        _object({programs.KIND: program}, [programs.KIND]),
    ]
    attachment = {"oneOf": [*cards, *files]}
    said = {
        "text": _TEXT,
        "attachments": {"type": "array", "minItems": 1, "maxItems": MAX_ATTACHMENTS, "items": attachment},
    }
    variant = _object({"name": _TEXT, "share": _SHARE, **said}, ["share"])
    variants = {"type": "array", "minItems": 1, "maxItems": MAX_VARIANTS, "items": variant}
    return {"oneOf": [_object(said), _object({"variants": variants}, ["variants"])]}


def _branch() -> dict[str, Any]:
    arm = _object({"name": _TEXT, "if": _CONDITION, "steps": _PARTS}, ["if", "steps"])
    otherwise = _object({"name": _TEXT, "else": _PARTS}, ["else"])
    arms = {"type": "array", "minItems": 1, "items": {"oneOf": [arm, otherwise]}}
    return _object({"branch": arms, "id": _KEY, "at": _AT, "window": _WINDOW, "only": _ONLY}, ["branch"])


def _split() -> dict[str, Any]:
    arm = _object({"name": _TEXT, "share": _SHARE, "steps": _PARTS}, ["share", "steps"])
    return _object({"split": {"type": "array", "minItems": 1, "items": arm}, "id": _KEY}, ["split"])


def _wait() -> dict[str, Any]:
    over = {"anyOf": [{"enum": ["next", "end"]}, _PARTS]}
    until = {"event": _EVENT, "where": {"type": "object", "minProperties": 1}, "timeout": _DURATION}
    both = {"id": _KEY, "then": _PARTS}
    kinds = [
        _object({**both, **until, "on_timeout": over}, ["event", "timeout", "on_timeout"]),
        _object({**both, "for": _DURATION, "on_timeout": over}, ["for"]),
    ]
    return _object({"wait": {"oneOf": kinds}, "id": _KEY}, ["wait"])


_NONE = {"enum": ["none", None]}
_TEST = _object(
    {
        "name": _TEXT,
        "given": {"type": "array", "minItems": 1},
        "staff": _object({"confirms_after": {"type": ["string", "object"]}}),
        "until": {"type": "string"},
        "holdout": {"type": "boolean"},
        "arms": {"type": "object", "description": "分流、文案测试走哪一路：{分流编号: 名称}"},
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
_GOAL = _object(
    {
        "event": _EVENT,
        "where": {"type": "object", "minProperties": 1},
        "within": _DURATION,
        "credit": {
            "type": "string",
            "pattern": r"^\s*(last_touch_)?(\d+[smhd])+\s*$",
            "description": "3d、last_touch_3d",
        },
    },
    ["event"],
)
_START_FIELD = _object(
    {
        "key": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
        "title": _TEXT,
        "type": {"enum": list(start_fields.TYPES)},
        "options": {"type": "array", "minItems": 1, "maxItems": start_fields.MOST_OPTIONS, "items": _TEXT},
        "required": {"type": "boolean"},
    },
    ["key", "title"],
)
_TRIGGER = {
    **_object(
        {
            "event": {
                "anyOf": [
                    {"enum": [*(trigger.name for trigger in TRIGGERS), *ALIASES]},
                    {"type": "string", "pattern": f"^{OWN_EVENT.pattern}$"},
                ]
            },
            "where": {"type": "object", "minProperties": 1},
            "date": _TEXT,
            "lunar": {"type": "boolean"},
            "yearly": {"type": "boolean"},
            "cron": _TEXT,
            "segment": _TEXT,
            "anchor": {"const": consumption.ANCHOR},
            "cycle": _DURATION,
            "ask": {"type": "array", "minItems": 1, "maxItems": start_fields.MOST, "items": _START_FIELD},
        },
        ["event"],
    ),
    # What belongs to one event is needed by it, and by no other.
    "allOf": [
        {
            "if": {"required": ["anchor"]},
            "then": {"required": ["cycle", "where"]},
            "else": {"properties": {"cycle": False}},
        },
        *(
            {
                "if": {"properties": {"event": {"const": event}}},
                "then": {"required": needed},
                "else": {"properties": dict.fromkeys(only, False)},
            }
            for event, needed, only in (
                (dates.EVENT, ["date"], ("date", "lunar", "yearly")),
                (schedules.EVENT, ["cron", "segment"], ("cron", "segment")),
                (BY_HAND, [], ("ask",)),
            )
        ),
    ],
}
_PLAYBOOK: dict[str, Any] = {
    "playbook": _KEY,
    "title": _TEXT,
    "description": _TEXT,
    "version": {"type": "integer"},
    "priority": {"enum": list(PRIORITIES)},
    "owner_role": {**_TEXT, "description": "谁负责这个剧本，给人看的"},
    "trigger": _TRIGGER,
    "run_key": {"enum": list(RUN_KEYS)},
    "reentry": {"oneOf": [{"enum": ["never", "per_key"]}, _object({"every": _DURATION}, ["every"])]},
    "enter_if": _CONDITION,
    "exit_if": {"oneOf": [_NONE, _CONDITION]},
    "goal": {"oneOf": [_NONE, _GOAL]},
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
    "holdout": {"anyOf": [_SHARE, {"const": "none"}], "description": "对照组：留多少人什么都不做；none 是不留"},
    "approval": _object({"audience": {"type": "integer", "minimum": 1}}, ["audience"]),
    "steps": {"type": "array", "minItems": 1, "items": _PART},
    "tests": {"type": "array", "items": _TEST},
}
