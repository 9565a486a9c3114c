"""Every console route, in one list."""

from aiohttp import web

from scrm.console import today
from scrm.console.channels import acquisition, channel_costs, contact_ways, group_chats, group_codes, referrals
from scrm.console.conditions import forms as condition_forms
from scrm.console.customers import bulk as customers_bulk
from scrm.console.customers import customers, merge, own_fields, pool, privacy, searching, segments, tags, transfers
from scrm.console.door import for_managers
from scrm.console.mall import coupons, hooks, imports, membership, orders, sources, status_words
from scrm.console.marketing import guards, library, mass_messages, media, moments, plans, radar, sends
from scrm.console.numbers import report_boards, report_builder, reports, rfm
from scrm.console.playbooks import board as playbook_board
from scrm.console.playbooks import pages as playbooks
from scrm.console.playbooks import rehearsals
from scrm.console.playbooks import texts as playbook_texts
from scrm.console.playbooks import waiting as playbook_waiting
from scrm.console.system import (
    access,
    accounts,
    api_keys,
    api_reference,
    audit,
    backups,
    callbacks,
    doctor,
    operations,
    repairs,
    sync,
    webhooks,
    wechat,
)
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
