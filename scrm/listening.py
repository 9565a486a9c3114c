"""Holds a port, serves an application on it, and waits for the end; every command that listens does it so."""

import asyncio
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from aiohttp import web

from scrm.errors import ScrmError


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A socket of ours before anything else is begun; one clear line when the port is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # Two servers may bind one port while neither listens: listening makes it ours.
        listener.listen(1024)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else "no such port"
        raise ScrmError(
            f"port {port} on {host} cannot be used ({reason}): choose another one with --port, or stop what listens there"
        ) from None
    with listener:
        yield listener


class Front(Protocol):
    """Makes the protocol of each new connection."""

    def __call__(self) -> asyncio.Protocol: ...

    async def close(self) -> None:
        """Finish what is under way; no connection is made any more."""
        ...


# What stands before aiohttp, given the server that everything else is handed to.
FRONT: web.AppKey[Callable[[web.Server], Front]] = web.AppKey("front")


@asynccontextmanager
async def listening(app: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve inside; requests under way at the end are finished."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - setup() made it
    front = app[FRONT](runner.server) if FRONT in app else None
    server = await asyncio.get_running_loop().create_server(
        front or runner.server, sock=listener, backlog=1024, start_serving=False
    )
    try:
        # What start-up made stays for good: the collector need not walk through it while callbacks wait.
        gc.collect()
        gc.freeze()
        await server.start_serving()
        yield
    finally:
        server.close()
        if front is not None:
            await front.close()
        await runner.cleanup()


async def until_stopped() -> None:
    """Ctrl-C or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, stopped.set)
    await stopped.wait()
