"""Company scripts as a table: taken away as CSV or XLSX, brought in again; the same columns both ways."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter  # type: ignore[import-untyped]
from sqlalchemy import Connection, Row

from scrm.commerce.connectors.reader import Scratch, clean, normalise_heading, open_sheet
from scrm.content.attachments import media_name
from scrm.content.library import keep, store
from scrm.content.library.keep import Placed
from scrm.content.library.said import Said
from scrm.errors import Invalid, ScrmError

COLUMNS = ("一级分组", "二级分组", "标题", "内容", "编号", "有效期至", "附件")
TOLD = ("状态", "发送次数")
MOST_ROWS = 5000
AT_A_TIME = 100
_STATES = {"used": "已启用", "draft": "草稿", "pending": "待审批", "expired": "已过期", "stopped": "已停用"}
_FILES = {"图片": "image", "视频": "video", "文件": "file"}
_LINK = ("title", "url", "desc", "cover")
_PROGRAM = ("title", "appid", "page", "cover")
# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t")


@dataclass(slots=True)
class Brought:
    """What came of a table: counts, and a line for each row that could not be used."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    pending: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: "Brought") -> "Brought":
        return Brought(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.pending + other.pending,
            [*self.problems, *other.problems],
        )


# Taking away ----------------------------------------------------------------------------------------------------------


def rows_of(
    scripts: Iterable[Row[Any]], folders: Sequence[Row[Any]], now: datetime, zone: ZoneInfo
) -> Iterator[list[str]]:
    """One row a script, the headings first."""
    by_id = {row.id: row for row in folders}
    yield [*COLUMNS, *TOLD]
    for row in scripts:
        inside = by_id.get(row.folder_id)
        top = by_id.get(inside.parent_id) if inside is not None and inside.parent_id is not None else inside
        until = (row.expires_at - timedelta(seconds=1)).astimezone(zone).date().isoformat() if row.expires_at else ""
        yield [
            top.title if top is not None else "",
            inside.title if inside is not None and inside is not top else "",
            row.title,
            row.text,
            row.key or "",
            until,
            "\n".join(map(write_attachment, row.attachments or ())),
            _STATES[keep.state_of(row, now)],
            str(row.uses),
        ]


def table(rows: Iterable[Sequence[str]], suffix: str) -> bytes:
    """`csv` with a byte order mark, so that Excel reads it, or `xlsx` with every cell as text."""
    if suffix == "csv":
        text = io.StringIO()
        csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in rows])
        return text.getvalue().encode("utf-8-sig")
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet = book.add_worksheet("话术")
        words, bold = (
            book.add_format({"num_format": "@", "text_wrap": True, "valign": "top"}),
            book.add_format({"bold": True}),
        )
        sheet.set_column(0, 2, 16, words)
        sheet.set_column(3, 3, 60, words)
        sheet.set_column(4, 8, 18, words)
        sheet.freeze_panes(1, 0)
        for number, row in enumerate(rows):
            for place, cell in enumerate(row):
                sheet.write_string(number, place, cell, bold if number == 0 else words)
    return out.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def write_attachment(each: Mapping[str, Any]) -> str:
    """「图片：hello.png」「链接：标题 | 网址 | 描述 | 封面」"""
    if name := media_name(each):
        kind = next(title for title, key in _FILES.items() if key in each)
        return f"{kind}：{name}"
    if "radar" in each:
        return f"雷达：{each['radar']}"
    ((kind, card),) = each.items()
    names, title = (_LINK, "链接") if kind == "link" else (_PROGRAM, "小程序")
    known = {**card, "cover": card.get("picture") or card.get("picurl", "")}
    return f"{title}：" + " | ".join(known.get(name, "") for name in names).rstrip(" |")


# Bringing in ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table as people wrote it."""

    number: int
    folders: tuple[str, str]
    said: Said
    key: str
    until: str


