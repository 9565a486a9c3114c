"""Puts the parts together; the only module that knows every feature."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import structlog
from aiohttp import web

import web.render as rendering
from scrm import given_up, http, inviting, joining, listening, login, operations, renaming
from scrm.allowances import DatabaseLedger
from scrm.api import auth as api_auth
from scrm.api import coupons as api_coupons
from scrm.api import customers as api_customers
from scrm.api import events as api_events
from scrm.api import fields as api_fields
from scrm.api import group_chats as api_group_chats
from scrm.api import hooks as api_hooks
from scrm.api import members as api_members
from scrm.api import membership as api_membership
from scrm.api import merges as api_merges
from scrm.api import once as api_once
from scrm.api import openapi as api_openapi
from scrm.api import orders as api_orders
from scrm.api import people as api_people
from scrm.api import playbook_results as api_playbook_results
from scrm.api import playbooks as api_playbooks
from scrm.api import privacy as api_privacy
from scrm.api import radar as api_radar
from scrm.api import rates as api_rates
from scrm.api import referrals as api_referrals
from scrm.api import runs as api_runs
from scrm.api import segments as api_segments
from scrm.api import sends as api_sends
from scrm.api import shipments as api_shipments
from scrm.api import tasks as api_tasks
from scrm.api import track as api_track
from scrm.api import webhooks as api_webhooks
from scrm.backup import asked as backups
from scrm.backup import daily
from scrm.callbacks import endpoint, express, inbox, replay, run
from scrm.callbacks import sweep as callbacks_sweep
from scrm.callbacks.handlers import refresh
from scrm.callbacks.receivers import receivers_of
from scrm.clock import Clock, SystemClock
from scrm.commerce import restating
from scrm.commerce.coupons import lifecycle as coupons_lifecycle
from scrm.commerce.coupons import pages as commerce_pages
from scrm.commerce.hooks import run as hooks
from scrm.commerce.hooks.kinds import hooks_of
from scrm.commerce.pulls import run as pulls
from scrm.commerce.pulls.kinds import pulls_of
from scrm.console import pages as console_pages
from scrm.contact_ways import acquisition, received, ways
from scrm.contact_ways import pages as way_pages
from scrm.content.media import copies
from scrm.content.media import links as media_links
from scrm.credentials import DatabaseTokens
from scrm.customer_lists import bulk, bulk_store, export, pool
from scrm.db import Database
from scrm.db.vault_keys import use_chain, vault_of
from scrm.doctor.checks import domain_file
from scrm.group_chats import pages as group_chat_pages
from scrm.group_chats import refresh as refresh_group_chat
from scrm.imports import jobs as import_jobs
from scrm.imports import pre_tags
from scrm.mass_messages import dispatch, results
from scrm.mass_messages import plan as mass_plan
from scrm.membership import points
from scrm.moments import publish as moments
from scrm.moments import results as moment_results
from scrm.profiles import mark_tags, refresh_member, remarks, search, tags
from scrm.referrals import run as referrals
from scrm.reports import adds as report_adds
from scrm.reports import buyers as report_buyers
from scrm.schedule import Schedule
from scrm.segments import freeze, rfm_refresh
from scrm.segments import refresh as segments
from scrm.services import SERVICES, Services
from scrm.settings import AppSettings, Settings
from scrm.sidebar import pages as sidebar_pages
from scrm.sop import coupon_deliveries, enrol, group_ends, outward, tick
from scrm.sop.actions import chains, tagging
from scrm.sop.calendar import consumption_store, lives
from scrm.sop.calendar import ticks as calendar_ticks
from scrm.sop.life import lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.mass import carry_out as mass_carry_out
from scrm.sop.mass import watch as mass_watch
from scrm.sop.members import cards, notices, radar_notices, reminders
from scrm.sop.plans import carry_out as plans
from scrm.sop.reasons import why
from scrm.sop.rehearsal import jobs as rehearsals
from scrm.sop.results import tally
from scrm.sop.shelf import house_of, playbooks_of, terms_of
from scrm.stops import DatabaseStops
from scrm.stops import tick as try_held_again
from scrm.sync import nightly, repairs
from scrm.sync import runs as sync_runs
from scrm.tracking import abandonment, radar
from scrm.tracking import pages as radar_pages
from scrm.tracking import ticks as tracking
from scrm.transfers import ask, groups, unassigned
from scrm.transfers import begin as transfers
from scrm.webhooks import deliver as webhooks
from scrm.wechat import endpoint as official_account
from scrm.wechat import kf_answer, kf_sync, oa_api, oa_keep
from scrm.wecom.calls import App, OtherApp
from scrm.wecom.client import WeCom
from scrm.work.queue import Claimed
from scrm.work.worker import Execute, Worker

log = structlog.get_logger()

TICK_SECONDS = 1.0
RELOAD_SECONDS = 5.0
# A safety net below the callbacks of customer service.
KF_SECONDS = 300.0
SLOW_SECONDS = 20.0
HOUR_SECONDS = 3600.0


async def _run_event(services: Services, item: Claimed) -> None:
    """What an event means for its channel and for the customer's points, for the playbooks, and for who is told of it."""
    await received.run_event(services, item, referrals.listener(services))
    await points.run_event(services, item)
    await enrol.run_event(services, item)
    await webhooks.run_event(services, item)


