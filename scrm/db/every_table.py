"""Imports every feature's tables, for migrations only; nothing else may import this module."""

from scrm import allowances, audit, credentials, events, sessions, stops
from scrm.access import models as access
from scrm.api import models as api
from scrm.callbacks import models as callbacks
from scrm.commerce import hours as hours
from scrm.commerce import models as commerce
from scrm.commerce.hooks import models as hooks
from scrm.commerce.pulls import models as pulls
from scrm.contact_ways import models as contact_ways
from scrm.content.library import models as library
from scrm.content.media import models as media
from scrm.customer_lists import models as customer_lists
from scrm.db import vault_keys
from scrm.db.tables import metadata
from scrm.group_chats import models as group_chats
from scrm.imports import models as imports
from scrm.mass_messages import models as mass_messages
from scrm.membership import models as membership
from scrm.moments import models as moments
from scrm.privacy import models as privacy
from scrm.profiles import erased, merge_tables, notes, stop_list, timeline
from scrm.profiles import models as profiles
from scrm.profiles import search as search
from scrm.profiles.own_fields import tables as custom_field_tables
from scrm.referrals import models as referrals
from scrm.reports import buyer_news as buyer_news
from scrm.reports import models as reports
from scrm.segments import models as segments
from scrm.sidebar import models as sidebar
from scrm.sop import models as sop
from scrm.sop.calendar import tables as calendar_tables
from scrm.sop.life import board_tables
from scrm.sop.mass import models as mass_models
from scrm.sop.members import notice_tables
from scrm.sop.plans import models as plans
from scrm.sop.rehearsal import models as rehearsals
from scrm.sop.results import tables as result_tables
from scrm.sync import models as sync
from scrm.tracking import models as tracking
from scrm.transfers import models as transfers
from scrm.webhooks import models as webhooks
from scrm.wechat import models as wechat
from scrm.work import models as work

FEATURES = (
    access,
    allowances,
    api,
    audit,
    board_tables,
    calendar_tables,
    callbacks,
    commerce,
    contact_ways,
    credentials,
    custom_field_tables,
    customer_lists,
    erased,
    events,
    group_chats,
    hooks,
    imports,
    library,
    mass_messages,
    mass_models,
    media,
    membership,
    merge_tables,
    moments,
    notes,
    notice_tables,
    plans,
    privacy,
    profiles,
    pulls,
    referrals,
    rehearsals,
    reports,
    segments,
    result_tables,
    sessions,
    sidebar,
    sop,
    stop_list,
    stops,
    sync,
    timeline,
    tracking,
    transfers,
    vault_keys,
    webhooks,
    wechat,
    work,
)

__all__ = ["FEATURES", "metadata"]
