"""Pausing, resuming, retiring; those under way move to a new version, and nobody gets a burst."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from scrm.errors import Conflict
from scrm.sop.life import lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.life import store as lifecycle_store
from scrm.sop.life.migration import route
from scrm.sop.life.published import By, Published
from scrm.sop.models import task
from scrm.sop.schema import Arm, Branch, Playbook
from scrm.sop.shelf import house_of
from tests.fakes.deaths import Killed, revive
from tests.sop.shop import Goal, Shop, playbook_of, step

BY = By("lina", "console", "为了测试")
KEY = "new-customer"


async def act(shop: Shop, verb: Any, **more: Any) -> None:
    """What a manager does in the console, and all that follows from it."""
    await shop.services.db.write(verb, KEY, BY, now=shop.clock.now(), **more)
    await shop.services.db.read(shop.services.memory[Published].refresh)
    await shop.settle()


async def move(shop: Shop, mode: str = "migrate") -> int:
    published = shop.services.memory[Published]
    people: int = await shop.services.db.write(migrate_runs.start, published, KEY, mode, BY, now=shop.clock.now())
    await shop.settle()
    return people


async def changes(shop: Shop) -> list[str]:
    return [row.act for row in await shop.services.db.read(lifecycle_store.list_changes, KEY)]


async def states(shop: Shop) -> list[str]:
    return [row.state for row in await shop.runs()]


async def test_a_paused_playbook_lets_nobody_in_and_collects_nobody(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await act(shop, lifecycle.pause, hold=False)
    await shop.add()
    early = await shop.meet("早早")
    # Told while it stood still, handled when it runs again.
    await shop.publish("contact.added", early)
    shop.clock.advance(hours=1)
    await act(shop, lifecycle.resume)
    assert await shop.runs() == []
    await shop.pass_time(hours=2)
    await shop.add("晚晚")
    assert len(await shop.runs()) == 1
    assert await changes(shop) == ["resumed", "paused"]


async def test_those_under_way_go_on_while_nobody_enters(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await shop.add()
    await act(shop, lifecycle.pause, hold=False)
    await shop.pass_time(hours=2)
    assert [row.step_id for row in await shop.tasks()] == ["ask"]


async def test_held_runs_stand_still_and_go_on_with_new_dates(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("later", "T0+3h")))
    who = await shop.add()
    await shop.pass_time(hours=1, minutes=5)
    (asked,) = await shop.tasks()
    await act(shop, lifecycle.pause, hold=True)
    (withdrawn,) = await shop.tasks()
    assert (withdrawn.state, withdrawn.reason) == ("withdrawn", lifecycle.HELD_TASK)
    assert await states(shop) == ["paused"]
    await shop.pass_time(days=21)
    assert len(await shop.tasks()) == 1
    await act(shop, lifecycle.resume, shift=True)
    (again,) = await shop.tasks()
    assert again.state == "open"
    assert again.expires_at == asked.expires_at + timedelta(days=21)
    assert await states(shop) == ["active"]
    await shop.pass_time(hours=1, minutes=50)
    assert len(await shop.tasks()) == 1
    await shop.pass_time(minutes=10)
    assert [row.step_id for row in await shop.tasks(task.c.person_id == who.person_id)] == ["ask", "later"]


async def test_with_old_dates_three_weeks_of_steps_are_left_out_not_sent_at_once(shop: Shop) -> None:
    await shop.run(playbook_of(*(step(f"day{n}", f"D+{n} 10:00-11:30") for n in range(1, 9))))
    for n in range(5):
        await shop.add(f"客户{n}")
    await act(shop, lifecycle.pause, hold=True)
    await shop.pass_time(days=21)
    await act(shop, lifecycle.resume, shift=False)
    await shop.pass_time(hours=3)
    assert await shop.tasks() == []
    assert set((await shop.steps()).values()) == {"dropped"}
    assert set(await states(shop)) == {"done"}


async def test_what_fell_due_in_a_short_pause_comes_over_time(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    for n in range(8):
        await shop.add(f"客户{n}")
    await act(shop, lifecycle.pause, hold=True)
    await shop.pass_time(hours=3)
    await act(shop, lifecycle.resume, shift=False)
    assert len(await shop.tasks()) < 8
    due = {row.due_at for row in await shop.runs() if row.due_at}
    assert len(due) > 3
    await shop.pass_time(hours=2, minutes=5)
    assert len(await shop.tasks()) == 8


async def test_a_run_that_slips_into_a_held_playbook_is_held_too(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await act(shop, lifecycle.pause, hold=True)
    published: Published = shop.services.memory[Published]
    # Another process has not heard of it yet.
    published.current = {**published.current, KEY: published.versions[KEY, 1]}
    await shop.add()
    assert await states(shop) == ["active"]
    await shop.services.db.read(published.load)
    # Also before anybody has looked for such runs, its step does not come.
    await shop.pass_time(hours=2)
    assert await shop.tasks() == []
    await lifecycle.tick(shop.services)
    assert await states(shop) == ["paused"]


async def test_a_retired_playbook_ends_its_runs_or_lets_them_run_out(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("later", "T0+3h")))
    await shop.add()
    await shop.pass_time(hours=1, minutes=1)
    with pytest.raises(Conflict, match="还有客户"):
        await act(shop, lifecycle.archive)
    await act(shop, lifecycle.retire, end_runs=True)
    (run,) = await shop.runs()
    assert (run.state, run.ended_reason) == ("exited", lifecycle.RETIRED)
    assert [row.state for row in await shop.tasks()] == ["withdrawn"]
    await act(shop, lifecycle.archive)
    await act(shop, lifecycle.restore)
    await act(shop, lifecycle.resume)
    await shop.add("新来的")
    await act(shop, lifecycle.retire, end_runs=False)
    await shop.pass_time(hours=1, minutes=1)
    await shop.pass_time(hours=2, minutes=2)
    assert [row.state for row in await shop.tasks()] == ["withdrawn", "open", "open"]


async def _killed_within(shop: Shop, patch: pytest.MonkeyPatch, slice_: str, verb: Any, **more: Any) -> None:
    """The process ends in the second slice, whose changes are not committed; another one takes it up."""
    change, met = getattr(lifecycle, slice_), []

    def die(*args: Any) -> int:
        changed: int = change(*args)
        met.append(changed)
        if len(met) == 2:
            raise Killed
        return changed

    with patch.context() as inner:
        inner.setattr(lifecycle, slice_, die)
        with pytest.raises(Killed):
            await act(shop, verb, **more)
    assert met == [2, 2]
    await revive(shop.services)
    await shop.services.db.read(shop.services.memory[Published].refresh)
    await shop.settle()


async def test_killed_in_the_middle_of_holding_waking_and_ending_each_run_is_changed_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "SLICE", 2)
    await shop.run(playbook_of(step("ask", "T0+1h"), step("later", "T0+3h")))
    for number in range(5):
        await shop.add(f"客户{number}")
    await shop.pass_time(hours=1, minutes=5)
    ends = {row.expires_at for row in await shop.tasks()}
    due = {row.due_at for row in await shop.runs()}
    assert (len(ends), len(due)) == (1, 1)
    await _killed_within(shop, monkeypatch, "hold_slice", lifecycle.pause, hold=True)
    assert await states(shop) == ["paused"] * 5
    assert {row.state for row in await shop.tasks()} == {"withdrawn"}
    await shop.pass_time(days=3)
    await _killed_within(shop, monkeypatch, "wake_slice", lifecycle.resume, shift=True)
    assert await states(shop) == ["active"] * 5
    assert {(row.state, row.expires_at - timedelta(days=3)) for row in await shop.tasks()} == {("open", *ends)}
    assert {row.due_at - timedelta(days=3) for row in await shop.runs()} == due
    await _killed_within(shop, monkeypatch, "end_slice", lifecycle.retire, end_runs=True)
    assert await states(shop) == ["exited"] * 5
    assert [row.state for row in await shop.tasks()] == ["withdrawn"] * 5
    await shop.pass_time(hours=3)
    assert len(await shop.tasks()) == 5


async def test_who_waits_on_a_deleted_step_goes_on_to_the_next_one_that_is_left(shop: Shop) -> None:
    old = playbook_of(step("ask", "T0+1h"), step("gone", "T0+2h"), step("last", "D+3 10:00-11:30"))
    await shop.run(old)
    waiting = await shop.add("在等的")
    await shop.pass_time(hours=1, minutes=1)
    told = await shop.add("已收到的")
    await shop.pass_time(hours=1)
    # The first waits at `last` with both tasks open, the second at `gone`.
    new = playbook_of(step("ask", "T0+1h"), step("last", "D+3 10:00-11:30"), step("extra", "D+5"), version=2)
    await shop.run(new)
    published = shop.services.memory[Published]
    found = await shop.services.db.read(migrate_runs.preview, published, KEY)
    assert found.people == 2
    assert {(move.at, move.people, move.to, move.is_gone) for move in found.moves} == {
        ("步骤 gone", 1, "步骤 last", True),
        ("步骤 last", 1, "步骤 last", False),
    }
    assert found.withdrawn == [("步骤 gone", 1)]
    before = {row.person_id: row.due_at for row in await shop.runs()}
    assert await move(shop) == 2
    runs = {row.person_id: row for row in await shop.runs()}
    assert {row.version for row in runs.values()} == {2}
    assert runs[waiting.person_id].due_at == before[waiting.person_id]
    assert [(row.step_id, row.state) for row in await shop.tasks(task.c.person_id == waiting.person_id)] == [
        ("ask", "open"),
        ("gone", "withdrawn"),
    ]
    await shop.pass_until("03-08 12:00")
    for who in (waiting, told):
        steps = [row.step_id for row in await shop.tasks(task.c.person_id == who.person_id)]
        assert [each for each in steps if each != "gone"] == ["ask", "last", "extra"]


async def test_who_stands_still_moves_to_the_new_version_and_still_goes_on_when_it_runs_again(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h"), step("gone", "D+1")))
    await shop.add()
    complains = await shop.add("投诉的")
    await shop.happens("refund.opened", complains, key="taobao/shop/1")
    why = (await shop.runs())[1].held_reason
    await act(shop, lifecycle.pause, hold=True)
    await shop.run(playbook_of(step("ask", "T0+1h"), step("new", "D+1"), version=2))
    assert await move(shop) == 2
    # Each still knows why: the one is waked with his playbook, the other when his case is closed.
    assert [(run.version, run.state, run.held_reason) for run in await shop.runs()] == [
        (2, "paused", ""),
        (2, "paused", why),
    ]
    assert "售后" in why
    await act(shop, lifecycle.resume, shift=True)
    await shop.pass_until("03-03 18:00")
    assert [row.step_id for row in await shop.tasks()] == ["ask", "new"]


async def test_a_version_that_is_out_of_date_takes_nobody_over(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await shop.add()
    await shop.run(playbook_of(step("wrong", "T0+1h"), version=2))
    job = migrate_runs.Job(shop.services.memory[Published], house_of(shop.services), KEY, 2, restarts=False)
    await shop.run(playbook_of(step("ask", "T0+1h"), step("more", "D+1"), version=3))
    assert await shop.services.db.write(migrate_runs.move_slice, job, "active", 0, shop.clock.now()) is None
    assert [run.version for run in await shop.runs()] == [1]


async def test_those_past_the_end_get_a_step_that_is_added_there(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h", ttl=timedelta(days=5))))
    await shop.add()
    await shop.pass_time(hours=1, minutes=1)
    await shop.run(playbook_of(step("ask", "T0+1h"), step("more", "D+1 10:00-11:30"), version=2))
    assert await move(shop) == 1
    await shop.pass_until("03-03 12:00")
    assert [row.step_id for row in await shop.tasks()] == ["ask", "more"]


async def test_a_restart_is_a_pass_of_its_own_from_the_first_step(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate_runs, "SLICE", 2)
    await shop.run(playbook_of(step("ask", "T0+1h"), step("later", "D+2 10:00-11:30")))
    for n in range(5):
        await shop.add(f"客户{n}")
    await shop.pass_time(hours=1, minutes=1)
    await shop.run(playbook_of(step("ask", "T0+2h"), step("later", "D+2 10:00-11:30"), version=2))
    published = shop.services.memory[Published]
    job = migrate_runs.Job(published, house_of(shop.services), KEY, 2, restarts=True)
    # As if the process had died after its first slice: those are not moved again.
    assert await shop.services.db.write(migrate_runs.move_slice, job, "active", 0, shop.clock.now()) == 2
    assert await move(shop, "restart") == 3
    assert {(row.state, row.reason) for row in await shop.tasks()} == {("withdrawn", migrate_runs.RESTARTED_TASK)}
    assert {(row.version, row.pass_number) for row in await shop.runs()} == {(2, 1)}
    await shop.pass_time(hours=2, minutes=40)
    assert len(await shop.tasks(task.c.state == "open")) == 5
    # Asking again moves nobody: they are there.
    assert await move(shop, "restart") == 0


async def test_keeping_leaves_everybody_where_he_is(shop: Shop) -> None:
    await shop.run(playbook_of(step("ask", "T0+1h")))
    await shop.add()
    await shop.run(playbook_of(step("other", "T0+1h"), version=2))
    assert await move(shop, "keep") == 0
    await shop.pass_time(hours=1, minutes=1)
    assert [row.step_id for row in await shop.tasks()] == ["ask"]


async def test_those_who_are_left_alone_stay_alone(shop: Shop) -> None:
    goal = Goal("order.paid", timedelta(days=7))
    await shop.run(playbook_of(step("ask", "T0+1h"), holdout=1.0, goal=goal))
    await shop.add()
    await shop.run(playbook_of(step("other", "T0+2h"), version=2, holdout=1.0, goal=goal))
    assert await move(shop) == 1
    (run,) = await shop.runs()
    assert (run.version, run.is_holdout, run.state) == (2, True, "active")
    await act(shop, lifecycle.pause, hold=True)
    await shop.pass_time(days=1)
    await act(shop, lifecycle.resume, shift=True)
    await shop.pass_time(days=4)
    # He is watched for as long as the others have for their goal.
    assert (await states(shop), await shop.tasks()) == (["active"], [])


# Pure -----------------------------------------------------------------------------------------------------------------


def text(*names: str) -> Playbook:
    return playbook_of(*(step(name, "T0+1h") for name in names))


@pytest.mark.parametrize(
    ("old", "new", "at", "to"),
    [
        ("a b c", "a b c", 1, "b"),
        ("a b c", "c b a", 1, "b"),
        ("a b c", "a c", 1, "c"),
        ("a b c d", "a d", 1, "d"),
        ("a b", "a c", 1, "c"),  # replaced
        ("a b", "a b c", 2, "c"),  # past the end
        ("a b", "a", 1, None),
        ("a b", "x y", 1, "x"),
        ("a b c", "x a", 2, None),
    ],
)
def test_a_place_in_the_old_text_has_one_in_the_new(old: str, new: str, at: int, to: str | None) -> None:
    after = text(*new.split())
    node: Any = after.node(route(text(*old.split()), after, at).index)
    assert (node.id if node else None) == to


def test_who_waits_in_an_arm_that_is_gone_goes_on_after_the_branch() -> None:
    arm = Arm("VIP", (step("inner", "T0+1h"),), condition={"tag": "VIP"})
    old = replace(text("a", "z"), parts=(step("a", "T0"), Branch("fork", (arm,)), step("z", "T0+2h")))
    old = replace(old, steps=(*old.steps, step("inner", "T0+1h")))
    inner = old.index_of("inner")
    assert inner is not None
    new = text("a", "z")
    node: Any = new.node(route(old, new, inner).index)
    assert node.id == "z"
