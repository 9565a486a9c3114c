"""A report as a file: CSV with a byte order mark, so that Excel reads it, or XLSX with numbers as numbers. Pure."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import xlsxwriter  # type: ignore[import-untyped]

Cell = str | int | float | None

# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The first row is the heading; a CSV file holds the first sheet only."""

    title: str
    rows: Sequence[Sequence[Cell]]


def write(sheets: Sequence[Sheet], suffix: str) -> bytes:
    """`suffix` is csv or xlsx."""
    return _write_csv(sheets[0]) if suffix == "csv" else _write_xlsx(sheets)


def _write_csv(sheet: Sheet) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([[_harmless(cell) for cell in row] for row in sheet.rows])
    return text.getvalue().encode("utf-8-sig")


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _write_xlsx(sheets: Sequence[Sheet]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        bold = book.add_format({"bold": True})
        for each in sheets:
            page = book.add_worksheet(each.title)
            page.set_column(0, 0, 24)
            page.set_column(1, 20, 14)
            page.freeze_panes(1, 0)
            for number, row in enumerate(each.rows):
                for place, cell in enumerate(row):
                    if isinstance(cell, str):
                        page.write_string(number, place, cell, bold if number == 0 else None)
                    elif cell is not None:
                        page.write_number(number, place, cell)
    return out.getvalue()
