"""Who this is and what they are worth: names, tags, where they came from, who follows them, what they have bought."""

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row

from scrm.profiles import rfm
from scrm.profiles.rfm import Rfm
from scrm.profiles.words import add_way
from scrm.settings import Settings
from scrm.sidebar import words
from scrm.sidebar.cards.visit import Visit
from web.texts import _


@dataclass(frozen=True, slots=True)
class Follower:
    """A member who follows this person."""

    name: str
    is_me: bool
    ended_by: str


@dataclass(frozen=True, slots=True)
class Worth:
    """What they have bought, in fen, and what they are as a member of the shop; `points` None: never had any."""

    orders: int
    paid_orders: int
    paid_fen: int
    refunded_fen: int
    last_order_at: datetime | None
    rfm: Rfm | None
    points: int | None
    frozen_points: int
    level: str
    benefits: str

    @property
    def net_fen(self) -> int:
        return self.paid_fen - self.refunded_fen

    @property
    def average_fen(self) -> int:
        """Paid for an order (笔单价)."""
        return round(self.paid_fen / self.paid_orders) if self.paid_orders else 0


@dataclass(frozen=True, slots=True)
class Profile:
    """The head of the page and its facts."""

    name: str
    wechat_name: str
    avatar: str
    kind: str
    is_wechat: bool
    stage: str
    gender: str
    description: str
    channel: str
    add_way: str
    followed_at: datetime
    days: int
    is_half: bool
    archive_agreed_at: datetime | None
    has_left: bool
    tags: list[str]
    followers: list[Follower]
    phone: str
    phones: int
    worth: Worth
    refuses: bool
    no_promo: bool

    @property
    def orders(self) -> int:
        return self.worth.orders


def load(conn: Connection, visit: Visit) -> Profile:
    """Of the page's picture."""
    assert visit.relation is not None and visit.picture is not None  # noqa: S101, PT018 - cards come behind the door
    mine, picture = visit.relation, visit.picture
    own = next(row for row in picture.relations if _is_mine(row, mine))
    optout = mine.optout or {}
    return Profile(
        name=mine.remark or mine.contact_name or _("微信用户"),
        wechat_name=mine.contact_name if mine.remark and mine.remark != mine.contact_name else "",
        avatar=mine.avatar,
        kind=_("@微信") if mine.type != 2 else f"@{mine.corp_name or _('企业微信')}",
        is_wechat=mine.type != 2,
        stage=mine.stage,
        gender={1: _("男"), 2: _("女")}.get(mine.gender, ""),
        description=mine.description,
        channel=own.channel_title or "",
        add_way=add_way(mine.add_way),
        followed_at=mine.followed_at,
        days=words.days_since(mine.followed_at, visit.now),
        is_half=mine.is_half,
        archive_agreed_at=own.archive_agreed_at,
        has_left=mine.ended_by == "customer",
        tags=_tags(mine, picture.tags),
        followers=_followers(mine, picture.relations),
        phone=picture.worth[0].phone or "",
        phones=picture.worth[0].phones,
        worth=worth_of(picture.worth[0], visit.settings, visit.now),
        refuses=any(optout.values()),
        no_promo=bool(optout.get("promo")),
    )


def worth_of(row: Any, settings: Settings, now: datetime) -> Worth:
    """From the person's totals and points account. Pure."""
    return Worth(
        orders=row.orders or 0,
        paid_orders=row.paid_orders or 0,
        paid_fen=row.paid_fen or 0,
        refunded_fen=row.refunded_fen or 0,
        last_order_at=row.last_order_at,
        rfm=_placed(row) or rfm.score(row.last_kept_at, row.kept_orders or 0, row.kept_fen or 0, _cuts(settings), now),
        points=row.points,
        frozen_points=row.frozen_points or 0,
        level=row.level_title or "",
        benefits=row.level_benefits or "",
    )


def _placed(row: Any) -> Rfm | None:
    """As the page of RFM has it; who bought first today is placed tonight."""
    return Rfm(row.r, row.f, row.m, rfm.CLASSES[tuple(letter == "1" for letter in row.rfm)]) if row.rfm else None


def _cuts(settings: Settings) -> rfm.Cuts:
    said = settings.rfm
    return rfm.Cuts(said.recency_days, said.orders, [yuan * 100 for yuan in said.yuan], said.high)


def _is_mine(row: Any, mine: Row[Any]) -> bool:
    return (row.userid, row.external_userid) == (mine.userid, mine.external_userid)


def _tags(mine: Row[Any], rows: list[Any]) -> list[str]:
    """The corp's tags of all followers; personal ones (type 2) are for the member who wrote them."""
    shown = [row for row in rows if row.type != 2 or row.userid == mine.userid]
    shown.sort(key=attrgetter("followed_at", "group_name", "tag_name"))
    return list(dict.fromkeys(row.tag_name for row in shown))


def _followers(mine: Row[Any], rows: list[Any]) -> list[Follower]:
    rows = sorted(rows, key=attrgetter("followed_at", "userid"))
    by_userid = {row.userid: row for row in rows if row.ended_by != "member"}
    return [
        Follower(row.member_name or row.userid, row.userid == mine.userid, row.ended_by) for row in by_userid.values()
    ]
