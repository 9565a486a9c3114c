"""One file for everything: the database, the media originals, and a manifest that tells whether all is there."""

import io
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from scrm import __version__
from scrm.backup import manifest
from scrm.backup.databases import PATIENCE_SECONDS, Kind, kind_of
from scrm.backup.manifest import Manifest
from scrm.db.away import why_away
from scrm.errors import Conflict, Invalid, ScrmError
from scrm.settings import Settings

_MEDIA = "media"
_SUFFIX = ".tar.gz"
_FAST = 1  # pictures and sealed values hardly shrink; what does, shrinks at once

_LEFT_SECONDS = 24 * 3600

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Verified:
    """What a backup was found to hold."""

    manifest: Manifest
    rows: int
    files: int
    is_our_key: bool


def make(settings: Settings, folder: Path, now: datetime, say: Say = lambda line: None) -> Path:
    """Write `scrm-20261122-031500.tar.gz`, readable by its owner only; what is not finished has another name."""
    path = folder / f"scrm-{now.astimezone(settings.shop.zone):%Y%m%d-%H%M%S}{_SUFFIX}"
    unfinished = path.with_name(f".{path.name}.part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder, now)
        if path.exists():
            raise Conflict(f"{path} 已经在了，请过一秒再试。")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".scrm-") as place:
            _write(settings, Path(place), unfinished, now, say)
        unfinished.rename(path)
    except OSError as error:
        raise ScrmError(f"备份写不进 {folder}（{error.strerror or error}），请检查目录、权限和磁盘空间。") from None
    except sqlite3.OperationalError as error:
        cause = why_away(error) or str(error)
        if "is locked" in str(error):
            raise ScrmError(
                f"备份没有做成（{cause}，等了 {PATIENCE_SECONDS} 秒）：请关掉打开着它的程序，再试一次。"
            ) from None
        raise ScrmError(f"备份没有做成（{cause}），请检查 {folder} 的权限和磁盘空间。") from None
    finally:
        if folder.is_dir():
            unfinished.unlink(missing_ok=True)
    return path


def _sweep(folder: Path, now: datetime) -> None:
    """What a process that was killed left behind is as large as the database; a day later nobody works on it."""
    for left in [*folder.glob(".scrm-*/"), *folder.glob(f".scrm-*{_SUFFIX}.part")]:
        with suppress(FileNotFoundError):  # another backup has just ended
            if now.timestamp() - left.stat().st_mtime > _LEFT_SECONDS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _write(settings: Settings, place: Path, path: Path, now: datetime, say: Say) -> None:
    kind = kind_of(settings.database.url.get_secret_value())
    copy = place / kind.file
    say("正在复制数据库……")
    kind.copy_out(copy)
    say(f"正在核对（{_size(copy)}）……")
    revision, rows = kind.look_into(copy)
    originals = _originals(settings.content.media_dir)
    files = {kind.file: _digest(copy), **{name: _digest(file) for name, file in originals}}
    told = Manifest(
        made_at=now.isoformat(),
        version=__version__,
        database=kind.name,
        revision=revision,
        rows=rows,
        files=files,
        key_mark=manifest.key_mark(settings.security.secret_key.get_secret_value()),
    ).to_bytes()
    path.touch(mode=0o600)
    say(f"正在打包：数据库和 {len(originals)} 个素材……")
    with tarfile.open(path, "w:gz", compresslevel=_FAST) as archive:
        head = tarfile.TarInfo(manifest.NAME)
        head.size, head.mtime, head.mode = len(told), int(now.timestamp()), 0o600
        archive.addfile(head, io.BytesIO(told))
        for name, file in [(kind.file, copy), *originals]:
            archive.add(file, name, recursive=False)


