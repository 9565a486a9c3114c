"""备份: the list, the button, and what went wrong."""

from pathlib import Path

import pytest

from scrm.backup import archive, asked
from scrm.work.models import work_item
from tests.console.conftest import Visitor
from tests.world import World


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    return sqlite_url


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default folders are below the one the server runs in."""
    monkeypatch.chdir(tmp_path)


async def test_a_press_makes_one_backup_that_stands_in_the_list(world: World, manager: Visitor) -> None:
    assert "还没有备份" in await manager.get("/console/backups")
    for _ in range(2):
        response = await manager.post("/console/backups")
        assert (response.status, response.headers["Location"]) == (303, "/console/backups?asked")
    assert [row.kind for row in await world.rows(work_item)] == [asked.KIND]
    assert "正在备份" in await manager.get("/console/backups?asked")
    await world.settle()
    page = await manager.get("/console/backups?asked")
    (path,) = archive.list_backups(Path("var/backups"))
    for words in (path.name, "备份已完成", "每天 03:30 自动备份，留最近 7 份"):
        assert words in page, words
    # Other tests of this process may have left originals in the folder that they share.
    settings = world.services.settings
    assert archive.verify(settings, path).files == sum(one.is_file() for one in settings.content.media_dir.rglob("*"))


@pytest.fixture
def blocked(somewhere: None) -> None:
    """A file stands where the folder should be."""
    Path("var").mkdir()
    Path("var/backups").touch()


async def test_a_backup_that_fails_says_why(blocked: None, world: World, manager: Visitor) -> None:
    await manager.post("/console/backups")
    await world.services.worker.drain()
    page = await manager.get("/console/backups")
    assert "上一次没有做成：备份写不进 var/backups" in page
