"""The published playbooks as the running process holds them, and the house rules that go with them."""

from functools import partial

from sqlalchemy import Connection

from scrm.referrals import addresses
from scrm.services import Services
from scrm.settings import Settings
from scrm.sop import timing
from scrm.sop.content import Shop
from scrm.sop.guards import house
from scrm.sop.guards.answers import House
from scrm.sop.life.drafts import Terms
from scrm.sop.life.estimates import Limits
from scrm.sop.life.published import Published
from scrm.sop.schema import Playbook


def playbooks_of(services: Services) -> Published:
    """One object for the whole process."""
    published: Published = services.memory.setdefault(Published, Published())
    return published


def find_version(conn: Connection, published: Published, key: str, version: int) -> Playbook | None:
    """The version a run follows; one that another process published a moment ago is fetched now."""
    found = published.version(key, version)
    if found is None:
        published.refresh(conn)
        found = published.version(key, version)
    return found


def house_of(services: Services) -> House:
    """The house's guards: as administrators set them, else as the settings say."""
    return house.house_of(services)


def shop_of(services: Services) -> Shop:
    """What texts and links name of the shop."""
    settings = services.settings
    invites = partial(addresses.path_of, services.vault)
    return Shop(settings.shop.name, settings.server.public_url, settings.shop.zone, invites)


def terms_of(services: Services) -> Terms:
    """What publishing depends on besides the text."""
    return terms_from(services.settings, tuple(playbooks_of(services).current.values()))


def terms_from(settings: Settings, others: tuple[Playbook, ...] = ()) -> Terms:
    """The same before there is a server."""
    said = settings.playbooks
    quiet = None if said.quiet == "none" else timing.parse_window(said.quiet)
    return Terms(quiet, Limits(said.approval_audience, said.approval_budget * 100), others, settings.outward.keys())
