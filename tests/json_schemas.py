"""As much of JSON Schema 2020-12 as ours uses: what a value breaks, as lines. An unknown keyword is an error."""

import re
from collections.abc import Iterator
from typing import Any

_TYPES: dict[str, Any] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_SILENT = {"$schema", "$defs", "title", "description", "default", "then", "else"}


def broken(schema: Any, value: Any, root: Any = None, path: str = "$") -> Iterator[str]:
    """A line for each rule that the value breaks."""
    root = schema if root is None else root
    if isinstance(schema, bool):
        if not schema:
            yield f"{path}: nothing may stand here"
        return
    for keyword, rule in schema.items():
        if keyword not in _SILENT:
            yield from _check(keyword, rule, schema, value, root, path)


def _fits(schema: Any, value: Any, root: Any) -> bool:
    return next(broken(schema, value, root), None) is None


def _same(one: Any, two: Any) -> bool:
    return type(one) is type(two) and one == two


def _check(keyword: str, rule: Any, schema: Any, value: Any, root: Any, path: str) -> Iterator[str]:
    holds = True
    match keyword:
        case "$ref":
            place = root
            for part in rule.removeprefix("#/").split("/"):
                place = place[part]
            yield from broken(place, value, root, path)
        case "type":
            holds = any(_TYPES[each](value) for each in ([rule] if isinstance(rule, str) else rule))
        case "enum":
            holds = any(_same(each, value) for each in rule)
        case "const":
            holds = _same(rule, value)
        case "pattern":
            holds = not isinstance(value, str) or re.search(rule, value) is not None
        case "minLength":
            holds = not isinstance(value, str) or len(value) >= rule
        case "maxLength":
            holds = not isinstance(value, str) or len(value) <= rule
        case "minimum":
            holds = not _TYPES["number"](value) or value >= rule
        case "exclusiveMinimum":
            holds = not _TYPES["number"](value) or value > rule
        case "maximum":
            holds = not _TYPES["number"](value) or value <= rule
        case "minItems":
            holds = not isinstance(value, list) or len(value) >= rule
        case "maxItems":
            holds = not isinstance(value, list) or len(value) <= rule
        case "minProperties":
            holds = not isinstance(value, dict) or len(value) >= rule
        case "maxProperties":
            holds = not isinstance(value, dict) or len(value) <= rule
        case "required":
            holds = not isinstance(value, dict) or all(key in value for key in rule)
        case "oneOf":
            holds = sum(_fits(each, value, root) for each in rule) == 1
        case "anyOf":
            holds = any(_fits(each, value, root) for each in rule)
        case "not":
            holds = not _fits(rule, value, root)
        case "allOf":
            for each in rule:
                yield from broken(each, value, root, path)
        case "if":
            taken = "then" if _fits(rule, value, root) else "else"
            yield from broken(schema.get(taken, True), value, root, path)
        case "items":
            for number, each in enumerate(value if isinstance(value, list) else []):
                yield from broken(rule, each, root, f"{path}[{number}]")
        case "properties":
            for key, each in value.items() if isinstance(value, dict) else ():
                if key in rule:
                    yield from broken(rule[key], each, root, f"{path}.{key}")
        case "additionalProperties":
            known = schema.get("properties", {})
            for key, each in value.items() if isinstance(value, dict) else ():
                if key not in known:
                    yield from broken(rule, each, root, f"{path}.{key}")
        case _:
            raise NotImplementedError(keyword)
    if not holds:
        yield f"{path}: {keyword} {str(rule)[:80]}"
