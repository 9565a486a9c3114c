"""`python -m bench.sandbox_server`: the sandbox alone, on a free port of loopback, until SIGTERM."""

import asyncio
import sys

import aiohttp
from aiohttp import web

from scrm.clock import SystemClock
from scrm.listening import bound, listening, until_stopped
from scrm.sandbox import Sandbox, SandboxConfig, make_routes
from tests.fakes import wecom as fake


async def main() -> None:
    with bound("127.0.0.1", 0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = SandboxConfig(
            fake.CORP_ID, fake.AGENT_ID, fake.SECRET, fake.TOKEN, fake.AES_KEY,
            f"{url}/callbacks/wecom", f"{url}/sidebar/", public_url=url,
        )  # fmt: skip
        async with aiohttp.ClientSession() as http:
            sandbox = Sandbox(config, SystemClock(), http)
            sandbox.add_tag_group("客户来源", ["直播间", "包裹卡", "门店"])
            app = web.Application()
            app.add_routes(make_routes(sandbox))
            async with listening(app, listener):
                print(f"listening on {url}", file=sys.stderr, flush=True)
                await until_stopped()
            await sandbox.stop()


if __name__ == "__main__":
    asyncio.run(main())
