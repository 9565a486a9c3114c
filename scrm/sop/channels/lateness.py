"""Steps that do not reach the customer are not put off by hours and caps; what comes far too late is still left out."""

from collections.abc import Sequence
from datetime import timedelta

from scrm.sop import timing
from scrm.sop.channels.ready import Outcome, Ready, Release


def part(ready: Sequence[Ready], release: Release, life: timedelta) -> tuple[list[Ready], list[Outcome]]:
    """Those in time, and the outcomes of the others; without a ttl of its own a step lives `life`."""
    timely: list[Ready] = []
    late: list[Outcome] = []
    for one in ready:
        lag = release.now - one.due.row.due_at
        if lag > (one.step.ttl or life):
            words = f"晚了 {timing.write_duration(lag)}，超过有效期，不再执行"
            late.append(Outcome(one.step_run_id, "dropped", words))
        else:
            timely.append(one)
    return timely, late
