"""A rehearsal at scale comes to what the running engine comes to: both play the same customer."""

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from scrm.events import Event
from scrm.sop.guards.house import house_from
from scrm.sop.rehearsal.answers import Answers
from scrm.sop.rehearsal.findings import Findings
from scrm.sop.rehearsal.rehearse import EXTERNAL_USERID, USERID, Given, Rehearsal, read_given, rehearse, settings_for
from scrm.sop.rehearsal.simulation import Simulation
from scrm.sop.rehearsal.terms import Behaviour, Member
from scrm.sop.schema import Playbook
from scrm.sop.text.parse import parse_playbook
from scrm.sop.text.reading import PlaybookErrors

STATES = ("sent", "done", "skipped", "dropped", "expired", "withdrawn")
HOUSE = house_from(settings_for(Path("unused.db")))
BEGIN = datetime(2026, 3, 2, 10, 7, tzinfo=HOUSE.zone)

# In the order in which a text must have them.
WHEN = ("T0", "T0+20m", "T0+5h", "T0+9h", "D+1 10:00-11:30", "D+2", "D+2 19:30-21:00", "D+3 09:00-10:00")
IFS = (
    "",
    "",
    "if: {event: message.radar_opened, count: {gte: 1}}",
    "if: {not: {event: custom.asked, within: 1d}}",
    "if: {no_reply: true}",
    "if: {pushed: {lt: 2}, within: 3d}",
)
OTHERS = (
    "order.paid",
    "message.radar_opened",
    "custom.asked",
    "kf.message",
    "case.opened",
    "case.opened",
    "case.closed",
    "contact.lost_by_customer",
)


@st.composite
def steps(draw: Any, prefix: str, count: int, earliest: int = 0) -> list[str]:
    lines = []
    times = sorted(draw(st.lists(st.integers(earliest, len(WHEN) - 1), min_size=count, max_size=count)))
    for number, time in enumerate(times):
        channel = draw(st.sampled_from("TTTX"))
        condition = draw(st.sampled_from(IFS))
        parts = [f"id: {prefix}{number}", f"at: {WHEN[time]}", f"channel: {channel}"]
        if channel == "X":
            parts.append("do: [{set: {stage: 潜客}}]")
        else:
            late, ttl = draw(st.sampled_from(["defer", "drop"])), draw(st.sampled_from(["2h", "24h", "3d"]))
            parts += [f"late: {late}", f"ttl: {ttl}", "content: {text: 您好}"]
        lines.append("- {" + ", ".join([*parts, *([condition] if condition else [])]) + "}")
    return lines


