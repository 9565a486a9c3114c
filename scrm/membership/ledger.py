"""Points as a pure ledger: lots that freeze, thaw, are spent from the nearest end on, and expire.

available = what open lots have left, minus the debt of refunds; frozen = what frozen lots hold.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime


class NotEnough(Exception):
    """More was asked for than can be spent."""


@dataclass(slots=True)
class Lot:
    """Points that came in together; `remaining` of an expired lot is what nobody used. `id` is 0 until it is kept."""

    amount: int
    remaining: int
    state: str = "open"
    order_id: int | None = None
    expires_at: datetime | None = None
    tell_at: datetime | None = None
    rate: int = 0
    id: int = 0

    def is_open(self, now: datetime) -> bool:
        """Whether it can be spent at this moment."""
        return self.state == "open" and self.remaining > 0 and (self.expires_at is None or self.expires_at > now)


@dataclass(frozen=True, slots=True)
class Movement:
    """One line of the ledger: what it did to both balances, and what they were after it."""

    reason: str
    available: int
    frozen: int
    available_after: int
    frozen_after: int
    order_id: int | None = None


@dataclass(slots=True)
class Account:
    """One person's points; acts change it and add to `moved`."""

    available: int = 0
    frozen: int = 0
    lots: list[Lot] = field(default_factory=list)
    moved: list[Movement] = field(default_factory=list)

    @property
    def debt(self) -> int:
        """What refunds took that was spent already."""
        return sum(lot.remaining for lot in self.lots if lot.state == "open") - self.available

    def earn(
        self,
        amount: int,
        reason: str,
        *,
        order_id: int | None = None,
        expires_at: datetime | None = None,
        tell_at: datetime | None = None,
        rate: int = 0,
    ) -> None:
        """Points that can be spent at once; a debt is paid from them first."""
        paid = min(amount, self.debt)
        lot = Lot(amount, amount - paid, "open" if amount > paid else "spent", order_id, expires_at, tell_at, rate)
        self.lots.append(lot)
        self._note(reason, amount, 0, order_id)

    def freeze(self, amount: int, reason: str, *, order_id: int, rate: int = 0) -> None:
        """Points of an order that is not completed."""
        self.lots.append(Lot(amount, amount, "frozen", order_id, rate=rate))
        self._note(reason, 0, amount, order_id)

    def shrink_frozen(self, amount: int, reason: str, *, order_id: int) -> int:
        """Take back up to `amount` of an order's frozen points; returns how many."""
        taken = 0
        for lot in self._frozen_of(order_id):
            part = min(lot.remaining, amount - taken)
            lot.remaining -= part
            lot.amount -= part
            taken += part
            if not lot.remaining:
                lot.state = "cancelled"
        if taken:
            self._note(reason, 0, -taken, order_id)
        return taken

    def thaw(self, order_id: int, *, expires_at: datetime | None, tell_at: datetime | None) -> int:
        """An order is completed: its frozen points can be spent from now on; returns how many."""
        freed, debt = 0, self.debt
        for lot in self._frozen_of(order_id):
            freed += lot.remaining
            paid = min(lot.remaining, debt)
            debt -= paid
            lot.remaining -= paid
            lot.state = "open" if lot.remaining else "spent"
            lot.expires_at, lot.tell_at = expires_at, tell_at
        if freed:
            self._note("thaw", freed, -freed, order_id)
        return freed

    def _frozen_of(self, order_id: int) -> list[Lot]:
        return [lot for lot in self.lots if lot.state == "frozen" and lot.order_id == order_id]

    def spend(self, amount: int, reason: str, *, now: datetime, order_id: int | None = None) -> None:
        """Use points, those that end first; raises NotEnough, and then nothing has changed."""
        if amount > self.spendable(now):
            raise NotEnough
        self._take(amount, now)
        self._note(reason, -amount, 0, order_id)

    def spendable(self, now: datetime) -> int:
        """What can be spent now: neither frozen nor expired, and no debt."""
        return max(0, sum(lot.remaining for lot in self.lots if lot.is_open(now)) - max(0, self.debt))

    def claw_back(self, amount: int, reason: str, *, now: datetime, order_id: int, may_go_negative: bool) -> int:
        """Take back what an order brought: its own points first, then others; returns how many were taken.

        What is spent already becomes a debt, or is let go when that may not be; what has expired is gone already.
        """
        lots = [lot for lot in self.lots if lot.order_id == order_id]
        owed = amount
        for lot in lots:
            part = min(lot.amount, owed)
            lot.amount -= part
            owed -= part
        for lot in lots:
            if lot.state == "expired":
                part = min(lot.remaining, amount)
                lot.remaining -= part
                amount -= part
        taken = self._take(amount, now, first=[lot for lot in lots if lot.state == "open"])
        if may_go_negative:
            taken = amount
        if taken:
            self._note(reason, -taken, 0, order_id)
        return taken

    def settle_order(
        self,
        order_id: int,
        points: int,
        *,
        is_free: bool,
        now: datetime,
        expires_at: datetime | None,
        tell_at: datetime | None,
        may_go_negative: bool,
        rate: int = 0,
    ) -> None:
        """Make an order have brought exactly `points`, frozen or free; doing it twice changes nothing."""
        brought = sum(lot.amount for lot in self.lots if lot.order_id == order_id)
        if points < brought:
            left = brought - points
            left -= self.shrink_frozen(left, "refund", order_id=order_id)
            if left:
                self.claw_back(left, "refund", now=now, order_id=order_id, may_go_negative=may_go_negative)
        if is_free:
            self.thaw(order_id, expires_at=expires_at, tell_at=tell_at)
        if points > brought and is_free:
            self.earn(
                points - brought, "purchase", order_id=order_id, expires_at=expires_at, tell_at=tell_at, rate=rate
            )
        elif points > brought:
            self.freeze(points - brought, "purchase", order_id=order_id, rate=rate)

    def expire(self, now: datetime) -> int:
        """Let go of what has ended; returns how many points."""
        gone = 0
        for lot in self.lots:
            if lot.state == "open" and lot.expires_at is not None and lot.expires_at <= now:
                gone += lot.remaining
                lot.state = "expired"
        if gone:
            self._note("expired", -gone, 0, None)
        return gone

    def _take(self, amount: int, now: datetime, first: Iterable[Lot] = ()) -> int:
        left = amount
        others = sorted((lot for lot in self.lots if lot.is_open(now)), key=_end)
        for lot in [*first, *others]:
            part = min(lot.remaining, left)
            lot.remaining -= part
            left -= part
            if not lot.remaining and lot.state == "open":
                lot.state = "spent"
        return amount - left

    def _note(self, reason: str, available: int, frozen: int, order_id: int | None) -> None:
        self.available += available
        self.frozen += frozen
        self.moved.append(Movement(reason, available, frozen, self.available, self.frozen, order_id))


def _end(lot: Lot) -> tuple[bool, datetime | None, int]:
    return lot.expires_at is None, lot.expires_at, lot.id
