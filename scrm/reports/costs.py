"""What channels cost, as somebody entered it, and what they brought for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from scrm import audit
from scrm.errors import Invalid, NotFound
from scrm.reports.models import channel_cost
from scrm.reports.period import Period

MOST_FEN = 10**12
MOST_LISTED = 200
_AMOUNT = re.compile(r"(\d{1,10})(?:\.(\d{1,2}))?")


@dataclass(frozen=True, slots=True)
class Spent:
    """Money over some days of the shop, both ends included."""

    first: date
    last: date
    cost_fen: int
    note: str = ""

    def part(self, period: Period) -> int:
        """What falls into the period, spread evenly over its days."""
        days = (min(self.last, period.last) - max(self.first, period.first)).days + 1
        return round(self.cost_fen * max(0, days) / ((self.last - self.first).days + 1))


def read_spent(form: Mapping[str, Any], today: date) -> Spent:
    """From a form: first, last, amount in yuan, note. Raises Invalid with what is expected."""
    first, last = _read_day(form, "first", today), _read_day(form, "last", today)
    if first > last:
        raise Invalid(f"开始日期 {first} 在结束日期 {last} 之后，请交换两个日期")
    if (days := (last - first).days + 1) > 366:
        raise Invalid(f"一笔成本最多分摊 366 天，填了 {days} 天，请按年分开填")
    text = str(form.get("amount") or "").strip().replace(",", "").replace("，", "").removeprefix("¥")
    found = _AMOUNT.fullmatch(text)
    if found is None:
        raise Invalid(f"没有看懂金额“{text[:20]}”，请填数字，单位是元，最多两位小数，例如 1200 或 1200.50")
    cost_fen = int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))
    if not cost_fen:
        raise Invalid("金额是 0，请填大于 0 的金额；没有成本的渠道不用填")
    return Spent(first, last, cost_fen, str(form.get("note") or "").strip()[:80])


def _read_day(form: Mapping[str, Any], name: str, today: date) -> date:
    text = str(form.get(name) or "").strip()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Invalid(f"没有看懂日期“{text[:20]}”，请写成 {today:%Y-%m-%d} 这样") from None


def add(conn: Connection, state: str, spent: Spent, *, by: str, now: datetime) -> int:
    values = {
        "first_day": str(spent.first),
        "last_day": str(spent.last),
        "cost_fen": spent.cost_fen,
        "note": spent.note,
    }
    statement = channel_cost.insert().values(state=state, created_by=by, created_at=now, **values)
    cost_id: int = conn.scalar(statement.returning(channel_cost.c.id)) or 0
    audit.changed(conn, "channel_cost", state, None, values)
    return cost_id


def remove(conn: Connection, state: str, cost_id: int) -> Spent:
    """Raises NotFound when somebody else was faster."""
    mine = channel_cost.c.id == cost_id, channel_cost.c.state == state
    row = conn.execute(delete(channel_cost).where(*mine).returning(channel_cost)).one_or_none()
    if row is None:
        raise NotFound("这笔成本已经被删除，请刷新页面")
    told = {"first_day": row.first_day, "last_day": row.last_day, "cost_fen": row.cost_fen, "note": row.note}
    audit.changed(conn, "channel_cost", state, told, None)
    return _spent(row)


def list_of(conn: Connection, state: str) -> Sequence[Row[Any]]:
    """The newest days first."""
    query = select(channel_cost).where(channel_cost.c.state == state)
    return conn.execute(
        query.order_by(channel_cost.c.first_day.desc(), channel_cost.c.id.desc()).limit(MOST_LISTED)
    ).all()


def of_period(conn: Connection, period: Period, state: str | None = None) -> dict[str, int]:
    """By channel; those of whose cost nobody told us are not there."""
    table = channel_cost.c
    query = select(channel_cost).where(table.first_day <= str(period.last), table.last_day >= str(period.first))
    found: dict[str, int] = {}
    for row in conn.execute(query if state is None else query.where(table.state == state)):
        found[row.state] = found.get(row.state, 0) + _spent(row).part(period)
    return found


def _spent(row: Any) -> Spent:
    return Spent(date.fromisoformat(row.first_day), date.fromisoformat(row.last_day), row.cost_fen, row.note)
