"""The fast lane answers what aiohttp would have answered, and leaves to it whatever is unusual."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import pytest
from sqlalchemy import func, select

from scrm.app import build_app
from scrm.callbacks.models import inbox_event
from scrm.listening import bound, listening
from tests.fakes import wecom as fake
from tests.world import World


@asynccontextmanager
async def dialled(world: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection to a server as `scrm serve` runs it."""
    app = build_app(world.services, with_worker=False)
    with bound("127.0.0.1", 0) as listener:
        async with listening(app, listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            yield reader, writer
    writer.close()


def event(number: int = 1) -> str:
    return fake.event_xml("add_external_contact", created_at=1, UserID="lina", ExternalUserID=f"wm{number}")


def request(
    number: int = 1, *, body: bytes | None = None, query: str | None = None, head: str = "", version: str = "1.1"
) -> bytes:
    given, encrypted = fake.callback(event(number))
    body = encrypted.encode() if body is None else body
    query = urlencode(given) if query is None else query
    length = "" if "ransfer-" in head else f"Content-Length: {len(body)}\r\n"
    return f"POST /callbacks/wecom?{query} HTTP/{version}\r\nHost: crm\r\n{length}{head}\r\n".encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode()
    length = next(int(line[15:]) for line in head.splitlines() if line.lower().startswith("content-length:"))
    return int(head.split()[1]), head, await reader.readexactly(length)


def by_aiohttp(head: str) -> bool:
    return "Server:" in head


async def kept(world: World) -> int:
    return int(
        await world.services.db.read(lambda conn: conn.execute(select(func.count(inbox_event.c.id))).scalar_one())
    )


async def test_one_connection_brings_one_callback_after_another(world: World) -> None:
    async with dialled(world) as (reader, writer):
        for number in range(5):
            writer.write(request(number))
            status, head, body = await answer(reader)
            assert (status, body, by_aiohttp(head)) == (200, b"", False)
        assert await kept(world) == 5
        writer.write(request(4))
        assert (await answer(reader))[0] == 200


async def test_what_comes_before_the_answer_waits_its_turn(world: World) -> None:
    async with dialled(world) as (reader, writer):
        for number in range(3):
            writer.write(request(number))
            await asyncio.sleep(0)
        assert [(await answer(reader))[0] for _ in range(3)] == [200, 200, 200]
        assert await kept(world) == 3


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(request(1) + request(2), id="two in one packet"),
        pytest.param(request(1, head="Connection: close\r\n"), id="the last one"),
        pytest.param(request(1, version="1.0"), id="an old version"),
        pytest.param(request(1, head="Upgrade: keep-alive\r\n"), id="another protocol"),
        pytest.param(request(1, head="Expect: 100-continue\r\n"), id="asks first"),
    ],
)
async def test_aiohttp_answers_whatever_is_unusual(world: World, sent: bytes) -> None:
    async with dialled(world) as (reader, writer):
        writer.write(sent)
        if b"100-continue" in sent:
            assert b"100 Continue" in await reader.readuntil(b"\r\n\r\n")
        for _ in range(sent.count(b"POST ")):
            status, head, _ = await answer(reader)
            assert (status, by_aiohttp(head)) == (200, True)
        assert await kept(world) == sent.count(b"POST ")


async def test_a_body_in_pieces_or_in_chunks_arrives_whole(world: World) -> None:
    async with dialled(world) as (reader, writer):
        whole = request(1)
        writer.write(whole[:400])
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(whole[400:])
        assert (await answer(reader))[0] == 200
    async with dialled(world) as (reader, writer):
        given, encrypted = fake.callback(event(2))
        chunk = f"{len(encrypted):x}\r\n{encrypted}\r\n0\r\n\r\n".encode()
        writer.write(request(body=chunk, query=urlencode(given), head="Transfer-Encoding: chunked\r\n"))
        assert (await answer(reader))[0] == 200
    assert await kept(world) == 2


async def test_a_page_may_be_asked_for_on_the_connection_of_a_callback(world: World) -> None:
    async with dialled(world) as (reader, writer):
        writer.write(request(1))
        assert (await answer(reader))[0] == 200
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: crm\r\n\r\n")
        status, head, body = await answer(reader)
        assert (status, by_aiohttp(head), body) == (200, True, b'{"status": "ok"}')
        writer.write(request(2))
        assert (await answer(reader))[0] == 200


GOOD_QUERY = urlencode(fake.callback(event())[0])


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(request(query=GOOD_QUERY), 403, id="the signature of another body"),
        pytest.param(request(query="a=b"), 400, id="no parameters"),
        pytest.param(request(body=b"<xml></xml>"), 400, id="no ciphertext"),
        pytest.param(request(head="Content-Length: 3\r\n"), 400, id="two lengths"),
        pytest.param(request(head="Content-Length : 3\r\n"), 400, id="a length in disguise"),
        pytest.param(request(head="Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400, id="two framings"),
    ],
)
async def test_bad_requests_are_refused_and_nothing_is_kept(world: World, sent: bytes, status: int) -> None:
    async with dialled(world) as (reader, writer):
        writer.write(sent)
        assert (await answer(reader))[0] == status
        assert await kept(world) == 0


async def test_a_server_that_stops_answers_what_it_is_keeping(world: World) -> None:
    async with dialled(world) as (reader, writer):
        busy = asyncio.create_task(world.services.db.write(lambda conn: time.sleep(0.1)))
        writer.write(request(1))
        await asyncio.sleep(0.03)
    assert (await answer(reader))[0] == 200
    await busy


async def test_a_store_that_fails_is_not_acknowledged(world: World) -> None:
    async with dialled(world) as (reader, writer):
        await world.services.db.write(lambda conn: conn.exec_driver_sql("ALTER TABLE inbox_event RENAME TO away"))
        writer.write(request(1))
        assert (await answer(reader))[0] == 503
        await world.services.db.write(lambda conn: conn.exec_driver_sql("ALTER TABLE away RENAME TO inbox_event"))
        writer.write(request(1))
        assert (await answer(reader))[0] == 200
