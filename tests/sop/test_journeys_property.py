"""Whatever happens in whatever order, with crashes and clock jumps: at most once, explained, never after the end."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, select

from scrm import joining
from scrm.app import EXECUTORS
from scrm.db import Database
from scrm.errors import ScrmError
from scrm.mass_messages import results
from scrm.membership.models import points_movement
from scrm.privacy.optout import set_optout
from scrm.profiles.merge import Act
from scrm.profiles.models import person
from scrm.services import Services
from scrm.sop.life import lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.life import published as publishing
from scrm.sop.life.published import By
from scrm.sop.members import tasks
from scrm.sop.members.hand_over import hand_over
from scrm.sop.models import enrolment, send, step_run, task
from scrm.sop.rehearsal.rehearse import SilentWeCom
from scrm.sop.results.tables import refusal
from scrm.sop.shelf import playbooks_of
from scrm.sop.text.parse import parse_playbook
from scrm.sop.tick import tick
from scrm.wecom.calls import App
from scrm.work.worker import Worker
from tests.fakes.clock import FakeClock
from tests.sop.shop import Customer, Shop
from tests.world import make_settings

PEOPLE = 3
WHO = st.integers(0, PEOPLE - 1)
ORDER = st.integers(1, 3)
BY = By("boss", "console", "试试")

JOURNEY = """
playbook: journey
title: 新客
trigger: {event: contact.added}
run_key: person
reentry: never
exit_if: {any: [{event: order.paid}, {flag: optout.promo}]}
goal: {event: order.paid, within: 20d}
holdout: 20%
steps:
  - {id: ask, at: T0+1h, window: "09:00-21:00", channel: T, late: defer, ttl: 20h, content: {text: "{{ nickname }}在吗"}}
  - wait: {id: asked, event: order.created, timeout: 2d, on_timeout: next}
  - split:
      - {name: A, share: 50%, steps: [{id: a, at: T0+2h, channel: T, late: drop, ttl: 3h, content: {text: 甲}}]}
      - {name: B, share: 50%, steps: []}
  - {id: mark, at: T0+3h, channel: X, do: [{set: {stage: 潜客}}]}
  - {id: last, at: D+3, window: "10:00-11:30", channel: T, late: defer, ttl: 24h, content: {text: 再见}}
"""
EDITED = JOURNEY.replace("{id: ask, at: T0+1h", "{id: hello, at: T0+30m").replace("  - {id: mark", "  - {id: note")
CARE = """
playbook: care
title: 关怀
priority: P1
trigger: {event: order.paid}
run_key: order
reentry: per_key
exit_if: {event: refund.opened}
goal: none
steps:
  - {id: thank, at: T0+2h, channel: T, late: defer, ttl: 30h, content: {text: 谢谢}}
  - {id: check, at: D+2, channel: T, late: drop, ttl: 5h, content: {text: 到了吗}}
"""
COMPLAINT = """
playbook: complaint
title: 售后
priority: P0
trigger: {event: refund.opened}
run_key: order
reentry: per_key
exit_if: {event: refund.closed}
goal: none
steps:
  - {id: sorry, at: T0+5m, channel: T, late: defer, ttl: 2d, content: {text: 抱歉}}
"""


WAVE = """
playbook: wave
title: 一波
priority: P2
trigger: {event: segment.entered}
run_key: person
reentry: {every: 1d}
exit_if: {any: [{event: segment.left}, {flag: optout.all}]}
goal: none
guards: {quiet: none}
steps:
  - {id: news, at: T0, channel: M, late: defer, ttl: 8h, content: {text: 上新}}
  - {id: hint, at: T0+30m, channel: S, late: drop, ttl: 10h, content: {text: 顺便提一句}}
  - {id: told, at: T0+1h, channel: I, notify: owner, content: {text: "{{ nickname }}进来了"}}
  - {id: sms, at: T0+2h, channel: K, to: nowhere, data: {template: S1}, content: {text: 您好}}
