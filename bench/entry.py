"""What one event costs against many published playbooks: finding whom it starts, and letting one person in.

Peer: a search of all playbooks for each event, as it was before there was an index.
"""

import asyncio
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from bench.figures import Figure, median, tell
from bench.steps import Afternoon, settings_of
from scrm.app import open_services
from scrm.db.bulk import insert_rows
from scrm.db.migrate import migrate
from scrm.events import Event, publish
from scrm.profiles.models import external_contact, follow_user, member, person
from scrm.services import Services
from scrm.sop import enrol, triggers
from scrm.sop.enrol import Rules
from scrm.sop.life import published as publishing
from scrm.sop.schema import Playbook
from scrm.sop.shelf import house_of, playbooks_of
from scrm.sop.text.parse import parse_playbook

PLAYBOOKS = 200
EVENTS = 400
ROUNDS = 5
NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
# As in a shop that runs them all: many wait for orders, a few for each of the others.
NAMES = ("order.paid", "order.created", "order.delivered", "contact.added", "refund.opened", "cart.abandoned")

TEXT = """
playbook: bench-{number}
title: 剧本 {number}
priority: P{priority}
trigger: {{event: {event}, where: {{{where}}}}}
run_key: person
reentry: never
enter_if: {{field: person.paid_orders, op: gte, value: 0}}
exit_if: {{flag: optout.promo}}
goal: none
holdout: 0%
steps:
  - {{id: note, at: D+3, channel: X, do: [{{set: {{stage: 老客}}}}]}}
"""


def main() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'entry.db'}"
        migrate(url)
        return asyncio.run(measure(url))


async def measure(url: str) -> list[Figure]:
    async with open_services(settings_of(url), clock=Afternoon()) as services:
        await services.db.write(furnish)
        published = playbooks_of(services)
        await services.db.read(published.load)
        playbooks = list(published.current.values())
        found = [
            tell(
                Figure(
                    f"finding the playbooks that one event starts, of {PLAYBOOKS}",
                    by_index(playbooks) * 1000,
                    "ms CPU",
                    peer="a search of all",
                    peer_value=by_search(playbooks) * 1000,
                )
            )
        ]
        cost = await entered(services)
        goal = Figure(f"entry of one event against {PLAYBOOKS} playbooks", cost * 1000, "ms CPU", goal=2, at_most=True)
        return [*found, tell(goal)]


def furnish(conn: Connection) -> None:
    for number in range(PLAYBOOKS):
        event = NAMES[number % len(NAMES)]
        where = "channel: [jd]" if event.startswith(("order.", "refund.")) and number >= len(NAMES) else ""
        if not where:
            where = "userid: [m1]" if event == "contact.added" else "channel: [taobao]"
        if event == "cart.abandoned":
            where = "source: [h5]"
        text = TEXT.format(number=number, priority=number % 6, event=event, where=where)
        publishing.publish(conn, parse_playbook(text, file_name="bench.yaml"), now=NOW)
    insert_rows(conn, member, [{"userid": "m0", "folded": "m0", "name": "员工"}])
    numbers = range(1, EVENTS + 1)
    insert_rows(conn, person, [{"id": n, "name": f"客户{n}", "created_at": NOW} for n in numbers])
    insert_rows(
        conn,
        external_contact,
        [{"external_userid": f"wm{n}", "person_id": n, "name": f"客户{n}", "created_at": NOW} for n in numbers],
    )
    insert_rows(
        conn,
        follow_user,
        [{"userid": "m0", "external_userid": f"wm{n}", "person_id": n, "followed_at": NOW} for n in numbers],
    )


def paid(number: int) -> Event:
    facts = {"channel": "taobao", "shop_key": "main", "status": "paid", "paid_fen": 9900, "title": "面霜"}
    return Event("order.paid", NOW, number, key=f"taobao/main/{number}", facts=facts)


def by_index(playbooks: list[Playbook]) -> float:
    index = triggers.index(playbooks)
    return seconds_each(lambda event: triggers.started_by(index, event))


def by_search(playbooks: list[Playbook]) -> float:
    return seconds_each(
        lambda event: [
            one
            for one in sorted(playbooks, key=lambda one: (one.priority, one.key))
            if triggers.starts(one.trigger, event)
        ]
    )


def seconds_each(find) -> float:  # type: ignore[no-untyped-def]
    """Processor seconds for one event, the median of some rounds."""
    events = [paid(number) for number in range(1, EVENTS + 1)]
    spent = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for event in events:
            find(event)
        spent.append((time.process_time() - begun) / EVENTS)
    return median(spent)


async def entered(services: Services) -> float:
    """Processor seconds from the work item's event to the run that it begins, everything in the database included."""
    rules = Rules(playbooks_of(services), house_of(services))
    told = await services.db.write(lambda conn: publish(conn, [paid(n) for n in range(1, EVENTS + 1)], now=NOW))

    def enter(conn: Connection) -> float:
        begun = time.process_time()
        for event in told:
            if enrol.concerns_anybody(conn, event.id, rules):
                enrol.apply_event(conn, event.id, rules, NOW, "")
        return (time.process_time() - begun) / len(told)

    return await services.db.write(enter)


if __name__ == "__main__":
    main()
