"""What a look at a customer costs at a million persons and five million orders, and how long fifty members wait for it.

`SCRM_BENCH_SIDEBAR` is the address of a database that an earlier run has filled (`python -m bench.sidebar fill URL`);
without it one is made, which takes ten minutes. `--small` measures among 20,000 persons.
"""

import asyncio
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from jinja2 import Environment
from sqlalchemy import Connection, Engine, event

from bench import processor_time
from bench.figures import Figure, median, percentile, say, tell
from bench.load_generator import Load, run
from bench.sidebar_shop import LONG, MEMBERS, REGULARS, contact_of, fill, member_of
from scrm import sessions
from scrm.api.customers import describe
from scrm.commerce.order_views import list_orders
from scrm.db import Database
from scrm.db.migrate import migrate
from scrm.http import COOKIE
from scrm.profiles.store import access_contact
from scrm.settings import Settings, load_settings
from scrm.sidebar.cards import CARDS, TABS, load_page, orders, timeline, told
from scrm.sidebar.cards.visit import Visit
from scrm.sidebar.places import read_place
from scrm.sop.guards.house import house_from
from scrm.sop.guards.recheck import Rules
from scrm.sop.life.published import Published
from tests import postgresql_server
from tests.server_process import ServerProcess, environment, serving
from web.render import templates

PERSONS, SMALL = 1_000_000, 20_000
LOOKS, ROUNDS = 400, 5
PER_SECOND = 50
SECONDS = 12.0
NOBODY = "http://127.0.0.1:9"  # no WeCom is asked

_BARE = """<ul>{% for row in rows %}<li class="cell"><b>{{ row.title }}</b><span class="quiet">{{ row.said }}</span></li>
{% endfor %}</ul>"""


def main(small: bool = False) -> list[Figure]:
    persons = SMALL if small else PERSONS
    with tempfile.TemporaryDirectory(prefix="scrm-bench-") as folder:
        if given := os.environ.get("SCRM_BENCH_SIDEBAR"):
            return measure("PostgreSQL" if given.startswith("postgresql") else "SQLite", given, persons, Path(folder))
        figures = measure("SQLite", filled(f"sqlite:///{folder}/sidebar.db", persons), persons, Path(folder))
        if postgresql_server.find_binaries() is None:
            say(f"sidebar: PostgreSQL left out. {postgresql_server.HOW_TO_GET_IT}")
            return figures
        with postgresql_server.running(postgresql_server.DURABLE) as server:
            server.execute("CREATE DATABASE sidebar")
            return figures + measure("PostgreSQL", filled(server.url("sidebar"), persons), persons, Path(folder))


def filled(url: str, persons: int) -> str:
    say(f"sidebar: {persons:,} persons are made")
    migrate(url)
    asyncio.run(_with(url, lambda db: db.write(fill, persons)))
    return url


async def _with(url: str, act: Callable[[Database], Awaitable[Any]]) -> Any:
    db = Database(url)
    try:
        return await act(db)
    finally:
        await db.close()


def measure(store: str, url: str, persons: int, folder: Path) -> list[Figure]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures: list[Figure] = runner.run(_with(url, lambda db: _costs(store, db, persons)))
        tokens: list[str] = runner.run(_with(url, lambda db: db.write(_sign_in)))
    with serving(environment(url, NOBODY), folder / "serve.log", "--no-worker") as server:
        figures += _waits(store, server, tokens, persons, folder)
    return figures


# What it costs --------------------------------------------------------------------------------------------------------


