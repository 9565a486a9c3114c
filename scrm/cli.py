"""The `scrm` command: every subcommand, its arguments, and how it ends."""

import argparse
import asyncio
import errno
import logging
import sys
from collections.abc import Coroutine, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError, ProgrammingError

from scrm import __version__
from scrm.db.away import why_away
from scrm.errors import ScrmError, WrongUse
from scrm.log import configure_logs
from scrm.settings import load_database_settings, load_settings

if TYPE_CHECKING:
    from scrm.services import Services


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit code 0 done, 1 failed, 2 wrong use; an error is one line on stderr that says what to do."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


_NO_PLACE = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.ENOTDIR)
# What SQLite and PostgreSQL say of a database that was never migrated, or long ago.
_NO_TABLES = ("no such table", "no such column", "UndefinedTable", "UndefinedColumn")


def run(arguments: Sequence[str]) -> int:
    asked = next((word for word in arguments if not word.startswith("-")), "")
    parsed = parser_of(asked).parse_args(arguments)
    try:
        if hasattr(parsed, "run_sync"):
            return int(parsed.run_sync(parsed))
        if getattr(parsed, "feature", False):
            configure_logs(level=logging.WARNING)  # what a command prints is its answer
            settings = load_settings() if getattr(parsed, "needs_settings", True) else None
            return _in_event_loop(parsed.run(parsed, settings))
        if getattr(parsed, "wants_services", False):
            return _in_event_loop(_with_services(parsed))
        return _in_event_loop(parsed.run(parsed))
    except WrongUse as error:
        print(f"scrm: {error}".replace("\n", "\nscrm: "), file=sys.stderr)
        return 2
    except ScrmError as error:
        print(f"scrm: {error.text}", file=sys.stderr)
        return 1
    except Exception as error:
        if not (words := _what_failed(error)):
            raise
        print(f"scrm: {words}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _what_failed(error: Exception) -> str:
    """In one line, when it is the machine or the database; empty for a bug, whose trace is worth more."""
    if isinstance(error, (OperationalError, ProgrammingError)) and any(sign in str(error.orig) for sign in _NO_TABLES):
        return "数据库还没有建表，或版本太旧，请先运行 scrm migrate"
    if cause := why_away(error):
        return f"数据库暂时用不了：{cause}。请先处理，再运行一次；scrm doctor 会逐项检查"
    if isinstance(error, OSError) and error.errno in _NO_PLACE:
        return f"写不进 {error.filename or '磁盘'}（{error.strerror}），请检查目录、权限和磁盘空间"
    return ""


# The database's threads want the GIL a dozen times for each transaction; with Python's own 5 ms they waited longer for
# the event loop to give it away than for the disk.
_GIL_SECONDS = 0.0005


def _in_event_loop(work: Coroutine[None, None, int]) -> int:
    sys.setswitchinterval(_GIL_SECONDS)
    factory = None
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        pass
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


class Room(NamedTuple):
    """A module whose `add_parser(commands)` adds these commands; `flag` says what their `run` gets."""

    module: str
    commands: tuple[str, ...]
    flag: str = ""


ROOMS = (
    Room("scrm.sync.cli", ("sync",), "wants_services"),
    Room("scrm.backup.cli", ("backup", "restore", "move")),
    Room("scrm.imports.cli", ("import",), "feature"),
    Room("scrm.sop.cli", ("playbook",), "feature"),
    Room("scrm.sop.reasons.explain_cli", ("explain",), "wants_services"),
    Room("scrm.sop.plans.cli", ("plan", "outward"), "wants_services"),
    Room("scrm.segments.cli", ("segment",), "wants_services"),
    Room("scrm.privacy.cli", ("erase", "export", "rotate-keys"), "wants_services"),
)


def parser_of(asked: str) -> argparse.ArgumentParser:
    """With all commands, or, as importing all rooms takes seconds, only with those of the room that is asked for."""
    parser = argparse.ArgumentParser(prog="scrm", description="企业微信社交客户管理：欢迎、画像、侧边栏与 SOP 剧本。")
    parser.add_argument("--version", action="version", version=f"scrm {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="web server and workers in one process")
    serve.add_argument("--host")
    serve.add_argument("--port", type=int)
    serve.add_argument("--no-worker", action="store_true", help="only answer requests; `scrm worker` does the work")
    serve.set_defaults(run=_serve)

    worker = commands.add_parser("worker", help="workers and ticks without a web server (PostgreSQL)")
    worker.set_defaults(run=_worker)

    migrate = commands.add_parser("migrate", help="bring the database to this version's tables")
    migrate.set_defaults(run_sync=_migrate)

    demo = commands.add_parser("demo", help="everything in one process, with a WeCom sandbox and demo data")
    demo.add_argument("--host", default="127.0.0.1")
    demo.add_argument("--port", type=int, default=8080)
    demo.add_argument("--dir", type=Path, default=Path("var/demo"), help="where its data goes; made anew at each start")
    demo.set_defaults(run=_demo)

    sandbox = commands.add_parser("sandbox", help="only the WeCom sandbox, for the app in your settings")
    sandbox.add_argument("--host", default="127.0.0.1")
    sandbox.add_argument("--port", type=int, default=8090)
    sandbox.add_argument("--seed", type=int, default=0, metavar="N", help="so many customers are there from the start")
    sandbox.set_defaults(run=_sandbox)

    doctor = commands.add_parser("doctor", help="check settings, database, queue and the way to WeCom")
    doctor.add_argument("--json", action="store_true", help="print what was found as JSON; the exit code is the same")
    doctor.add_argument("--recount", action="store_true", help="only compare every customer's totals with their orders")
    doctor.add_argument("--fix", action="store_true", help="with --recount: write what differs anew")
    doctor.set_defaults(run=_doctor)

    user = commands.add_parser("user", help="people and keys")
    user_commands = user.add_subparsers(dest="user_command", required=True)
    add = user_commands.add_parser("add", help="a member's role in the console, a local account, or a key for the API")
    add.add_argument("name", help="userid of a member, name of a local account, or a name for the key")
    add.add_argument(
        "--role",
        default="manager",
        help="staff, manager, operator, administrator or one of your own; keys also readonly",
    )
    add.add_argument(
        "--password",
        action="store_true",
        help="a local account that needs no WeCom, or a new password for it; printed alone on the last line",
    )
    add.add_argument("--api-key", action="store_true", help="make an API key; it is printed alone on the last line")
    add.add_argument("--sees-private", action="store_true", help="the key may ask for phones and addresses in clear")
    add.set_defaults(run=_user_add)

    asked_for = [room for room in ROOMS if asked in room.commands]
    for room in asked_for or (() if asked in commands.choices else ROOMS):
        import_module(room.module).add_parser(commands)
        for name in room.commands:
            commands.choices[name].set_defaults(**{room.flag: True} if room.flag else {})
    return parser


async def _serve(arguments: argparse.Namespace) -> int:
    from scrm.app import build_app, open_services, publish_playbooks
    from scrm.db.serving import serve_alone
    from scrm.listening import bound, listening, until_stopped

    overrides = {key: value for key in ("host", "port") if (value := getattr(arguments, key)) is not None}
    settings = load_settings(server=overrides)
    configure_logs()
    host = settings.server.host
    with bound(host, settings.server.port) as listener, serve_alone(settings.database.url.get_secret_value()):
        async with open_services(settings) as services:
            await _require_migrated(services)
            await _make_first_administrator(services)
            await publish_playbooks(services)
            app = build_app(services, with_worker=not arguments.no_worker)
            async with listening(app, listener):
                print(f"scrm: listening on http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
                await until_stopped()
    return 0


async def _make_first_administrator(services: "Services") -> None:
    """On the first start there is nobody who could give rights: one account with a password that works once."""
    from scrm.access import commands

    password = await commands.make_first_administrator(services)
    if password is not None:
        print(
            "scrm: 还没有管理员，已建好本地账号 admin，首次登录要换密码。一次性密码只显示这一次：\n"
            f"scrm: {password}\n"
            f"scrm: 登录：{services.settings.server.public_url}/login?next=/console/",
            file=sys.stderr,
            flush=True,
        )


async def _worker(arguments: argparse.Namespace) -> int:
    from scrm.app import open_services, publish_playbooks, working
    from scrm.listening import until_stopped

    settings = load_settings()
    configure_logs()
    if settings.database.url.get_secret_value().startswith("sqlite"):
        raise WrongUse("database.url: found SQLite, which is one process; expected postgresql:// for `scrm worker`")
    async with open_services(settings) as services:
        await _require_migrated(services)
        await publish_playbooks(services)
        async with working(services):
            print("scrm: worker is running", file=sys.stderr, flush=True)
            await until_stopped()
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from scrm.db.migrate import migrate, newest_revision

    url = load_database_settings().url.get_secret_value()
    try:
        migrate(url)
    except ScrmError:
        raise
    except Exception as error:
        raise ScrmError(_database_trouble(url, error)) from None
    print(f"scrm: the database is at revision {newest_revision()}", file=sys.stderr)
    return 0


async def _demo(arguments: argparse.Namespace) -> int:
    from scrm.demo import run_demo

    configure_logs(level=logging.WARNING)  # the three addresses must be easy to find
    return await run_demo(arguments.host, arguments.port, arguments.dir)


async def _sandbox(arguments: argparse.Namespace) -> int:
    from scrm.demo import run_sandbox

    configure_logs()
    return await run_sandbox(load_settings(), arguments.host, arguments.port, arguments.seed)


async def _doctor(arguments: argparse.Namespace) -> int:
    from scrm.app import open_services
    from scrm.doctor.command import run_doctor
    from scrm.doctor.recount import run_recount

    if arguments.fix and not arguments.recount:
        raise WrongUse("--fix: found without --recount; expected `scrm doctor --recount --fix`")
    async with open_services(load_settings()) as services:
        if arguments.recount:
            await _require_migrated(services)
            return await run_recount(services, fix=arguments.fix, as_json=arguments.json)
        return await run_doctor(services, as_json=arguments.json)


async def _with_services(arguments: argparse.Namespace) -> int:
    from scrm.app import open_services

    configure_logs(level=logging.WARNING)  # a progress line must not be torn
    async with open_services(load_settings()) as services:
        await _require_migrated(services)
        return int(await arguments.run(arguments, services))


async def _user_add(arguments: argparse.Namespace) -> int:
    from scrm.access import commands
    from scrm.access.store import spelled
    from scrm.api.store import ROLES, make_key
    from scrm.app import open_services

    settings, role = load_settings(), spelled(arguments.role)
    if arguments.api_key and arguments.password:
        raise WrongUse("--password: found beside --api-key; expected one of them")
    if arguments.api_key and role not in ROLES:
        raise WrongUse(f"--role: found {arguments.role}; expected manager, administrator or readonly for an API key")
    if not arguments.api_key and role == "readonly":
        raise WrongUse(
            "--role: found readonly, which is for API keys; expected staff, manager, operator or administrator"
        )
    if arguments.sees_private and not arguments.api_key:
        raise WrongUse("--sees-private: found without --api-key; members ask on the customer's page instead")
    async with open_services(settings) as services:
        await _require_migrated(services)
        if arguments.api_key:
            make = partial(make_key, sees_private=arguments.sees_private, now=services.clock.now())
            key = await commands.run(services, "新建接口密钥", make, arguments.name, role)
            print(f"scrm: API key for {arguments.name} ({role}); it is shown only now:", file=sys.stderr)
            print(key)
        elif arguments.password:
            password = await commands.set_password(services, arguments.name, role)
            print(
                f"scrm: local account {arguments.name} ({role}); the first login asks for another password:",
                file=sys.stderr,
            )
            print(password)
        else:
            await commands.run(services, "设置角色", commands.add_member, arguments.name, role, services.clock.now())
            print(f"scrm: {arguments.name} is {arguments.role} now", file=sys.stderr)
    return 0


async def _require_migrated(services: object) -> None:
    from scrm.db.migrate import complaint, current_revision
    from scrm.services import Services

    assert isinstance(services, Services)  # noqa: S101 - for the type checker
    url = services.settings.database.url.get_secret_value()
    try:
        found = await services.db.read(current_revision)
    except Exception as error:
        raise ScrmError(_database_trouble(url, error)) from None
    if wrong := complaint(found):
        raise ScrmError(wrong)


def _database_trouble(url: str, error: Exception) -> str:
    shown = make_url(url).render_as_string(hide_password=True)
    if cause := why_away(error):
        return f"数据库 {shown} 暂时用不了：{cause}。请先处理，再运行一次；scrm doctor 会逐项检查"
    return f"database.url: {shown} cannot be used ({type(error).__name__}: {str(error).splitlines()[0][:160]})"


if __name__ == "__main__":
    main()
