"""One reader for every exported order file: CSV in any of its dialects, TAB text, xlsx, or a zip around one of them."""

import csv
import io
import re
import unicodedata
import zipfile
import zlib
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, NamedTuple
from zoneinfo import ZoneInfo

from python_calamine import CalamineError, CalamineWorkbook

from scrm.errors import Invalid

HEADER_ROWS = 15
KNOWN_AT_LEAST = 3
# Unpacked; beyond this an xlsx would fill the memory, and is no order export.
LARGEST_SHEET = 600_000_000
LARGEST_TEXT = 8_000_000_000
_DELIMITERS = (",", "\t", ";", "|")
_INVISIBLE = re.compile("[\ufeff\u200b-\u200f\u2060\t\r\n]")
EMPTY = frozenset(("", "-", "--", "—", "无", "暂无", "null", "None", "NULL", "N/A", "#N/A", "\\N"))
_SUMMARY = ("合计", "总计", "汇总", "小计")

MOST_IN_CELL = 1_000_000
csv.field_size_limit(MOST_IN_CELL)


def normalise_heading(text: str) -> str:
    """As headings are compared: full-width brackets narrow, invisible characters gone, lower case."""
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).strip().strip("'\"").strip().lower()


BLANK = " \t\u00a0\u3000\ufeff\r\n\0"
WRAPPING = frozenset(BLANK + "'\"=")


def clean(cell: str) -> str:
    """A cell without the wrapping that keeps a spreadsheet from eating it: TAB, ="...", apostrophe, quotes."""
    if not cell or (cell[0] not in WRAPPING and cell[-1] not in BLANK):
        return cell
    text = cell.strip(BLANK)
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1].strip()
    if text[:1] in ("'", '"', "="):
        text = text.lstrip("'").strip('"').strip()
    return text


def value_of(cell: str) -> str:
    """A cleaned cell in which every way of writing "nothing" is empty; not for free text."""
    if not cell:
        return ""
    text = cell if cell[0] not in WRAPPING and cell[-1] not in BLANK else clean(cell)
    return "" if text in EMPTY else text


_PLAIN_MONEY = re.compile(r"\d{1,11}(?:\.\d{1,2})?", re.ASCII)
_NOT_DIGITS = re.compile(r"[¥元\s]|CNY|RMB|人民币")
# 1,299.00; a comma elsewhere is somebody's decimal point, and 12,50 would come in a hundredfold.
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d*)?", re.ASCII)


def without_thousands(number: str) -> str:
    """1,299.00 as 1299.00; any other text as it stands."""
    return number.replace(",", "") if _THOUSANDS.fullmatch(number) else number


