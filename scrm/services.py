"""Everything a handler may reach; built once by scrm.app, or by a test."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession, web

from scrm.clock import Clock
from scrm.db import Database
from scrm.db.vault import Vault
from scrm.settings import Settings
from scrm.wecom.client import WeCom

if TYPE_CHECKING:
    from scrm.work.worker import Worker


@dataclass(frozen=True, slots=True)
class Services:
    """The bag of what is shared: at most eight fields, no methods.

    `memory` holds one object per type that a feature above this layer keeps for the whole process, such as
    scrm.sop.life.published.Published: `services.memory.setdefault(Published, Published())`.
    """

    settings: Settings
    clock: Clock
    db: Database
    http: ClientSession
    wecom: WeCom
    vault: Vault
    worker: "Worker"
    memory: dict[type[Any], Any] = field(default_factory=dict)


SERVICES = web.AppKey("services", Services)
