"""What a route of the API asks for and answers, said once beside it.

    @routes.get("/api/v1/tasks")
    @operation("员工待办", query=(USERID, *PAGED))
    async def list_tasks(request: web.Request) -> Page[Task]: ...

The type after the arrow is what goes out and what the description tells; tests/api/test_contract.py holds both against
each other.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial, wraps
from typing import Any, get_type_hints

import msgspec
from aiohttp import web

from scrm.api.parameters import Parameter, Texts
from scrm.errors import Invalid
from scrm.http import readable_json

Act = Callable[[web.Request], Awaitable[Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ATTRIBUTE = "operation"
_NO_PATTERNS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Each:
    """A body that is a list whose items are judged one by one: a wrong one is answered `rejected`, the others are kept.

    `may_be_one`: an item may also come alone.
    """

    item: Any
    most: int
    may_be_one: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` and `body` are types, or `body` is Each; `says` tells what the answer is, where the type does not."""

    summary: str
    answer: Any
    says: str
    query: tuple[Parameter, ...]
    body: Any
    status: int
    errors: tuple[int, ...]
    path: Mapping[str, str]
    is_scoped: bool


def operation(
    summary: str,
    *,
    says: str = "",
    query: tuple[Parameter, ...] = (),
    body: Any = None,
    status: int = 200,
    errors: tuple[int, ...] = (),
    path: Mapping[str, str] = _NO_PATTERNS,
    is_private: bool = False,
    is_scoped: bool = False,
) -> Callable[[Act], Handler]:
    """Makes a handler of a function that returns its answer.

    `is_scoped`: the handler keeps to the caller's reach (`request[CALLER].scope`) by itself, so that keys which reach
    only some customers may come in; where the address names a person, the door does it. `path` has the patterns of names in the address that only the handler checks; `is_private`: nobody on the way may
    keep the answer.
    """

    def made(act: Act) -> Handler:
        told = Operation(summary, get_type_hints(act)["return"], says, query, body, status, errors, path, is_scoped)
        headers = {"Cache-Control": "no-store"} if is_private else {}

        @wraps(act)
        async def handler(request: web.Request) -> web.Response:
            _refuse_unknown(request, told)
            answer = await act(request)
            if status == 204:
                return web.Response(status=status)
            return web.json_response(_plain(answer), status=status, headers=headers, dumps=_dumps)

        setattr(handler, _ATTRIBUTE, told)
        return handler

    return made


def operation_of(handler: Any) -> Operation | None:
    """What was said beside a handler."""
    found = getattr(handler, _ATTRIBUTE, None)
    return found if isinstance(found, Operation) else None


def _refuse_unknown(request: web.Request, told: Operation) -> None:
    """A name that is spelt wrongly, or said twice, would narrow less than was meant, and a list would tell more."""
    known = [one.name for one in told.query]
    several = [one.name for one in told.query if isinstance(one, Texts)]
    for name in request.query:
        if name not in several and (times := len(request.query.getall(name))) > 1:
            raise Invalid(f"参数 {name[:40]} 写了 {times} 次，只能写一次")
        if name not in known:
            usable = f"可用的有 {'、'.join(known)}" if known else "这个接口没有参数"
            raise Invalid(f"参数 {name[:40]} 不认识：{usable}")


def _plain(answer: Any) -> Any:
    return msgspec.to_builtins(answer, builtin_types=_MOMENTS, str_keys=True)


_MOMENTS = (datetime, date)
_dumps = partial(readable_json, default=lambda moment: moment.isoformat())
