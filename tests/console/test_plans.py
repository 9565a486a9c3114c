"""Plans for groups and moments in the console, and in a terminal."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from scrm import cli
from scrm.group_chats.models import group_chat, group_chat_tag
from scrm.sop.plans import carry_out
from tests.console.conftest import Visitor
from tests.world import World

PLAN = """plan: weekly
title: 福利群日常
kind: group
to: {tags: [福利群]}
items:
  - {id: daily, title: 每日一品, on: daily, at: "10:00", ttl: 6h, content: {text: 今天看这一件}}
"""


async def post(manager: Visitor, path: str, **fields: str) -> tuple[int, str]:
    response = await manager.world.client.post(
        path, data={"csrf": manager.csrf, **fields}, headers=manager.cookie, allow_redirects=False
    )
    return response.status, await response.text()


async def test_a_manager_writes_a_plan_sees_what_comes_and_stops_a_day(world: World, manager: Visitor) -> None:
    assert "还没有计划" in await manager.get("/console/plans")
    status, html = await post(manager, "/console/plans", source=PLAN.replace("on: daily, ", ""))
    assert status == 422
    assert "三选一" in html
    assert (await post(manager, "/console/plans", source=PLAN))[0] == 303
    now = world.clock.now()

    def save(conn: object) -> None:
        conn.execute(insert(group_chat).values(chat_id="g1", name="福利一群", owner="lina", created_at=now))  # type: ignore[attr-defined]
        conn.execute(insert(group_chat_tag).values(chat_id="g1", name="福利群"))  # type: ignore[attr-defined]

    await world.services.db.write(save)
    page = await manager.get("/console/plans")
    assert "福利群日常" in page
    assert "每日一品" in page
    tomorrow = (now + timedelta(days=1)).date().isoformat()
    assert (await post(manager, "/console/plans/days-off", day=tomorrow, reason="公祭日"))[0] == 303
    assert "停发日：公祭日" in await manager.get("/console/plans")
    world.clock.advance(days=1)
    await carry_out.tick(world.services)
    page = await manager.get("/console/plans/weekly")
    assert "已跳过" in page
    assert "福利一群" in page
    assert (await post(manager, "/console/plans/weekly/pause"))[0] == 303
    assert "已暂停" in await manager.get("/console/plans/weekly")
    assert "还没有计划" not in await manager.get("/console/plans/weekly/edit")


def test_the_terminal_says_what_is_wrong_with_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, wrong = tmp_path / "good.yaml", tmp_path / "wrong.yaml"
    sound.write_text(PLAN, "utf-8")
    wrong.write_text(PLAN.replace("ttl: 6h, ", ""), "utf-8")
    monkeypatch.setenv("SCRM_DATABASE__URL", f"sqlite:///{tmp_path / 'scrm.db'}")
    for key, value in {
        "SCRM_WECOM__CORP_ID": "ww1",
        "SCRM_WECOM__AGENT_ID": "1",
        "SCRM_WECOM__SECRET": "secret",
        "SCRM_WECOM__TOKEN": "token",
        "SCRM_WECOM__ENCODING_AES_KEY": "a" * 43,
        "SCRM_SECURITY__SECRET_KEY": "k" * 32,
    }.items():
        monkeypatch.setenv(key, value)
    assert cli.run(["migrate"]) == 0
    assert cli.run(["plan", "lint", str(sound), str(wrong)]) == 1
    said = capsys.readouterr()
    assert "good.yaml：没有问题（福利群日常，1 项）" in said.out
    assert "wrong.yaml 第 6 行：第 1 项缺少 ttl" in said.err
    assert cli.run(["plan", "apply", str(sound)]) == 0
    assert cli.run(["plan", "list"]) == 0
    assert "weekly  已启用  第 1 版  福利群日常" in capsys.readouterr().out
