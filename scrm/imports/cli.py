"""`scrm import orders|customers|coupons|template`: files from the command line, with progress and an exit code."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from scrm.clock import SystemClock, monotonic
from scrm.commerce.connectors import CONNECTORS
from scrm.commerce.coupons.import_codes import import_codes
from scrm.commerce.files.import_orders import Counts, Into, Progress, import_orders, spare_the_collector
from scrm.commerce.words import taken_as
from scrm.db import Database
from scrm.db.migrate import complaint, current_revision
from scrm.db.vault_keys import use_chain, vault_of
from scrm.errors import ScrmError, WrongUse
from scrm.imports import customers as customer_files
from scrm.imports import templates
from scrm.imports.mappings import find_format, recognise_mapping
from scrm.settings import Settings

# Those without a connector yet are refused by name, with what to do instead.
_PLANNED = ("wxstore", "youzan", "shopify")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `import` with its kinds; each sets `run(arguments, settings)`."""
    into = commands.add_parser("import", help="order files, customers and coupon codes")
    kinds = into.add_subparsers(dest="import_kind", required=True, metavar="KIND")

    orders = kinds.add_parser("orders", help="order files as the platforms export them")
    orders.add_argument("files", nargs="+", type=Path, metavar="FILE")
    formats = ",".join(connector.key for connector in CONNECTORS)
    orders.add_argument("--format", metavar=f"{{{formats}}}", help="default: recognised by the headings")
    orders.add_argument("--mapping", metavar="NAME", help="a column mapping saved in the console")
    orders.add_argument("--only-new", action="store_true", help="leave orders alone that are there already")
    orders.add_argument("--shop", default="", metavar="KEY", help="which of your shops the orders are from")
    orders.add_argument("--dry-run", action="store_true", help="read, check and count; keep nothing")
    orders.add_argument("--json", action="store_true", help="the last line is a JSON object of counts")
    orders.set_defaults(run=run_orders)

    customers = kinds.add_parser("customers", help="who they are, the shop's own fields, and tags")
    customers.add_argument("files", nargs="+", type=Path, metavar="FILE")
    which = customers.add_mutually_exclusive_group()
    which.add_argument("--only-new", action="store_true", help="leave customers alone who are known")
    which.add_argument("--only-known", action="store_true", help="make no new customers")
    customers.add_argument("--dry-run", action="store_true", help="read, check and count; keep nothing")
    customers.add_argument("--json", action="store_true", help="the last line is a JSON object of counts")
    customers.set_defaults(run=run_customers)

    template = kinds.add_parser("template", help="an empty table with the columns that can be imported")
    template.add_argument("kind", choices=("orders", "customers"))
    template.add_argument("file", type=Path, metavar="FILE.xlsx|FILE.csv")
    template.set_defaults(run=run_template)

    coupons = kinds.add_parser("coupons", help="codes for a batch of kind pool")
    coupons.add_argument("files", nargs="+", type=Path, metavar="FILE")
    coupons.add_argument("--batch", required=True, metavar="KEY")
    coupons.add_argument("--json", action="store_true", help="the last line is a JSON object of counts")
    coupons.set_defaults(run=run_coupons)


async def run_orders(arguments: argparse.Namespace, settings: Settings) -> int:
    """0 when something could be imported (or there was nothing wrong), 1 when every order was rejected."""
    _require_files(arguments.files)
    _require_format(arguments.format)
    if arguments.format and arguments.mapping:
        raise WrongUse("--format 和 --mapping 只能用一个")
    if len(arguments.shop) > 80:
        raise WrongUse(f"--shop: found {len(arguments.shop)} characters; expected at most 80")
    spare_the_collector()
    db = Database(settings.database.url.get_secret_value())
    try:
        await _require_migrated(db)
        vault = vault_of(settings)
        await use_chain(db, vault)
        into = Into(
            db=db,
            vault=vault,
            clock=SystemClock(),
            zone=settings.shop.zone,
            shop_key=arguments.shop,
            dry_run=arguments.dry_run,
            only_new=arguments.only_new,
        )
        connector = None
        if arguments.mapping:
            connector = await db.read(find_format, f"mapped:{arguments.mapping}")
        elif not arguments.format:
            connector = await recognise_mapping(db, arguments.files)
        bar = _Bar()
        try:
            counts = await import_orders(
                into, arguments.files, format_key=arguments.format, connector=connector, report=bar.show
            )
        finally:
            bar.end()
    finally:
        await db.close()
    _tell_orders(counts, arguments, bar.seconds())
    return 1 if counts.orders and counts.rejected == counts.orders else 0


async def run_customers(arguments: argparse.Namespace, settings: Settings) -> int:
    """0 when something could be imported (or there was nothing wrong), 1 when every customer was rejected."""
    _require_files(arguments.files)
    db = Database(settings.database.url.get_secret_value())
    totals: dict[str, int] = {}
    try:
        await _require_migrated(db)
        vault = vault_of(settings)
        await use_chain(db, vault)
        into = customer_files.Into(
            db=db,
            vault=vault,
            clock=SystemClock(),
            only_new=arguments.only_new,
            only_known=arguments.only_known,
            dry_run=arguments.dry_run,
        )
        for path in arguments.files:
            counts = await customer_files.import_customers(into, path)
            for reason in counts.reasons:
                print(f"{path.name}：{reason}", file=sys.stderr)
            for name, value in counts.as_dict().items():
                totals[name] = totals.get(name, 0) + value
            for file in counts.error_files:
                print(f"不能导入的行和原因在 {file}，改正后可直接再导入这个文件", file=sys.stderr)
    finally:
        await db.close()
    kept = "试运行，没有写入：" if arguments.dry_run else ""
    print(
        f"{kept}客户 {totals['customers']} 位：新建 {totals['created']}，更新 {totals['updated']}，"
        f"未变 {totals['unchanged']}，拒绝 {totals['rejected']}；标签 {totals['tags']} 个",
        file=sys.stderr if arguments.json else sys.stdout,
    )
    _end_with_json(arguments, totals)
    return 1 if totals["customers"] and totals["rejected"] == totals["customers"] else 0


