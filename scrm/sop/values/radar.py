"""Links to content whose readers are counted; those that are not there yet are made when the text is filled."""

from sqlalchemy import Connection

from scrm.sop.values.ready import Asked, Found, Source
from scrm.tracking import said_links


def _links(conn: Connection, asked: Asked) -> Found:
    for one in asked.due:
        whom = said_links.Whom(one.row.userid or "", one.row.person_id, one.row.external_userid or "")
        yield one.row.id, said_links.find(conn, asked.named, whom, asked.shop.public_url)


SOURCES = (Source(said_links.knows, _links),)
