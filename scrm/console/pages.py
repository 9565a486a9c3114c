"""Every console route, in one list."""

from aiohttp import web

from scrm.console import (
    access,
    accounts,
    acquisition,
    api_keys,
    api_reference,
    audit,
    backups,
    callbacks,
    channel_costs,
    contact_ways,
    coupons,
    customers,
    customers_bulk,
    doctor,
    group_chats,
    group_codes,
    guards,
    hooks,
    imports,
    library,
    mass_messages,
    media,
    membership,
    merge,
    moments,
    operations,
    orders,
    own_fields,
    plans,
    pool,
    privacy,
    radar,
    referrals,
    repairs,
    report_boards,
    report_builder,
    reports,
    rfm,
    searching,
    segments,
    sends,
    sources,
    status_words,
    sync,
    tags,
    today,
    transfers,
    webhooks,
    wechat,
)
from scrm.console.conditions import forms as condition_forms
from scrm.console.door import for_managers
from scrm.console.playbooks import board as playbook_board
from scrm.console.playbooks import pages as playbooks
from scrm.console.playbooks import rehearsals
from scrm.console.playbooks import texts as playbook_texts
from scrm.console.playbooks import waiting as playbook_waiting
from scrm.http import sign_out
from web.render import render


async def _enter(request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/console/")


@for_managers
async def _leave(request: web.Request) -> web.StreamResponse:
    """A form may not lead to WeCom's login at once: the policy `form-action 'self'` holds for redirects too."""
    response = web.HTTPSeeOther("/console/left")
    await sign_out(request, response)
    raise response


async def _bid_farewell(request: web.Request) -> web.StreamResponse:
    return render(request, "console/left.html")


routes: list[web.AbstractRouteDef] = [
    web.get("/console", _enter),
    web.post("/console/logout", _leave),
    web.get("/console/left", _bid_farewell),
    *today.routes,
    *report_boards.routes,
    *report_builder.routes,
    *reports.routes,
    *customers_bulk.routes,
    *customers.routes,
    *orders.routes,
    *searching.routes,
    *coupons.routes,
    *membership.routes,
    *privacy.routes,
    *tags.routes,
    *condition_forms.routes,
    *rfm.routes,
    *segments.routes,
    *merge.routes,
    *own_fields.routes,
    *channel_costs.routes,
    *contact_ways.routes,
    *acquisition.routes,
    *group_chats.routes,
    *group_codes.routes,
    *playbook_board.routes,
    *playbook_texts.routes,
    *playbook_waiting.routes,
    *playbooks.routes,
    *rehearsals.routes,
    *guards.routes,
    *mass_messages.routes,
    *moments.routes,
    *plans.routes,
    *library.routes,
    *media.routes,
    *sends.routes,
    *transfers.routes,
    *pool.routes,
    *wechat.routes,
    *hooks.routes,
    *radar.routes,
    *referrals.routes,
    *imports.routes,
    *operations.routes,
    *callbacks.routes,
    *repairs.routes,
    *sync.routes,
    *sources.routes,
    *status_words.routes,
    *doctor.routes,
    *backups.routes,
    *accounts.routes,
    *access.routes,
    *api_keys.routes,
    *api_reference.routes,
    *webhooks.routes,
    *audit.routes,
]
