"""Plays the `tests:` of a playbook: the real runtime, a database of its own, a clock that jumps, nobody outside."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from sqlalchemy import Connection, Row, func, select, update

from scrm.commerce.models import coupon_issue
from scrm.commerce.store import save_orders
from scrm.contact_ways.store import save_contact_way
from scrm.db import Database
from scrm.db.migrate import migrate
from scrm.db.vault import Vault
from scrm.errors import ScrmError
from scrm.events import Event, publish
from scrm.mass_messages import plan as mass_plan
from scrm.profiles import store as profiles
from scrm.profiles.conditions.tree import FLAGS
from scrm.profiles.models import person
from scrm.services import Services
from scrm.settings import Settings, load_settings
from scrm.sop import enrol, group_ends, outward, store, welcome
from scrm.sop.actions import chains, tagging
from scrm.sop.channels import group
from scrm.sop.engine import DEFAULT_TTL
from scrm.sop.life import published as publishing
from scrm.sop.mass import batches, ending
from scrm.sop.mass.models import mass_step
from scrm.sop.members import notices, reminders, task_store, tasks
from scrm.sop.models import enrolment, send, step_run, task
from scrm.sop.reasons import why
from scrm.sop.reasons.explain import RUN_WORDS, checks_of
from scrm.sop.rehearsal import acts as rehearsed_acts
from scrm.sop.rehearsal.orders import RehearsedOrders
from scrm.sop.rehearsal.tests import (
    ACTS,
    EXPECTED,
    OUTCOMES,
    Given,
    Rehearsal,
    Result,
    Staff,
    WrongTest,
    came_of,
    compare,
    read_given,
    read_moment,
    read_staff,
)
from scrm.sop.results.tables import refusal
from scrm.sop.schema import Fork, Jump, Playbook
from scrm.sop.shelf import playbooks_of, shop_of
from scrm.sop.tick import tick
from scrm.wecom.calls import App
from scrm.wecom.client import WeCom
from scrm.work import queue
from scrm.work.worker import LANES, Worker

__all__ = [
    "EXPECTED",
    "Given",
    "Rehearsal",
    "Result",
    "WrongTest",
    "compare",
    "read_given",
    "rehearse",
    "run_test",
    "run_tests",
]

USERID = "lina"
MANAGER = "dianzhang"
EXTERNAL_USERID = "wmRehearsal"
UNIONID = "oRehearsal"
NICKNAME = "小满"
STATE = "rehearsal"

_MOST_STOPS = 5_000
_LIFETIME = timedelta(days=36_500)


async def _tell_outside(services: Services, item: queue.Claimed) -> None:
    """Work of kind "sop.outward", which calls nobody here."""
    step_run_id, now = int(item.payload["step_run_id"]), services.clock.now()
    await services.db.write(outward.note_end, step_run_id, "done", "预演，没有真的调用", now)


async def _make_no_message(services: Services, item: queue.Claimed) -> None:
    """Work of kinds "mass_message.prepare" and ".create": here the member confirms what was never made."""


_EXECUTORS = {
    "sop.event": enrol.run_event,
    mass_plan.PREPARE: _make_no_message,
    mass_plan.CREATE: _make_no_message,
    group.KIND: _make_no_message,
    "sop.remind": reminders.run_remind,
    "sop.mark_tag": tagging.run_mark_tag,
    "sop.outward": _tell_outside,
    **chains.EXECUTORS,
    **notices.EXECUTORS,
}


class SteppedClock:
    """Stands still until it is moved; whoever sleeps moves it."""

    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def move_to(self, moment: datetime) -> None:
        self._now = max(self._now, moment)

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class SilentWeCom(WeCom):
    """Says yes to everything and calls nobody."""

    async def get(self, path: str, **params: str) -> dict[str, Any]:
        return {"errcode": 0}

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "externalcontact/add_corp_tag":
            tags = [{"id": f"id-{tag['name']}", "name": tag["name"]} for tag in body["tag"]]
            return {"errcode": 0, "tag_group": {"group_id": "g", "group_name": body["group_name"], "tag": tags}}
        self._posts = getattr(self, "_posts", 0) + 1
        return {"errcode": 0, "msgid": f"rehearsal-{self._posts}"}


_templates: dict[str, bytes] = {}


async def run_tests(playbook: Playbook, beside: Sequence[Playbook] = ()) -> list[Result]:
    """Play all tests of a playbook, each in a world of its own where those `beside` it are published too."""
    with tempfile.TemporaryDirectory(prefix="scrm-rehearsal-", dir=_fast_folder()) as folder:
        if "" not in _templates:
            made = Path(folder) / "template.db"
            await asyncio.to_thread(migrate, f"sqlite:///{made}")
            _templates[""] = made.read_bytes()
        results = []
        for number, test in enumerate(playbook.tests):
            path = Path(folder) / f"{number}.db"
            path.write_bytes(_templates[""])
            results.append(await run_test(playbook, test, path, beside))
        return results


def _fast_folder() -> str | None:
    """In memory where the system has such a place: the databases live for a moment, and need to survive nothing."""
    memory = Path("/dev/shm")  # noqa: S108 - TemporaryDirectory makes a folder of our own in it
    return str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None


async def run_test(playbook: Playbook, test: dict[str, Any], path: Path, beside: Sequence[Playbook] = ()) -> Result:
    """Play one test on a migrated SQLite file at `path`."""
    name, line = str(test.get("name", "")), int(test.get("line", 0))
    try:
        rehearsal = await rehearse(playbook, test, path, beside)
    except (WrongTest, ScrmError) as error:
        return Result(name, line, [str(error)], [])
    return Result(name, line, compare(test["expect"], rehearsal), rehearsal.story, came_of(rehearsal))


async def rehearse(playbook: Playbook, test: dict[str, Any], path: Path, beside: Sequence[Playbook] = ()) -> Rehearsal:
    """Let everything in `given` happen, and all that follows from it; raises WrongTest.

    The outcome is that of `playbook`, except for `coupons`, which are all that the customer got.
    """
    settings = settings_for(path)
    zone = settings.shop.zone
    given = [rehearsed_acts.as_started(one, playbook) for one in read_given(test.get("given"), zone)]
    given.sort(key=lambda one: one.at)
    until = read_moment(test["until"], zone) if "until" in test else None
    # Chance must not decide what a test finds: its customer is left alone only when the test says so.
    playbook = replace(playbook, holdout=1.0 if test.get("holdout") else 0.0)
    playbook = rehearsed_acts.with_arms(playbook, test.get("arms"))
    async with _services(settings, SteppedClock(given[0].at)) as (services, clock):
        stage = _Stage(services, clock, playbook, read_staff(test.get("staff")), zone)
        await stage.open([playbook, *(replace(other, holdout=0.0) for other in beside if other.key != playbook.key)])
        await stage.play(given, until)
        return await services.db.read(stage.outcome)


class _Stage:
    """One customer, one member, one playbook."""

    def __init__(
        self, services: Services, clock: SteppedClock, playbook: Playbook, staff: Staff, zone: ZoneInfo
    ) -> None:
        self.services, self.clock, self.playbook, self.staff, self.zone = services, clock, playbook, staff, zone
        self.orders = RehearsedOrders(UNIONID)
        self.story: list[str] = []
        # (what, its id) -> when the member does it; None: never
        self.confirmations: dict[tuple[str, int], datetime | None] = {}
        self.person_id = 0
        self._adds = 0
        self._refused_by = 0

    async def open(self, playbooks: Sequence[Playbook]) -> None:
        def furnish(conn: Connection) -> int:
            now = self.clock.now()
            for playbook in playbooks:
                publishing.publish(conn, playbook, now=now)
            profiles.save_member(conn, USERID, name="李娜", now=now)
            profiles.save_member(conn, MANAGER, name="店长", now=now)
            profiles.set_role(conn, MANAGER, "administrator")
            person_id = profiles.ensure_contact(conn, EXTERNAL_USERID, now=now).person_id
            profiles.add_identity(conn, person_id, "wx_unionid", UNIONID, source="auto", now=now)
            rehearsed_acts.furnish(conn, playbooks, now)
            return person_id

        self.person_id = await self.services.db.write(furnish)
        published = playbooks_of(self.services)
        await self.services.db.read(published.load)
        # As they are played here, not as their texts say: without chance.
        asked = {playbook.key: playbook for playbook in playbooks}
        for version, kept in published.versions.items():
            published.versions[version] = replace(asked[kept.key], version=kept.version)
        published.current = {key: replace(asked[key], version=kept.version) for key, kept in published.current.items()}

    async def play(self, given: list[Given], until: datetime | None) -> None:
        """From one moment at which something happens to the next."""
        coming = list(given)
        for _ in range(_MOST_STOPS):
            moment = await self._next_moment(coming)
            if moment is None or (until is not None and moment > until):
                break
            self.clock.move_to(moment)
            while coming and coming[0].at <= self.clock.now():
                await self._happen(coming.pop(0))
            await self._settle()
            await self._confirm()
        if until is not None:
            self.clock.move_to(until)
            await self._settle()

    async def _next_moment(self, coming: list[Given]) -> datetime | None:
        now = self.clock.now()
        ends = await self.services.db.read(_open_tasks)
        moments = [one.at for one in coming[:1]]
        moments += await self.services.db.read(_coming, now)
        moments += [at for at in ends.values() if at is not None and at > now]
        moments += [max(at, now + timedelta(seconds=1)) for at in self.confirmations.values() if at is not None]
        return min(moments, default=None)

    async def _settle(self) -> None:
        while await self._work() + await tick(self.services) + await notices.tick(self.services):
            pass
        await self.services.db.read(self._tell_refusal)
        for kind, of_id, step_id in await self.services.db.read(_waiting_for_staff):
            if (kind, of_id) not in self.confirmations:
                after = self.staff.after(step_id)
                if kind == "group":  # nobody else ends it when its owner does not
                    after = min(after or _LIFETIME, self._ttl_of(step_id))
                self.confirmations[kind, of_id] = None if after is None else self.clock.now() + after

    async def _work(self) -> int:
        """Claiming writes, once for each lane: most moments have nothing to claim."""
        if not await self.services.db.read(_has_work, self.clock.now()):
            return 0
        return await self.services.worker.drain()

    async def _confirm(self) -> None:
        now = self.clock.now()
        ready = [key for key, at in self.confirmations.items() if at is not None and at <= now]
        for kind, of_id in ready:
            self.confirmations[kind, of_id] = None
            if kind == "mass":
                await self.services.db.write(self._confirm_mass, of_id)
            elif kind == "group":
                await self.services.db.write(self._end_group, of_id)
            else:
                await self._send(of_id)
        if ready:
            await self._settle()

    async def _send(self, task_id: int) -> None:
        try:
            await tasks.release(self.services, USERID, task_id)
            view = await tasks.confirm_sent(self.services, USERID, task_id, ok=True)
            self._tell(f"员工发送“{view.title}”：{view.text}")
        except ScrmError as error:
            self._tell(f"员工点了发送，没有发出：{error.text}")

    def _confirm_mass(self, conn: Connection, step_run_id: int) -> None:
        """The member confirmed the mass message: what WeCom would tell of this customer."""
        row = conn.execute(select(mass_step).where(mass_step.c.step_run_id == step_run_id)).one()
        if row.state == "over":
            return
        ending.finish(conn, {("done", ""): [step_run_id]}, self.clock.now())
        store.finish_idle(conn, [row.enrolment_id], now=self.clock.now())
        self._tell("员工确认了群发")

    def _ttl_of(self, step_id: str) -> timedelta:
        return next((step.ttl for step in self.playbook.steps if step.id == step_id), None) or DEFAULT_TTL

    def _end_group(self, conn: Connection, step_run_id: int) -> None:
        """The group's owner confirmed the message in time, or its time is over."""
        row = conn.execute(select(step_run).where(step_run.c.id == step_run_id)).one()
        if row.state != "intent":
            return
        after = self.staff.after(row.step_id)
        in_time = after is not None and after < self._ttl_of(row.step_id)
        state, reason = ("done", "") if in_time else ("dropped", group_ends.EXPIRED)
        store.end_step_runs(conn, [step_run_id], state, reason, now=self.clock.now())
        store.finish_idle(conn, [row.enrolment_id], now=self.clock.now())
        self._tell("群主确认了群发" if in_time else group_ends.EXPIRED)

    async def _happen(self, given: Given) -> None:
        self._tell(f"发生 {given.event} {given.key}".rstrip())
        if given.event in ("contact.added", "contact.half_added"):
            await self._add_contact(given)
        elif given.event in RehearsedOrders.EVENTS:
            snapshot = self.orders.snapshot(given.event, given.key, self.clock.now(), given.facts)
            vault = self.services.vault
            await self.services.db.write(save_orders, [snapshot], now=self.clock.now(), vault=vault, route="api")
        else:
            await self.services.db.write(self._tell_of, given)

    def _tell_of(self, conn: Connection, given: Given) -> None:
        """What needs no more than a row or two of its own."""
        now = self.clock.now()
        if given.event in ACTS:
            rehearsed_acts.change(conn, given, self.person_id, (USERID, EXTERNAL_USERID), now)
            return
        if given.event in FLAGS:
            refused = {given.event.partition(".")[2]: True}
            conn.execute(update(person).where(person.c.id == self.person_id).values(optout=refused))
            return
        if given.event.startswith("contact.lost_by_"):
            by = given.event.removeprefix("contact.lost_by_")
            profiles.end_follow_user(conn, USERID, EXTERNAL_USERID, self.person_id, ended_by=by, ended_at=now)
        facts = self._facts(given)
        if given.event == "coupon.redeemed" and rehearsed_acts.redeem(conn, given.key, self.person_id, now):
            return
        rehearsed_acts.take_for_granted(conn, given, facts, self.playbook, self.person_id, USERID, now)
        event = Event(given.event, now, self.person_id, EXTERNAL_USERID, USERID, given.key, facts)
        publish(conn, [event], now=now)

    def _facts(self, given: Given) -> dict[str, Any]:
        return rehearsed_acts.facts_of(given, self.playbook, self.zone)

    async def _add_contact(self, given: Given) -> None:
        """As the callback does it: the welcome first, then the event."""
        services, now, shop = self.services, self.clock.now(), shop_of(self.services)
        self._adds += 1
        state = await services.db.write(self._state_of, given)
        added = welcome.Added(
            userid=USERID,
            external_userid=EXTERNAL_USERID,
            state=state,
            welcome_code=f"rehearsal-{self._adds}",
            is_half=given.event == "contact.half_added",
            created_at=now,
            received_at=now,
            digest=str(self._adds).encode(),
            correlation="rehearsal",
        )
        playbooks = list(playbooks_of(services).current.values())
        prepared = await services.db.write(partial(welcome.prepare, now=now), added, playbooks, shop)
        if not prepared.is_settled:
            message = welcome.compose(prepared, NICKNAME, shop, now=now)
            outcome = await welcome.deliver(services.wecom, services.clock, added, message, prepared)
            await services.db.write(welcome.record_many, [welcome.Settled(outcome, added, prepared, now)])
            self._tell(f"欢迎语 {outcome.outcome}：{message.text}")
        event = Event(
            prepared.tells, now, prepared.person_id, EXTERNAL_USERID, USERID, facts={**prepared.facts, **given.facts}
        )
        await services.db.write(partial(publish, now=now), [event])

    def _state_of(self, conn: Connection, given: Given) -> str:
        """The state of the channel code that was scanned: the third word, or a channel made of the facts."""
        kind, title = given.facts.get("channel.kind"), given.facts.get("channel.title")
        state = given.key or str(given.facts.get("state", ""))
        if kind or title:
            state = state or STATE
            now = self.clock.now()
            save_contact_way(conn, state, title=str(title or kind), kind=str(kind or ""), userids=[USERID], now=now)
        return state

    def _tell(self, text: str) -> None:
        self.story.append(f"{self.clock.now().astimezone(self.zone):%m-%d %H:%M}  {text}")

    def outcome(self, conn: Connection) -> Rehearsal:
        """What the tables say at the end."""
        outcomes: dict[str, list[str]] = {key: [] for key in OUTCOMES}
        is_ours = send.c.playbook_key == self.playbook.key
        welcomed = select(send.c.step_id).where(send.c.kind == "welcome", send.c.outcome == "sent", is_ours)
        outcomes["sent"] += conn.execute(welcomed.order_by(send.c.id)).scalars()
        rows = self._steps(conn)
        reasons = {row.step_id: row.task_reason or row.reason for row in rows}
        for row in rows:
            state = row.task_state or _state_of(row)
            if row.channel != "W" and state in outcomes:
                outcomes[state].append(row.step_id)
        waiting = [row for row in rows if row.task_state == "open" or (row.channel == "M" and row.state == "waiting")]
        runs = select(enrolment).where(enrolment.c.playbook_key == self.playbook.key)
        last = conn.execute(runs.order_by(enrolment.c.id.desc()).limit(1)).one_or_none()
        next_step, next_at = self._next_step(last)
        issued = conn.execute(select(coupon_issue.c.batch_key).order_by(coupon_issue.c.id)).scalars().all()
        return Rehearsal(
            outcomes=outcomes,
            reasons=reasons,
            tasks=[row.step_id for row in waiting if row.kind not in task_store.SUGGESTED],
            run=last.state if last is not None else "none",
            coupons=list(issued),
            next_step=next_step,
            next_at=next_at,
            story=[
                *self.story,
                *(f"{step}：{reason}" for step, reason in reasons.items() if reason),
                *_how_it_ended(last),
            ],
            notices=[row.step_id for row in rows if row.channel == "I" and row.state == "done"],
            outward=[row.step_id for row in rows if row.channel == "K" and row.state == "done"],
            suggested=[row.step_id for row in rows if row.channel == "S" and row.kind in task_store.SUGGESTED],
            arms=dict(last.arms) if last is not None else {},
            variant={row.step_id: row.facts["variant"] for row in rows if "variant" in row.facts},
            held=last.held_reason if last is not None else "",
            checks={row.step_id: {each.name: each.ok for each in checks_of(row.facts)} for row in rows},
        )

    def _tell_refusal(self, conn: Connection) -> None:
        """Why an event that wanted to begin a run did not, as things stood at that moment."""
        asked = select(refusal).where(
            refusal.c.playbook_key == self.playbook.key, refusal.c.event_id > self._refused_by
        )
        for row in conn.execute(asked.order_by(refusal.c.event_id)).all():
            self._refused_by = row.event_id
            words, now = row.reason, self.clock.now()
            self._tell(f"没有进入：{why.unmet(conn, self.playbook, row.person_id, words, now, event_id=row.event_id)}")

    def _steps(self, conn: Connection) -> list[Row[Any]]:
        query = (
            select(step_run, task.c.state.label("task_state"), task.c.reason.label("task_reason"), task.c.kind)
            .outerjoin(task, task.c.step_run_id == step_run.c.id)
            .join(enrolment, enrolment.c.id == step_run.c.enrolment_id)
            .where(enrolment.c.playbook_key == self.playbook.key)
            .order_by(step_run.c.id)
        )
        return list(conn.execute(query))

    def _next_step(self, run: Row[Any] | None) -> tuple[str, str]:
        """The step a run waits for, and until when (shop's zone, to the minute)."""
        if run is None or run.state != "active" or run.due_at is None:
            return "", ""
        node = self.playbook.node(run.step)
        if node is None or isinstance(node, Jump):
            return "", ""
        return (node.part if isinstance(node, Fork) else node).id, run.due_at.astimezone(self.zone).isoformat()[:16]


