"""接口说明: every operation of the API by module, from the description that programs read, each with a call to copy."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from scrm.api.openapi import describe
from scrm.console.door import for_managers, page
from scrm.services import SERVICES

routes = web.RouteTableDef()

_EXAMPLES: dict[str, Any] = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
_FORMATS = {"date-time": "2026-03-02T10:00:00+08:00", "date": "2026-03-02"}
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Call:
    """One operation as the page shows it."""

    method: str
    path: str
    summary: str
    scope: str
    parameters: list[dict[str, Any]]
    answers: list[tuple[str, str]]
    curl: str
    # What a good answer looks like; empty when it says nothing.
    example: str


@routes.get("/console/api")
@for_managers
async def reference(request: web.Request) -> web.StreamResponse:
    settings = request.app[SERVICES].settings
    groups = group_calls(describe(), settings.server.public_url)
    return await page(request, "api_reference.html", active="api_keys", groups=groups)


def group_calls(described: dict[str, Any], url: str) -> dict[str, list[Call]]:
    """The operations by the title of their module, in the order of the description. Pure."""
    groups: dict[str, list[Call]] = {}
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            groups.setdefault(told["tags"][0], []).append(_call(described, url, method, path, told))
    return groups


def _call(described: dict[str, Any], url: str, method: str, path: str, told: dict[str, Any]) -> Call:
    return Call(
        method.upper(),
        path,
        told["summary"],
        told.get("x-scope", ""),
        told.get("parameters", []),
        [(status, answer["description"]) for status, answer in told["responses"].items()],
        "\n".join(_curl(described, url, method, path, told)),
        _example(described, told),
    )


def _example(described: dict[str, Any], told: dict[str, Any]) -> str:
    good = next(answer for status, answer in told["responses"].items() if status.startswith("2"))
    content = good.get("content", {}).get("application/json")
    if content is None:
        return ""
    return json.dumps(example_of(described, content["schema"]), ensure_ascii=False, indent=2)


def _curl(described: dict[str, Any], url: str, method: str, path: str, told: dict[str, Any]) -> Iterator[str]:
    body = told.get("requestBody", {}).get("content", {}).get("application/json")
    required = [
        f"{one['name']}=…" for one in told.get("parameters", ()) if one["in"] == "query" and one.get("required")
    ]
    path += f"?{'&'.join(required)}" if required else ""
    lines = [f'curl -X {method.upper()} "{url}{path}"' if method != "get" else f'curl "{url}{path}"']
    if "security" not in told:
        lines.append('-H "Authorization: Bearer $SCRM_KEY"')
    if method == "post":
        lines.append('-H "Idempotency-Key: $(uuidgen)"')
    if body is not None:
        example = json.dumps(example_of(described, body["schema"]), ensure_ascii=False)
        lines += ['-H "Content-Type: application/json"', f"-d '{example}'"]
    for number, line in enumerate(lines, 1):
        yield ("  " if number > 1 else "") + line + (" \\" if number < len(lines) else "")


def example_of(described: dict[str, Any], schema: dict[str, Any], depth: int = 0) -> Any:
    """The least that a schema asks for. Pure."""
    if "$ref" in schema:
        return example_of(described, described["components"]["schemas"][schema["$ref"].rpartition("/")[2]], depth)
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return example_of(described, schema[choice][0], depth)
    for said in ("default", "const"):
        if said in schema:
            return schema[said]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if schema.get("type") == "array" and depth < _DEEPEST:
        return [example_of(described, schema.get("items", {}), depth + 1)]
    if schema.get("type") == "object" and depth < _DEEPEST:
        wanted = schema.get("required") or list(schema.get("properties", {}))[:3]
        of = schema.get("properties", {})
        return {name: example_of(described, of.get(name, {"type": "string"}), depth + 1) for name in wanted}
    return _EXAMPLES.get(schema.get("type", "object"), "…")
