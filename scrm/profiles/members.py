"""What customers call the members."""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    select,
)

from scrm.db.bulk import among_given, listed
from scrm.profiles.models import member


def member_names(conn: Connection, userids: Collection[str]) -> dict[str, str]:
    """By folded userid: what customers call the member (对外简称 first)."""
    folded = {userid.lower() for userid in userids}
    rows = conn.execute(_named(conn.dialect.name), {"folded": listed(conn, folded)}).all()
    return {folded: alias or name for folded, alias, name in rows if alias or name}


@cache
def _named(dialect: str) -> Select[Any]:
    m = member.c
    return select(m.folded, m.alias, m.name).where(among_given(dialect, m.folded, "folded"))
