"""Counters of durable work."""

from prometheus_client import Counter, Histogram

WORK_TOTAL = Counter("scrm_work_total", "Work items by kind and outcome", ["kind", "outcome"])
WORK_SECONDS = Histogram(
    "scrm_work_seconds", "Seconds an item took", ["kind"], buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60)
)
