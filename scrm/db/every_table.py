"""Imports every feature's tables, for migrations only; nothing else may import this module."""

from scrm.api import models as _api
from scrm.callbacks import models as _callbacks
from scrm.commerce import models as _commerce
from scrm.contact_ways import models as _contact_ways
from scrm import events as _events
from scrm import sessions as _sessions
from scrm.db.tables import metadata
from scrm.profiles import models as _profiles
from scrm.sop import models as _sop
from scrm.work import models as _work

__all__ = ["metadata"]
