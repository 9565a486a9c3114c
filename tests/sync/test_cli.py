"""`scrm sync` as people run it: a process of its own, killed in the middle, beside a server, and refused."""

import argparse
import asyncio
import json
import sys

import pytest

from scrm.clock import SystemClock
from scrm.db.serving import serve_alone
from scrm.errors import WrongUse
from scrm.profiles.models import external_contact, follow_user
from scrm.sandbox.seeding import Seed, seed
from scrm.sync.cli import add_parser, run_sync
from tests.server_process import environment
from tests.sync.conftest import Shop
from tests.waiting import eventually

BATCH = "externalcontact/batch/get_by_user"


class Command:
    """`scrm ...` with settings for the sandbox and the test's database."""

    def __init__(self, shop: Shop, url: str) -> None:
        self._environment = environment(url, shop.sandbox.config.base_url)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "scrm", *arguments, env=self._environment, stdout=pipe, stderr=pipe
        )

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def command(shop: Shop, sqlite_url: str) -> Command:
    shop.clock.move_to(SystemClock().now())
    return Command(shop, sqlite_url)


async def test_a_sync_that_was_killed_goes_on_at_its_cursor_and_loses_nothing(shop: Shop, command: Command) -> None:
    seeded = await seed(shop.sandbox, Seed(2_000, members=4))
    shop.sandbox.faults.answer_delay_ms = 100
    killed = await command.start("sync", "--only", "contacts")
    await eventually(lambda: shop.calls(BATCH) >= 9, seconds=30)
    killed.kill()
    await killed.wait()
    done = await shop.services.db.read(lambda conn: len(conn.execute(follow_user.select()).all()))
    assert 0 < done < seeded["relations"]
    shop.sandbox.gateway.calls.clear()
    shop.sandbox.faults.answer_delay_ms = 0
    code, out, err = await command.run("sync", "--only", "contacts", "--json")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["contacts"]["done"] == seeded["relations"]
    assert len(await shop.rows(follow_user)) == seeded["relations"]
    assert len(await shop.rows(external_contact)) == 2_000
    # Pages that were kept are not read again: at most the one under way of each part.
    assert shop.calls(BATCH) <= -(-seeded["relations"] // 100) - done // 100 + 8


async def test_a_sync_beside_a_serving_process_writes_in_turns_and_says_what_it_did(
    shop: Shop, command: Command, sqlite_url: str
) -> None:
    for number in range(120):
        shop.befriend(f"c{number}")
    with serve_alone(sqlite_url):
        code, out, err = await command.run("sync")
    assert code == 0, err
    assert "客户：核对 120，新增 120，更新 0，结束 0" in out
    assert len(await shop.rows(external_contact)) == 120


async def test_a_sync_that_cannot_be_done_says_why_in_one_line(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WrongUse, match="--only：没有 friends，可用的有 members"):
        await run_sync(arguments("--only", "friends"), shop.services)
    shop.sandbox.faults.no_contact_permission = True
    assert await run_sync(arguments("--only", "contacts"), shop.services) == 1
    out = capsys.readouterr().out
    assert "可调用接口的应用" in out
    assert "再次运行 scrm sync 会从中断处继续" in out


def arguments(*given: str) -> argparse.Namespace:
    commands = argparse.ArgumentParser().add_subparsers()
    return add_parser(commands).parse_args(given)
