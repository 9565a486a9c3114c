"""Recorded days played again come to what the engine did in them, on either database; nothing is written."""

from collections import Counter
from datetime import timedelta

from sqlalchemy import Connection, func, select, update

from scrm.profiles.models import person
from scrm.profiles.stop_list import add_to_stop_list
from scrm.profiles.store import set_stage
from scrm.sop.models import enrolment, step_run, task
from scrm.sop.rehearsal.history import read_behaviour
from scrm.sop.rehearsal.playing import cast, play
from scrm.sop.rehearsal.terms import Behaviour, Member, Terms
from scrm.sop.shelf import house_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.tick import next_due_at
from tests.sop.shop import Shop

TEXT = """\
playbook: tried
title: 试一试
priority: P2
trigger: {event: contact.added}
run_key: person
reentry: never
enter_if: {not: {field: person.stage, op: eq, value: 同行}}
exit_if: {event: order.paid}
goal: none
steps:
  - {id: soon, at: T0+1h, late: defer, ttl: 6h, channel: T, content: {text: 您好}}
  - {id: lead, at: D+1 10:00-12:00, late: defer, ttl: 24h, channel: T, if: {field: person.stage, op: eq, value: 潜客}, content: {text: 您好}}
  - {id: read, at: D+2, late: defer, ttl: 24h, channel: T, if: {event: message.radar_opened}, content: {text: 您好}}
  - {id: mark, at: D+3, channel: X, do: [{set: {stage: 看过}}]}
"""


async def pass_days(shop: Shop, days: int) -> None:
    """From one thing that is due to the next."""
    until = shop.clock.now() + timedelta(days=days)
    while (at := await next_due_at(shop.services)) is not None and at <= until:
        shop.clock.advance(seconds=max(1.0, (at - shop.clock.now()).total_seconds()))
        await shop.services.worker.drain()
        await shop.tick()
    shop.clock.advance(seconds=max(0.0, (until - shop.clock.now()).total_seconds()))
    await shop.tick()


async def test_recorded_days_come_to_what_was_done_in_them(shop: Shop) -> None:
    playbook = parse_playbook(TEXT, file_name="tried")
    await shop.run(playbook)
    write, people = shop.services.db.write, []
    for number in range(6):
        who = await shop.meet(f"客{number}")
        people.append(who)
        if number != 3:
            await write(set_stage, who.person_id, "同行" if number == 5 else "潜客")
    now = shop.clock.now()
    await write(lambda conn: add_to_stop_list(conn, people[1].person_id, "test", note="", by="", now=now))
    refused = update(person).where(person.c.id == people[2].person_id).values(optout={"all": True})
    await write(lambda conn: conn.execute(refused) and None)
    for who in people:
        await shop.happens("contact.added", who)
        shop.clock.advance(minutes=7)
    await pass_days(shop, 1)
    await shop.happens("message.radar_opened", people[0])
    await shop.happens("message.radar_opened", people[3])
    await shop.happens("order.paid", people[4])
    await pass_days(shop, 1)

    def look(conn: Connection) -> tuple[Counter[tuple[str, str]], int]:
        rows = conn.execute(
            select(step_run.c.step_id, step_run.c.state, task.c.state.label("task")).outerjoin(
                task, task.c.step_run_id == step_run.c.id
            )
        )
        done = Counter((row.step_id, row.task or row.state) for row in rows)
        return done, conn.execute(select(func.count()).select_from(enrolment)).scalar_one()

    done, entered = await shop.services.db.read(look)
    terms = Terms(30, None, Behaviour(Member(confirms=0.0)))
    whole = await shop.services.db.read(cast, playbook, terms, house_of(shop.services), shop.clock.now())
    summary = play(whole)
    assert summary["entered"] == entered == 5
    assert summary["refused"] == {"不符合进入条件": 1}
    told = Counter(
        {(step, state): count for step, counts in summary["steps"].items() for state, count in counts.items()}
    )
    for step, state in done:
        assert told[step, "asked" if state == "open" else state] >= done[step, state], (step, state, done, told)
    assert told["soon", "skipped"] == done["soon", "skipped"] == 2
    assert told["lead", "expired"] == done["lead", "expired"]
    assert sum(summary["as_of_today"].values()) > 0
    assert await shop.services.db.read(look) == (done, entered)


async def test_who_was_in_it_before_does_not_enter_again_and_members_are_known_by_what_they_did(shop: Shop) -> None:
    playbook = parse_playbook(TEXT, file_name="tried")
    await shop.run(playbook)
    for number in range(12):
        who = await shop.meet(f"客{number}", "lina")
        await shop.happens("contact.added", who)
    await pass_days(shop, 1)
    shop.clock.advance(days=40)
    again = await shop.meet("又来的")
    await shop.happens("contact.added", who)
    await shop.happens("contact.added", again)
    shop.clock.advance(hours=3)
    terms = Terms(5, None, None)
    whole = await shop.services.db.read(cast, playbook, terms, house_of(shop.services), shop.clock.now())
    summary = play(whole)
    assert summary["entered"] == 1
    assert summary["refused"] == {"已经进入过": 1}
    behaviour = await shop.services.db.read(read_behaviour, shop.clock.now())
    assert behaviour.of("LINA").confirms == 0.0
    assert behaviour.of("wang") == Member()
