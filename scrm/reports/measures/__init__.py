"""The list of measures: what the boards show, in the order in which they show it."""

from collections.abc import Mapping

from scrm.reports.measures.buying import AVERAGE, FIRST_BUYERS, ORDERS, PAID, REFUND_RATE, REPEAT_RATE
from scrm.reports.measures.coming import (
    ADDED,
    AGAIN_RATE,
    BROUGHT,
    BROUGHT_30,
    BROUGHT_90,
    ENDED_RATE,
    FIRST_RATE,
    KEPT_RATE,
    LOST,
    NET,
    STAYED,
    TALK_RATE,
)
from scrm.reports.measures.kinds import Counted, Measure, Unit
from scrm.reports.measures.spending import COST, COST_OF_ONE, ROI

MEASURES: tuple[Measure, ...] = (
    ADDED,
    LOST,
    NET,
    STAYED,
    TALK_RATE,
    KEPT_RATE,
    ENDED_RATE,
    FIRST_RATE,
    AGAIN_RATE,
    BROUGHT,
    BROUGHT_30,
    BROUGHT_90,
    PAID,
    ORDERS,
    AVERAGE,
    FIRST_BUYERS,
    REPEAT_RATE,
    REFUND_RATE,
    COST,
    COST_OF_ONE,
    ROI,
)
BY_KEY: Mapping[str, Measure] = {measure.key: measure for measure in MEASURES}

# What stands at the head of each board.
OVERVIEW = (ADDED, LOST, NET, TALK_RATE, FIRST_BUYERS, PAID, ORDERS, AVERAGE, REPEAT_RATE, REFUND_RATE)
CHANNELS = (ADDED, LOST, TALK_RATE, FIRST_RATE, BROUGHT)
OF_ONE_CHANNEL = (ADDED, STAYED, TALK_RATE, FIRST_RATE, BROUGHT, BROUGHT_30, BROUGHT_90, COST, COST_OF_ONE, ROI)
# The columns of the table of channels.
OF_CHANNEL = (ADDED, TALK_RATE, KEPT_RATE, FIRST_RATE, AGAIN_RATE, ENDED_RATE, BROUGHT_30, BROUGHT_90, COST, ROI)

__all__ = ["BY_KEY", "CHANNELS", "MEASURES", "OF_CHANNEL", "OF_ONE_CHANNEL", "OVERVIEW", "Counted", "Measure", "Unit"]
