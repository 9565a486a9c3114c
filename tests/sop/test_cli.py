"""`scrm playbook` as an author types it."""

import asyncio
from pathlib import Path

import pytest

from scrm.cli import run
from scrm.clock import SystemClock
from scrm.db import Database
from scrm.sop.life import drafts
from scrm.sop.life.published import By
from tests.sop.test_playbooks_files import NUDGE

EXAMPLE = Path(__file__).parent / "texts/pb-02-first-order.yaml"
CONFIG = """
[database]
url = "sqlite:///nowhere.db"
[server]
public_url = "https://crm.example.test"
[wecom]
corp_id = "ww1234567890abcdef"
agent_id = 1000002
secret = "secret"
token = "token"
encoding_aes_key = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
[security]
secret_key = "a key of more than thirty-two characters"
[playbooks]
dir = "elsewhere"
"""


@pytest.fixture(autouse=True)
def workplace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("config/playbooks", "elsewhere", "given"):
        (tmp_path / folder).mkdir(parents=True)
        key = Path(folder).name
        (tmp_path / folder / f"{key}.yaml").write_text(NUDGE.replace("nudge\n", f"{key}\n", 1), encoding="utf-8")
    return tmp_path


def linted(capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["playbook", "lint"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    return line.partition("：")[0]


def test_without_settings_it_checks_the_usual_directory(capsys: pytest.CaptureFixture[str]) -> None:
    assert linted(capsys) == "config/playbooks/playbooks.yaml"
    assert run(["playbook", "test"]) == 0


def test_a_directory_given_by_a_variable_is_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCRM_PLAYBOOKS__DIR", "given")
    assert linted(capsys) == "given/given.yaml"


def test_the_settings_file_says_where_playbooks_are(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "shop.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.setenv("SCRM_CONFIG", "shop.toml")
    assert linted(capsys) == "elsewhere/elsewhere.yaml"
    monkeypatch.setenv("SCRM_CONFIG", "nowhere.toml")
    assert run(["playbook", "lint"]) == 2


# The life of a playbook -----------------------------------------------------------------------------------------------


class Terminal:
    """`scrm playbook` with a shop of its own: what it printed, and how it ended."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        ended = run(["playbook", *arguments])
        said = self.capsys.readouterr()
        assert ended == code, said.err
        return said.out + said.err


@pytest.fixture
def terminal(
    workplace: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    (workplace / "shop.toml").write_text(CONFIG.replace("sqlite:///nowhere.db", sqlite_url), encoding="utf-8")
    monkeypatch.setenv("SCRM_CONFIG", "shop.toml")
    return Terminal(workplace, capsys)


def test_a_playbook_is_published_changed_stopped_and_taken_elsewhere(terminal: Terminal) -> None:
    file = terminal.folder / "given/given.yaml"
    assert "已发布" in terminal("apply", "given")
    assert "没有变化" in terminal("apply", "given")
    text = file.read_text("utf-8")
    file.write_text(text.replace("title: ", "title: 新版", 1), "utf-8")
    assert "名称：" in terminal("diff", "--words", "given")
    assert "+title: 新版" in terminal("diff", "given")
    terminal("apply", "given", "--why", "换个名字")
    assert "given  已启用  第 2 版  新版" in terminal("list")
    assert "已回滚，现在是第 3 版" in terminal("rollback", "given")
    assert "没有变化" in terminal("rollback", "given", "1")
    assert "没有第 9 版" in terminal("rollback", "given", "9", code=1)
    assert "已回滚，现在是第 4 版" in terminal("rollback", "given", "2", "--why", "还是新名字好")
    terminal("pause", "given", "--hold", "--why", "话术有误")
    assert "已暂停" in terminal("list")
    assert "这个剧本不在运行中" in terminal("pause", "given", code=1)
    terminal("resume", "given", "--keep-dates")
    terminal("retire", "given", "--end-runs")
    assert "已停用" in terminal("list")
    assert "没有客户进入；要让客户进入，请运行 scrm playbook resume given" in terminal("apply", "given")
    assert "全部一致" in terminal("recount")
    assert "没有客户在旧版本中" in terminal("migrate", "given")
    assert "没有编号为 nothing 的剧本" in terminal("pause", "nothing", code=1)
    assert "没有编号为 nothing 的剧本" in terminal("rollback", "nothing", code=1)
    terminal("export", "--to", "all.zip")
    terminal("export", "given", "--to", "out")
    assert (terminal.folder / "out/given.yaml").read_text("utf-8") == file.read_text("utf-8")
    assert "all.zip/given.yaml：没有问题" in terminal("lint", "all.zip")
    assert "和已发布的一致" in terminal("diff", "all.zip")
    (terminal.folder / "bad.zip").write_bytes(b"not a zip")
    assert "no readable .zip" in terminal("lint", "bad.zip", code=2)


def test_the_specifications_example_is_published_word_for_word(terminal: Terminal) -> None:
    """Two of its steps have a window and neither late nor ttl: they are put off, and live for a day."""
    example, with_shop = str(EXAMPLE), (terminal.folder / "shop.toml").read_text("utf-8")
    (terminal.folder / "shop.toml").write_text(CONFIG, "utf-8")
    assert "doubt、trial 没有写 ttl，按 24h" in terminal("lint", example)
    assert "3 个通过，0 个不符" in terminal("test", example)
    (terminal.folder / "shop.toml").write_text(with_shop, "utf-8")
    said = terminal("lint", example, code=1)
    assert "步骤“welcome”用到的券“new72h”不存在" in said
    assert "条件里的券“new72h”不存在" in said
    assert "要填的字段“need-check”没有建" in said


def test_lint_asks_the_shops_database_what_is_not_there_and_makes_none(terminal: Terminal) -> None:
    file = terminal.folder / "given/given.yaml"
    push = "  - {id: push, at: D+9, channel: K, to: sms, late: drop, data: {template: SMS_1}}\n"
    file.write_text(file.read_text("utf-8") + push, "utf-8")
    assert "推送到 sms，设置里没有 [outward.sms]（现在一个也没有）" in terminal("lint", "given", code=1)
    (terminal.folder / "shop.toml").write_text(CONFIG, "utf-8")
    terminal("lint", "given")
    assert not (terminal.folder / "nowhere.db").exists()


def test_a_file_over_a_change_of_the_console_is_wanted_explicitly(terminal: Terminal, sqlite_url: str) -> None:
    terminal("apply", "given")
    file = terminal.folder / "given/given.yaml"
    text = file.read_text("utf-8")

    async def edit() -> None:
        db = Database(sqlite_url)
        now = SystemClock().now()
        await db.write(drafts.save, "given", text.replace("title: ", "title: 后台", 1), "lina", now=now)
        await db.write(drafts.publish, "given", By("lina", "console"), drafts.Terms(), now=now)
        await db.close()

    asyncio.run(edit())
    file.write_text(text.replace("title: ", "title: 文件", 1), "utf-8")
    assert "后台已把" in terminal("apply", "given", code=1)
    assert "第 2 版" in terminal("list")
    terminal("apply", "--over", "given")
    assert "第 3 版  文件" in terminal("list")


def test_a_database_without_tables_is_one_line_with_the_mend(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (workplace / "config/scrm.toml").write_text(CONFIG, encoding="utf-8")
    assert run(["playbook", "list"]) == 1
    assert capsys.readouterr().err == "scrm: 数据库还没有建表，或版本太旧，请先运行 scrm migrate\n"
    assert run(["segment", "list"]) == 1
    assert capsys.readouterr().err == "scrm: 数据库还没有建表：请先运行 scrm migrate\n"
