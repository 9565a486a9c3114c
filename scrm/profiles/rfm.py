"""RFM by fixed thresholds: how lately, how often and for how much somebody bought, in one of eight classes. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from web.texts import N_

# By (R, F, M), each high or not: the names of the field (重要唤回 and 流失 are others for 重要保持 and 一般挽留).
CLASSES = {
    (True, True, True): N_("重要价值客户"),
    (True, False, True): N_("重要发展客户"),
    (False, True, True): N_("重要保持客户"),
    (False, False, True): N_("重要挽留客户"),
    (True, True, False): N_("一般价值客户"),
    (True, False, False): N_("一般发展客户"),
    (False, True, False): N_("一般保持客户"),
    (False, False, False): N_("一般挽留客户"),
}


@dataclass(frozen=True, slots=True)
class Cuts:
    """Four steps each, between the scores 1 to 5; a score is high from `high` on."""

    recency_days: Sequence[int]
    orders: Sequence[int]
    fen: Sequence[int]
    high: int


@dataclass(frozen=True, slots=True)
class Rfm:
    """Three scores of 1 to 5, and the class they make."""

    recency: int
    frequency: int
    money: int
    title: str

    @property
    def letters(self) -> str:
        """R4 F3 M5: always shown beside the name."""
        return f"R{self.recency} F{self.frequency} M{self.money}"


def score(last_at: datetime | None, orders: int, fen: int, cuts: Cuts, now: datetime) -> Rfm | None:
    """By orders with money left after refunds, and that money; None for who has none. Equal values score equally."""
    if last_at is None or orders <= 0:
        return None
    recency = 5 - sum(now - last_at > timedelta(days=days) for days in cuts.recency_days)
    frequency = 1 + sum(orders >= step for step in cuts.orders)
    money = 1 + sum(fen >= step for step in cuts.fen)
    is_high = recency >= cuts.high, frequency >= cuts.high, money >= cuts.high
    return Rfm(recency, frequency, money, CLASSES[is_high])
