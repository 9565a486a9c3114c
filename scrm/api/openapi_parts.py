"""What every operation of the API has in common: its module, its scope, its errors, its headers. Pure."""

import re
from typing import Any

from scrm.access.modules import BY_KEY
from scrm.access.routes import need_of

ERROR_REF = {"$ref": "#/components/schemas/Error"}
PROBLEM = "application/problem+json"

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
_ALWAYS = {
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
_PATH_NAME = re.compile(r"{(\w+)}")
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "自己生成的唯一编号，24 小时内用同一个编号重发，得到第一次的回答，不会做第二遍",
    "schema": {"type": "string", "maxLength": 200},
}


def operation(
    summary: str,
    *,
    answer: str,
    body: dict[str, Any] | None = None,
    parameters: list[str] | None = None,
    path: str = "",
    errors: tuple[int, ...] = (),
    status: int = 200,
) -> dict[str, Any]:
    """One operation; `parameters` are those of the query, `path` names those of the address."""
    content: dict[str, Any] = {} if status == 204 else {"content": {"application/json": {"schema": {}}}}
    described: dict[str, Any] = {
        "summary": summary,
        "responses": {
            str(status): {"description": answer, **content},
            **{str(each): _error(each) for each in sorted({*_EVERYWHERE, *errors})},
        },
    }
    named: list[dict[str, Any]] = [_of_query(name) for name in parameters or ()]
    for name in path.split():
        kind = "integer" if name == "id" or (name.endswith("_id") and name != "chat_id") else "string"
        named.append({"name": name, "in": "path", "required": True, "schema": {"type": kind}})
    if named:
        described["parameters"] = named
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def _of_query(name: str) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": "integer", "minimum": 1} if name == "limit" else {"type": "string"}
    return {"name": name, "in": "query", "schema": kind}


def _error(status: int) -> dict[str, Any]:
    described = {"description": _ALWAYS[status], "content": {PROBLEM: {"schema": ERROR_REF}}}
    if status == 429:
        described["headers"] = {"Retry-After": {"description": "秒", "schema": {"type": "integer"}}}
    return described


def completed(paths: dict[str, Any]) -> dict[str, Any]:
    """The same paths, each operation with its id, its module as a tag, the scope it needs, and the usual headers."""
    return {path: {method: _complete(method, path, one) for method, one in of.items()} for path, of in paths.items()}


def _complete(method: str, path: str, described: dict[str, Any]) -> dict[str, Any]:
    # Routes call the customer's number so.
    need = need_of(method.upper(), path.replace("/customers/{id}", "/customers/{person_id}"))
    told = {"operationId": _id_of(method, path), "tags": ["接口说明"], **described}
    if need is not None and need.module:
        told["tags"] = [BY_KEY[need.module].title]
        told["x-scope"] = f"{need.module}:{need.right}"
    if method == "post":
        told["parameters"] = [*described.get("parameters", ()), IDEMPOTENCY_KEY]
    return told


def _id_of(method: str, path: str) -> str:
    """get_customers_id_timeline"""
    words = _PATH_NAME.sub(r"\1", path.removeprefix("/api/").removeprefix("v1/"))
    return f"{method}_{re.sub(r'[^a-z0-9]+', '_', words.lower())}"
