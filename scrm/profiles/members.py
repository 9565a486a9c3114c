"""What customers call the members, and how many each has."""

from collections.abc import Collection
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from scrm.db.bulk import among_given, listed
from scrm.profiles.models import follow_user, member


def member_names(conn: Connection, userids: Collection[str]) -> dict[str, str]:
    """By folded userid: what customers call the member (对外简称 first)."""
    folded = {userid.lower() for userid in userids}
    rows = conn.execute(_named(conn.dialect.name), {"folded": listed(conn, folded)}).all()
    return {folded: alias or name for folded, alias, name in rows if alias or name}


@cache
def _named(dialect: str) -> Select[Any]:
    m = member.c
    return select(m.folded, m.alias, m.name).where(among_given(dialect, m.folded, "folded"))


def customers_of_members() -> Select[Any]:
    """(userid, customers): the living friendships of each member, counted along ix_follow_user_living."""
    f = follow_user.c
    # Written out: an index of some rows is not found by a value that comes later.
    lives = f.ended_by == literal("", literal_execute=True)
    return select(f.userid, func.count().label("customers")).where(lives).group_by(f.userid)
