"""Receivers as they are in the field: slow, endless, cut off, behind a redirect or a certificate of somebody else."""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scrm.outgoing import MOST_ANSWER
from scrm.webhooks import deliver
from scrm.webhooks.models import webhook, webhook_delivery
from scrm.work.models import work_item
from tests.console.conftest import SignIn, sign_in
from tests.waiting import eventually
from tests.webhooks.test_webhooks import PATH, Warehouse, happen, later, states, subscribe, warehouse, world
from tests.world import World

__all__ = ["sign_in", "warehouse", "world"]

GIGABYTE = 10**9


@dataclass
class Odd:
    """A server on loopback that answers in a strange way."""

    manner: str = "hangs"
    elsewhere: str = ""
    calls: int = 0
    given: int = 0
    is_over: bool = False

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_over = False
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.calls += 1
            await getattr(self, f"_{self.manner}")(reader, writer)
        writer.close()
        self.is_over = True

    async def _hangs(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            pass

    async def _drips(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(65536), 0.05)

    async def _redirects(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {self.elsewhere}\r\nContent-Length: 0\r\n\r\n"
        writer.write(place.encode())
        await writer.drain()

    async def _pours(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.given = 0
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n".encode())
        while self.given < GIGABYTE:
            writer.write(b" " * MOST_ANSWER)
            await writer.drain()
            self.given += MOST_ANSWER

    async def _cuts(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await writer.drain()

    async def _leaves(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Without a word."""

    async def _babbles(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n")
        await writer.drain()


def certificate_of_another(folder: Path) -> ssl.SSLContext:
    """Signed by itself, for another name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "other.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    file = folder / "other.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def url_of(server: asyncio.Server, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"


def keep_silent(patch: pytest.MonkeyPatch, name: str) -> None:
    """The name server never answers for this name."""
    loop = asyncio.get_running_loop()
    looked_up = loop.getaddrinfo

    async def look_up(host: str, *args: Any, **options: Any) -> Any:
        if host == name:
            await asyncio.Event().wait()
        return await looked_up(host, *args, **options)

    patch.setattr(loop, "getaddrinfo", look_up)


async def test_strange_receivers_hold_nobody_up_and_the_page_says_in_plain_words_what_is_wrong(
    world: World, warehouse: Warehouse, sign_in: SignIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    odd, safe = Odd(elsewhere=warehouse.url), Odd()
    server = await asyncio.start_server(odd.answer, "127.0.0.1")
    locked = await asyncio.start_server(safe.answer, "127.0.0.1", ssl=certificate_of_another(tmp_path))
    made = await subscribe(world, url_of(server))
    one = f"/console/webhooks/{made['id']}"

    async def try_it() -> tuple[str, str]:
        """A press on “马上重试”: what became of the oldest that waits."""
        await boss.post(f"{one}/resume")
        await world.services.worker.drain()
        rows = sorted(await world.rows(webhook_delivery), key=lambda row: row.event_id)
        return rows[0].state, rows[0].said

    # Those who never end are waited for ten seconds.
    assert deliver.CALL_SECONDS == 10
    with monkeypatch.context() as patch:
        patch.setattr(deliver, "CALL_SECONDS", 0.4)
        await happen(world, 1)
        await later(world, seconds=1)
        assert await states(world) == ["waiting"]
        assert "对方 0.4 秒内没有回应完" in await boss.get(one)
        odd.manner = "drips"
        assert await try_it() == ("waiting", "对方 0.4 秒内没有回应完")
        # Neither is a name server waited for that keeps silent.
        await world.client.patch(f"{PATH}/{made['id']}", json={"url": "http://silent.example/events"})
        keep_silent(patch, "silent.example")
        assert await try_it() == ("waiting", "对方 0.4 秒内没有回应完")
    await world.client.patch(f"{PATH}/{made['id']}", json={"url": url_of(server)})
    page = await boss.get(one)
    assert "起推送失败，正在自动重试" in page
    assert "马上重试" in page
    assert "3 次" in page

    for manner in ("cuts", "leaves"):
        odd.manner = manner
        assert await try_it() == ("waiting", "对方没回应完就断开了连接"), manner
    odd.manner = "babbles"
    assert await try_it() == ("waiting", "对方的回应不是 HTTP，请检查地址和端口")
    (row,) = await world.rows(webhook)
    assert (row.state, row.refusals, row.failing_since is not None) == ("on", 0, True)

    # Nothing was said to a server that shows somebody else's certificate.
    await world.client.patch(f"{PATH}/{made['id']}", json={"url": url_of(locked, "https")})
    assert await try_it() == ("waiting", "和对方建立不了 HTTPS 连接：证书不可信、过期，或与域名不符")
    assert safe.calls == 0
    assert "HTTPS" in min(await world.rows(work_item), key=lambda item: item.id).last_error

    # A redirect is a refusal: nobody is led into our own network, and the next event goes on.
    await world.client.patch(f"{PATH}/{made['id']}", json={"url": url_of(server)})
    odd.manner = "redirects"
    state, said = await try_it()
    assert (state, "推送不跟随跳转，请填最终地址" in said) == ("failed", True)
    assert warehouse.got == []

    # A gigabyte with a good status is taken, and not read: what was given lies in the buffers of the sockets.
    odd.manner = "pours"
    await boss.post(f"{one}/replay")
    await world.services.worker.drain()
    assert await states(world) == ["done"]
    await eventually(lambda: odd.is_over)
    assert odd.given < GIGABYTE // 20
    trial = await (await world.client.post(f"{PATH}/{made['id']}/test")).json()
    assert (trial["is_good"], len(trial["answer"]) <= 300) == (True, True)

    # And the one who has mended it gets the same event again, under its number.
    await world.client.patch(f"{PATH}/{made['id']}", json={"url": warehouse.url})
    (delivery,) = await world.rows(webhook_delivery)
    await boss.post(f"{one}/{delivery.id}/replay")
    await world.services.worker.drain()
    assert [headers["Idempotency-Key"] for headers, _ in warehouse.got] == [f"webhook:{delivery.id}"]
    (row,) = await world.rows(webhook)
    assert (row.failing_since, row.refusals) == (None, 0)
    for each in (server, locked):
        each.close()


async def test_who_says_that_it_is_mended_does_not_wait_for_the_next_try(
    world: World, warehouse: Warehouse, sign_in: SignIn
) -> None:
    boss = await sign_in("boss", "老板", "administrator")
    made = await subscribe(world, warehouse.url)
    one = f"/console/webhooks/{made['id']}"
    warehouse.statuses = [400, 503, 503]
    await happen(world, 1, 2)
    await later(world, seconds=1)
    await later(world, seconds=6)  # the next try is in half a minute
    assert warehouse.numbers == [1, 2, 2]
    await boss.post(f"{one}/pause")
    await boss.post(f"{one}/resume")
    await world.services.worker.drain()
    assert (warehouse.numbers, await states(world)) == ([1, 2, 2, 2], ["failed", "done"])
    # The same for what is told again while something else waits for its time.
    warehouse.statuses = [503]
    await happen(world, 3)
    await later(world, seconds=1)
    failed = min(await world.rows(webhook_delivery), key=lambda row: row.event_id)
    await boss.post(f"{one}/{failed.id}/replay")
    await world.services.worker.drain()
    assert (warehouse.numbers[-3:], await states(world)) == ([3, 1, 3], ["done"] * 3)
