"""Codes that a shop made elsewhere, one a line, into a batch's pool."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from scrm.clock import Clock, SystemClock
from scrm.commerce.connectors.reader import Scratch, Sheet, clean, ends_with_line, normalise_heading, open_sheet
from scrm.commerce.coupons import store as coupons
from scrm.db import Database, Priority
from scrm.db.serving import in_turns
from scrm.errors import Invalid

_HEADINGS = ("券码", "优惠券码", "兑换码", "code", "coupon_code")
_CHUNK = 1000
# Number of the row, what stands for a code, and why it is none that was exported whole.
_Read = tuple[int, str, str]


@dataclass(slots=True)
class CodeCounts:
    """What came of a file of codes; `rejected` names the lines that hold none."""

    codes: int = 0
    added: int = 0
    known: int = 0
    rejected: list[str] = field(default_factory=list)


async def import_codes(db: Database, path: Path, batch_key: str, clock: Clock | None = None) -> CodeCounts:
    """Read codes (text, one a line, or a table with a column 券码) into the pool; a code counts once in all batches.

    Raises Invalid when the batch is unknown or takes no codes, or the file cannot be read.
    """
    await db.read(_require_pool, batch_key)
    counts, clock = CodeCounts(), clock or SystemClock()
    pending: dict[str, None] = {}
    rows = _read_codes(path)
    cut = _find_cut(path, rows)
    for number, text, why in rows:
        counts.codes += 1
        code = clean(text)
        if why or number == cut:
            counts.rejected.append(f"第 {number} 行：{why or _CUT.format(code[:30])}")
            continue
        if not 4 <= len(code) <= 64 or any(mark.isspace() for mark in code):
            counts.rejected.append(f"第 {number} 行：券码应为 4 到 64 个字符、没有空格，看到“{code[:30]}”")
            continue
        if code in pending:
            counts.known += 1
            continue
        pending[code] = None
        if len(pending) == _CHUNK:
            await _add(db, batch_key, list(pending), counts, clock)
            pending.clear()
    await _add(db, batch_key, list(pending), counts, clock)
    return counts


async def _add(db: Database, batch_key: str, codes: list[str], counts: CodeCounts, clock: Clock) -> None:
    async for turn in in_turns(db.url, clock, codes):
        added = await db.write_as(Priority.IMPORT, turn.timed(coupons.add_codes), batch_key, turn.rows)
        counts.added += added
        counts.known += len(turn.rows) - added


def _require_pool(conn: Connection, batch_key: str) -> None:
    kind = coupons.find_batch_kind(conn, batch_key)
    if kind is None:
        known = "、".join(coupons.list_batch_keys(conn)) or "还没有"
        raise Invalid(f"没有券批次 {batch_key}，现有批次：{known}")
    if kind != "pool":
        raise Invalid(f"券批次 {batch_key} 由系统生成券码，不需要导入；只有 kind: pool 的批次使用导入的券码")


_CUT = "券码“{}”比其他券码都短，文件也没有换行结尾，像是没有下载完整，请重新导出"


def _find_cut(path: Path, rows: list[_Read]) -> int:
    """The row within whose code a text file broke off: all others are of one length, this one is shorter."""
    lengths = {len(clean(text)) for _, text, _ in rows[:-1]}
    if len(rows) < 3 or len(lengths) > 1 or path.suffix.lower() in (".xlsx", ".zip") or ends_with_line(path):
        return 0
    number, text, _ = rows[-1]
    return number if len(clean(text)) < lengths.pop() else 0


def _read_codes(path: Path) -> list[_Read]:
    with Scratch() as scratch:
        try:
            return _from_table(open_sheet(path, frozenset(map(normalise_heading, _HEADINGS)), scratch, at_least=1))
        except Invalid:
            if path.suffix.lower() in (".xlsx", ".zip") or not path.is_file():
                raise
        text = path.read_bytes()
    try:
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Invalid(f"{path.name}：应为 UTF-8 文本，每行一个券码") from None
    return [(number, line, "") for number, line in enumerate(lines, start=1) if clean(line)]


def _from_table(sheet: Sheet) -> list[_Read]:
    place = next(place for heading, place in sheet.columns.items() if heading in _HEADINGS)
    return [(line.number, line.cells[place], sheet.why_cut(line)) for line in sheet.rows()]