class Desk:
    """What a page is made with, beside the database."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.now = settings, datetime.now(UTC)
        self.rules = Rules(Published(), house_from(settings))
        self.page = templates.get_template("sidebar/contact_body.html")

    def visit(self, number: int) -> Visit:
        zone = self.settings.shop.zone
        return Visit(member_of(number), contact_of(number), self.now, zone, self.settings, self.rules)

    def render(self, visit: Visit, cards: Any) -> str:
        values = {"tabs": TABS, "card_list": CARDS, "urgent": self.now, "now": self.now, "zone": visit.zone}
        return self.page.render(visit=visit, cards=cards, **values)


async def _costs(store: str, db: Database, persons: int) -> list[Figure]:
    """Processor time of data and markup, one look after the other, beside bare pages of the same size in each round."""
    desk = Desk(load_settings(environment("sqlite:///none", NOBODY)))
    await db.read(desk.rules.published.load)
    numbers = random.Random(7).sample(range(LONG + 1, persons), LOOKS)
    with counted() as statements:
        size = sum([len((await _look(db, desk, number)).encode()) for number in numbers]) // LOOKS
    each = len(statements) / LOOKS
    ours, bare = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for number in numbers:
            await _look(db, desk, number)
        between = time.process_time()
        _render_bare(size, LOOKS)
        ours.append((between - began) / LOOKS)
        bare.append((time.process_time() - between) / LOOKS)
    say(f"sidebar: {size:,} bytes, {median(ours) * 1000:.2f} ms, a bare page {median(bare) * 1000:.2f} ms, {store}")
    ratio = median([a / b for a, b in zip(ours, bare, strict=True)])
    name = f"sidebar, data and markup of a page on one core, {store}"
    return [
        tell(Figure(name, 1 / median(ours), "1/s", goal=1_000)),
        tell(
            Figure(
                f"sidebar, processor time of a page of {size // 1000} kB, {store}",
                median(ours) * 1000,
                "ms",
                peer="a bare Jinja2 page of the size",
                peer_value=median(bare) * 1000,
                ratio=ratio,
            )
        ),
        tell(Figure(f"sidebar, statements of a page behind its session, {store}", each, "", goal=6, at_most=True)),
        *await _pieces(store, db, desk),
        await _profile(store, db),
    ]


async def _look(db: Database, desk: Desk, number: int) -> str:
    visit = desk.visit(number)
    return desk.render(visit, await db.read(load_page, visit))


def _render_bare(size: int, times: int) -> None:
    """A template with nothing but two values in each line."""
    template = Environment(autoescape=True).from_string(_BARE)
    row = {"title": "清透防晒乳 50ml", "said": "2026-03-04 12:00 · 已发货"}
    rows = [row] * max(1, size // len(template.render(rows=[row]).encode()))
    for _ in range(times):
        template.render(rows=rows)


async def _pieces(store: str, db: Database, desk: Desk) -> list[Figure]:
    """Pieces of one customer's page who has 500 orders and 5,000 happenings, deep in."""
    deep = "{}.{}"
    at = int((desk.now - timedelta(days=150)).timestamp() * 1000)
    place: Any = read_place(deep.format(at, 1))
    follow = timeline.filter_of("order")
    pieces: dict[str, Callable[[Connection, Visit], Any]] = {
        "a page of 5,000 happenings": lambda conn, visit: timeline.load_page(conn, visit, timeline.FILTERS[0], place),
        "a page of one kind of 5,000 happenings": lambda conn, visit: timeline.load_page(conn, visit, follow, place),
        "a page of 500 orders": lambda conn, visit: orders.load_page(conn, visit, place),
        "words among 500 orders": lambda conn, visit: orders.load_page(conn, visit, None, "L1049"),
        "already told": lambda conn, visit: told.load(conn, visit, None),
    }
    return [tell(await _piece(f"sidebar, {name}, {store}", db, desk, load)) for name, load in pieces.items()]


async def _piece(name: str, db: Database, desk: Desk, load: Callable[[Connection, Visit], Any]) -> Figure:
    def enter(conn: Connection, visit: Visit) -> Any:
        visit.relation = access_contact(conn, visit.userid, visit.external_userid)
        return load(conn, visit)

    spent = []
    for _ in range(60):
        began = time.process_time()
        await db.read(enter, desk.visit(LONG))
        spent.append(time.process_time() - began)
    return Figure(f"{name}, processor time p99", percentile(spent[10:], 0.99) * 1000, "ms", goal=20, at_most=True)