# Amounts, counts and times repeat within a row and from row to row; what cannot be read is not remembered.
@lru_cache(maxsize=16384)
def read_fen(cell: str) -> int | None:
    """Money in yuan as fen, rounded half up; None for an empty cell. Raises ValueError in the reader's words."""
    text = value_of(cell)
    if not text:
        return None
    if _PLAIN_MONEY.fullmatch(text):
        yuan, _, cents = text.partition(".")
        return int(yuan) * 100 + int(cents.ljust(2, "0") if cents else 0)
    # Full-width digits too; in brackets it is negative, as accountants write.
    plain = _NOT_DIGITS.sub("", unicodedata.normalize("NFKC", text).replace("\u2212", "-"))
    if plain.startswith("(") and plain.endswith(")"):
        plain = f"-{plain[1:-1]}"
    try:
        fen = (Decimal(without_thousands(plain)) * 100).quantize(Decimal(1), ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError(f"应为金额，如 128.00，看到“{text[:30]}”") from None
    if not fen.is_finite() or abs(fen) > 10**13:
        raise ValueError(f"金额“{text[:30]}”超出范围")
    return int(fen)


@lru_cache(maxsize=1024)
def read_count(cell: str) -> int | None:
    """A whole number of pieces; None for an empty cell. Raises ValueError in the reader's words."""
    text = value_of(cell)
    if not text:
        return None
    if text.isascii() and text.isdecimal() and len(text) < 8:
        return int(text)
    try:
        number = Decimal(without_thousands(text.removesuffix("件")))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number != number.to_integral_value() or not 0 <= number <= 10**6:
        raise ValueError(f"应为整数件数，看到“{text[:30]}”")
    return int(number)


_MOMENT = re.compile(
    r"(?P<y>\d{4})[-/.年](?P<m>\d{1,2})[-/.月](?P<d>\d{1,2})(?:日|(?=[ T]|$))(?:[ T]*(?P<H>\d{1,2}):(?P<M>\d{1,2})(?::(?P<S>\d{1,2})(?:\.\d+)?)?)?",
    re.ASCII,
)
_SERIAL = re.compile(r"\d{5}(?:\.\d+)?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)[ T]?(\d\d):?(\d\d):?(\d\d)", re.ASCII)
_EPOCH_SECONDS = re.compile(r"\d{10}(?:\d{3})?", re.ASCII)


# Most orders are paid within the second or minute, and every time is read twice: once to look, once to keep.
@lru_cache(maxsize=8192)
def read_moment(cell: str, zone: ZoneInfo) -> datetime | None:
    """A time on the shop's clock, as UTC; None for an empty cell. Raises ValueError in the reader's words.

    Understands 2026-06-18 20:00:00 with - / . and without seconds, 2026年6月18日 下午8时, 8:00 PM, Excel serial days
    and epoch seconds or ms.
    """
    text = value_of(cell)
    return None if not text or text in _NEVER or text.startswith(_NO_DAY) else _moment_of(text, zone)


# How an empty time looks in a spreadsheet: day 0 of its calendar, or midnight of no day.
_NO_DAY = ("0000", "1900-01-00", "1900-1-0", "1900/1/0", "1900/01/00", "1899-12-3")
_NEVER = frozenset(("0", "00:00:00", "0:00:00"))


_HALF = re.compile(r"(?:(上午|下午)\s*)?(\d{1,2})(:[\d:.]+)?(?:\s*(AM|PM))?$", re.ASCII | re.IGNORECASE)
_CLOCK = str.maketrans({"时": ":", "点": ":", "分": ":", "秒": ""})


def _as_clock(text: str) -> str:
    """下午8时05分 and 8:05 PM as 20:05, full-width digits as digits; a text that needs neither as it stands."""
    plain = unicodedata.normalize("NFKC", text).translate(_CLOCK).rstrip(": ")
    found = _HALF.search(plain)
    half = (found[1] or found[4] or "").upper() if found else ""
    if found is None or not half:
        return plain
    if not 1 <= int(found[2]) <= 12:
        raise ValueError
    hours = int(found[2]) % 12 + (12 if half in ("下午", "PM") else 0)
    return f"{plain[: found.start()]}{hours:02d}{found[3] or ':00'}"


def _moment_of(text: str, zone: ZoneInfo) -> datetime:
    try:
        if len(text) == 19 and text[4] == "-" and text.isascii():
            return _at(datetime.fromisoformat(text), zone)
        plain = _as_clock(text)
        if match := _MOMENT.fullmatch(plain):
            parts = [int(match[name] or 0) for name in ("y", "m", "d", "H", "M", "S")]
            return _at(datetime(*parts), zone)  # type: ignore[arg-type]  # noqa: DTZ001 - the zone follows
        if match := _COMPACT.fullmatch(plain):
            return _at(datetime(*map(int, match.groups())), zone)  # type: ignore[arg-type]  # noqa: DTZ001
        if _EPOCH_SECONDS.fullmatch(plain):
            return datetime.fromtimestamp(int(plain[:10]), UTC)
        if _SERIAL.fullmatch(plain):
            day = datetime(1899, 12, 30) + timedelta(seconds=round(float(plain) * 86400))  # noqa: DTZ001
            return _at(day, zone)
        return _at(datetime.fromisoformat(plain), zone)
    except (ValueError, OverflowError):
        raise ValueError(f"应为时间，如 2026-06-18 20:00:00，看到“{text[:30]}”") from None


def _at(moment: datetime, zone: ZoneInfo) -> datetime:
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)


_SCIENTIFIC = re.compile(r"\d(?:\.\d+)?[eE]\+?\d+", re.ASCII)