def _how_it_ended(run: Row[Any] | None) -> list[str]:
    return [f"流程{RUN_WORDS[run.state]}：{run.ended_reason}"] if run is not None and run.ended_reason else []


def _state_of(row: Row[Any]) -> str:
    """What its member or the group's owner confirmed is sent, and so is what goes outside WeCom."""
    if row.channel in ("M", "G", "K") and row.state == "done":
        return "sent"
    if row.channel in ("M", "G") and row.state == "dropped" and "已过期" in row.reason:
        return "expired"
    return "withdrawn" if row.channel == "M" and row.state == "skipped" and "撤回" in row.reason else str(row.state)


def _waiting_for_staff(conn: Connection) -> list[tuple[str, int, str]]:
    """("task", "mass" or "group", its id, the step) of everything that a member may tap now."""
    found = [
        ("task", row.id, row.step_id)
        for row in conn.execute(select(task.c.id, task.c.step_id).where(task.c.state == "open"))
    ]
    steps = (
        select(mass_step.c.step_run_id, step_run.c.step_id)
        .join(step_run, step_run.c.id == mass_step.c.step_run_id)
        .where(mass_step.c.state != "over")
    )
    found += [("mass", row.step_run_id, row.step_id) for row in conn.execute(steps)]
    groups = select(step_run.c.id, step_run.c.step_id).where(step_run.c.channel == "G", step_run.c.state == "intent")
    return [*found, *(("group", row.id, row.step_id) for row in conn.execute(groups))]


