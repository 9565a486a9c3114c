"""Counters of callbacks and welcomes."""

from prometheus_client import Counter, Histogram

CALLBACKS = Counter("scrm_callbacks_total", "Callbacks by what became of them", ["result"])
KEPT, REPEATED = CALLBACKS.labels("kept"), CALLBACKS.labels("repeated")
CALLBACK_EVENTS = Counter("scrm_callback_events_total", "Handled callbacks by event", ["event", "change_type", "state"])
CALLBACK_SECONDS = Histogram(
    "scrm_callback_seconds",
    "Seconds until a callback was kept",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
WELCOMES = Counter("scrm_welcomes_total", "Welcomes by outcome", ["outcome"])
WELCOME_SECONDS = Histogram(
    "scrm_welcome_seconds", "Seconds from callback to settled welcome", buckets=(0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 20)
)
FETCHES = Counter(
    "scrm_callback_fetches_total",
    "Fetches that events asked for: asked of WeCom, coalesced with another event's, or covered by a later one",
    ["kind", "outcome"],
)
