"""Order files into orders: looked through once, then read order by order; each order whole or not at all."""

import asyncio
import csv
import gc
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.clock import Clock
from scrm.commerce import store
from scrm.commerce.canonical import Order, find_implausible, find_nul
from scrm.commerce.connectors import KNOWN_HEADINGS, Connector, Context, Parser, find_connector, recognise
from scrm.commerce.connectors.reader import Line, Scratch, Sheet, clean, open_sheet, read_id, read_moment
from scrm.commerce.spool import Spool
from scrm.db import Database, Priority
from scrm.db.serving import Turn, in_turns
from scrm.db.vault import Vault
from scrm.errors import Invalid

CHUNK = 500
_SEE = 2000
MOST_ROWS = 1000
_SHOWN = 20
REASON = "原因"


@dataclass(slots=True)
class Counts:
    """What came of an import: `orders` is the sum of the four results, `lines` are goods lines of accepted orders."""

    orders: int = 0
    lines: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    error_files: list[str] = field(default_factory=list)
    # The first few, for a dry run, which writes no file of them.
    reasons: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, int]:
        """The figures alone."""
        names = ("orders", "lines", "created", "updated", "unchanged", "rejected")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: `share` from 0 to 1 by bytes, orders done so far."""

    share: float
    orders: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Into:
    """Where orders go, and under whose name."""

    db: Database
    vault: Vault
    clock: Clock
    zone: ZoneInfo
    shop_key: str = ""
    dry_run: bool = False


async def import_orders(
    into: Into,
    paths: Sequence[Path],
    *,
    format_key: str | None = None,
    report: Report | None = None,
) -> Counts:
    """Import files of one format; what cannot be used goes to NAME.errors.csv, ready to be mended and imported.

    A run repeated, or broken off and repeated, ends alike. Raises Invalid when a file is no order table at all.
    """
    counts = Counts()
    with Scratch() as scratch:
        sheets = [await asyncio.to_thread(open_sheet, path, KNOWN_HEADINGS, scratch) for path in paths]
        connector = find_connector(format_key) if format_key else recognise(sheets)
        groups = [sheets] if connector.joins else [[sheet] for sheet in sheets]
        originals = dict(zip(map(id, sheets), paths, strict=True))
        for number, group in enumerate(groups):
            reading = _Reading(into, connector, group, counts, scratch.path, str(number))
            reading.originals = [originals[id(sheet)] for sheet in group]
            await reading.run(lambda share, n=number: _tell(report, (n + share) / len(groups), counts))  # type: ignore[misc]
    return counts


def _tell(report: Report | None, share: float, counts: Counts) -> None:
    if report is not None:
        report(Progress(min(share, 1.0), counts.orders))


@dataclass(slots=True)
class _Bad:
    """Rows that make no order, and why."""

    lines: Sequence[Line]
    details: Sequence[Line]
    reason: str


@dataclass(frozen=True, slots=True)
class _Good:
    """An order, and where it came from."""

    order: Order


class _Reading:
    """One file, or a pair that belongs together."""

    originals: list[Path]

    def __init__(
        self, into: Into, connector: Connector, sheets: list[Sheet], counts: Counts, folder: Path, name: str
    ) -> None:
        self.into, self.connector, self.counts = into, connector, counts
        self.parser: Parser = connector.fit(sheets)
        self.sheets = sheets
        self._main = Spool(folder / f"main-{name}")
        self._details = Spool(folder / f"details-{name}") if self.parser.details is not None else None
        self._is_scattered = False

    async def run(self, tell: Callable[[float], None]) -> None:
        """Look through, then import chunk by chunk: one is read in a thread while the one before is written."""
        errors = _ErrorFiles(self.originals, self.sheets, dry_run=self.into.dry_run)
        try:
            context = await asyncio.to_thread(self._look_through, tell)
            import_id = await self._start()
            items = self._items(context)
            chunk = await asyncio.to_thread(_take, items)
            while chunk:
                writing = asyncio.create_task(self._save([item.order for item in chunk if isinstance(item, _Good)]))
                bad = [item for item in chunk if isinstance(item, _Bad)]
                errors.add(self.parser, bad)
                self.counts.rejected += len(bad)
                self.counts.reasons += [item.reason for item in bad[: _SHOWN - len(self.counts.reasons)]]
                self.counts.orders += len(chunk)
                following = asyncio.create_task(asyncio.to_thread(_take, items))
                await asyncio.wait([writing, following])
                writing.result()
                chunk = following.result()
                tell(0.3 + 0.7 * self.parser.sheet.bytes_read / self.parser.sheet.size)
            await self._finish(import_id)
            self.counts.error_files += errors.finish()
            tell(1.0)
        finally:
            errors.discard()
            self._main.close()
            if self._details is not None:
                self._details.close()

    # -- first pass

    def _look_through(self, tell: Callable[[float], None]) -> Context:
        """What only the whole file shows: damaged numbers, orders in pieces, how fresh it is."""
        survey = _Survey(self.parser, self.into.zone)
        fresh = groups = 0
        last = ""
        pending: list[str] = []
        for line in self.parser.sheet.rows():
            number = survey.look(line)
            if number and number != last:
                pending.append(number)
            last = number
            if len(pending) == _SEE:
                fresh, groups = fresh + self._main.see(pending), groups + len(pending)
                pending.clear()
                tell(0.3 * self.parser.sheet.bytes_read / self.parser.sheet.size)
        fresh, groups = fresh + self._main.see(pending), groups + len(pending)
        survey.refuse_damage()
        self._is_scattered = fresh < groups
        if self._is_scattered:
            self._main.keep(_numbered(self.parser.sheet, self.parser.id_place))
        if self._details is not None and self.parser.details is not None:
            place = self.parser.detail_id_place
            assert place is not None  # noqa: S101 - details come with their place
            self._details.keep(_numbered(self.parser.details, place))
        latest = self.into.clock.now() + timedelta(days=1)
        exported_at = survey.newest if survey.newest is not None and survey.newest <= latest else None
        return Context(self.into.shop_key, self.into.zone, exported_at)

    # -- second pass

    def _items(self, context: Context) -> Iterator[_Good | _Bad]:
        groups = self._main.groups() if self._is_scattered else _adjacent(self.parser.sheet, self.parser.id_place)
        for number, lines in groups:
            yield self._build(number, lines, context)
        if self._details is not None:
            for number, lines in self._details.orphans(self._main):
                yield _Bad((), lines, f"订单报表里没有订单 {number}，请导出同一时段的订单报表")

    def _build(self, number: str, lines: Sequence[Line], context: Context) -> _Good | _Bad:
        details = self._details.of_order(number) if self._details is not None and number else ()
        try:
            if not number:
                raise ValueError(_why_no_number(lines[0], self.parser.id_place))
            if len(lines) > MOST_ROWS or len(details) > MOST_ROWS:
                raise ValueError(f"订单 {number} 有 {MOST_ROWS} 行以上，单号可能已被表格软件改坏，请重新导出")
            order = self.parser.build(lines, details, context)
            _check(order)
        except ValueError as error:
            return _Bad(lines, details, f"第 {lines[0].number} 行：{error}")
        return _Good(order)

    # -- writing

    async def _save(self, batch: list[Order]) -> None:
        async for turn in in_turns(self.into.db.url, self.into.clock, batch):
            await self._save_at_once(turn)

    async def _save_at_once(self, turn: Turn[Order]) -> None:
        write = _preview if self.into.dry_run else store.save_orders
        now = self.into.clock.now()
        try:
            saved = await self.into.db.write_as(
                Priority.IMPORT, turn.timed(write), turn.rows, now=now, vault=self.into.vault, route="file"
            )
        except _Undo as undo:
            saved = undo.saved
        for one in saved:
            name = "unchanged" if one.result == "stale" else one.result
            setattr(self.counts, name, getattr(self.counts, name) + 1)
        self.counts.lines += sum(len(order.lines or ()) for order in turn.rows)

    async def _start(self) -> int:
        if self.into.dry_run:
            return 0
        sha256 = await asyncio.to_thread(_hash, self.originals)
        return await self.into.db.write(
            store.start_import,
            file_name=" + ".join(path.name for path in self.originals),
            sha256=sha256,
            format=self.connector.key,
            shop_key=self.into.shop_key,
            now=self.into.clock.now(),
        )

    async def _finish(self, import_id: int) -> None:
        if not self.into.dry_run:
            counts = self.counts.as_dict()
            await self.into.db.write(store.finish_import, import_id, counts=counts, now=self.into.clock.now())


class _Undo(Exception):
    """Carries the results of a dry run out of the transaction that it undoes."""

    def __init__(self, saved: list[store.Saved]) -> None:
        super().__init__("a dry run")
        self.saved = saved


def _preview(conn: Connection, batch: Sequence[Order], **how: Any) -> list[store.Saved]:
    raise _Undo(store.save_orders(conn, batch, **how))


class _Survey:
    """What is noticed while a file is looked through."""

    def __init__(self, parser: Parser, zone: ZoneInfo) -> None:
        self._parser, self._zone = parser, zone
        self._long = self._rounded = 0
        self._previous = ""
        self._newest_text = ""
        self.newest: datetime | None = None

    def look(self, line: Line) -> str:
        """The order number of a row; '' when it has none or a damaged one."""
        number = _number_of(line, self._parser.id_place, self._previous)
        if number != self._previous and len(number) >= 16 and number.isdecimal():
            self._long += 1
            self._rounded += number.endswith("000")
        self._previous = number
        for place in self._parser.time_places:
            text = line.cells[place]
            if text > self._newest_text or text[4:5] != "-":
                self._time(text)
        return number

    def _time(self, text: str) -> None:
        try:
            moment = read_moment(text, self._zone)
        except ValueError:
            return
        if moment is not None and (self.newest is None or moment > self.newest):
            self.newest, self._newest_text = moment, text

    def refuse_damage(self) -> None:
        """Every long number ends in zeros: a spreadsheet has rounded the whole column."""
        if self._long >= 2 and self._rounded == self._long:
            raise Invalid(
                f"{self._parser.sheet.name}：{self._long} 个订单编号都以 000 结尾，"
                "末几位已被表格软件抹掉。请从后台重新导出，不要用 Excel 打开后另存"
            )


def _number_of(line: Line, place: int, previous: str) -> str:
    """A row without a number continues the order above it; one with a damaged number belongs to nobody."""
    try:
        return read_id(line.cells[place]) or previous
    except ValueError:
        return ""


def _why_no_number(line: Line, place: int) -> str:
    try:
        read_id(line.cells[place])
    except ValueError as error:
        return str(error)
    return "没有订单编号"


def _numbered(sheet: Sheet, place: int) -> Iterator[tuple[str, Line]]:
    previous = ""
    for line in sheet.rows():
        previous = _number_of(line, place, previous)
        yield previous, line


def _adjacent(sheet: Sheet, place: int) -> Iterator[tuple[str, list[Line]]]:
    """Rows that follow each other with one number are one order; rows without a usable number stand alone."""
    current = ""
    group: list[Line] = []
    for number, line in _numbered(sheet, place):
        if group and (number != current or not number or len(group) > MOST_ROWS):
            yield current, group
            group = []
        current = number
        group.append(line)
    if group:
        yield current, group


def _take(items: Iterator[_Good | _Bad]) -> list[_Good | _Bad]:
    return list(islice(items, CHUNK))


_NEVER_NEGATIVE = (
    ("paid_fen", "实付金额"),
    ("payable_fen", "应付金额"),
    ("refunded_fen", "退款金额"),
    ("goods_fen", "商品金额"),
    ("freight_fen", "运费"),
    ("discount_fen", "优惠金额"),
    ("platform_discount_fen", "平台优惠"),
)


def _check(order: Order) -> None:
    """What the columns cannot hold or nobody can mean."""
    if len(order.order_no) > 80 or len(order.parent_order_no) > 80 or len(order.shop_key) > 80:
        raise ValueError("订单编号、主订单号和店铺编号最多 80 个字符")
    for name, title in _NEVER_NEGATIVE:
        if (getattr(order, name) or 0) < 0:
            raise ValueError(f"“{title}”不能是负数")
    for line in order.lines or ():
        if len(line.line_key) > 120:
            raise ValueError("子订单编号超过 120 个字符")
        if (line.paid_fen or 0) < 0 or (line.unit_price_fen or 0) < 0 or line.refunded_fen < 0:
            raise ValueError(f"商品“{line.title[:20]}”的金额不能是负数")
    if order.ordered_at is None and order.paid_at is None:
        raise ValueError("没有下单时间")
    if wrong := find_implausible(order):
        name = _MOMENTS.get(wrong[0], wrong[0])
        raise ValueError(f"“{name}”应在 2000 年到 2099 年之间，看到 {wrong[1]:%Y-%m-%d %H:%M}（UTC）")
    if found := find_nul(order):
        raise ValueError(f"{found[0]} 含有空字符")


_MOMENTS = {
    "ordered_at": "下单时间",
    "paid_at": "付款时间",
    "shipped_at": "发货时间",
    "delivered_at": "签收时间",
    "completed_at": "完成时间",
    "closed_at": "关闭时间",
    "platform_updated_at": "更新时间",
}


class _ErrorFiles:
    """NAME.errors.csv beside each file, there when the whole import is done; NAME.errors.csv may itself be imported."""

    def __init__(self, originals: list[Path], sheets: list[Sheet], *, dry_run: bool) -> None:
        self._targets = {id(sheet): _errors_path(path) for path, sheet in zip(originals, sheets, strict=True)}
        self._keeps = not dry_run
        self._open: dict[int, tuple[Path, IO[str], Any]] = {}

    def add(self, parser: Parser, items: list[_Bad]) -> None:
        """Write bad rows as they stood, with the reason behind; a dry run writes nothing at all."""
        for item in items if self._keeps else ():
            self._write(parser.sheet, item.lines, item.reason)
            if parser.details is not None:
                self._write(parser.details, item.details, item.reason)

    def _write(self, sheet: Sheet, lines: Sequence[Line], reason: str) -> None:
        if not lines:
            return
        keep = [place for place, title in enumerate(sheet.titles) if clean(title) != REASON]
        if id(sheet) not in self._open:
            target = self._targets[id(sheet)]
            part = target.with_name(target.name + ".part")
            file = part.open("w", encoding="utf-8-sig", newline="")
            self._open[id(sheet)] = (part, file, csv.writer(file))
            self._open[id(sheet)][2].writerow([sheet.titles[place] for place in keep] + [REASON])
        for line in lines:
            self._open[id(sheet)][2].writerow([line.cells[place] for place in keep] + [reason])

    def finish(self) -> list[str]:
        """Put them in their places; returns their paths."""
        done = []
        for key, (part, file, _) in self._open.items():
            file.close()
            part.replace(self._targets[key])
            done.append(str(self._targets[key]))
        self._open.clear()
        return done

    def discard(self) -> None:
        """The import broke off: what was gathered says nothing."""
        for part, file, _ in self._open.values():
            file.close()
            part.unlink()


def _errors_path(path: Path) -> Path:
    folder = path.parent if os.access(path.parent, os.W_OK) else Path.cwd()
    return folder / f"{path.name.removesuffix(path.suffix).removesuffix('.errors')}.errors.csv"


def _hash(paths: Sequence[Path]) -> str:
    """SHA-256 over the files, one after the other."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def spare_the_collector() -> None:
    """For a process that does nothing but import: orders make many short-lived objects and no cycles."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