def _has_work(conn: Connection, now: datetime) -> bool:
    return any(queue.has_due(conn, lane, now=now) for lane in LANES)


def _coming(conn: Connection, now: datetime) -> list[datetime]:
    """The next moments at which a tick has something to do, one of each kind."""
    asked = (
        select(func.min(enrolment.c.due_at)).where(enrolment.c.state == "active", enrolment.c.due_at > now),
        select(func.min(enrolment.c.look_at)).where(enrolment.c.look_at > now),
        select(func.min(task.c.open_at)).where(task.c.state == "open", task.c.open_at > now),
    )
    found = [conn.execute(query).scalar_one_or_none() for query in asked]
    return [moment for moment in [*found, batches.next_look_at(conn)] if moment is not None and moment > now]


def _open_tasks(conn: Connection) -> dict[int, datetime | None]:
    rows = conn.execute(select(task.c.id, task.c.expires_at).where(task.c.state == "open"))
    return {row.id: row.expires_at for row in rows}


def settings_for(path: Path) -> Settings:
    """The usual settings, for a database of a rehearsal's own."""
    return load_settings(
        environ={},
        database={"url": f"sqlite:///{path}"},
        wecom={
            "corp_id": "rehearsal",
            "agent_id": 0,
            "secret": "rehearsal",
            "token": "rehearsal",
            "encoding_aes_key": "r" * 43,
        },
        security={"secret_key": "r" * 32},
        playbooks={"managers": [MANAGER]},
    )


@asynccontextmanager
async def _services(settings: Settings, clock: SteppedClock) -> AsyncIterator[tuple[Services, SteppedClock]]:
    db = Database(settings.database.url.get_secret_value())
    app = App(settings.wecom.corp_id, settings.wecom.agent_id, settings.wecom.secret.get_secret_value())
    async with aiohttp.ClientSession() as http:
        services = Services(
            settings=settings,
            clock=clock,
            db=db,
            http=http,
            wecom=SilentWeCom(http, clock, app),
            vault=Vault(settings.security.secret_key.get_secret_value()),
            worker=Worker(db, clock),
        )
        services.worker.prepare(services, _EXECUTORS)
        try:
            yield services, clock
        finally:
            await db.close()
