"""What the calendar starts, what enters and leaves segments, and what somebody starts by hand."""

from scrm.events import Event
from scrm.sop.schema import Trigger as Wanted
from scrm.sop.triggers.trigger import Trigger

_SEGMENT = {"segment": "人群包编号"}


def _is_this_date(wanted: Wanted, event: Event) -> bool:
    """The same date asked for in the same way: who begins three days before hears of it three days before."""
    facts = event.facts
    asked = (wanted.date, wanted.lead, wanted.lunar, wanted.yearly)
    return asked == (facts.get("field"), facts.get("lead"), facts.get("lunar"), facts.get("yearly"))


def _is_this_schedule(wanted: Wanted, event: Event) -> bool:
    return (wanted.cron, wanted.segment) == (event.facts.get("cron"), event.facts.get("segment"))


TRIGGERS = (
    Trigger(
        "date.reached",
        "客户的日期到了",
        {},
        ("person+year",),
        also=_is_this_date,
        asks=("date", "lunar", "yearly"),
    ),
    Trigger(
        "schedule.due",
        "到了定好的时间",
        {},
        ("batch", "person+year"),
        also=_is_this_schedule,
        asks=("cron", "segment"),
    ),
    Trigger("segment.entered", "客户进入人群包", _SEGMENT, ("person+year",)),
    Trigger(
        "rfm.moved",
        "RFM 客户群变动",
        {"to": "到哪一类，如 重要挽留客户", "from": "从哪一类"},
        ("batch", "person+year"),
    ),
    Trigger("segment.left", "客户离开人群包", _SEGMENT, ("person+year",)),
    Trigger("manual.started", "员工或系统手动开始", {"by": "谁开始的"}, ("batch", "person+year"), asks=("ask",)),
)