"""
WAKE = """
playbook: wake
title: 唤醒
priority: P4
trigger: {event: contact.added}
run_key: person
reentry: {every: 5d}
exit_if: {event: order.paid}
goal: none
holdout: 0%
steps:
  - {id: miss, at: T0+1h, channel: T, late: defer, ttl: 30h, content: {text: 好久不见}}
  - {id: give, at: T0+1h, channel: X, do: [{points: 5}]}
  - {id: more, at: D+2, channel: M, late: defer, ttl: 10h, content: {text: 回来看看}}
"""


class Crash(OSError):
    """The process died, or the database went away, just before the COMMIT."""


class RememberingWeCom(SilentWeCom):
    """Knows the mass messages that it was asked for, who has got them, and what was stopped before."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.made: dict[str, dict[str, Any]] = {}
        self.received: Counter[str] = Counter()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await super().post(path, body)
        made = self.made.get(str(body.get("msgid", "")))
        if path == "externalcontact/add_msg_template":
            self.made[answer["msgid"]] = {**body, "confirmed_at": 0, "stopped": False}
        elif path == "externalcontact/cancel_groupmsg_send" and made is not None:
            made["stopped"] = made["stopped"] or not made["confirmed_at"]
        elif path == "externalcontact/get_groupmsg_task" and made is not None:
            status = 2 if made["confirmed_at"] else 0
            answer["task_list"] = [{"userid": made["sender"], "status": status, "send_time": made["confirmed_at"]}]
        elif path == "externalcontact/get_groupmsg_send_result" and made is not None:
            status = 1 if made["confirmed_at"] else 0
            answer["send_list"] = [
                {"external_userid": one, "userid": made["sender"], "status": status, "send_time": made["confirmed_at"]}
                for one in made["external_userid"]
            ]
        return answer

    def confirm(self, which: int, at: int) -> None:
        """A member sends one of those that wait for him."""
        waiting = [one for one in self.made.values() if not one["stopped"] and not one["confirmed_at"]]
        if waiting:
            one = waiting[which % len(waiting)]
            one["confirmed_at"] = at
            self.received.update(one["external_userid"])


