"""dev.py, as a person at a terminal meets it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with dev.py and pyproject.toml in it, and nothing installed."""
    for name in ("dev.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(project: Path, *args: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "dev.py", *args]
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(project), **environment}
    return subprocess.run(command, cwd=project, env=bare, capture_output=True, text=True, timeout=120)


def broken_module(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text("raise SystemExit(1)")


def test_without_a_command_it_lists_the_commands_and_says_wrong_use(project: Path) -> None:
    ended = run(project)
    assert ended.returncode == 2
    assert "demo" in ended.stdout
    assert "test" in ended.stdout


def test_an_unknown_command_is_one_line_that_names_the_known_ones(project: Path) -> None:
    ended = run(project, "dmeo")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "没有命令 dmeo" in ended.stderr
    assert "demo" in ended.stderr


def test_a_python_that_cannot_make_environments_is_told_what_to_install(project: Path, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs"
    for module in ("venv", "virtualenv", "pip"):
        broken_module(stubs, module)
    ended = run(project, "setup", PYTHONPATH=str(stubs))
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "apt-get install python3." in ended.stderr
    assert not (project / ".venv").exists()


def test_an_installation_that_fails_is_one_line_with_the_mend(project: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--system-site-packages", "--without-pip", project / ".venv"], check=True
    )
    ended = run(project, "setup", PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "安装构建工具失败" in ended.stderr
    assert "PyPI" in ended.stderr
    assert (project / ".venv" / "pip.log").is_file()