def read_id(cell: str) -> str:
    """An order number; '' when the cell is empty. Raises ValueError when a spreadsheet has damaged it."""
    text = value_of(cell)
    if _SCIENTIFIC.fullmatch(text):
        raise ValueError(f"单号“{text}”被表格软件改成了科学计数，原号已丢失，请从后台重新导出，不要用 Excel 另存")
    return text


class Line(NamedTuple):
    """One row of a file as it stands there: its number (1 is the file's first) and its raw cells."""

    number: int
    cells: tuple[str, ...]


class Sheet:
    """A table in a file: its headings, and its rows streamed as often as wanted; memory does not grow with it."""

    def __init__(
        self, path: Path, name: str, headings: list[str], open_rows: "_OpenRows", first: int, *, is_text: bool
    ) -> None:
        self.path, self.name, self.size = path, name, max(path.stat().st_size, 1)
        self.titles = headings
        self.columns = _columns(headings)
        self._first_heading = normalise_heading(headings[0])
        self._open_rows, self._first, self._is_text = open_rows, first, is_text
        self.bytes_read = 0
        # Why the last row cannot be whole, once all have been read; with its number.
        self.cut: tuple[int, str] | None = None

    def rows(self) -> Iterator[Line]:
        """Rows below the heading that are neither empty nor a sum; `cut` is known before a cut row is given."""
        width = len(self.titles)
        number, last = 0, [""]
        short, held = 0, None
        for number, cells in enumerate(self._open_rows(self._report), start=1):
            if number <= self._first or not any(cells):
                continue
            if held is not None:
                yield held
                held = None
            first, last = cells[0], cells
            if (not first.isdecimal()) and (_is_blank(cells) or self._is_heading(cells) or _is_summary(cells)):
                continue
            if len(cells) < width:
                short += 1
                held = Line(number, tuple(cells + [""] * (width - len(cells))))
            else:
                yield Line(number, tuple(cells[:width] if len(cells) > width else cells))
        self.bytes_read = self.size
        # Where rows end early now and then, that is how the file was written.
        self.cut = self._cut(number, last) if short < 2 else None
        if held is not None:
            yield held

    def why_cut(self, line: Line) -> str:
        """Why a row says less than was exported, '' of all others."""
        return self.cut[1] if self.cut is not None and line.number == self.cut[0] else ""

    def _cut(self, number: int, cells: list[str]) -> tuple[int, str] | None:
        """A download that broke off ends within a row; a quote that is never closed swallows all that follows."""
        if number <= self._first or len(cells) >= len(self.titles) or not self._is_text:
            return None
        if "\n" in cells[-1] or "\r" in cells[-1]:
            return number, "有一个双引号没有配对，从这里到文件结尾都读不出来，请重新导出"
        if ends_with_line(self.path):
            return None
        return number, f"只有 {len(cells)} 列，表头有 {len(self.titles)} 列：文件没有下载完整，请重新导出"

    def _is_heading(self, cells: list[str]) -> bool:
        """The headings again: two exports in one file."""
        if normalise_heading(cells[0]) != self._first_heading:
            return False
        return [normalise_heading(cell) for cell in cells[: len(self.titles)]] == list(
            map(normalise_heading, self.titles)
        )

    def _report(self, place: int) -> None:
        self.bytes_read = min(place, self.size)


_Report = Callable[[int], None]
_OpenRows = Callable[[_Report], Iterator[list[str]]]


def _is_blank(cells: list[str]) -> bool:
    """Nothing but blanks and TABs, as below the orders of some exports."""
    return cells[0][-1:] in BLANK and not any(cell.strip(BLANK) for cell in cells)


def _is_summary(cells: list[str]) -> bool:
    """A sum below the orders: it says so in one of the first cells, and nothing else there is an order's."""
    first = [clean(cell).rstrip(":：") for cell in cells[:3]]
    if any(cell in _SUMMARY for cell in first):
        return True
    return first[0].startswith(_SUMMARY) and not any(map(value_of, cells[1:3]))


def _columns(headings: Sequence[str]) -> dict[str, int]:
    """Place by normalised heading; a repeated heading gets .1, .2."""
    columns: dict[str, int] = {}
    for place, heading in enumerate(headings):
        name, count = normalise_heading(heading), 0
        while (unique := f"{name}.{count}" if count else name) in columns:
            count += 1
        columns[unique] = place
    return columns