def indented(lines: Sequence[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


@st.composite
def texts(draw: Any) -> str:
    """A playbook with steps, and perhaps one branch, split or wait."""
    priority = draw(st.sampled_from(["P1", "P2", "P3", "P3"]))
    guards = draw(st.sampled_from(["{quiet: inherit}", "{quiet: none, cap: none}", "{max_pushes: 2}"]))
    exit_if = draw(st.sampled_from(["none", "{event: order.paid}", "{event: message.radar_opened, count: {gte: 2}}"]))
    goal = draw(
        st.sampled_from(["none", "{event: order.paid, within: 2d}", "{event: message.radar_opened, within: 1d}"])
    )
    # What follows comes later: each part begins where the times of the one before may end.
    lines = list(draw(steps("a", draw(st.integers(1, 2)))))
    reached = max(WHEN.index(line.split("at: ")[1].split(", channel")[0]) for line in lines)
    kind = draw(st.sampled_from(["", "branch", "split", "wait"]))
    left, right = draw(steps("b", 1, reached)), draw(steps("c", 1, reached))
    if kind == "branch":
        lines += ["- id: fork", "  branch:"]
        lines += ["  - name: 看过", "    if: {event: message.radar_opened}", "    steps:", indented(left, 4)]
        lines += ["  - else:", indented(right, 4)]
    elif kind == "split":
        lines += ["- id: fork", "  split:"]
        lines += ["  - {share: 50%, name: A, steps: [" + left[0][2:] + "]}"]
        lines += ["  - {share: 50%, name: B, steps: [" + right[0][2:] + "]}"]
    elif kind == "wait":
        end = draw(st.sampled_from(["next", "end"]))
        lines += ["- wait: {id: fork, event: message.radar_opened, timeout: 1d, on_timeout: " + end + "}", *left]
    lines += draw(steps("d", draw(st.integers(0, 2)), len(WHEN) - 2))
    head = ["playbook: tried", "title: 试一试", f"priority: {priority}", "trigger: {event: contact.added}"]
    head += ["run_key: person", "reentry: never", f"exit_if: {exit_if}", f"goal: {goal}", f"guards: {guards}", "steps:"]
    return "\n".join(head) + "\n" + indented("\n".join(lines).split("\n"), 2) + "\n"


happenings = st.lists(
    st.tuples(st.sampled_from(OTHERS), st.integers(1, 5 * 24 * 60)), max_size=4, unique_by=lambda one: one[1]
)


def simulate(playbook: Playbook, given: Sequence[Given], after: timedelta | None, until: datetime) -> Findings:
    findings = Findings(HOUSE.zone, 40, sends=[])
    member = Member(1.0 if after is not None else 0.0, int(after.total_seconds() // 60) if after is not None else 1)
    simulation = Simulation([playbook], HOUSE, Answers(), Behaviour(member), findings, {}, until)
    events = [
        Event(one.event, one.at, 1, EXTERNAL_USERID, USERID, one.key, dict(one.facts), id=number)
        for number, one in enumerate(given, 1)
    ]
    simulation.play(events)
    return findings


def outcomes_of(findings: Findings) -> dict[str, list[str]]:
    return {
        state: sorted(step for step, counts in findings.steps.items() for _ in range(counts[state])) for state in STATES
    }


# What ends a run ends it while it stands still too.
PAUSED = """playbook: tried
title: 试一试
priority: P3
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: none
goal: {event: order.paid, within: 2d}
guards: {quiet: inherit}
steps:
  - {id: a0, at: T0, channel: X, do: [{set: {stage: 潜客}}]}
"""


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(text=PAUSED, happened=[("case.opened", 1), ("order.paid", 2)], minutes=None)
@given(text=texts(), happened=happenings, minutes=st.sampled_from([None, 1, 45, 300]))
async def test_a_crowd_of_one_is_sent_what_the_engine_sends(
    sqlite_file: Path, text: str, happened: list[tuple[str, int]], minutes: int | None
) -> None:
    try:
        playbook = parse_playbook(text, file_name="tried")
    except PlaybookErrors:
        assume(False)  # what publishing refuses nobody plays
        raise
    after = timedelta(minutes=minutes) if minutes is not None else None
    lines = [{"event": "contact.added", "at": BEGIN.isoformat()}]
    lines += [
        {"event": name, "at": (BEGIN + timedelta(minutes=at)).isoformat(), "key": "K1"}
        for name, at in sorted(happened, key=lambda one: one[1])
    ]
    until = BEGIN + timedelta(days=9)
    test = {"name": "", "given": lines, "until": until.isoformat(), "expect": {"run": "x"}}
    test["staff"] = {"confirms_after": f"{minutes}m" if minutes is not None else "never"}
    path = Path(shutil.copy(sqlite_file, sqlite_file.with_name("rehearsal.db")))
    played: Rehearsal = await rehearse(playbook, test, path)
    found = simulate(playbook, read_given(lines, HOUSE.zone), after, until.astimezone(UTC))
    told = "\n".join([text, *map(str, lines), *played.story, str(found.reasons)])
    assert outcomes_of(found) == {state: sorted(played.outcomes.get(state, [])) for state in STATES}, told
    run = "active" if played.run == "paused" else played.run
    assert ("active" if not found.ended else next(iter(found.ended))) == run, told