# Which function does which kind of work.
EXECUTORS: Mapping[str, Execute] = {
    inbox.KIND: run.run_callback,
    **replay.EXECUTORS,
    refresh.KIND: refresh.run_refresh,
    refresh_member.KIND: refresh_member.run_refresh_member,
    renaming.KIND: renaming.run_rename,
    refresh_group_chat.KIND: refresh_group_chat.run_refresh,
    sync_runs.KIND: sync_runs.run_asked,
    repairs.CHECK_KIND: repairs.run_check_added,
    "sop.event": _run_event,
    joining.JOIN: joining.run_join,
    joining.SWEEP: joining.run_sweep,
    ways.KIND: ways.run_apply,
    acquisition.QUOTA: acquisition.run_quota,
    received.REMARK: received.run_remark,
    "sop.remind": reminders.run_remind,
    **lifecycle.EXECUTORS,
    **migrate_runs.EXECUTORS,
    cards.KIND: cards.run_update_card,
    "sop.mark_tag": tagging.run_mark_tag,
    **chains.EXECUTORS,
    **notices.EXECUTORS,
    **outward.EXECUTORS,
    **webhooks.EXECUTORS,
    **group_ends.EXECUTORS,
    tags.MARK: mark_tags.run_mark,
    remarks.WRITE: remarks.run_write,
    mark_tags.LIBRARY: mark_tags.run_library,
    transfers.ASK: ask.run_ask,
    transfers.POLL: ask.run_poll,
    transfers.GROUPS: groups.run_groups,
    transfers.UNASSIGNED: unassigned.run_unassigned,
    kf_sync.SYNC: kf_sync.run_sync,
    kf_sync.WELCOME: kf_answer.run_welcome,
    kf_sync.REPLY: kf_answer.run_reply,
    kf_sync.VISITOR: kf_sync.run_visitor,
    kf_sync.ACCOUNTS: kf_sync.run_accounts,
    oa_keep.FOLLOWER: oa_api.run_follower,
    **hooks.EXECUTORS,
    import_jobs.KIND: import_jobs.run_import,
    bulk_store.KIND: bulk.run_bulk,
    backups.KIND: backups.run_make,
    mass_plan.PREPARE: mass_plan.run_prepare,
    mass_plan.CREATE: dispatch.run_create,
    mass_carry_out.RECALL: mass_carry_out.run_recall,
    mass_carry_out.REMIND: mass_carry_out.run_remind,
    mass_watch.WARN: mass_watch.run_warn,
    moments.KIND: moments.run_create,
    pulls.KIND: pulls.run_pull,
    pulls.REPLAY: pulls.run_replay,
    restating.KIND: restating.run_restate,
    abandonment.KIND: abandonment.run_look,
    radar.NOTICE: radar_notices.run_notice,
    lives.KIND: lives.run_moved,
    segments.KIND: segments.run_refresh,
    freeze.KIND: freeze.run_freeze,
    rfm_refresh.KIND: rfm_refresh.run_refresh,
    rehearsals.KIND: rehearsals.run_rehearsal,
}

ROUTES = (
    endpoint.routes,
    official_account.routes,
    operations.routes,
    domain_file.routes,
    api_openapi.routes,
    api_orders.routes,
    api_shipments.routes,
    api_privacy.routes,
    api_hooks.routes,
    api_customers.routes,
    api_people.routes,
    api_fields.routes,
    api_events.routes,
    api_playbooks.routes,
    api_runs.routes,
    api_segments.routes,
    api_members.routes,
    api_playbook_results.routes,
    api_group_chats.routes,
    api_coupons.routes,
    api_membership.routes,
    api_merges.routes,
    api_tasks.routes,
    api_track.routes,
    api_radar.routes,
    api_referrals.routes,
    api_webhooks.routes,
    radar_pages.routes,
    api_sends.routes,
    commerce_pages.routes,
    way_pages.routes,
    inviting.routes,
    media_links.routes,
    group_chat_pages.routes,
    login.routes,
    sidebar_pages.routes,
    console_pages.routes,
)


