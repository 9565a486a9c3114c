"""A small shop for tests of the playbook runtime: real databases, real work, a clock that stands still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from sqlalchemy import Connection, func, insert, select, update

from scrm.db import Database
from scrm.db.vault import Vault
from scrm.events import Event, publish
from scrm.profiles.models import external_contact, follow_user, member, person, person_stat
from scrm.services import Services
from scrm.settings import load_settings
from scrm.sop import enrol, outward
from scrm.sop import tick as ticking
from scrm.sop.actions import chains, tagging
from scrm.sop.guards.answers import House
from scrm.sop.life import lifecycle
from scrm.sop.life import migration as migrate_runs
from scrm.sop.life.published import Published
from scrm.sop.members import notices, reminders
from scrm.sop.models import enrolment, playbook, playbook_version, send, step_run, task
from scrm.sop.schema import Channel, Content, Goal, Guards, Late, Playbook, Step, Trigger, When, Window
from scrm.sop.timing import parse_when, parse_window
from scrm.wecom.calls import App
from scrm.wecom.client import WeCom
from scrm.work.worker import Worker
from tests.fakes import wecom as fake
from tests.fakes.clock import FakeClock
from tests.fakes.wecom import FakeWeCom

EXECUTORS = {
    "sop.event": enrol.run_event,
    "sop.remind": reminders.run_remind,
    "sop.mark_tag": tagging.run_mark_tag,
    **chains.EXECUTORS,
    **notices.EXECUTORS,
    **outward.EXECUTORS,
    **lifecycle.EXECUTORS,
    **migrate_runs.EXECUTORS,
}

TEN_O_CLOCK = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)  # a Monday, 10:00 in Shanghai


def step(step_id: str, at: str, channel: str = "T", **more: Any) -> Step:
    """A step as short as a test wants it: `step("ask", "D+3 10:00-11:30", ttl=hours(24))`."""
    when = parse_when(at)
    if "window" in more:
        when = replace(when, window=parse_window(more.pop("window")))
    if channel == "T":
        more.setdefault("ttl", timedelta(hours=24))
        more.setdefault("content", Content(text=f"{step_id}: {{{{ nickname }}}}，我是{{{{ staff }}}}"))
    return Step(id=step_id, when=when, channel=Channel(channel), title=f"步骤 {step_id}", **more)


def playbook_of(*steps: Step, **more: Any) -> Playbook:
    """`new-customer`, started by contact.added, unless the test says otherwise."""
    values: dict[str, Any] = {
        "key": "new-customer",
        "title": "新客跟进",
        "trigger": Trigger("contact.added"),
        "run_key": "person",
        "reentry": "never",
        "version": 1,
        "steps": steps,
        # What one person bears over all playbooks is tested where guards and arbitration are.
        "guards": Guards(cap="none", queue="none"),
    }
    return Playbook(**(values | more))


@dataclass(frozen=True)
class Customer:
    """Somebody a member follows."""

    person_id: int
    external_userid: str
    userid: str


class Shop:
    """What a test does to the runtime and sees of it."""

    def __init__(self, services: Services, clock: FakeClock, wecom: FakeWeCom) -> None:
        self.services, self.clock, self.wecom = services, clock, wecom
        self._met = 0

    async def run(self, *playbooks: Playbook) -> None:
        """Publish these playbooks."""
        published: Published = self.services.memory.setdefault(Published, Published())
        for one in playbooks:
            hold(published, one)
        await self.services.db.write(_keep_playbooks, playbooks, self.clock.now())

    async def meet(self, name: str = "小满", userid: str = "lina", **more: Any) -> Customer:
        """A person with a contact and a living relation, before anything is told of it."""
        self._met += 1
        return await self.services.db.write(_meet, name, userid, f"wm{self._met:04}", self.clock.now(), more)

    async def happens(self, name: str, who: Customer, **more: Any) -> int:
        """Publish an event and let everything follow from it."""
        event_id = await self.publish(name, who, **more)
        await self.services.worker.drain()
        return event_id

    async def publish(self, name: str, who: Customer, **more: Any) -> int:
        """Only told: what follows from it has not been done yet."""
        now = self.clock.now()
        event = Event(
            name,
            more.pop("occurred_at", now),
            who.person_id,
            more.pop("external_userid", who.external_userid if name.startswith("contact.") else ""),
            more.pop("userid", who.userid if name.startswith("contact.") else ""),
            **more,
        )
        (kept,) = await self.services.db.write(publish, [event], now=now)
        return kept.id

    async def add(self, name: str = "小满", userid: str = "lina", **facts: Any) -> Customer:
        """A customer adds a member, now."""
        who = await self.meet(name, userid)
        await self.happens("contact.added", who, facts=facts)
        return who

    async def lose(self, who: Customer, ended_by: str = "customer", *, handled: bool = True) -> None:
        """The relation ends; with `handled=False` the event still waits for its turn."""
        change = (
            update(follow_user)
            .where(follow_user.c.userid == who.userid, follow_user.c.external_userid == who.external_userid)
            .values(ended_by=ended_by, ended_at=self.clock.now())
        )
        await self.services.db.write(lambda conn: conn.execute(change) and None)
        await (self.happens if handled else self.publish)(f"contact.lost_by_{ended_by}", who)

    async def tick(self) -> int:
        return await ticking.tick(self.services)

    async def settle(self) -> None:
        """Everything that is due now is done."""
        while await self.services.worker.drain() + await self.tick():
            pass

    async def pass_time(self, **by: float) -> None:
        self.clock.advance(**by)
        await self.settle()

    async def pass_until(self, local: str) -> None:
        """Let time pass until that Shanghai time ("03-05 10:40"), stopping wherever something falls due."""
        until = at(local)
        while (now := self.clock.now()) < until:
            due_at = await ticking.next_due_at(self.services) or until
            stop = min(until, due_at if due_at > now else now + timedelta(minutes=15))
            await self.pass_time(seconds=(stop - now).total_seconds())

    async def rows(self, table: Any, *where: Any) -> list[Any]:
        query = select(table).where(*where).order_by(*table.primary_key.columns)
        return await self.services.db.read(lambda conn: list(conn.execute(query)))

    async def tasks(self, *where: Any) -> list[Any]:
        return await self.rows(task, *where)

    async def runs(self, *where: Any) -> list[Any]:
        return await self.rows(enrolment, *where)

    async def steps(self) -> dict[str, str]:
        """What became of each step: {"ask": "done"}."""
        return {row.step_id: row.state for row in await self.rows(step_run)}

    async def sends(self, *where: Any) -> list[Any]:
        return await self.rows(send, *where)

    async def change(self, table: Any, person_id: int, **values: Any) -> None:
        key = table.c.id if table is person else table.c.person_id
        await self.services.db.write(
            lambda conn: conn.execute(update(table).where(key == person_id).values(**values)) and None
        )

    async def set_stat(self, who: Customer, **values: Any) -> None:
        await self.services.db.write(
            lambda conn: conn.execute(insert(person_stat).values(person_id=who.person_id, **values)) and None
        )


def hold(published: Published, one: Playbook) -> None:
    """As if it had been read from the table of versions."""
    published.current = {**published.current, one.key: one}
    published.versions[one.key, one.version] = one


def at(local: str) -> datetime:
    """A moment of March 2026 in Shanghai: "03-05 10:40"."""
    return datetime.fromisoformat(f"2026-{local}:00+08:00").astimezone(UTC)


@asynccontextmanager
async def open_shop(database_url: str, clock: FakeClock, wecom: FakeWeCom, **more: Any) -> AsyncIterator[Shop]:
    settings = load_settings(
        environ={},
        database={"url": database_url},
        server={"public_url": "https://crm.example.test"},
        wecom={
            "corp_id": fake.CORP_ID,
            "agent_id": fake.AGENT_ID,
            "secret": fake.SECRET,
            "token": fake.TOKEN,
            "encoding_aes_key": fake.AES_KEY,
            "api_base": wecom.url,
        },
        security={"secret_key": "a key of more than thirty-two characters"},
        shop={"name": "晴屿美妆"},
        **more,
    )
    db = Database(database_url)
    app = App(fake.CORP_ID, fake.AGENT_ID, fake.SECRET, api_base=settings.wecom.api_base)
    async with aiohttp.ClientSession() as http:
        services = Services(
            settings=settings,
            clock=clock,
            db=db,
            http=http,
            wecom=WeCom(http, clock, app),
            vault=Vault(settings.security.secret_key.get_secret_value()),
            worker=Worker(db, clock),
        )
        services.worker.prepare(services, EXECUTORS)
        yield Shop(services, clock, wecom)
    await db.close()


def _meet(
    conn: Connection, name: str, userid: str, external_userid: str, now: datetime, more: dict[str, Any]
) -> Customer:
    person_id: int = conn.execute(insert(person).values(name=name, created_at=now).returning(person.c.id)).scalar_one()
    conn.execute(
        insert(external_contact).values(
            external_userid=external_userid, person_id=person_id, name=name, type=1, created_at=now
        )
    )
    conn.execute(
        insert(follow_user).values(
            userid=userid, external_userid=external_userid, person_id=person_id, remark="", followed_at=now, **more
        )
    )
    if conn.execute(select(func.count()).where(member.c.folded == userid.lower())).scalar_one() == 0:
        conn.execute(insert(member).values(userid=userid, folded=userid.lower(), name=f"{userid}的名字", alias="丽娜"))
    return Customer(person_id, external_userid, userid)


def _keep_playbooks(conn: Connection, playbooks: tuple[Playbook, ...], now: datetime) -> None:
    for one in playbooks:
        known = conn.execute(select(playbook.c.version).where(playbook.c.key == one.key)).scalar_one_or_none()
        if known is None:
            conn.execute(insert(playbook).values(key=one.key, title=one.title, version=one.version, changed_at=now))
        elif known == one.version:
            continue
        else:
            conn.execute(update(playbook).where(playbook.c.key == one.key).values(version=one.version))
        conn.execute(
            insert(playbook_version).values(
                playbook_key=one.key, version=one.version, source="", digest=f"{one.version}", published_at=now
            )
        )


__all__ = [
    "Content",
    "Customer",
    "Goal",
    "Guards",
    "House",
    "Late",
    "Playbook",
    "Shop",
    "Step",
    "Trigger",
    "When",
    "Window",
    "at",
    "hold",
    "open_shop",
    "playbook_of",
    "step",
]
