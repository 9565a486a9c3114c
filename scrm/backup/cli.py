"""`scrm backup`, `scrm restore`, `scrm move`: keep everything, put it back, change the database."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from scrm.backup import archive
from scrm.clock import SystemClock
from scrm.db.moving import move
from scrm.db.serving import serve_alone
from scrm.errors import WrongUse
from scrm.settings import Settings, load_settings


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the three commands; each sets `run_sync`."""
    backup = commands.add_parser("backup", help="one file with the database and the media, made while all runs")
    backup.add_argument("--to", type=Path, metavar="DIR", help="default: backup.dir of the settings")
    backup.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N; default: backup.keep")
    backup.add_argument(
        "--verify", type=Path, metavar="FILE", help="make none: restore this one elsewhere and check it"
    )
    backup.set_defaults(run_sync=run_backup)

    restore = commands.add_parser("restore", help="put a backup where the settings say; never over something there")
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.set_defaults(run_sync=run_restore)

    moving = commands.add_parser("move", help="copy everything from SQLite to an empty PostgreSQL")
    moving.add_argument("--to", required=True, metavar="URL", help="postgresql://user:password@host/database")
    moving.set_defaults(run_sync=run_move)


def run_backup(arguments: argparse.Namespace) -> int:
    """The path alone on the last line of stdout."""
    settings = load_settings()
    if arguments.verify is not None:
        _say_verified(archive.verify(settings, arguments.verify, _say), settings)
        return 0
    if arguments.keep is not None and arguments.keep < 1:
        raise WrongUse(f"--keep: found {arguments.keep}; expected a number from 1")
    folder = arguments.to or settings.backup.dir
    path = archive.make(settings, folder, SystemClock().now(), _say)
    for old in archive.prune(folder, settings.backup.keep if arguments.keep is None else arguments.keep):
        _say(f"删掉了旧的备份 {old.name}")
    _say("备份已完成并核对过。secret_key 不在里面，请另外保管：没有它，手机号和地址都读不出来。")
    print(path)
    return 0


def run_restore(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    with serve_alone(settings.database.url.get_secret_value()):
        found = archive.restore(settings, arguments.file, _say)
    _say_verified(found, settings)
    _say("恢复完成。请运行 scrm migrate，再启动服务。")
    return 0


def run_move(arguments: argparse.Namespace) -> int:
    source = load_settings().database.url.get_secret_value()
    with serve_alone(source):
        moved = move(source, arguments.to, _say)
    _say(f"已搬完 {len(moved)} 张表、{sum(moved.values()):,} 行，行数全部一致。")
    _say("接下来把配置里的 database.url 改成新地址，再启动服务；旧的文件先留着。")
    return 0


def _say_verified(found: archive.Verified, settings: Settings) -> None:
    told = found.manifest
    made_at = datetime.fromisoformat(told.made_at).astimezone(settings.shop.zone)
    _say(f"备份完好：{made_at:%Y-%m-%d %H:%M} 做的，{len(told.rows)} 张表、{found.rows:,} 行、{found.files} 个素材。")
    if not found.is_our_key:
        _say("注意：它是用另一把 security.secret_key 加密的，恢复时要用当时的那一把。")


def _say(line: str) -> None:
    print(f"scrm: {line}", file=sys.stderr, flush=True)
