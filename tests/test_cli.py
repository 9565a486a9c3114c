"""What the commands say when the machine will not let them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from scrm.cli import run
from tests.world import make_settings


@pytest.fixture
def installed(sqlite_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings in the environment, a database that is migrated."""
    settings = make_settings(f"sqlite:///{sqlite_file}", "http://127.0.0.1:1")
    wecom = settings.wecom
    given = {
        "DATABASE__URL": f"sqlite:///{sqlite_file}",
        "WECOM__CORP_ID": wecom.corp_id,
        "WECOM__AGENT_ID": str(wecom.agent_id),
        "WECOM__SECRET": wecom.secret.get_secret_value(),
        "WECOM__TOKEN": wecom.token.get_secret_value(),
        "WECOM__ENCODING_AES_KEY": wecom.encoding_aes_key.get_secret_value(),
        "SECURITY__SECRET_KEY": settings.security.secret_key.get_secret_value(),
    }
    for name, value in given.items():
        monkeypatch.setenv(f"SCRM_{name}", value)
    return sqlite_file


def test_a_place_that_cannot_be_written_is_one_line(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("SCRM_DATABASE__URL", f"sqlite:///{tmp_path}/file/below/scrm.db")
    assert run(["serve", "--port", "0"]) == 1
    said = capsys.readouterr().err
    assert said == f"scrm: 写不进 {tmp_path}/file/below（Not a directory），请检查目录、权限和磁盘空间\n"


@pytest.mark.parametrize("command", [["migrate"], ["user", "add", "bob"], ["erase", "1"], ["sync"]])
def test_a_file_that_another_program_holds_is_one_line(
    installed: Path, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scrm.db.migrate._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("scrm.db.database.BUSY_MILLIS", 100)
    with closing(sqlite3.connect(installed, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert run(command) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith(f"scrm: 数据库 sqlite:///{installed} 暂时用不了：数据库文件被别的程序占着。")
    assert "\n" not in said
