"""{{ radar.KEY }}: the link of one content for one member and one customer, in what a playbook or a script says.

Reading a text finds links that are there; whoever is about to say it makes those that are not.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from scrm.content.variables import RADAR
from scrm.tracking import radar
from scrm.tracking.models import radar_content, radar_link

_OF_RADAR = f"{RADAR}."
# Contents are made by hand; those that are named otherwise are looked for among so many.
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Whom:
    """Whose link it is: who opens it is counted for this member and this customer."""

    userid: str
    person_id: int
    external_userid: str


def name_of(key: str) -> str:
    """A content's key as a text can name it: letters, digits, underscores, not beginning with a digit."""
    name = re.sub(r"\W", "_", key)
    return name if name.isidentifier() else f"r_{name}"


def knows(variable: str) -> bool:
    return variable.startswith(_OF_RADAR)


def find(conn: Connection, named: Collection[str], whom: Whom, public_url: str) -> dict[str, str]:
    """Addresses by variable, of links that are there."""
    contents = find_contents(conn, named)
    if not contents:
        return {}
    rows = conn.execute(
        select(radar_link.c.content_id, radar_link.c.token).where(
            radar_link.c.content_id.in_([row.id for row in contents.values()]),
            radar_link.c.userid == whom.userid,
            radar_link.c.person_id == whom.person_id,
        )
    )
    tokens = {row.content_id: row.token for row in rows}
    return {variable: f"{public_url}/r/{tokens[row.id]}" for variable, row in contents.items() if row.id in tokens}


def make(conn: Connection, named: Collection[str], whom: Whom, public_url: str, *, now: datetime) -> dict[str, str]:
    """Addresses by variable, made where they are not there; content that is gone or taken down has none."""
    links: dict[str, str] = {}
    for variable, row in find_contents(conn, named).items():
        token = radar.ensure_link(
            conn,
            row.id,
            userid=whom.userid,
            person_id=whom.person_id,
            external_userid=whom.external_userid,
            now=now,
        )
        links[variable] = f"{public_url}/r/{token}"
    return links


def find_contents(conn: Connection, named: Collection[str]) -> dict[str, Any]:
    """Living content by the variables that name it, in the order of the ids: links are made in one order."""
    wanted = {variable.removeprefix(_OF_RADAR): variable for variable in named if knows(variable)}
    if not wanted:
        return {}
    living = select(radar_content.c.id, radar_content.c.key).where(radar_content.c.is_archived.is_(False))
    found = {row.key: row for row in conn.execute(living.where(radar_content.c.key.in_(list(wanted))))}
    if found.keys() != wanted.keys():
        newest = living.order_by(radar_content.c.id.desc()).limit(_MOST)
        for row in conn.execute(newest):
            found.setdefault(name_of(row.key), row)
    mine = {wanted[name]: row for name, row in found.items() if name in wanted}
    return dict(sorted(mine.items(), key=lambda item: item[1].id))


def list_variables(conn: Connection) -> list[tuple[str, str]]:
    """(title, variable) of living content, the newest first, as an editor offers them."""
    rows = conn.execute(
        select(radar_content.c.key, radar_content.c.title)
        .where(radar_content.c.is_archived.is_(False))
        .order_by(radar_content.c.id.desc())
        .limit(100)
    )
    return [(row.title, f"{_OF_RADAR}{name_of(row.key)}") for row in rows]
