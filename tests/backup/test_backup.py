"""Backups: made while all runs, verified by restoring, put back into an empty place, and refused when damaged."""

import asyncio
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Connection, func, insert, make_url, select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from scrm.backup import archive, daily, databases
from scrm.clock import SystemClock
from scrm.db import Database
from scrm.errors import Conflict, Invalid, ScrmError
from scrm.profiles.models import person
from scrm.settings import Settings
from tests.world import make_settings

T = TypeVar("T")
NOW = SystemClock().now().replace(microsecond=0)


def _meet(conn: Connection, name: str) -> None:
    conn.execute(insert(person).values(name=name, created_at=NOW))


def _names(conn: Connection) -> list[str]:
    return list(conn.execute(select(person.c.name).order_by(person.c.id)).scalars())


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """A shop with three customers and a picture."""
    media = tmp_path / "media"
    (media / "ab").mkdir(parents=True)
    (media / "ab" / "picture.png").write_bytes(b"\x89PNG" * 1000)
    return make_settings(
        database_url,
        "https://qyapi.example.test",
        content={"media_dir": str(media)},
        backup={"dir": str(tmp_path / "kept")},
    )


async def _fill(settings: Settings, *names: str) -> None:
    db = Database(settings.database.url.get_secret_value())
    for name in names:
        await db.write(_meet, name)
    await db.close()


def _elsewhere(settings: Settings, url: str, folder: Path) -> Settings:
    return make_settings(
        url, "https://qyapi.example.test", content={"media_dir": str(folder / "media")}, backup={"dir": str(folder)}
    )


@pytest.fixture
def empty_url(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    if database_url.startswith("sqlite"):
        return f"sqlite:///{tmp_path}/elsewhere/scrm.db"
    return str(request.getfixturevalue("empty_postgresql_url"))


async def test_what_was_backed_up_comes_back_in_another_place(
    settings: Settings, empty_url: str, tmp_path: Path
) -> None:
    await _fill(settings, "小满", "阿芳", "老陈")
    path = await _in_thread(archive.make, settings, settings.backup.dir, NOW)
    await _fill(settings, "后来的")
    elsewhere = _elsewhere(settings, empty_url, tmp_path / "elsewhere")
    found = await _in_thread(archive.restore, elsewhere, path)
    assert (found.files, found.is_our_key, found.manifest.rows["person"]) == (1, True, 3)
    db = Database(empty_url)
    assert await db.read(_names) == ["小满", "阿芳", "老陈"]
    await db.write(_meet, "新来的")  # ids go on counting
    await db.close()
    assert (tmp_path / "elsewhere/media/ab/picture.png").read_bytes() == b"\x89PNG" * 1000
    with pytest.raises(Conflict, match="恢复不会覆盖它"):
        await _in_thread(archive.restore, elsewhere, path)


async def _in_thread(work: Callable[..., T], *args: object) -> T:
    return await asyncio.to_thread(work, *args)


async def test_a_backup_is_for_its_owner_only_and_leaves_nothing_half_done(settings: Settings) -> None:
    path = await _in_thread(archive.make, settings, settings.backup.dir, NOW)
    assert path.stat().st_mode & 0o077 == 0
    assert [one.name for one in settings.backup.dir.iterdir()] == [path.name]
    with pytest.raises(ScrmError, match="已经在了"):
        await _in_thread(archive.make, settings, settings.backup.dir, NOW)


def test_what_a_killed_backup_left_goes_a_day_later(kept: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, _ = kept
    folder = tmp_path / "again"
    old, young = folder / ".scrm-old", folder / ".scrm-young"
    for left in (old, young):
        left.mkdir(parents=True)
        (left / "scrm.db").write_bytes(b"SQLite")
    unfinished = folder / ".scrm-20200101-000000.tar.gz.part"
    unfinished.write_bytes(b"x")
    two_days_ago = (NOW - timedelta(days=2)).timestamp()
    for left in (old, unfinished):
        os.utime(left, (two_days_ago, two_days_ago))
    path = archive.make(settings, folder, NOW)
    assert sorted(one.name for one in folder.iterdir()) == [young.name, path.name]


async def test_the_secret_key_is_not_in_it_and_another_key_is_noticed(
    settings: Settings, empty_url: str, tmp_path: Path
) -> None:
    path = await _in_thread(archive.make, settings, settings.backup.dir, NOW)
    with tarfile.open(path) as archived:
        for member in archived.getmembers():
            file = archived.extractfile(member)
            assert file is not None
            assert settings.security.secret_key.get_secret_value().encode() not in file.read()
    other = settings.model_copy(
        update={
            "security": settings.security.model_copy(
                update={"secret_key": type(settings.security.secret_key)("x" * 40)}
            )
        }
    )
    assert not (await _in_thread(archive.verify, other, path)).is_our_key
    elsewhere = _elsewhere(settings, empty_url, tmp_path / "elsewhere").model_copy(update={"security": other.security})
    with pytest.raises(ScrmError, match=r"另一把 security\.secret_key"):
        await _in_thread(archive.restore, elsewhere, path)


@pytest.fixture
def kept(sqlite_url: str, tmp_path: Path) -> tuple[Settings, Path]:
    settings = make_settings(sqlite_url, "https://qyapi.example.test", backup={"dir": str(tmp_path / "kept")})
    return settings, archive.make(settings, settings.backup.dir, NOW)


def _repacked(path: Path, folder: Path, change: Callable[[Path], object]) -> Path:
    with tarfile.open(path) as archived:
        archived.extractall(folder, filter="data")
    change(folder)
    changed = path.with_name("changed.tar.gz")
    with tarfile.open(changed, "w:gz") as archived:
        for file in sorted(folder.iterdir()):
            archived.add(file, file.name)
    return changed


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda folder: (folder / "database.sqlite3").write_bytes(b"SQLite" * 9000), "文件已损坏"),
        (lambda folder: (folder / "database.sqlite3").unlink(), "缺少 database.sqlite3"),
        (lambda folder: (folder / "manifest.json").write_text('{"format": 9}'), "格式是 9"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "读不懂"),
        (lambda folder: (folder / "manifest.json").unlink(), "没有 manifest.json"),
    ],
)
def test_a_damaged_backup_is_refused_in_one_line(
    kept: tuple[Settings, Path], tmp_path: Path, change: Callable[[Path], object], line: str
) -> None:
    settings, path = kept
    (tmp_path / "open").mkdir()
    changed = _repacked(path, tmp_path / "open", change)
    with pytest.raises(ScrmError, match=line):
        archive.verify(settings, changed)


