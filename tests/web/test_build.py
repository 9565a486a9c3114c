"""The front-end build, run for real in a copy of web/."""

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from web import build
from web.assets import META, asset
from web.texts import catalogue

SIDEBAR_SCRIPT_BYTES = 60_000
SIDEBAR_STYLE_BYTES = 15_000


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A web/ with one island and one style, and the real npm packages."""
    web = tmp_path / "web"
    for folder in ("islands", "styles"):
        (web / folder).mkdir(parents=True)
    for name in ("__init__.py", "build.py", "package.json", "package-lock.json"):
        shutil.copy(build.WEB / name, web)
    (web / "node_modules").symlink_to(build.MODULES)
    (web / "islands" / "sidebar.js").write_text(
        "import 'htmx.org'; import * as ww from '@wecom/jssdk'; ww.register({})"
    )
    (web / "styles" / "sidebar.css").write_text("@import 'weui/dist/style/weui.css'; body { color: red }")
    return web


def run(web: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "web.build", *args]
    return subprocess.run(command, cwd=web.parent, capture_output=True, text=True, timeout=60)


def built(web: Path) -> set[str]:
    return {path.name for path in (web / "static" / "dist").iterdir() if path.suffix in (".js", ".css")}


def test_names_change_with_the_content_and_old_files_go(copy: Path) -> None:
    assert run(copy).returncode == 0
    first = built(copy)
    assert len(first) == 2
    (copy / "styles" / "sidebar.css").write_text("body { color: blue }")
    assert run(copy).returncode == 0
    second = built(copy)
    assert len(first & second) == 1
    assert len(second) == 2


def test_nothing_is_built_twice(copy: Path) -> None:
    assert "已重新构建" in run(copy).stdout
    assert run(copy).stdout == ""


def test_a_mistake_in_an_island_names_its_place_and_keeps_the_last_good_build(copy: Path) -> None:
    run(copy)
    before = built(copy)
    (copy / "islands" / "sidebar.js").write_text("const = 1")
    ended = run(copy)
    assert ended.returncode == 1
    assert "islands/sidebar.js:1:6" in ended.stderr
    assert "前端构建失败" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert built(copy) == before


def test_the_lock_file_names_no_registry() -> None:
    assert "resolved" not in (build.WEB / "package-lock.json").read_text()


def test_the_sidebar_stays_light() -> None:
    """All that one reader may fetch: the entry with what it imports, the old engines' script, the English texts."""
    outputs = json.loads(META.read_bytes())["outputs"]
    entry = next(made for made in outputs.values() if made.get("entryPoint") == "islands/sidebar.js")
    (main,) = (path for path, made in outputs.items() if made is entry)
    files = [main, *(imported["path"] for imported in entry["imports"]), asset("old-client.js")]
    scripts = [META.with_name(Path(file).name).read_bytes() for file in files]
    scripts.append(catalogue.script("en").body.encode())
    assert len(scripts) >= 4
    assert sum(len(gzip.compress(script, 9)) for script in scripts) <= SIDEBAR_SCRIPT_BYTES
    assert len(gzip.compress(META.with_name(Path(asset("sidebar.css")).name).read_bytes(), 9)) <= SIDEBAR_STYLE_BYTES


def test_the_old_engines_script_is_read_by_the_oldest_of_them() -> None:
    script = META.with_name(Path(asset("old-client.js")).name).read_text()
    assert not re.search(r"=>|`|\b(?:let|const|class|import|export)\b|\?\.|\?\?", script)