@asynccontextmanager
async def open_services(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Everything that handlers reach, closed in the right order at the end."""
    clock = clock or SystemClock()
    db = Database(settings.database.url.get_secret_value())
    vault = vault_of(settings)
    await use_chain(db, vault)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        services = Services(
            settings=settings,
            clock=clock,
            db=db,
            http=session,
            wecom=WeCom(
                session,
                clock,
                wecom_app(settings),
                DatabaseTokens(db, vault),
                DatabaseLedger(db),
                DatabaseStops(db, vault),
            ),
            vault=vault,
            worker=Worker(db, clock),
        )
        services.worker.prepare(services, EXECUTORS, died=given_up.died)
        hooks_of(services)
        pulls_of(services)
        services.wecom.observe(operations.count_call)
        try:
            yield services
        finally:
            await db.close()


def wecom_app(settings: Settings) -> App:
    wecom = settings.wecom
    return App(
        corp_id=wecom.corp_id,
        agent_id=wecom.agent_id,
        secret=wecom.secret.get_secret_value(),
        api_base=wecom.api_base,
        timeout_seconds=wecom.timeout_seconds,
        read_concurrency=wecom.read_concurrency,
        welcome_concurrency=wecom.welcome_concurrency,
        account_cap=wecom.account_cap,
        others=tuple(_other_app(app) for app in settings.apps.values() if app.calls),
    )


def _other_app(app: AppSettings) -> OtherApp:
    families = {"kf": "kf/", "messages": "message/"}
    return OtherApp(app.agent_id, app.secret.get_secret_value(), tuple(families[call] for call in app.calls))


def build_app(
    services: Services,
    *,
    with_worker: bool = True,
    more_routes: Iterable[web.AbstractRouteDef] = (),
    bridge_script: str = "",
) -> web.Application:
    """The web application; `with_worker` also runs durable work and ticks in this process."""
    settings = services.settings
    app = web.Application(
        middlewares=[endpoint.straight_in, *http.MIDDLEWARES, api_auth.require_api_key],
        client_max_size=settings.server.body_limit,
    )
    app.on_response_prepare.append(api_rates.tell)
    app[SERVICES] = services
    app[endpoint.RECEIVERS] = receivers_of(settings)
    app[listening.FRONT] = lambda server: express.Express(services, app[endpoint.RECEIVERS], server)
    app[sidebar_pages.BRIDGE_SCRIPT] = bridge_script
    rendering.setup(app, zone=settings.shop.zone, shop_name=settings.shop.name)
    for routes in ROUTES:
        app.add_routes(routes)
    app.add_routes(more_routes)
    if with_worker:
        app.cleanup_ctx.append(_work)
    return app


async def _work(app: web.Application) -> AsyncIterator[None]:
    async with working(app[SERVICES]):
        yield


@asynccontextmanager
async def working(services: Services) -> AsyncIterator[None]:
    """Durable work and ticks run inside; at the end nothing new is begun and what runs may finish."""
    published = playbooks_of(services)
    await services.db.read(published.load)
    schedule = Schedule()
    schedule.every(TICK_SECONDS, lambda: tick.tick(services), "sop.tick")
    schedule.every(calendar_ticks.DATES_SECONDS, lambda: calendar_ticks.tick_dates(services), "sop.dates")
    schedule.every(calendar_ticks.SCHEDULES_SECONDS, lambda: calendar_ticks.tick_schedules(services), "sop.schedules")
    schedule.every(plans.TICK_SECONDS, lambda: plans.tick(services), "plans.tick")
    schedule.every(notices.TICK_SECONDS, lambda: notices.tick(services), "sop.notices")
    schedule.every(RELOAD_SECONDS, lambda: services.db.read(published.refresh), "sop.reload")
    schedule.every(SLOW_SECONDS, lambda: lifecycle.tick(services), "sop.hold")
    schedule.every(SLOW_SECONDS, lambda: mark_tags.tick(services), "tags.expire")
    schedule.every(nightly.TICK_SECONDS, lambda: nightly.tick(services), "sync.nightly")
    schedule.every(SLOW_SECONDS, lambda: results.poll(services), "mass_messages.results")
    schedule.every(mass_watch.WATCH_SECONDS, lambda: mass_watch.watch(services), "sop.mass_watch")
    schedule.every(SLOW_SECONDS, lambda: try_held_again(services), "work.held")
    schedule.every(HOUR_SECONDS, lambda: results.notice_others(services), "mass_messages.others")
    schedule.every(SLOW_SECONDS, lambda: moment_results.poll(services), "moments.results")
    schedule.every(SLOW_SECONDS, lambda: copies.renew(services), "media.renew")
    schedule.every(coupon_deliveries.TICK_SECONDS, lambda: coupon_deliveries.tick(services), "coupons.deliveries")
    schedule.every(SLOW_SECONDS, lambda: coupons_lifecycle.tick(services), "coupons.ends")
    schedule.every(joining.LOOK_SECONDS, lambda: joining.look(services), "person.look")
    schedule.every(points.TICK_SECONDS, lambda: points.tick(services), "membership.ends")
    schedule.every(KF_SECONDS, lambda: kf_sync.poll_accounts(services), "kf.poll")
    schedule.every(SLOW_SECONDS, lambda: ways.tick(services), "ways.move")
    schedule.every(referrals.TICK_SECONDS, lambda: referrals.tick(services), "referrals.settle")
    schedule.every(HOUR_SECONDS, lambda: inviting.tend(services), "referrals.codes")
    schedule.every(pulls.TICK_SECONDS, lambda: pulls.tick(services), "pulls.tick")
    schedule.every(SLOW_SECONDS, lambda: hooks.tick(services), "hooks.clear")
    schedule.every(callbacks_sweep.TICK_SECONDS, lambda: callbacks_sweep.tick(services), "callbacks.sweep")
    schedule.every(pre_tags.TICK_SECONDS, lambda: pre_tags.tick(services), "imports.pre_tags")
    schedule.every(HOUR_SECONDS, lambda: import_jobs.tick(services), "imports.clear")
    schedule.every(HOUR_SECONDS, lambda: export.tick(services), "customers.clear")
    schedule.every(bulk.REFUSALS_SECONDS, lambda: bulk.note_refusals(services), "customers.refusals")
    schedule.every(pool.TICK_SECONDS, lambda: pool.tick(services), "pool.tick")
    schedule.every(HOUR_SECONDS, lambda: api_once.tick(services), "api.answers_clear")
    schedule.every(HOUR_SECONDS, lambda: rehearsals.tick(services), "sop.rehearsals_clear")
    schedule.every(SLOW_SECONDS, lambda: tracking.tick(services), "tracking.settle")
    schedule.every(rfm_refresh.TICK_SECONDS, lambda: rfm_refresh.tick(services), "rfm.refresh")
    schedule.every(segments.TICK_SECONDS, lambda: segments.tick(services), "segments.refresh")
    schedule.every(consumption_store.TICK_SECONDS, lambda: consumption_store.tick(services), "sop.consumption")
    schedule.every(tally.TICK_SECONDS, lambda: tally.tick(services), "sop.tally")
    schedule.every(HOUR_SECONDS, lambda: why.tick(services), "sop.refusals")
    schedule.every(TICK_SECONDS, lambda: search.tick(services.db), "profiles.search")
    schedule.every(report_adds.TICK_SECONDS, lambda: report_adds.tick(services), "reports.adds")
    schedule.every(report_buyers.TICK_SECONDS, lambda: report_buyers.tick(services), "reports.buyers")
    schedule.every(webhooks.TICK_SECONDS, lambda: webhooks.tick(services), "webhooks.tick")
    schedule.every(daily.TICK_SECONDS, lambda: daily.tick(services), "backup.daily")
    await services.worker.start()
    schedule.start()
    try:
        yield
    finally:
        await schedule.stop()
        await services.worker.stop()


async def publish_playbooks(services: Services) -> list[str]:
    """Publish what changed in `playbooks.dir`; returns a line per file that cannot be published."""
    directory = services.settings.playbooks.dir
    published = playbooks_of(services)
    problems = await services.db.write(
        published.publish_dir,
        directory,
        now=services.clock.now(),
        quiet=house_of(services).quiet,
        needs=terms_of(services).needs,
    )
    for problem in problems:
        log.error("playbook.refused", reason=problem)
    return list(problems)