async def _profile(store: str, db: Database) -> Figure:
    """Identities, relations, tags and totals of a customer with the newest twenty orders: how long the store takes."""

    def look(conn: Connection, number: int) -> int:
        describe(conn, number)
        return len(list_orders(conn, number, limit=20))

    chance, spent = random.Random(13), []
    for _ in range(1_000):
        number = chance.choice(REGULARS)
        began = time.perf_counter()
        found = await db.read(look, number)
        spent.append((time.perf_counter() - began) * 1000)
        assert found == 20, f"person {number} has {found} orders: fill the database anew"
    say(f"sidebar: profile with 20 orders: p50 {percentile(spent, 0.5):.2f} ms, {store}")
    name = f"profile read with 20 orders and aggregates, p99 of 1,000, {store}"
    return tell(Figure(name, percentile(spent[100:], 0.99), "ms", goal=10, at_most=True))


@contextmanager
def counted() -> Iterator[list[str]]:
    statements: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield statements
    event.remove(Engine, "before_cursor_execute", note)


# How long members wait ------------------------------------------------------------------------------------------------


def _sign_in(conn: Connection) -> list[str]:
    now = datetime.now(UTC)
    return [sessions.open_session(conn, f"m{n}", now=now, lives=timedelta(days=1)) for n in range(MEMBERS)]


def _waits(store: str, server: ServerProcess, tokens: Sequence[str], persons: int, folder: Path) -> list[Figure]:
    chance = random.Random(11)
    numbers = [chance.randrange(LONG + 1, persons) for _ in range(int(PER_SECOND * SECONDS))]
    figures = []
    for title, pieces, goal in (
        ("first page", ("",), 50),
        ("pieces", ("/told", "/timeline?kind=order", "/orders", "/fields"), 20),
    ):
        # A process that has just begun prepares its statements first.
        first = [_request(number, piece, tokens) for number in numbers[:100] for piece in pieces]
        _load(server, folder, first, 100.0)
        wanted = [_request(number, piece, tokens) for number in numbers for piece in pieces]
        spent = processor_time.of_tree(server.process.pid)
        load = _load(server, folder, wanted, float(PER_SECOND * len(pieces)))
        spent = (processor_time.of_tree(server.process.pid) - spent) / len(wanted)
        say(f"sidebar: {title}: p50 {load.p50_ms:.1f} ms, {spent * 1000:.2f} ms of the server's processors each")
        name = f"sidebar, {title}, {MEMBERS} members, {PER_SECOND * len(pieces)} a second, {store}"
        figures.append(tell(Figure(f"{name}, p99", load.p99_ms, "ms", goal=goal, at_most=True)))
    return figures


def _request(number: int, piece: str, tokens: Sequence[str]) -> bytes:
    cookie = f"{COOKIE}={tokens[number % MEMBERS]}"
    path = f"/sidebar/contacts/{contact_of(number)}{piece}"
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nHX-Request: true\r\nCookie: {cookie}\r\n\r\n".encode()


def _load(server: ServerProcess, folder: Path, requests: Sequence[bytes], per_second: float) -> Load:
    path = folder / "requests"
    path.write_bytes(b"".join(struct.pack(">I", len(one)) + one for one in requests))
    load = run(
        server.port,
        path,
        skip=0,
        count=len(requests),
        connections=MEMBERS,
        seconds=len(requests) / per_second + 30,
        per_second=per_second,
    )
    assert load.answered == len(requests), f"answers {load.statuses} of {len(requests)}"
    return load


if __name__ == "__main__":
    if sys.argv[1:2] == ["fill"]:
        filled(sys.argv[2], PERSONS)
    else:
        main("--small" in sys.argv)
