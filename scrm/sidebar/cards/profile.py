"""Who this is: names, tags, where they came from, who follows them, what they have bought."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from scrm.profiles.words import add_way
from scrm.sidebar import store, words
from scrm.sidebar.cards.visit import Visit


@dataclass(frozen=True, slots=True)
class Follower:
    """A member who follows this person."""

    name: str
    is_me: bool
    ended_by: str


@dataclass(frozen=True, slots=True)
class Profile:
    """The head of the page and its facts; money in fen."""

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
    has_left: bool
    tags: list[str]
    followers: list[Follower]
    phone: str
    phones: int
    orders: int
    paid_orders: int
    paid_fen: int
    refunded_fen: int
    last_order_at: datetime | None
    refuses: bool = field(default=False)
    no_promo: bool = False
    # None: never had any.
    points: int | None = None
    frozen_points: int = 0
    level: str = ""
    benefits: str = ""


def load(conn: Connection, visit: Visit) -> Profile:
    relation = visit.relation
    assert relation is not None  # noqa: S101 - cards are loaded behind the door
    return _profile(relation, store.list_relations(conn, visit.person_id), visit.now)


def _profile(mine: Row[Any], rows: list[Row[Any]], now: datetime) -> Profile:
    own = next(row for row in rows if (row.userid, row.external_userid) == (mine.userid, mine.external_userid))
    return Profile(
        name=mine.remark or mine.contact_name or "微信用户",
        wechat_name=mine.contact_name if mine.remark and mine.remark != mine.contact_name else "",
        avatar=mine.avatar,
        kind="@微信" if mine.type != 2 else f"@{mine.corp_name or '企业微信'}",
        is_wechat=mine.type != 2,
        stage=mine.stage,
        gender={1: "男", 2: "女"}.get(mine.gender, ""),
        description=mine.description,
        channel=own.channel_title or "",
        add_way=add_way(mine.add_way),
        followed_at=mine.followed_at,
        days=words.days_since(mine.followed_at, now),
        is_half=mine.is_half,
        has_left=mine.ended_by == "customer",
        tags=_tags(mine, rows),
        followers=_followers(mine, rows),
        phone=own.phone or "",
        phones=own.phones,
        orders=own.orders or 0,
        paid_orders=own.paid_orders or 0,
        paid_fen=own.paid_fen or 0,
        refunded_fen=own.refunded_fen or 0,
        last_order_at=own.last_order_at,
        refuses=any((mine.optout or {}).values()),
        no_promo=bool((mine.optout or {}).get("promo")),
        points=own.points,
        frozen_points=own.frozen_points or 0,
        level=own.level_title or "",
        benefits=own.level_benefits or "",
    )


def _tags(mine: Row[Any], rows: list[Row[Any]]) -> list[str]:
    """The corp's tags of all followers; personal ones (type 2) are for the member who wrote them."""
    return list(
        dict.fromkeys(row.tag_name for row in rows if row.tag_name and (row.tag_type != 2 or row.userid == mine.userid))
    )


def _followers(mine: Row[Any], rows: list[Row[Any]]) -> list[Follower]:
    by_userid = {row.userid: row for row in rows if row.ended_by != "member"}
    return [
        Follower(row.member_name or row.userid, row.userid == mine.userid, row.ended_by) for row in by_userid.values()
    ]
