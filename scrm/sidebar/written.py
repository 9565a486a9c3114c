"""What members write about a customer: a file for each kind, and this list."""

from aiohttp import web

from scrm.sidebar import colleagues, notes, optout, phones, promises, remarks, stages, tags

routes: list[web.AbstractRouteDef] = [
    *tags.routes,
    *stages.routes,
    *remarks.routes,
    *phones.routes,
    *optout.routes,
    *notes.routes,
    *promises.routes,
    *colleagues.routes,
]
