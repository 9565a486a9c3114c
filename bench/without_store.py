"""The same server with the store switched off: what a callback costs before anything is kept."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import uvloop
from sqlalchemy import Connection

from scrm.app import build_app, open_services
from scrm.db import Database
from scrm.db.database import Priority
from scrm.listening import bound, listening, until_stopped
from scrm.settings import load_settings

Row = TypeVar("Row")
T = TypeVar("T")


class Forgetful(Database):
    """Says that everything was written, and writes nothing."""

    def together(
        self, many: Callable[[Connection, list[Row]], list[T]], row: Row, priority: Priority = Priority.WORK
    ) -> "asyncio.Future[Any]":
        done = asyncio.get_running_loop().create_future()
        done.set_result(True)
        return done


async def serve() -> None:
    settings = load_settings()
    async with open_services(settings) as services:
        forgetful = replace(services, db=Forgetful(settings.database.url.get_secret_value()))
        app = build_app(forgetful, with_worker=False)
        with bound("127.0.0.1", settings.server.port) as listener:
            async with listening(app, listener):
                print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
                await until_stopped()
        await forgetful.db.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