async def run_template(arguments: argparse.Namespace, settings: Settings) -> int:
    """Always 0: the columns are those that an import understands today, the shop's own fields among them."""
    db = Database(settings.database.url.get_secret_value())
    try:
        headings = await db.read(templates.headings, arguments.kind)
    finally:
        await db.close()
    if arguments.file.suffix.lower() not in (".xlsx", ".csv"):
        raise WrongUse(f"模板文件名应以 .xlsx 或 .csv 结尾，收到 {arguments.file.name}")
    arguments.file.write_bytes(templates.table(headings, arguments.file.suffix.lower()))
    print(f"模板在 {arguments.file}，{len(headings)} 列")
    return 0


async def run_coupons(arguments: argparse.Namespace, settings: Settings) -> int:
    """0 when at least one code is in the pool afterwards, 1 when no line held a code."""
    _require_files(arguments.files)
    db = Database(settings.database.url.get_secret_value())
    totals = {"codes": 0, "added": 0, "known": 0, "rejected": 0}
    try:
        await _require_migrated(db)
        for path in arguments.files:
            counts = await import_codes(db, path, arguments.batch)
            for line in counts.rejected[:20]:
                print(f"{path.name}：{line}", file=sys.stderr)
            for name in ("codes", "added", "known"):
                totals[name] += getattr(counts, name)
            totals["rejected"] += len(counts.rejected)
    finally:
        await db.close()
    print(
        f"券码 {totals['codes']} 个：新增 {totals['added']}，重复 {totals['known']}，不能用 {totals['rejected']}",
        file=sys.stderr if arguments.json else sys.stdout,
    )
    _end_with_json(arguments, totals)
    return 1 if totals["added"] + totals["known"] == 0 else 0


def _require_files(paths: list[Path]) -> None:
    for path in paths:
        if not path.is_file():
            raise WrongUse(f"找不到文件 {path}：请检查路径")


def _require_format(key: str | None) -> None:
    known = [connector.key for connector in CONNECTORS]
    if key is None or key in known:
        return
    if key in _PLANNED:
        raise WrongUse(
            f"--format：还不支持 {'、'.join(_PLANNED)}，收到 {key}；可用的有 {'、'.join(known)}，"
            "其他平台的订单请整理成通用表格（docs/import.md）"
        )
    raise WrongUse(f"--format：没有格式 {key[:40]}，可用的有 {'、'.join(known)}；不写则按表头识别")


async def _require_migrated(db: Database) -> None:
    try:
        found = await asyncio.wait_for(db.read(current_revision), 30)
    except Exception as error:
        raise ScrmError(f"数据库打不开（{type(error).__name__}）：请检查 database.url，或运行 scrm doctor") from None
    if wrong := complaint(found):
        raise ScrmError(wrong)


def _tell_orders(counts: Counts, arguments: argparse.Namespace, seconds: float) -> None:
    out = sys.stderr if arguments.json else sys.stdout
    speed = f"，{counts.orders / seconds:,.0f} 单/秒" if seconds > 0.5 else ""
    kept = "试运行，没有写入：" if arguments.dry_run else ""
    print(
        f"{kept}订单 {counts.orders} 个（商品 {counts.lines} 行）：新建 {counts.created}，更新 {counts.updated}，"
        f"未变 {counts.unchanged}，拒绝 {counts.rejected}{speed}",
        file=out,
    )
    for reason in counts.reasons if arguments.dry_run else ():
        print(reason, file=out)
    for note in counts.notes:
        print(f"自定义字段没有填上：{note}", file=out)
    for word, seen in counts.strange.items():
        print(
            f"没见过的订单状态“{word}”：{seen.times} 单，例如 {seen.order_no}，记成了“{taken_as(seen.taken_as)}”；"
            "请在后台「导入」页说明它的意思，已导入的订单随之更新",
            file=out,
        )
    for path in counts.error_files:
        print(f"不能导入的行和原因在 {path}，改正后可直接再导入这个文件", file=out)
    _end_with_json(arguments, counts.as_dict())


def _end_with_json(arguments: argparse.Namespace, values: dict[str, Any]) -> None:
    if arguments.json:
        sys.stdout.flush()
        print(json.dumps(values))


class _Bar:
    """A progress line on stderr, only for people."""

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._began = self._last = monotonic()

    def show(self, progress: Progress) -> None:
        now = monotonic()
        if not self._is_shown or (now - self._last < 0.2 and progress.share < 1):
            return
        self._last = now
        done = int(progress.share * 30)
        speed = progress.orders / max(now - self._began, 0.001)
        bar = "█" * done + "░" * (30 - done)
        sys.stderr.write(f"\r{bar} {progress.share:4.0%}  {progress.orders:,} 单  {speed:,.0f} 单/秒 ")
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_shown:
            sys.stderr.write("\n")

    def seconds(self) -> float:
        """Since the beginning."""
        return monotonic() - self._began
