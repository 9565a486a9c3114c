"""The manager's pages: every console route, in one list."""

from aiohttp import web

from scrm.console import today

routes: list[web.AbstractRouteDef] = [
    *today.routes,
]
