"""A file, or a pair that belongs together, read into chunks of prepared orders; touches no database of ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from scrm.commerce.canonical import Order, find_implausible, find_nul
from scrm.commerce.connectors import Connector, Context, Parser
from scrm.commerce.connectors.reader import Line, Sheet, read_id, read_moment
from scrm.commerce.connectors.status_words import Seen, StatusWords, add
from scrm.commerce.files.prepared import Prepared, Preparer
from scrm.commerce.files.spool import Spool
from scrm.commerce.own_fields import Fillable, OwnColumns
from scrm.db.vault import Vault
from scrm.errors import Invalid

CHUNK = 1000
MOST_ROWS = 1000
_SEE = 2000
_LOOKING = 0.2


class Bad(NamedTuple):
    """Rows that make no order, and why."""

    lines: tuple[Line, ...]
    details: tuple[Line, ...]
    reason: str


class Good(NamedTuple):
    """An order, and what its rows say of the shop's own fields."""

    order: Order
    own: dict[str, str]


@dataclass(frozen=True, slots=True)
class Chunk:
    """What a piece of the file came to; `share` is how much of the file has been read, from 0 to 1."""

    share: float
    good: Prepared
    bad: list[Bad]
    # Words for states that nobody knows.
    strange: dict[str, Seen] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is to be read."""

    shop_key: str
    zone: ZoneInfo
    vault: Vault
    now: datetime
    # What a manager says that words for states mean, by normalised word.
    words: Mapping[str, str] = field(default_factory=dict)
    own: Fillable = field(default_factory=Fillable)


def read_chunks(
    reading: Reading, connector: Connector, sheets: list[Sheet], folder: Path, name: str = "0"
) -> Iterator[Chunk]:
    """Looks through, then reads order by order. Raises Invalid when the whole file cannot be used."""
    reader = _FileReader(reading, connector, sheets, folder, name)
    try:
        yield from reader.chunks()
    finally:
        reader.close()


class _FileReader:
    def __init__(self, reading: Reading, connector: Connector, sheets: list[Sheet], folder: Path, name: str) -> None:
        self._reading, self._parser = reading, connector.fit(sheets)
        self._words = StatusWords({**reading.words, **connector.words})
        self._strange: dict[str, Seen] = {}
        self._own = OwnColumns(reading.own, connector, self._parser.sheet)
        self._main = Spool(folder / f"main-{name}")
        self._details = Spool(folder / f"details-{name}") if self._parser.details is not None else None
        self._is_scattered = False
        self._preparer = Preparer(reading.vault, reading.now)

    def close(self) -> None:
        self._main.close()
        if self._details is not None:
            self._details.close()

    def chunks(self) -> Iterator[Chunk]:
        seen: list[datetime | None] = []
        yield from self._look_through(seen)
        context = Context(self._reading.shop_key, self._reading.zone, seen[0], self._words)
        items = self._items(context)
        while piece := list(islice(items, CHUNK)):
            good = self._preparer.prepare(*_good(piece))
            bad = [item for item in piece if isinstance(item, Bad)]
            strange, self._strange = self._strange, {}
            yield Chunk(_LOOKING + (1 - _LOOKING) * self._share(), good, bad, strange)

    def _share(self) -> float:
        return self._parser.sheet.bytes_read / self._parser.sheet.size

    # -- first pass

    def _look_through(self, seen: list[datetime | None]) -> Iterator[Chunk]:
        """What only the whole file shows: damaged numbers, orders in pieces, how fresh it is."""
        survey = _Survey(self._parser, self._reading.zone)
        fresh = groups = 0
        last = ""
        pending: list[str] = []
        for line in self._parser.sheet.rows():
            number = survey.look(line)
            if number and number != last:
                pending.append(number)
            last = number
            if len(pending) == _SEE:
                fresh, groups = fresh + self._main.see(pending), groups + len(pending)
                pending.clear()
                if groups % (_SEE * 10) == 0:
                    yield Chunk(_LOOKING * self._share(), self._preparer.prepare([]), [])
        fresh, groups = fresh + self._main.see(pending), groups + len(pending)
        survey.refuse_damage()
        self._is_scattered = fresh < groups
        if self._is_scattered:
            self._main.keep(_numbered(self._parser.sheet, self._parser.id_place))
        if self._details is not None and self._parser.details is not None:
            place = self._parser.detail_id_place
            assert place is not None  # noqa: S101 - details come with their place
            self._details.keep(_numbered(self._parser.details, place))
        latest = self._reading.now + timedelta(days=1)
        seen.append(survey.newest if survey.newest is not None and survey.newest <= latest else None)

    # -- second pass

    def _items(self, context: Context) -> Iterator[Good | Bad]:
        sheet, place = self._parser.sheet, self._parser.id_place
        groups = self._main.groups() if self._is_scattered else _adjacent(sheet, place)
        for number, lines in groups:
            yield self._build(number, lines, context)
        if self._details is not None:
            for number, lines in self._details.orphans(self._main):
                yield Bad((), tuple(lines), f"订单报表里没有订单 {number}，请导出同一时段的订单报表")

    def _build(self, number: str, lines: Sequence[Line], context: Context) -> Good | Bad:
        details = self._details.of_order(number) if self._details is not None and number else ()
        try:
            _refuse_cut(self._parser.sheet, lines)
            if self._parser.details is not None:
                _refuse_cut(self._parser.details, details)
            if not number:
                raise ValueError(_why_no_number(lines[0], self._parser.id_place))
            if len(lines) > MOST_ROWS or len(details) > MOST_ROWS:
                raise ValueError(f"订单 {number} 有 {MOST_ROWS} 行以上，单号可能已被表格软件改坏，请重新导出")
            order = self._parser.build(lines, details, context)
            _check(order)
            own = self._own.read(lines)
        except ValueError as error:
            self._words.take()
            return Bad(tuple(lines), tuple(details), f"第 {lines[0].number} 行：{error}")
        if strange := self._words.take():
            add(self._strange, strange, order)
        return Good(order, own)


def _good(piece: Sequence[Good | Bad]) -> tuple[list[Order], list[dict[str, str]]]:
    good = [item for item in piece if isinstance(item, Good)]
    return [item.order for item in good], [item.own for item in good]


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
        newest = self._newest_text
        for place in self._parser.time_places:
            text = line.cells[place]
            if text > newest or text[4:5] != "-":
                self._time(text)
                newest = self._newest_text
        return number

    def _time(self, text: str) -> None:
        try:
            moment = read_moment(text, self._zone)
        except ValueError:
            return
        if moment is not None and (self.newest is None or moment > self.newest):
            # In one notation, whatever the file's are: texts are compared with it.
            self.newest, self._newest_text = moment, f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M:%S}"

    def refuse_damage(self) -> None:
        """Every long number ends in zeros: a spreadsheet has rounded the whole column."""
        if self._long >= 2 and self._rounded == self._long:
            raise Invalid(
                f"{self._parser.sheet.name}：{self._long} 个订单编号都以 000 结尾，"
                "末几位已被表格软件抹掉。请从后台重新导出，不要用 Excel 打开后另存"
            )


def _number_of(line: Line, place: int, previous: str) -> str:
    """A row without a number continues the order above it; one with a damaged number belongs to nobody."""
    cell = line.cells[place]
    if cell.isalnum() and cell.isdecimal():
        return cell
    try:
        return read_id(cell) or previous
    except ValueError:
        return ""


def _refuse_cut(sheet: Sheet, lines: Sequence[Line]) -> None:
    """The row in which a file broke off says less than was exported."""
    if lines and (why := sheet.why_cut(lines[-1])):
        raise ValueError(why)


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


_NEVER_NEGATIVE = {
    "paid_fen": "实付金额",
    "payable_fen": "应付金额",
    "refunded_fen": "退款金额",
    "goods_fen": "商品金额",
    "freight_fen": "运费",
    "discount_fen": "优惠金额",
    "platform_discount_fen": "平台优惠",
}
_amounts = attrgetter(*_NEVER_NEGATIVE)


def _check(order: Order) -> None:
    """What the columns cannot hold or nobody can mean."""
    if len(order.order_no) > 80 or len(order.parent_order_no) > 80 or len(order.shop_key) > 80:
        raise ValueError("订单编号、主订单号和店铺编号最多 80 个字符")
    amounts = _amounts(order)
    if min(filter(None, amounts), default=0) < 0:
        wrong_one = next(
            title for title, amount in zip(_NEVER_NEGATIVE.values(), amounts, strict=True) if (amount or 0) < 0
        )
        raise ValueError(f"“{wrong_one}”不能是负数")
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
