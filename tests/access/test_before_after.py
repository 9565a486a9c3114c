"""Every write of the console and the API says what was before and after, or stands here with the reason why not.

Read from the source: from the route's handler along every function that it names, a call of scrm.audit must be reached.
"""

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from scrm.access.routes import need_of
from scrm.app import ROUTES
from tests.access.conftest import DOORS

_ROOT = Path(__file__).parents[2]
_ASKS = "asks for work; what comes of it is told where it is done"
_SENDS = "sends again what stands there already; each try is in the list of deliveries"
_BULK = "data of other systems by the thousand: each order, parcel and event keeps its own history"
WITHOUT = {
    "POST /api/v1/events": _BULK,
    "POST /api/v1/orders": _BULK,
    "POST /api/v1/shipments": _BULK,
    "POST /api/v1/track/tokens": "signs a token and keeps nothing",
    "POST /console/logout": "the row says all of it: who left, when",
    "POST /console/customers/{person_id}/privacy/export": "takes a copy out; the privacy log says of whom and why",
    "POST /console/reports/saved/{id}/{act}": "where a tile lies on one's own board",
    "POST /console/playbooks/{key}/edit": "gives back the right to write; the draft stays as it is",
    "POST /console/playbooks/{key}/lock": "takes the right to write; the draft stays as it is",
    "POST /console/playbooks/{key}/rehearsal/{id}/cancel": "ends a computation of which nothing is kept",
    **dict.fromkeys(
        (
            "POST /api/v1/webhooks/{id}/deliveries/{delivery_id}/replay",
            "POST /api/v1/webhooks/{id}/test",
            "POST /console/webhooks/{id}/replay",
            "POST /console/webhooks/{id}/test",
            "POST /console/webhooks/{id}/{delivery_id}/replay",
            "POST /console/mass-messages/{id}/remind",
        ),
        _SENDS,
    ),
    **dict.fromkeys(
        (
            "POST /console/acquisition-quota",
            "POST /console/acquisition/{link_id}/refresh",
            "POST /console/backups",
            "POST /console/callbacks/{id}/replay",
            "POST /console/group-chats/{chat_id}/refresh",
            "POST /console/hooks/replay",
            "POST /console/hooks/{id}/replay",
            "POST /console/kf/accounts",
            "POST /console/merge/look",
            "POST /console/playbooks/{key}/rehearsal",
            "POST /console/rfm/refresh",
            "POST /console/segments/{key}/refresh",
            "POST /console/sources/{source}/pull",
            "POST /console/sources/{source}/replay",
            "POST /console/sync",
            "POST /console/tags-library",
            "POST /console/transfers/unassigned",
        ),
        _ASKS,
    ),
}


class Name(NamedTuple):
    """Something at the top of a module."""

    module: str
    name: str


_SAYS = {Name("scrm.audit", name) for name in ("changed", "keeps", "watched")}


@cache
def _source(module: str) -> Path | None:
    path = _ROOT.joinpath(*module.split("."))
    return next((each for each in (path.with_suffix(".py"), path / "__init__.py") if each.is_file()), None)


@cache
def _read(module: str) -> tuple[dict[str, list[ast.stmt]], dict[str, Name]]:
    """What a module defines, and what it has from others; an imported module has the name ''."""
    path = _source(module)
    defined: dict[str, list[ast.stmt]] = {}
    imported: dict[str, Name] = {}
    if path is None:
        return defined, imported
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                defined.setdefault(statement.name, []).append(statement)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                defined.setdefault(name, []).append(statement)
            case ast.ImportFrom(module=str(whence)):
                for one in statement.names:
                    imported[one.asname or one.name] = Name(whence, one.name)
            case ast.Import():
                for one in statement.names:
                    imported[one.asname or one.name] = Name(one.name, "")
    return defined, imported


@cache
def _named(name: Name) -> frozenset[Name]:
    """Everything that is named inside of what has this name; types of arguments and fields are nothing that is done."""
    defined, imported = _read(name.module)
    found = {imported[name.name]} if name.name in imported else set()
    waiting: list[ast.AST] = [*defined.get(name.name, ())]
    while waiting:
        match waiting.pop():
            case ast.Attribute(value=ast.Name(id=whence), attr=attribute) if whence in imported:
                found.add(Name(".".join(filter(None, imported[whence])), attribute))
                found.add(imported[whence])
            case ast.Name(id=word) if word in defined:
                found.add(Name(name.module, word))
            case ast.Name(id=word) if word in imported:
                found.add(imported[word])
            case node:
                waiting += [
                    part
                    for field, value in ast.iter_fields(node)
                    if field not in ("annotation", "returns")
                    for part in (value if isinstance(value, list) else [value])
                    if isinstance(part, ast.AST)
                ]
    return frozenset(each for each in found if each.module.startswith("scrm"))


def _says_what_differs(start: Name) -> bool:
    seen: set[Name] = set()
    waiting = {start}
    while waiting:
        if waiting & _SAYS:
            return True
        seen |= waiting
        waiting = {each for name in waiting for each in _named(name)} - seen
    return False


def _writes() -> dict[str, Name]:
    """The handler of each write that the log keeps."""
    kept = {
        (door.method, door.pattern)
        for door in DOORS
        if door.is_write and (need := need_of(door.method, door.pattern)) is not None and need.is_logged
    }
    app = web.Application()
    for routes in ROUTES:
        app.add_routes(routes)
    return {
        f"{route.method} {route.resource.canonical}": Name(route.handler.__module__, route.handler.__name__)
        for route in app.router.routes()
        if route.resource is not None and (route.method, route.resource.canonical) in kept
    }


def test_every_write_tells_what_was_before_and_after() -> None:
    writes = _writes()
    assert len(writes) > 150
    silent = {route for route, handler in writes.items() if not _says_what_differs(handler)}
    assert silent - WITHOUT.keys() == set()
    assert WITHOUT.keys() - silent == set(), "these do tell: take them off the list"