def open_sheet(path: Path, known: frozenset[str], scratch: "Scratch", *, at_least: int = KNOWN_AT_LEAST) -> Sheet:
    """Find out what a file is and where its heading row stands; `known` are the normalised headings to look for.

    Raises Invalid with one line for the reader when it cannot be read as an order table.
    """
    name = path.name
    path = _unpacked(path, scratch)
    with path.open("rb") as file:
        magic = file.read(8)
    if not magic:
        raise Invalid(f"{name}：文件是空的，请重新导出")
    if magic.startswith(b"PK"):
        return _from_excel(path, name, known, at_least)
    return _from_text(path, name, magic, known, at_least)


class Scratch:
    """A folder for unpacked files, gone afterwards."""

    def __enter__(self) -> "Scratch":
        self._folder = TemporaryDirectory(prefix="scrm-import-")
        self.path = Path(self._folder.name)
        return self

    def __exit__(self, *error: object) -> None:
        self._folder.cleanup()


def _unpacked(path: Path, scratch: Scratch) -> Path:
    """The file itself, or the only table inside a zip."""
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":
                return path
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and not _is_of_a_mac(info.filename)]
            if any(info.filename == "[Content_Types].xml" for info in members):
                return path
            tables = [info for info in members if info.filename.lower().endswith((".csv", ".txt", ".xlsx"))]
            if len(tables) != 1:
                raise Invalid(f"{path.name}：压缩包里应只有一个订单表格，找到 {len(tables)} 个，请解压后逐个导入")
            if tables[0].flag_bits & 1:
                raise Invalid(f"{path.name}：压缩包有密码，请先用后台给出的密码解压，再导入里面的文件")
            if tables[0].file_size > LARGEST_TEXT:
                raise Invalid(f"{path.name}：解压后超过 8 GB，请按月份分开导出")
            target = scratch.path / f"{len(list(scratch.path.iterdir()))}-{Path(tables[0].filename).name}"
            with archive.open(tables[0]) as source, target.open("wb") as out:
                _copy(source, out)
            return target
    except FileNotFoundError:
        raise Invalid(f"找不到文件 {path}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise Invalid(f"{path}：无法读取（{error.strerror}）") from None
    except NotImplementedError:
        raise Invalid(f"{path.name}：压缩方式读不了，请先解压，再导入里面的表格") from None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise Invalid(f"{path.name}：压缩文件已损坏，请重新下载") from None


def _is_of_a_mac(name: str) -> bool:
    """What a Mac packs beside each file."""
    return name.startswith("__MACOSX/") or Path(name).name.startswith("._")


def _copy(source: IO[bytes], out: IO[bytes]) -> None:
    while block := source.read(1 << 20):
        out.write(block)


# -- Excel


def _from_excel(path: Path, name: str, known: frozenset[str], at_least: int) -> Sheet:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > LARGEST_SHEET:
            raise Invalid(f"{name}：表格太大，请在 Excel 里另存为“CSV UTF-8”后再导入，或按月份分开导出")
        book = CalamineWorkbook.from_path(str(path))
        best: tuple[int, str, int, list[str]] | None = None
        for title in book.sheet_names:
            found = _find_heading(_excel_rows(path, title)(lambda place: None), known, at_least)
            if found and (best is None or found[0] > best[0]):
                best = (found[0], title, found[1], found[2])
    except zipfile.BadZipFile:
        raise Invalid(f"{name}：Excel 文件已损坏，请重新下载") from None
    except CalamineError as error:
        raise Invalid(f"{name}：Excel 文件打不开（{error}），请另存为 CSV 后再导入") from None
    if best is None:
        raise Invalid(_no_heading(name))
    _, title, first, headings = best
    return Sheet(path, name, headings, _excel_rows(path, title), first, is_text=False)


def _excel_rows(path: Path, title: str) -> _OpenRows:
    def rows(report: _Report) -> Iterator[list[str]]:
        sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_name(title)
        size, total = path.stat().st_size, max(sheet.total_height, 1)
        # calamine starts at the first used row; the reader counts as Excel does.
        for _ in range(sheet.start[0] if sheet.start else 0):
            yield []
        for number, cells in enumerate(sheet.iter_rows(), start=1):
            if number % 256 == 0:
                report(size * number // total)
            yield [_excel_text(cell) for cell in cells]

    return rows


def _excel_text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "是" if cell else "否"
    if isinstance(cell, float):
        # More digits than a double holds: an id that Excel has already rounded.
        if abs(cell) >= 1e15:
            return f"{cell:.10E}"
        return str(int(cell)) if cell == int(cell) else repr(cell)
    if isinstance(cell, int):
        return f"{cell:.10E}" if abs(cell) >= 10**15 else str(cell)
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


# -- text


def _from_text(path: Path, name: str, magic: bytes, known: frozenset[str], at_least: int) -> Sheet:
    if magic.startswith(b"\xd0\xcf\x11\xe0"):
        raise Invalid(f"{name}：这是旧版 .xls 或加了密码的 Excel，请另存为 .xlsx 或 CSV 后再导入")
    if magic.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        raise Invalid(f"{name}：这是网页格式的表格，请用 Excel 打开并另存为 CSV 后再导入")
    encoding = _encoding(path, name, magic)
    best: tuple[int, str, int, list[str]] | None = None
    for delimiter in _DELIMITERS:
        found = _find_heading(_text_rows(path, name, encoding, delimiter)(lambda place: None), known, at_least)
        if found and (best is None or found[0] > best[0]):
            best = (found[0], delimiter, found[1], found[2])
    if best is None:
        raise Invalid(_no_heading(name))
    _, delimiter, first, headings = best
    return Sheet(path, name, headings, _text_rows(path, name, encoding, delimiter), first, is_text=True)


def _encoding(path: Path, name: str, magic: bytes) -> str:
    """By the byte order mark, else strict UTF-8, else GB18030, each proved on the whole file."""
    is_wide = magic.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if is_wide else ("utf-8-sig", "gb18030"):
        if _decodes(path, encoding):
            return encoding
    if is_wide:
        raise Invalid(f"{name}：文件开头说是 UTF-16，内容却不完整，可能没有下载完，请重新导出")
    raise Invalid(f"{name}：文字编码既不是 UTF-8 也不是 GBK/GB18030，文件可能损坏，请重新导出")


def _decodes(path: Path, encoding: str) -> bool:
    decoder = getincrementaldecoder(encoding)("strict")
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _text_rows(path: Path, name: str, encoding: str, delimiter: str) -> _OpenRows:
    def rows(report: _Report) -> Iterator[list[str]]:
        number = 0
        with path.open("rb", buffering=1 << 18) as raw, io.TextIOWrapper(raw, encoding, newline="") as text:
            try:
                for number, cells in enumerate(csv.reader(text, delimiter=delimiter), start=1):
                    if number % 256 == 1:
                        report(raw.tell())
                    yield cells
            except csv.Error:
                raise Invalid(
                    f"{name}：第 {number + 1} 行有一格超过 {MOST_IN_CELL:,} 个字，可能是双引号没有配对，请重新导出"
                ) from None

    return rows


def ends_with_line(path: Path) -> bool:
    """Whether a text file's last row is ended; in UTF-16 a zero follows."""
    with path.open("rb") as file:
        file.seek(-min(2, path.stat().st_size), io.SEEK_END)
        return b"\n" in (end := file.read()) or b"\r" in end


def _find_heading(rows: Iterator[list[str]], known: frozenset[str], at_least: int) -> tuple[int, int, list[str]] | None:
    """(how many known headings, row number, headings) of the best of the first rows."""
    best: tuple[int, int, list[str]] | None = None
    try:
        for number, cells in enumerate(rows, start=1):
            score = len({normalise_heading(cell) for cell in cells} & known)
            if score >= at_least and (best is None or score > best[0]):
                best = (score, number, cells)
            if number == HEADER_ROWS:
                break
    except Invalid:
        if best is None:
            raise
    while best and best[2] and not normalise_heading(best[2][-1]):
        best[2].pop()
    return best


def _no_heading(name: str) -> str:
    return f"{name}：前 {HEADER_ROWS} 行里没有找到认识的表头，支持的列名见 docs/import.md"
