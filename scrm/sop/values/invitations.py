"""A customer's own page of 老带新, while a campaign runs; afterwards there is no address, and the step stops."""

from sqlalchemy import Connection

from scrm.referrals import campaigns
from scrm.sop.values.ready import Asked, Found, Source

URL = "invite.url"


def _pages(conn: Connection, asked: Asked) -> Found:
    invites = asked.shop.invites
    if invites is None or campaigns.find_running(conn, asked.now) is None:
        return
    for one in asked.due:
        yield one.row.id, {URL: f"{asked.shop.public_url}{invites(one.row.person_id)}"}


SOURCES = (Source(lambda key: key == URL, _pages),)
