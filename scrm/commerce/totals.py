"""What one order adds to its person's totals: the only definition of what counts as a purchase."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

SUMS = ("orders", "paid_orders", "paid_fen", "refunded_fen", "open_refunds", "kept_orders", "kept_fen")
TIMES = ("first_paid_at", "last_paid_at", "last_order_at", "last_kept_at")


@dataclass(frozen=True, slots=True)
class Share:
    """One order's part in person_stat; sums add up, the times are extremes."""

    orders: int = 0
    paid_orders: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    open_refunds: int = 0
    kept_orders: int = 0
    kept_fen: int = 0
    paid_at: datetime | None = None
    ordered_at: datetime | None = None
    # When it was paid, while money is left of it.
    kept_at: datetime | None = None


NOTHING = Share()


def is_purchase(row: dict[str, Any]) -> bool:
    """Really paid in full, with real money, and no test."""
    return (
        row["paid_at"] is not None
        and row["paid_fen"] > 0
        and not row["is_test"]
        and row["payment_status"] != "partially_paid"
    )


def share_of(row: dict[str, Any], open_refunds: int) -> Share:
    """This order's share; `open_refunds` is the number of its undecided refund cases."""
    if row["is_test"]:
        return NOTHING
    bought = is_purchase(row)
    kept_fen = max(0, row["paid_fen"] - row["refunded_fen"]) if bought else 0
    return Share(
        orders=1,
        paid_orders=int(bought),
        paid_fen=row["paid_fen"] if bought else 0,
        refunded_fen=row["refunded_fen"] if bought else 0,
        open_refunds=open_refunds,
        kept_orders=int(kept_fen > 0),
        kept_fen=kept_fen,
        paid_at=row["paid_at"] if bought else None,
        ordered_at=row["ordered_at"],
        kept_at=row["paid_at"] if kept_fen else None,
    )


@dataclass(slots=True)
class Change:
    """What a batch of orders does to one person's totals."""

    orders: int = 0
    paid_orders: int = 0
    paid_fen: int = 0
    refunded_fen: int = 0
    open_refunds: int = 0
    kept_orders: int = 0
    kept_fen: int = 0
    first_paid_at: datetime | None = None
    last_paid_at: datetime | None = None
    last_order_at: datetime | None = None
    last_kept_at: datetime | None = None
    # A time was taken away or moved: only a recount knows the extremes.
    needs_recount: bool = False

    def move(self, before: Share, after: Share) -> None:
        """Take `before` out and put `after` in."""
        if before is after:
            return
        self.orders += after.orders - before.orders
        self.paid_orders += after.paid_orders - before.paid_orders
        self.paid_fen += after.paid_fen - before.paid_fen
        self.refunded_fen += after.refunded_fen - before.refunded_fen
        self.open_refunds += after.open_refunds - before.open_refunds
        self.kept_orders += after.kept_orders - before.kept_orders
        self.kept_fen += after.kept_fen - before.kept_fen
        self.needs_recount |= before.kept_at is not None and before.kept_at != after.kept_at
        self.needs_recount |= before.paid_at is not None and before.paid_at != after.paid_at
        self.needs_recount |= before.ordered_at is not None and before.ordered_at != after.ordered_at
        self.first_paid_at = _extreme(min, (self.first_paid_at, after.paid_at))
        self.last_paid_at = _extreme(max, (self.last_paid_at, after.paid_at))
        self.last_order_at = _extreme(max, (self.last_order_at, after.ordered_at))
        self.last_kept_at = _extreme(max, (self.last_kept_at, after.kept_at))

    def values(self) -> dict[str, Any]:
        """The columns of person_stat: what is to be added, or, from nothing, what they should say."""
        return {name: getattr(self, name) for name in SUMS + TIMES}


def _extreme(choose: Any, moments: Iterable[datetime | None]) -> datetime | None:
    known = [moment for moment in moments if moment is not None]
    return choose(known) if known else None