def test_a_file_cut_short_or_of_somebody_else_is_refused(kept: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, path = kept
    short = tmp_path / "short.tar.gz"
    short.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(Invalid, match="没有传完整"):
        archive.verify(settings, short)
    with pytest.raises(Invalid, match="找不到备份文件"):
        archive.verify(settings, tmp_path / "none.tar.gz")


def test_nothing_in_an_archive_gets_out_of_its_folder(kept: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, _ = kept
    trap, loot = tmp_path / "trap.tar.gz", tmp_path / "loot.txt"
    (tmp_path / "x").write_text("x")
    with tarfile.open(trap, "w:gz") as archived:
        archived.add(tmp_path / "x", f"../../{loot.name}")
    with pytest.raises(Invalid, match="解不开"):
        archive.verify(settings, trap)
    assert not loot.exists()


def test_the_oldest_are_removed_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    for day in (1, 2, 3, 4):
        (tmp_path / f"scrm-2026030{day}-033000.tar.gz").touch()
    (tmp_path / "notes.txt").touch()
    archive.prune(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "notes.txt", "scrm-20260303-033000.tar.gz", "scrm-20260304-033000.tar.gz",
    ]  # fmt: skip
    assert archive.prune(tmp_path, 0) == []


def test_a_day_has_one_backup_after_its_hour(sqlite_url: str, tmp_path: Path) -> None:
    settings = make_settings(
        sqlite_url, "https://qyapi.example.test", backup={"dir": str(tmp_path / "kept"), "at": "03:30"}
    )
    before = NOW.astimezone(settings.shop.zone).replace(hour=3, minute=29, second=0)
    assert daily.is_due(settings, before)  # yesterday's was never made
    archive.make(settings, settings.backup.dir, before - timedelta(hours=20))
    assert not daily.is_due(settings, before)
    assert daily.is_due(settings, before + timedelta(minutes=1))
    assert daily._make_alone(settings, before + timedelta(minutes=1))
    assert not daily._make_alone(settings, before + timedelta(minutes=11))
    assert len(archive.list_backups(settings.backup.dir)) == 2


def test_without_an_hour_sqlite_has_one_each_day_and_postgresql_none(sqlite_url: str) -> None:
    of = {url: make_settings(url, "https://qyapi.example.test") for url in (sqlite_url, "postgresql://crm@db/crm")}
    assert [daily.hour_of(settings) is not None for settings in of.values()] == [True, False]
    never = make_settings(sqlite_url, "https://qyapi.example.test", backup={"at": "none"})
    assert daily.hour_of(never) is None


def test_without_its_tools_postgresql_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = make_settings("postgresql://crm:secret@127.0.0.1:1/crm", "https://qyapi.example.test")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr("scrm.backup.databases._TOOLS", ())
    with pytest.raises(ScrmError, match="找不到 pg_dump") as refused:
        archive.make(settings, tmp_path, NOW)
    assert "secret" not in refused.value.text
    assert list(tmp_path.iterdir()) == []


async def test_rows_that_are_written_meanwhile_disturb_nobody(sqlite_url: str, tmp_path: Path) -> None:
    settings = make_settings(sqlite_url, "https://qyapi.example.test", backup={"dir": str(tmp_path)})
    db = Database(sqlite_url)
    for number in range(20):
        await db.write(_meet, f"前{number}")
    making = _in_thread(archive.make, settings, tmp_path, NOW)
    task = asyncio.ensure_future(making)
    for number in range(50):
        await db.write(_meet, f"后{number}")
    path = await task
    found = await _in_thread(archive.verify, settings, path)
    assert 20 <= found.manifest.rows["person"] <= 70
    assert await db.read(lambda conn: conn.execute(select(func.count()).select_from(person)).scalar_one()) == 70
    await db.close()


def test_a_database_that_somebody_holds_is_waited_for_a_moment_and_then_told(
    monkeypatch: pytest.MonkeyPatch, sqlite_url: str, postgresql_url: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(databases, "PATIENCE_SECONDS", 1)

    def refused(url: str) -> str:
        settings = make_settings(url, "https://qyapi.example.test", backup={"dir": str(tmp_path)})
        with pytest.raises(ScrmError) as error:
            archive.make(settings, tmp_path, NOW)
        assert not [left for left in tmp_path.iterdir() if left.is_file()]
        return error.value.text

    path = make_url(sqlite_url).database or ""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        assert "数据库文件被别的程序占着" in refused(sqlite_url)
    assert archive.make(make_settings(sqlite_url, "https://qyapi.example.test"), tmp_path / "then", NOW).is_file()

    async def hold() -> str:
        engine = create_async_engine(make_url(postgresql_url).set(drivername="postgresql+asyncpg"), poolclass=NullPool)
        async with engine.begin() as conn:
            await conn.exec_driver_sql("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
            return await asyncio.to_thread(refused, postgresql_url)

    assert "被别的事务占着" in asyncio.run(hold())