def _originals(folder: Path) -> list[tuple[str, Path]]:
    """Names in the archive and files; an upload that is not finished is none."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".")]
    return [(f"{_MEDIA}/{path.relative_to(folder).as_posix()}", path) for path in found]


def verify(settings: Settings, path: Path, say: Say = lambda line: None) -> Verified:
    """Restore the backup to a place of its own and look at everything in it; raises ScrmError with what is wrong."""
    with _unpacked(path, path.parent, say) as (told, place, kind_name):
        kind = _kind(settings, kind_name)
        say("正在恢复到临时位置并核对……")
        revision, rows = kind.look_into(place / kind.file)
        if revision != told.revision:
            raise ScrmError(f"备份里的数据库是 {revision} 版，清单写的是 {told.revision}。")
        if wrong := [name for name in told.rows if rows.get(name) != told.rows[name]]:
            name = wrong[0]
            raise ScrmError(f"表 {name} 应有 {told.rows[name]} 行，恢复出来 {rows.get(name, 0)} 行。")
        is_ours = told.key_mark == manifest.key_mark(settings.security.secret_key.get_secret_value())
        return Verified(told, sum(rows.values()), len(told.files) - 1, is_ours)


def restore(settings: Settings, path: Path, say: Say = lambda line: None) -> Verified:
    """Put a backup where the settings say; never over something that is there. Raises ScrmError."""
    kind = kind_of(settings.database.url.get_secret_value())
    kind.require_empty()
    found = verify(settings, path, say)
    if not found.is_our_key:
        raise ScrmError(
            "这份备份是用另一把 security.secret_key 加密的，恢复后手机号和地址都读不出来："
            "请先把当时的 secret_key 写进配置，再恢复。"
        )
    with _unpacked(path, path.parent, lambda line: None) as (_, place, _kind_name):
        _put_media(place / _MEDIA, settings.content.media_dir)
        say("正在写回数据库……")
        kind.put_back(place / kind.file)
    return found


def _put_media(source: Path, target: Path) -> None:
    """Before the database, which speaks of them; those that are there already stay."""
    for file in source.rglob("*") if source.is_dir() else ():
        there = target / file.relative_to(source)
        if file.is_file() and not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, there)


def _kind(settings: Settings, name: str) -> Kind:
    kind = kind_of(settings.database.url.get_secret_value())
    if kind.name != name:
        raise ScrmError(
            f"这是 {name} 的备份，配置里的 database.url 是 {kind.name}：请把 database.url 指到同一种数据库；"
            "换数据库用 scrm move。"
        )
    return kind


@contextmanager
def _unpacked(path: Path, beside: Path, say: Say) -> Iterator[tuple[Manifest, Path, str]]:
    """The archive's files in a folder for a while, each as the manifest says it must be."""
    if not path.is_file():
        raise Invalid(f"找不到备份文件 {path}。")
    with tempfile.TemporaryDirectory(dir=beside, prefix=".scrm-") as folder:
        place = Path(folder)
        say("正在解开备份……")
        try:
            with tarfile.open(path, "r:gz") as archive:
                # Only plain files below the folder come out: no links, no devices, no way up.
                archive.extractall(place, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise Invalid(f"{path} 解不开，它不是 scrm backup 做的备份，或没有传完整（{error}）。") from None
        if not (place / manifest.NAME).is_file():
            raise Invalid(f"{path} 里没有 {manifest.NAME}，它不是 scrm backup 做的备份。")
        told = manifest.read_manifest((place / manifest.NAME).read_bytes())
        _check_files(told, place)
        yield told, place, told.database


def _check_files(told: Manifest, place: Path) -> None:
    for name, expected in told.files.items():
        file = place / name
        if not file.is_file():
            raise ScrmError(f"备份里缺少 {name}。")
        if _digest(file) != expected:
            raise ScrmError(f"备份里的 {name} 和清单对不上，文件已损坏。")


def list_backups(folder: Path) -> list[Path]:
    """The finished ones, newest first."""
    return sorted(folder.glob(f"scrm-*{_SUFFIX}"), reverse=True)


def prune(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep`; 0 keeps all."""
    old = list_backups(folder)[keep:] if keep else []
    for path in old:
        path.unlink()
    return old


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return manifest.digest(file)


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.1f} MB"
