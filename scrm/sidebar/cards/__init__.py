"""What a contact's page is made of: one file per card, and this list in the order of the page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from scrm.profiles.store import access_contact
from scrm.sidebar.cards import coupons, now, orders, profile, tasks, timeline
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.store import read_picture
from scrm.sop.members.tasks import RECENT
from web.texts import N_


@dataclass(frozen=True, slots=True)
class Tab:
    """`loads` is what its panel reads below the contact's address when it is first opened; empty: it has its cards."""

    key: str
    title: str
    loads: str = ""


TABS = (
    Tab("tasks", N_("任务")),
    Tab("profile", N_("画像")),
    Tab("orders", N_("订单")),
    Tab("scripts", N_("话术"), loads="scripts"),
    Tab("timeline", N_("动态")),
)


@dataclass(frozen=True, slots=True)
class Card:
    """`load` makes what templates/sidebar/cards/{key}.html shows under a tab, of what the page has read at once."""

    key: str
    tab: str
    load: Callable[[Connection, Visit], Any]


CARDS = (
    Card("tasks", "tasks", tasks.load),
    Card("now", "profile", now.load),
    Card("profile", "profile", profile.load),
    Card("coupons", "profile", coupons.load),
    Card("orders", "orders", orders.load),
    Card("timeline", "timeline", timeline.load),
)


def load_page(conn: Connection, visit: Visit) -> Mapping[str, Any]:
    """Every card's view by its key, through the door: raises Forbidden when the member does not follow the contact."""
    visit.relation = access_contact(conn, visit.userid, visit.external_userid)
    visit.picture = read_picture(
        conn,
        visit.person_id,
        visit.external_userid,
        visit.userid,
        since=visit.now - now.LIVE,
        ended_since=visit.now - RECENT,
        orders=orders.FIRST + 1,
        happenings=timeline.FIRST + 1,
    )
    return {card.key: card.load(conn, visit) for card in CARDS}
