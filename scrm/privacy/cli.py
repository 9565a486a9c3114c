"""`scrm erase`, `scrm export person` and `scrm rotate-keys`: what an operator does with private data."""

import argparse
import json
import os
import sys
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from scrm.db.migrate import complaint, current_revision
from scrm.db.serving import is_served
from scrm.db.vault import Vault
from scrm.db.vault_keys import Rotated, needs_new_hashes, rehash, reseal
from scrm.errors import NotFound, ScrmError, WrongUse
from scrm.privacy import erase, export, snapshots
from scrm.privacy.keys import hashed_columns, sealed_columns
from scrm.profiles.store import find_contact
from scrm.services import Services


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Each command sets `run(arguments, services)`."""
    forget = commands.add_parser("erase", help="forget one person; the sums of their orders stay")
    forget.add_argument("customer", help="the person's id, or its external_userid")
    forget.add_argument("--yes", action="store_true", help="do it; without, only tell what would be done")
    forget.add_argument("--reason", default="", help="why, for the log; without names or numbers")
    forget.add_argument("--json", action="store_true", help="the last line is a JSON object of counts")
    forget.set_defaults(run=run_erase)

    out = commands.add_parser("export", help="everything that is kept about one person")
    kinds = out.add_subparsers(dest="export_kind", required=True, metavar="KIND")
    person = kinds.add_parser("person", help="one person, as JSON and as a page to read")
    person.add_argument("customer", help="the person's id, or its external_userid")
    person.add_argument("--out", type=Path, metavar="FILE", help=".zip (JSON and page), .json or .html")
    person.add_argument("--reason", default="", help="why, for the log")
    person.set_defaults(run=run_export)

    keys = commands.add_parser("rotate-keys", help="seal and hash everything with the new security.data_key")
    keys.set_defaults(run=run_rotate)


async def run_erase(arguments: argparse.Namespace, services: Services) -> int:
    """Without --yes it tells what would be done, and does nothing."""
    person_id = await _person(services, arguments.customer)
    found = await services.db.read(erase.preview, person_id)
    out = sys.stderr if arguments.json else sys.stdout
    if not arguments.yes:
        print(f"客户 {person_id}：将删除 {_told(found.deleted)}；去除身份、保留金额 {_told(found.blanked)}", file=out)
        print("没有做任何改动；确认无误后加上 --yes 再运行", file=out)
        _end(arguments, {"person_id": person_id, "erased": False, "rows": _sum(found.deleted) + _sum(found.blanked)})
        return 0
    done = await erase.erase(services, person_id, actor="cli", reason=arguments.reason)
    rows = _sum(done.counts)
    print(f"客户 {person_id}：{'此前已经删除' if done.again else f'已删除资料，处理 {rows} 条记录'}", file=out)
    _end(arguments, {"person_id": person_id, "erased": True, "rows": rows})
    return 0


def _end(arguments: argparse.Namespace, values: dict[str, object]) -> None:
    if arguments.json:
        print(json.dumps(values))


def _told(counts: dict[str, int]) -> str:
    return "、".join(f"{title} {count}" for title, count in counts.items()) or "0"


def _sum(counts: dict[str, int]) -> int:
    return sum(counts.values())


async def run_export(arguments: argparse.Namespace, services: Services) -> int:
    """JSON on stdout, or the file that --out names; it holds private data in clear and only its owner may read it."""
    person_id = await _person(services, arguments.customer)
    kind = arguments.out.suffix if arguments.out is not None else ".json"
    if kind not in (".zip", ".json", ".html"):
        raise WrongUse(f"--out：收到 {arguments.out.name}；请用 .zip、.json 或 .html 结尾的文件名")
    found = await services.db.write(
        export.collect, person_id, services.vault, actor="cli", reason=arguments.reason, now=services.clock.now()
    )
    if arguments.out is None:
        print(export.as_json(found))
        return 0
    content = export.as_zip(found) if kind == ".zip" else _text(found, kind).encode()
    try:
        _write(arguments.out, content)
    except OSError as error:
        raise ScrmError(f"写不了 {arguments.out}：{error.strerror}") from None
    print(f"客户 {person_id} 的资料副本：{arguments.out}（含明文隐私，请妥善保管）", file=sys.stderr)
    return 0


def _write(path: Path, content: bytes) -> None:
    """Readable for its owner only."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def _text(found: dict[str, object], kind: str) -> str:
    return export.as_html(found) if kind == ".html" else export.as_json(found)


async def run_rotate(arguments: argparse.Namespace, services: Services) -> int:
    """Sealed values in batches, then the hashes in one transaction; broken off, it is simply run again."""
    await _require_migrated(services)
    db, vault = services.db, services.vault
    if await db.read(needs_new_hashes, vault) and is_served(services.settings.database.url.get_secret_value()):
        raise ScrmError(
            "rotate-keys：服务正在运行，更换期间会按旧密钥找不到手机号；请先停掉 scrm serve 和 scrm worker，再运行"
        )
    done = await reseal(db, vault, sealed_columns(), _progress)
    kept, lost = await snapshots.reseal(db, vault, sealed_columns())
    done.sealed |= kept
    done.unreadable |= lost
    hashed = await db.write(_rehash, vault, now=services.clock.now())
    await _tell(done.sealed, hashed.hashed, done.unreadable)
    return 1 if done.unreadable else 0


def _rehash(conn: Connection, vault: Vault, *, now: datetime) -> Rotated:
    """The tables, and the rows in the snapshots of joins, at once."""
    is_new = needs_new_hashes(conn, vault)
    done = rehash(conn, vault, hashed_columns(), now=now)
    if is_new:
        done.hashed["person_merge.snapshot"] = snapshots.rehash(conn, hashed_columns(), vault.newest_lookup)
    return done


async def _tell(sealed: dict[str, int], hashed: dict[str, int], unreadable: dict[str, int]) -> None:
    print(f"重新加密 {_sum(sealed)} 个值，更新查找用的散列 {_sum(hashed)} 个")
    if unreadable:
        print(
            f"有 {_sum(unreadable)} 个值打不开（{_told(unreadable)}）：加密它们的密钥不在 old_data_keys 里，"
            "请补上后再运行一次",
            file=sys.stderr,
        )
    else:
        print("完成；现在可以从设置里去掉 old_data_keys")


def _progress(name: str, count: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{name} {count:,} ")
        sys.stderr.flush()


async def _person(services: Services, named: str) -> int:
    await _require_migrated(services)
    if named.isascii() and named.isdigit() and len(named) < 19:
        return int(named)
    contact = await services.db.read(find_contact, named)
    if contact is None:
        raise NotFound(f"没有客户 {named[:64]}：请给出客户编号（客户页网址里的数字）或 external_userid")
    return contact.person_id


async def _require_migrated(services: Services) -> None:
    if wrong := complaint(await services.db.read(current_revision)):
        raise ScrmError(wrong)