def read(path: Path) -> list[Line]:
    """Raises Invalid with one line when it is no such table."""
    known = frozenset(map(normalise_heading, COLUMNS))
    with Scratch() as scratch:
        try:
            sheet = open_sheet(path, known, scratch, at_least=2)
        except Invalid as error:
            if "没有找到认识的表头" in error.text:
                raise Invalid(f"没有找到表头。第一行要有这些列：{'、'.join(COLUMNS)}；可以先导出一份看看") from None
            raise
        places = {name: sheet.columns.get(normalise_heading(name)) for name in COLUMNS}
        if places["标题"] is None or (places["内容"] is None and places["附件"] is None):
            raise Invalid("表格里要有“标题”和“内容”两列，请对照导出的表格修改")
        lines = []
        for line in sheet.rows():
            lines.append(_line(line.number, {name: _cell(line.cells, place) for name, place in places.items()}))
            if len(lines) > MOST_ROWS:
                raise Invalid(f"一次最多导入 {MOST_ROWS:,} 条，请分成几个文件")
    return lines


def _cell(cells: Sequence[str], place: int | None) -> str:
    return "" if place is None else clean(cells[place]).strip()


def _line(number: int, cells: Mapping[str, str]) -> Line:
    attachments = tuple(read_attachment(text) for text in cells["附件"].splitlines() if text.strip())
    said = Said(cells["标题"], cells["内容"].replace("\r\n", "\n"), attachments)
    return Line(number, (cells["一级分组"], cells["二级分组"]), said, cells["编号"], cells["有效期至"])


def read_attachment(text: str) -> dict[str, Any]:
    """As `write_attachment` writes it; what is not understood is kept as it stands, and refused with its words."""
    kind, rest = ([*re.split("[:：]", text.strip(), maxsplit=1), ""])[:2]
    kind, parts = kind.strip(), [part.strip() for part in rest.split("|")]
    if kind in _FILES:
        return {_FILES[kind]: rest.strip()}
    if kind == "雷达":
        return {"radar": rest.strip()}
    if kind in ("链接", "小程序"):
        names = _LINK if kind == "链接" else _PROGRAM
        card = dict(zip(names, parts, strict=False))
        cover = card.pop("cover", "")
        if cover:
            card["picurl" if cover.startswith("http") else "picture"] = cover
        return {"link" if kind == "链接" else "miniprogram": {key: value for key, value in card.items() if value}}
    return {text.strip()[:40]: ""}


def read_until(text: str, zone: ZoneInfo) -> datetime | None:
    """The end of that day in the shop's zone."""
    if not text:
        return None
    try:
        day = datetime.fromisoformat(text.replace("/", "-")[:10]).date()
        return datetime.combine(day + timedelta(days=1), time(), zone)
    except (ValueError, OverflowError):
        raise Invalid(f"有效期写的是“{text[:20]}”，请写成 2026-12-31 这样的日期，一直有效就不填") from None


def bring_in(conn: Connection, lines: Sequence[Line], by: str, *, zone: ZoneInfo, now: datetime) -> Brought:
    """Each row by itself: one that cannot be used does not keep the others out."""
    brought = Brought()
    for line in lines:
        try:
            _bring_one(conn, line, by, brought, zone, now)
        except ScrmError as error:
            brought.problems.append(f"第 {line.number} 行“{line.said.title[:20]}”：{error.text}")
    return brought


def _bring_one(conn: Connection, line: Line, by: str, brought: Brought, zone: ZoneInfo, now: datetime) -> None:
    problems = [found.text for found in keep.check(conn, line.said) if found.blocks]
    if problems:
        raise Invalid("；".join(problems[:3]))
    until = read_until(line.until, zone)
    folder_id = _folder(conn, line.folders)
    before = store.find_by_key(conn, line.key) if line.key else None
    before = before or store.find_by_title(conn, folder_id, line.said.title)
    key = line.key or (before.key if before is not None and before.key else "")
    placed = Placed(folder_id, key, until)
    script_id = before.id if before is not None else None
    saved = keep.save(conn, script_id, line.said, placed, by, publish=True, now=now)
    if saved.state == "pending":
        brought.pending += 1
    elif before is None:
        brought.created += 1
    elif saved.version == before.version and (before.folder_id, before.key or "", before.expires_at) == (
        folder_id,
        key,
        until,
    ):
        brought.unchanged += 1
    else:
        brought.updated += 1


def _folder(conn: Connection, titles: tuple[str, str]) -> int | None:
    """The folder of these names; made when it is not there."""
    parent: int | None = None
    if titles[1] and not titles[0]:
        raise Invalid("写了二级分组，没有写一级分组")
    for title in filter(None, titles):
        found = next((row for row in store.list_folders(conn) if row.title == title and row.parent_id == parent), None)
        parent = found.id if found is not None else keep.save_folder(conn, None, title, parent)
    return parent
