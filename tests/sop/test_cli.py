"""`scrm playbook` as an author types it."""

from pathlib import Path

import pytest

from scrm.cli import run
from tests.sop.test_playbooks_files import NUDGE

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
