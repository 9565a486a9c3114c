"""How often a member may ask for what could be guessed at: counted in the database, for all processes together."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from scrm import allowances
from scrm.errors import Conflict
from scrm.wecom.windows import DAY, MINUTE, Limit
from web.texts import _

# A member who binds the orders of a whole queue stays far below.
LOOK_UPS = (Limit(30, 10 * MINUTE), Limit(300, DAY))
FETCHES = (Limit(10, 10 * MINUTE), Limit(60, DAY))


def count(conn: Connection, what: str, userid: str, limits: tuple[Limit, ...], now: datetime) -> None:
    """One more; raises Conflict, with when to come back, when it is too many."""
    grant = allowances.take(conn, [f"sidebar:{what}:{userid.lower()}"], limits, 1, now=now)
    if grant.count < 1:
        minutes = max(1, round(timedelta(seconds=grant.retry_after) / timedelta(minutes=1)))
        raise Conflict(_("查得太频繁了，请 {minutes} 分钟后再试。", minutes=minutes))
