"""The person's coupons: what each is worth, until when, and whether it was used."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from scrm.commerce.coupons import store as coupons
from scrm.commerce.words import COUPON_STATES
from scrm.content.attachments import CouponCard, write_yuan
from scrm.sidebar.cards.visit import Visit
from web.texts import _

MOST = 10


@dataclass(frozen=True, slots=True)
class CouponView:
    """A coupon as a member reads it; `can_send` while the customer can still use it."""

    id: int
    title: str
    amount: str
    threshold: str
    code: str
    url: str
    word: str
    tone: str
    can_send: bool
    issued_at: datetime
    expires_at: datetime | None
    opened_at: datetime | None
    redeemed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Coupons:
    """The newest ones."""

    rows: list[CouponView]


def load(conn: Connection, visit: Visit) -> Coupons:
    """Of the page's picture, or by themselves."""
    if visit.picture is None:
        found = coupons.list_coupons(conn, visit.person_id, limit=MOST)
    else:
        found = [coupons.Issue(*row) for row in visit.picture.coupons]
    return Coupons([_view(coupon, visit) for coupon in found])


def _view(coupon: coupons.Issue, visit: Visit) -> CouponView:
    state = coupon.state_at(visit.now)
    card = card_of(coupon, visit.public_url)
    return CouponView(
        id=coupon.id,
        title=coupon.title,
        amount=_amount(coupon),
        threshold=_threshold(coupon.threshold_fen),
        code=coupon.code,
        url=card.url,
        word=COUPON_STATES[state].text,
        tone=COUPON_STATES[state].tone,
        can_send=state == "issued",
        issued_at=coupon.issued_at,
        expires_at=coupon.expires_at,
        opened_at=coupon.opened_at,
        redeemed_at=coupon.redeemed_at,
    )


def _amount(coupon: coupons.Issue) -> str:
    """For the member, in his language; what the customer reads is said by the card."""
    if coupon.benefit == "percent":
        return _("{fold} 折", fold=write_yuan((100 - coupon.percent_off) * 10))
    if coupon.benefit in ("gift", "freight"):
        return _("兑换") if coupon.benefit == "gift" else _("包邮")
    return _("{yuan} 元", yuan=write_yuan(coupon.face_fen))


def _threshold(fen: int) -> str:
    return _("满 {yuan} 元可用", yuan=write_yuan(fen)) if fen else _("无门槛")


def card_of(coupon: coupons.Issue, public_url: str) -> CouponCard:
    """The coupon with the address of the customer's own page."""
    return CouponCard(
        title=coupon.title,
        url=f"{public_url}/c/{coupon.token}",
        benefit=coupon.benefit,
        face_fen=coupon.face_fen,
        percent_off=coupon.percent_off,
        threshold_fen=coupon.threshold_fen,
        expires_at=coupon.expires_at,
    )
