"""SQL of saved views: lists that somebody comes back to, their own or everybody's, and which columns they look at."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from scrm import audit
from scrm.customer_lists.models import customer_columns, customer_view
from scrm.db import upsert
from scrm.errors import Conflict, Forbidden, Invalid, NotFound

_MOST = 30
MOST_CHARACTERS = 20
# As long as the column.
MOST_QUERY = 1000


def list_views(conn: Connection, userid: str) -> list[Row[Any]]:
    """One's own first, then those that others share."""
    mine = customer_view.c.userid == userid
    query = select(customer_view).where(or_(mine, customer_view.c.is_shared.is_(True)))
    return list(conn.execute(query.order_by(mine.desc(), customer_view.c.id).limit(200)))


def find_view(conn: Connection, userid: str, view_id: int) -> Row[Any] | None:
    """None for one that is gone or somebody else's own."""
    return next((row for row in list_views(conn, userid) if row.id == view_id), None)


@audit.keeps("customer_view", customer_view.c.id, of=("view_id",))
def save_view(
    conn: Connection,
    *,
    view_id: int,
    userid: str,
    title: str,
    query: str,
    columns: Sequence[str],
    is_shared: bool,
    now: datetime,
) -> int:
    """A new view (0) or another look of one's own; returns its id. Raises Invalid, Conflict, NotFound or Forbidden."""
    title = title.strip()
    if not 0 < len(title) <= MOST_CHARACTERS:
        raise Invalid(f"视图要有名称，最多 {MOST_CHARACTERS} 个字，现在有 {len(title)} 个")
    if len(query) > MOST_QUERY:
        raise Invalid("条件太多，一个视图存不下。请少选几个标签、员工或渠道再存")
    same = customer_view.c.userid == userid, customer_view.c.title == title, customer_view.c.id != view_id
    if conn.scalar(select(customer_view.c.id).where(*same)) is not None:
        raise Conflict(f"你已经有名为“{title}”的视图，请换一个名称")
    values = {
        "title": title,
        "query": query,
        "columns": list(columns),
        "is_shared": is_shared,
        "changed_at": now,
    }
    if view_id:
        _require_own(conn, userid, view_id)
        conn.execute(update(customer_view).where(customer_view.c.id == view_id).values(values))
        return view_id
    kept = conn.scalar(select(func.count()).select_from(customer_view).where(customer_view.c.userid == userid)) or 0
    if kept >= _MOST:
        raise Conflict(f"已经存了 {_MOST} 个视图，请先删掉不用的")
    values |= {"userid": userid, "created_at": now}
    return int(conn.execute(insert(customer_view).values(values).returning(customer_view.c.id)).scalar_one())


@audit.keeps("customer_view", customer_view.c.id, of=("view_id",))
def delete_view(conn: Connection, userid: str, view_id: int) -> None:
    """Raises NotFound, or Forbidden for somebody else's."""
    _require_own(conn, userid, view_id)
    conn.execute(delete(customer_view).where(customer_view.c.id == view_id))


def _require_own(conn: Connection, userid: str, view_id: int) -> None:
    row = find_view(conn, userid, view_id)
    if row is None:
        raise NotFound("没有这个视图，可能已被删除。请刷新页面")
    if row.userid != userid:
        raise Forbidden("这是同事共享的视图，只有他能修改；可以另存为自己的视图")


def load_columns(conn: Connection, userid: str) -> list[str]:
    """Empty for somebody who never chose."""
    kept = conn.scalar(select(customer_columns.c.columns).where(customer_columns.c.userid == userid))
    return list(kept or ())


def save_columns(conn: Connection, userid: str, columns: Sequence[str]) -> None:
    put = upsert(customer_columns, conn).values(userid=userid, columns=list(columns))
    conn.execute(put.on_conflict_do_update(index_elements=["userid"], set_={"columns": list(columns)}))
