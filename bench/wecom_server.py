"""A WeCom that takes its time, in a process of its own: `python -m bench.wecom_server DELAY_SECONDS`.

`GET /arrivals/CODE` waits for the first welcome with that code; `GET /arrivals` tells all: {code: [seconds, ...]}.
"""

import asyncio
import sys
import time
from collections import defaultdict
from typing import Any

import uvloop
from aiohttp import web

from scrm.cli import bound, listening, until_stopped
from tests.fakes.wecom import FakeWeCom, Json

_WELCOME = "externalcontact/send_welcome_msg"


class SlowWeCom(FakeWeCom):
    """Knows every contact that is asked for, and when each welcome came in (Unix time)."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.delay = delay
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self._first: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.app.router.add_get("/arrivals", self._tell_all)
        self.app.router.add_get("/arrivals/{code}", self._tell)

    async def _answer(self, request: web.Request) -> web.Response:
        if request.match_info["path"] == _WELCOME:
            code = (await request.json())["welcome_code"]
            self.arrivals[code].append(time.time())
            self._first[code].set()
        return await super()._answer(request)

    def _decide(self, path: str, body: Json, request: web.Request) -> Json:
        external_userid = body.get("external_userid", "")
        if path == "externalcontact/get" and external_userid not in self.contacts:
            self.add_contact(external_userid, "小满", "lina")
        return super()._decide(path, body, request)

    async def _tell_all(self, request: web.Request) -> web.Response:
        return web.json_response(self.arrivals)

    async def _tell(self, request: web.Request) -> web.Response:
        code = request.match_info["code"]
        await asyncio.wait_for(self._first[code].wait(), 30)
        return web.json_response(self.arrivals[code])


async def serve(delay: float) -> None:
    wecom: Any = SlowWeCom(delay)
    with bound("127.0.0.1", 0) as listener:
        async with listening(wecom.app, listener):
            print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
            await until_stopped()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(float(sys.argv[1])))
