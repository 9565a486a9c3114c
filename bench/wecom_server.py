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

from scrm.listening import bound, listening, until_stopped
from tests.fakes.wecom import FakeWeCom, Json

_WELCOME = "externalcontact/send_welcome_msg"


class SlowWeCom(FakeWeCom):
    """Knows every contact that is asked for, and when each welcome came in (Unix time)."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.delay = delay
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self.tag_groups: dict[str, Json] = {}
        self._first: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.app.router.add_get("/arrivals", self._tell_all)
        self.app.router.add_get("/arrivals/{code}", self._tell)

    def _decide(self, path: str, body: Json, request: web.Request) -> Json:
        if path == _WELCOME:
            # Asked after the delay: a little late at worst, and never too early.
            self.arrivals[body["welcome_code"]].append(time.time() - self.delay)
            self._first[body["welcome_code"]].set()
        if path == "externalcontact/get" and body["external_userid"] not in self.contacts:
            self.add_contact(body["external_userid"], "小满", "lina")
        if path == "externalcontact/get_corp_tag_list":
            return {"errcode": 0, "errmsg": "ok", "tag_group": list(self.tag_groups.values())}
        if path == "externalcontact/add_corp_tag":
            return {"errcode": 0, "errmsg": "ok", "tag_group": self._with_tags(body)}
        return super()._decide(path, body, request)

    def _with_tags(self, body: Json) -> Json:
        name = body["group_name"]
        group = self.tag_groups.setdefault(name, {"group_id": f"group-{name}", "group_name": name, "tag": []})
        group["tag"] += [{"id": f"tag-{tag['name']}", "name": tag["name"]} for tag in body["tag"]]
        return group

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