class Frail(Database):
    """A database whose next transactions may be lost at the last moment."""

    crashes = 0

    async def write_as(self, priority: Any, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if not self.crashes:
            return await super().write_as(priority, work, *args, **kwargs)
        self.crashes -= 1

        def dies(conn: Connection, *args: Any, **kwargs: Any) -> None:
            work(conn, *args, **kwargs)
            raise Crash

        return await super().write_as(priority, dies, *args, **kwargs)


class Journeys(RuleBasedStateMachine):
    """Three customers, one member, four things a playbook can be, and everything that goes wrong."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.shop: Shop = self.run(self.open())
        self.sent: Counter[int] = Counter()
        self.edits = 0

    def run(self, work: Awaitable[Any]) -> Any:
        async def do() -> Any:
            return await work

        return self.runner.run(do())

    def run_or_be_told(self, act: Awaitable[Any]) -> None:
        """What is refused is refused with words."""
        with suppress(ScrmError):
            self.run(act)

    async def open(self) -> Shop:
        clock, db = FakeClock(), Frail(self.url)
        http = await self.stack.enter_async_context(aiohttp.ClientSession())
        self.stack.push_async_callback(db.close)
        known = make_settings(self.url, "http://127.0.0.1:9")
        self.wecom = wecom = RememberingWeCom(http, clock, App("corp", 1, "secret"))
        services = Services(known, clock, db, http, wecom, None, Worker(db, clock))  # type: ignore[arg-type]
        services.worker.prepare(services, EXECUTORS)
        return Shop(services, clock, None)  # type: ignore[arg-type]

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @property
    def services(self) -> Services:
        return self.shop.services

    @initialize()
    def begin(self) -> None:
        for text in (JOURNEY, CARE, COMPLAINT, WAVE, WAKE):
            self.publish(text)
        self.people: list[Customer] = [self.run(self.shop.add(f"客户{number}")) for number in range(PEOPLE)]

    def publish(self, text: str) -> None:
        playbook, now = parse_playbook(text, file_name="x"), self.services.clock.now()
        self.run(self.services.db.write(publishing.publish, playbook, now=now))
        self.run(self.services.db.read(playbooks_of(self.services).load))

    def tells(self, name: str, who: int, **more: Any) -> None:
        customer = self.people[who]
        person_id = self.run(self.services.db.read(_person_of, customer.external_userid))
        self.people[who] = Customer(person_id, customer.external_userid, customer.userid)
        self.run(self.shop.happens(name, self.people[who], **more))

    # what customers do

    @rule(who=WHO)
    def adds(self, who: int) -> None:
        self.run(self.services.db.write(_add_again, self.people[who].external_userid))
        self.tells("contact.added", who)

    @rule(who=WHO)
    def leaves(self, who: int) -> None:
        self.run(self.shop.lose(self.people[who], handled=False))

    @rule(who=WHO, order=ORDER, name=st.sampled_from(["order.created", "order.paid", "refund.opened", "refund.closed"]))
    def orders(self, who: int, order: int, name: str) -> None:
        self.tells(name, who, key=f"taobao/shop/{who}-{order}")

    @rule(who=WHO, order=ORDER)
    def pays_unseen(self, who: int, order: int) -> None:
        """The event is kept, its handling has not come yet."""
        self.run(self.shop.publish("order.paid", self.people[who], key=f"taobao/shop/{who}-{order}"))

    @rule(who=WHO)
    def refuses(self, who: int) -> None:
        person_id = self.run(self.services.db.read(_person_of, self.people[who].external_userid))
        self.run(self.shop.change(person, person_id, optout={"promo": True}))

    @rule(who=WHO, enters=st.booleans())
    def changes_segment(self, who: int, enters: bool) -> None:
        self.tells("segment.entered" if enters else "segment.left", who, facts={"segment": "vip"})

    @rule(
        who=WHO, flags=st.sampled_from([{"all": True}, {"all": False, "mass": True}, {"mass": False, "chat": True}, {}])
    )
    def changes_what_he_refuses(self, who: int, flags: dict[str, bool]) -> None:
        person_id = self.run(self.services.db.read(_person_of, self.people[who].external_userid))
        now = self.services.clock.now()
        self.run(self.services.db.write(set_optout, person_id, flags or {"all": False}, actor="lina", now=now))
        self.run(self.services.worker.drain())

    # time, workers, crashes

    @rule(minutes=st.sampled_from([1, 31, 120, 600, 1500, 4000]), works=st.sampled_from([True, True, False]))
    def time_passes(self, minutes: int, works: bool) -> None:
        self.shop.clock.advance(minutes=minutes)
        if works:
            self.run(self.shop.settle())

    @rule(hours=st.integers(1, 60))
    def everything_goes_its_way(self, hours: int) -> None:
        """Stopping wherever something falls due."""
        until = self.services.clock.now() + timedelta(hours=hours)
        self.run(self.shop.pass_until(f"{until.astimezone(self.services.settings.shop.zone):%m-%d %H:%M}"))

    @rule()
    def clock_is_set_back(self) -> None:
        self.shop.clock.advance(minutes=-50)

    @rule()
    def works(self) -> None:
        self.run(self.shop.settle())

    @rule()
    def two_workers_tick(self) -> None:
        async def both() -> None:
            await asyncio.gather(tick(self.services), tick(self.services))

        self.run(both())

    @rule(crashes=st.integers(1, 3))
    def dies(self, crashes: int) -> None:
        """What was not committed has not happened."""
        self.services.db.crashes = crashes  # type: ignore[attr-defined]
        with suppress(Crash):
            self.run(tick(self.services))
        self.services.db.crashes = 0  # type: ignore[attr-defined]

    # the member

    @rule(which=st.integers(0, 5), confirms=st.booleans(), twice=st.booleans())
    def taps(self, which: int, confirms: bool, twice: bool) -> None:
        waiting = self.run(self.shop.tasks(task.c.state == "open"))
        if not waiting:
            return
        chosen = waiting[which % len(waiting)]

        async def tap() -> None:
            released = 0
            for answer in await asyncio.gather(
                *(tasks.release(self.services, chosen.userid, chosen.id) for _ in range(2 if twice else 1)),
                return_exceptions=True,
            ):
                if isinstance(answer, BaseException):
                    assert isinstance(answer, ScrmError), answer
                    assert answer.text
                else:
                    released += 1
            assert released <= 1
            if released and confirms:
                await tasks.confirm_sent(self.services, chosen.userid, chosen.id, ok=True)
                self.sent[chosen.id] += 1

        self.run(tap())

    @rule(which=st.integers(0, 5), hours=st.integers(1, 8), skips=st.booleans())
    def puts_off(self, which: int, hours: int, skips: bool) -> None:
        waiting = self.run(self.shop.tasks(task.c.state == "open"))
        if not waiting:
            return
        chosen, until = waiting[which % len(waiting)], self.services.clock.now() + timedelta(hours=hours)
        act = (
            tasks.skip(self.services, chosen.userid, chosen.id, "已经聊过了")
            if skips
            else tasks.postpone(self.services, chosen.userid, chosen.id, until)
        )
        self.run_or_be_told(act)

    @rule(which=st.integers(0, 5), looks=st.booleans())
    def confirms_a_mass_message(self, which: int, looks: bool) -> None:
        self.wecom.confirm(which, int(self.services.clock.now().timestamp()))
        if looks:
            self.run(results.poll(self.services))
            self.run(self.shop.settle())

    @rule(who=WHO)
    def is_handed_over(self, who: int) -> None:
        """From whoever has him to the other member, who is his friend from then on."""
        self.run(self.services.db.write(_hand_over, self.services, self.people[who].external_userid))

    # the manager

    @rule(restarts=st.sampled_from(["keep", "migrate", "restart"]))
    def edits(self, restarts: str) -> None:
        self.edits += 1
        self.publish((EDITED if self.edits % 2 else JOURNEY) + f"# {self.edits}\n")
        start = self.services.db.write(
            migrate_runs.start, playbooks_of(self.services), "journey", restarts, BY, now=self.services.clock.now()
        )
        self.run(start)

    @rule(hold=st.booleans())
    def pauses(self, hold: bool) -> None:
        self.turns(lifecycle.pause, hold=hold)

    @rule(shift=st.booleans())
    def resumes(self, shift: bool) -> None:
        self.turns(lifecycle.resume, shift=shift)

    def turns(self, act: Callable[..., None], **how: Any) -> None:
        self.run_or_be_told(self.services.db.write(act, "journey", BY, now=self.services.clock.now(), **how))
        self.run(self.services.db.read(playbooks_of(self.services).load))

    @rule(kept=WHO, gone=WHO)
    def two_are_one(self, kept: int, gone: int) -> None:
        ids = [self.run(self.services.db.read(_person_of, self.people[who].external_userid)) for who in (kept, gone)]
        if ids[0] != ids[1]:
            now = self.services.clock.now()
            self.run(self.services.db.write(joining.join, *ids, Act("boss", "同一个人"), now=now))

    # what must hold whatever happened

    @invariant()
    def everything_is_at_most_once_and_explained(self) -> None:
        rows = self.run(self.services.db.read(_everything))
        runs = {row.id: row for row in rows["runs"]}
        assert all(count == 1 for count in self.sent.values())
        chats = Counter(row.task_id for row in rows["sends"] if row.kind == "chat")
        assert all(count == 1 for count in chats.values()), chats
        for row in rows["tasks"]:
            run = runs[row.enrolment_id]
            if row.state == "open":
                assert run.state == "active", (run.state, run.ended_reason, row.step_id)
            # Who was told something before he became one with somebody who is held out keeps what he was told.
            assert not (run.is_holdout and row.state == "open")
            assert row.state in ("open", "sent") or row.reason, (row.state, row.step_id)
        for row in rows["steps"]:
            assert row.state not in ("skipped", "dropped", "failed") or row.reason, (row.step_id, row.state)
        said = Counter(
            (runs[row.enrolment_id].person_id, runs[row.enrolment_id].run_key, row.step_id, row.pass_number)
            for row in rows["steps"]
            if row.state in ("done", "waiting")
        )
        for row in rows["runs"]:
            assert row.state == "active" or row.ended_reason or row.held_reason, (row.id, row.state)
            if row.state == "active":
                has_task = any(each.enrolment_id == row.id and each.state == "open" for each in rows["tasks"])
                waits = any(
                    each.enrolment_id == row.id and each.state in ("intent", "waiting") for each in rows["steps"]
                )
                assert row.due_at is not None or has_task or waits, row.id
            if row.state not in ("active", "paused", "queued"):
                assert row.due_at is None
        assert not said or max(said.values()) == 1, said
        given = sum(row.step_id == "give" and row.state == "done" for row in rows["steps"])
        assert len(rows["points"]) <= given, (len(rows["points"]), given)
        masses = Counter(runs[row.enrolment_id].external_userid for row in rows["steps"] if row.channel == "M")
        received = self.wecom.received
        assert all(count <= masses[who] for who, count in received.items()), (received, masses)
        living = Counter(
            one for made in self.wecom.made.values() if not made["stopped"] for one in made["external_userid"]
        )
        assert all(count <= masses[who] for who, count in living.items()), (living, masses)
        assert all(row.reason for row in rows["refusals"])


def _everything(conn: Connection) -> dict[str, list[Any]]:
    steps = select(step_run, step_run.c["pass"].label("pass_number"))
    return {
        "runs": list(conn.execute(select(enrolment))),
        "steps": list(conn.execute(steps)),
        "tasks": list(conn.execute(select(task).where(task.c.enrolment_id.is_not(None)))),
        "sends": list(conn.execute(select(send))),
        "points": list(conn.execute(select(points_movement).where(points_movement.c.available == 5))),
        "refusals": list(conn.execute(select(refusal))),
    }


def _person_of(conn: Connection, external_userid: str) -> int:
    from scrm.profiles.models import external_contact

    return int(
        conn.execute(
            select(external_contact.c.person_id).where(external_contact.c.external_userid == external_userid)
        ).scalar_one()
    )


def _hand_over(conn: Connection, services: Services, external_userid: str) -> None:
    from scrm.profiles.models import follow_user, member

    now = services.clock.now()
    rows = conn.execute(
        select(follow_user).where(follow_user.c.external_userid == external_userid, follow_user.c.ended_by == "")
    ).all()
    if not rows:
        return
    giver = rows[0]
    taker = "wuhao" if giver.userid == "lina" else "lina"
    pair = (follow_user.c.external_userid == external_userid, follow_user.c.userid == taker)
    if conn.execute(member.select().where(member.c.userid == taker)).first() is None:
        conn.execute(member.insert().values(userid=taker, folded=taker, name="吴昊"))
    if conn.execute(select(follow_user.c.userid).where(*pair)).first() is None:
        values = {"userid": taker, "external_userid": external_userid, "person_id": giver.person_id}
        conn.execute(follow_user.insert().values(**values, followed_at=now))
    conn.execute(follow_user.update().where(*pair).values(ended_by="", ended_at=None))
    if all(row.userid != taker for row in rows):
        mine = (follow_user.c.external_userid == external_userid, follow_user.c.userid == giver.userid)
        conn.execute(follow_user.update().where(*mine).values(ended_by="transfer", ended_at=now))
    hand_over(conn, services, giver.userid, external_userid, taker, now=now)


def _add_again(conn: Connection, external_userid: str) -> None:
    from scrm.profiles.models import follow_user

    conn.execute(
        follow_user.update().where(follow_user.c.external_userid == external_userid).values(ended_by="", ended_at=None)
    )


EXAMPLES = int(os.environ.get("SCRM_JOURNEYS", "12"))


def test_journeys_never_send_twice_never_after_their_end_and_can_say_why(sqlite_file: Path) -> None:
    numbers = iter(range(10**9))

    def machine() -> Journeys:
        path = shutil.copy(sqlite_file, sqlite_file.with_name(f"{next(numbers)}.db"))
        return Journeys(f"sqlite:///{path}")

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
