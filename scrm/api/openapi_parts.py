"""One operation of the API as OpenAPI tells it: its module and scope, its schemas, its errors, its headers. Pure."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from scrm.access.modules import BY_KEY
from scrm.access.routes import need_of
from scrm.api.operation import Each, Operation
from scrm.api.parameters import MOST_DIGITS, Parameter

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"
_ERROR_REF = {"$ref": _REF.format(name="Error")}

ERROR: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457；error 是同一内容的旧写法，两者都会一直有。",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:scrm:error:conflict"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "给人看的一句话：收到了什么、需要什么"},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_ERRORS = {
    400: "读不懂的请求",
    401: "没有密钥，或密钥已停用、已到期",
    403: "密钥没有这项权限，或不能从这个地址使用",
    404: "没有这一项",
    409: "已经做过，或状态不允许",
    410: "已过期",
    413: "请求体太大",
    422: "内容有误，原因见 detail",
    429: "太频繁，等 Retry-After 秒再试",
}
_EVERYWHERE = (400, 401, 403, 422, 429)
_NO_NUL = r"^[^\u0000]*$"
_NAME = re.compile(r"{(\w+)(?::((?:[^{}]|{[^{}]*})+))?}")
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "自己生成的唯一编号，24 小时内用同一个编号重发，得到第一次的回答，不会做第二遍",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,200}$"},
}
_LIMITS = {
    "RateLimit-Limit": {"description": "每分钟最多几次", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "现在还能连着问几次", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "几秒后恢复到每分钟的全部次数", "schema": {"type": "integer"}},
    "RateLimit-Policy": {"description": "例如 600;w=60：60 秒 600 次", "schema": {"type": "string"}},
}


class Schemas:
    """The schemas of all types that operations name."""

    def __init__(self, told: Sequence[Operation]) -> None:
        types = [kind for one in told for kind in (one.answer, _type_of(one.body)) if kind not in (None, type(None))]
        found, components = msgspec.json.schema_components(types, ref_template=_REF)
        self._found = list(zip(types, found, strict=True))
        self.components: dict[str, Any] = {**_keepable(components), "Error": ERROR}

    def of(self, kind: Any) -> dict[str, Any]:
        return next(_keepable(schema) for each, schema in self._found if each is kind or each == kind)


def _keepable(schema: Any) -> Any:
    """The same in plain JSON, each text without the NUL that no database keeps."""
    if isinstance(schema, list | tuple):
        return [_keepable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    told = {str(name): _keepable(each) for name, each in schema.items()}
    if told.get("type") == "string" and not {"pattern", "enum", "const", "format"} & told.keys():
        told["pattern"] = _NO_NUL
    if told.get("type") == "object" and "additionalProperties" in told and "propertyNames" not in told:
        told["propertyNames"] = {"pattern": _NO_NUL}
    return told


def described(method: str, pattern: str, told: Operation, schemas: Schemas) -> tuple[str, dict[str, Any]]:
    """The path as OpenAPI writes it, and what it says of this method."""
    path = _NAME.sub(r"{\1}", pattern)
    named = [_of_path(name, rule, told.path.get(name, "")) for name, rule in _NAME.findall(pattern)]
    asked = [_of_query(one) for one in told.query]
    need = need_of(method.upper(), path)
    one: dict[str, Any] = {"operationId": _id_of(method, path), "summary": told.summary, "tags": ["接口说明"]}
    if need is not None and need.module:
        one["tags"] = [BY_KEY[need.module].title]
        one["x-scope"] = f"{need.module}:{need.right}"
    else:
        one["security"] = []
    if parameters := [*named, *asked, *([IDEMPOTENCY_KEY] if method == "post" else [])]:
        one["parameters"] = parameters
    if told.body is not None:
        one["requestBody"] = {"required": True, "content": {"application/json": {"schema": _body(told.body, schemas)}}}
    errors = {*_EVERYWHERE, *told.errors, *((404,) if named else ()), *((409,) if method == "post" else ())}
    errors |= {413} if told.body is not None else set()
    one["responses"] = {
        str(told.status): _answer(told, schemas),
        **{str(status): _error(status) for status in sorted(errors)},
    }
    return path, one


def _type_of(body: Any) -> Any:
    return body.item if isinstance(body, Each) else body


def _body(body: Any, schemas: Schemas) -> dict[str, Any]:
    if not isinstance(body, Each):
        return schemas.of(body)
    item = schemas.of(body.item)
    other = {"description": "其他内容也收下，在结果里标为 rejected，附原因"}
    listed = {"type": "array", "maxItems": body.most, "items": {"anyOf": [item, other]}}
    return {"anyOf": [item, listed, {"type": "object", **other}]} if body.may_be_one else listed


def _answer(told: Operation, schemas: Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": told.says or "成功", "headers": _LIMITS}
    if told.status == 204:
        return {**answer, "description": told.says or "没有内容"}
    return {**answer, "content": {"application/json": {"schema": schemas.of(told.answer)}}}


def _of_query(one: Parameter) -> dict[str, Any]:
    required = {"required": True} if one.is_required else {}
    return {"name": one.name, "in": "query", "description": one.says, **required, "schema": one.schema()}


def _of_path(name: str, rule: str, pattern: str) -> dict[str, Any]:
    """What a name of the address may be: the route's own rule says it, or the handler's."""
    schema: dict[str, Any] = {"type": "string", "minLength": 1, "pattern": pattern or r"^[^\u0000-\u001f\u007f/]+$"}
    if rule.startswith(r"\d"):
        schema = {"type": "integer", "minimum": 0, "maximum": 10**MOST_DIGITS - 1}
    elif rule and re.fullmatch(r"[a-z_|]+", rule):
        schema = {"type": "string", "enum": rule.split("|")}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _error(status: int) -> dict[str, Any]:
    told: dict[str, Any] = {"description": _ERRORS[status], "content": {PROBLEM: {"schema": _ERROR_REF}}}
    if status == 429:
        told["headers"] = {**_LIMITS, "Retry-After": {"description": "秒", "schema": {"type": "integer"}}}
    return told


def _id_of(method: str, path: str) -> str:
    """get_customers_person_id_timeline"""
    words = _NAME.sub(r"\1", path.removeprefix("/api/").removeprefix("v1/"))
    return f"{method}_{re.sub(r'[^a-z0-9]+', '_', words.lower())}"
