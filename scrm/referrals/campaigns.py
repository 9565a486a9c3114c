"""Campaigns of 老带新: which one runs, what a manager may write down, and how it is kept."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, and_, or_, select, update

from scrm import audit
from scrm.errors import Invalid, NotFound
from scrm.referrals.models import referral_campaign
from scrm.referrals.rules import LIMITS, Draft, Terms

_c = referral_campaign.c
_TITLES: Mapping[str, str] = {
    "order_days": "下单期限",
    "return_days": "退货期",
    "stay_days": "至少留多久",
    "daily_most": "每天上限",
    "review_above": "人工核对",
    "most": "活动名额",
}
_MAY_BE_EMPTY = ("daily_most", "review_above", "most")


def find_running(conn: Connection, now: datetime) -> Row[Any] | None:
    """The campaign that counts friends at this moment; of several the one that began last."""
    return conn.execute(
        select(referral_campaign)
        .where(_c.starts_at <= now, _c.stopped_at.is_(None), or_(_c.ends_at.is_(None), _c.ends_at > now))
        .order_by(_c.starts_at.desc(), _c.id.desc())
        .limit(1)
    ).one_or_none()


def has_lately(conn: Connection, now: datetime, span: timedelta) -> bool:
    """Whether one runs, is to come, or ended less than `span` ago."""
    since = now - span
    is_on = and_(_c.stopped_at.is_(None), or_(_c.ends_at.is_(None), _c.ends_at > since))
    return conn.execute(select(1).where(or_(is_on, _c.stopped_at > since)).limit(1)).first() is not None


def find(conn: Connection, campaign_id: int) -> Row[Any]:
    """Raises NotFound."""
    row = conn.execute(select(referral_campaign).where(_c.id == campaign_id)).one_or_none()
    if row is None:
        raise NotFound("没有这个老带新活动")
    return row


def list_all(conn: Connection, limit: int = 100) -> list[Row[Any]]:
    """The newest first."""
    return list(conn.execute(select(referral_campaign).order_by(_c.id.desc()).limit(limit)))


def terms_of(row: Row[Any]) -> Terms:
    """What a campaign asks of a friend."""
    return Terms(row.order_days, row.return_days, row.stay_days, row.daily_most, row.review_above, row.most)


def state_of(row: Row[Any], now: datetime) -> str:
    """planned, running, ended or stopped."""
    if row.stopped_at is not None:
        return "stopped"
    if now < row.starts_at:
        return "planned"
    return "ended" if row.ends_at is not None and row.ends_at <= now else "running"


def days_of(row: Row[Any], zone: ZoneInfo) -> tuple[date, date | None]:
    """The first and the last day of the shop on which friends count; None: there is no last one."""
    last = row.ends_at.astimezone(zone) - timedelta(days=1) if row.ends_at is not None else None
    return row.starts_at.astimezone(zone).date(), last.date() if last is not None else None


@audit.keeps("referral_campaign", _c.id, of=("campaign_id",))
def save(conn: Connection, campaign_id: int, draft: Draft) -> None:
    """Change a campaign; friends who are valid stay it, the others are judged by the new terms within a day."""
    changed = conn.execute(update(referral_campaign).where(_c.id == campaign_id).values(**_values(draft)))
    if not changed.rowcount:
        raise NotFound("没有这个老带新活动")


def add(conn: Connection, draft: Draft, *, by: str, now: datetime) -> int:
    """Begin a campaign; returns its number."""
    new = referral_campaign.insert().values(**_values(draft), created_by=by, created_at=now)
    campaign_id = int(conn.execute(new.returning(_c.id)).scalar_one())
    audit.changed(conn, "referral_campaign", campaign_id, {}, {"title": draft.title})
    return campaign_id


@audit.keeps("referral_campaign", _c.id, of=("campaign_id",))
def stop(conn: Connection, campaign_id: int, *, now: datetime) -> None:
    """No friend is counted from now on; those who are in the ledger go on."""
    conn.execute(update(referral_campaign).where(_c.id == campaign_id, _c.stopped_at.is_(None)).values(stopped_at=now))


@audit.keeps("referral_campaign", _c.id, of=("campaign_id",))
def resume(conn: Connection, campaign_id: int) -> None:
    """Take a stop back."""
    conn.execute(update(referral_campaign).where(_c.id == campaign_id).values(stopped_at=None))


def _values(draft: Draft) -> dict[str, Any]:
    terms = {name: getattr(draft.terms, name) for name in LIMITS}
    return {
        "title": draft.title,
        "starts_at": draft.starts_at,
        "ends_at": draft.ends_at,
        "rules": draft.rules,
        "shows_names": draft.shows_names,
        **terms,
    }


def read_draft(form: Mapping[str, Any], zone: ZoneInfo) -> Draft:
    """The form as it was posted; raises Invalid with everything that is wrong with it."""
    found: list[str] = []
    said = {name: str(form.get(name, "")).strip() for name in ("title", "starts", "ends", "rules", *LIMITS)}
    if not said["title"]:
        found.append("请填写活动名称")
    elif len(said["title"]) > 40:
        found.append(f"活动名称最多 40 个字，现在有 {len(said['title'])} 个字")
    if len(said["rules"]) > 1000:
        found.append(f"活动规则最多 1000 个字，现在有 {len(said['rules'])} 个字")
    starts, ends = (_day(said[name], zone, found, title) for name, title in (("starts", "开始"), ("ends", "结束")))
    if starts is None and not said["starts"]:
        found.append("请选择开始日期")
    # The last day belongs to it.
    ends = ends + timedelta(days=1) if ends is not None else None
    if starts is not None and ends is not None and ends <= starts:
        found.append("结束日期不能早于开始日期")
    numbers = {name: _number(name, said[name], found) for name in LIMITS}
    if found or starts is None:
        raise Invalid("；".join(found))
    given = {name: number for name, number in numbers.items() if number is not None}
    return Draft(said["title"], starts, ends, said["rules"], bool(form.get("shows_names")), Terms(**given))


def _day(said: str, zone: ZoneInfo, found: list[str], title: str) -> datetime | None:
    if not said:
        return None
    try:
        day = date.fromisoformat(said)
        # The day after it is reckoned with.
        day + timedelta(days=1)
    except (ValueError, OverflowError):
        found.append(f"{title}日期“{said[:20]}”看不懂，请写成 2026-03-01")
        return None
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _number(name: str, said: str, found: list[str]) -> int | None:
    least, most = LIMITS[name]
    if not said and name in _MAY_BE_EMPTY:
        return None
    if not said.isdecimal() or not least <= int(said) <= most:
        found.append(f"{_TITLES[name]}要填 {least} 到 {most:,} 的整数，现在是“{said[:20]}”")
        return None
    return int(said)
