"""Customers as a file: the columns somebody looks at, written row by row into XLSX or CSV beside the other files."""

import asyncio
import csv
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import xlsxwriter  # type: ignore[import-untyped]
from sqlalchemy import Row

from scrm.customer_lists import bulk_store, columns
from scrm.customer_lists.columns import Cell, Column, Shown
from scrm.customer_lists.people import Customer, list_these
from scrm.services import Services

SUFFIXES = ("xlsx", "csv")
TYPES = {"csv": "text/csv", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
Rows = Sequence[Sequence[Cell]]
_CHUNK = 500
_KEPT = timedelta(days=7)
# What a spreadsheet would run as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def folder_of(services: Services) -> Path:
    return services.settings.content.media_dir.parent / "exports"


async def run(services: Services, job: Row[Any]) -> None:
    """Write the file of a job; broken off it is begun anew, and is there only when it is whole."""
    if job.state != "running":
        return
    name, chosen = f"customers-{job.id}.{job.choice['suffix']}", columns.chosen(job.choice["columns"])
    shown = Shown(services.settings.shop.zone, services.clock.now())

    async def read() -> AsyncIterator[Rows]:
        after = 0
        while ids := await services.db.read(bulk_store.list_people, job.id, after=after, limit=_CHUNK):
            people = await services.db.read(list_these, ids)
            yield await asyncio.to_thread(_rows, people, chosen, shown)
            after = ids[-1]

    written = await keep(services, job, name, "客户", _heading(chosen), read())
    if written is not None:
        await services.db.write(bulk_store.finish_export, job.id, name, written, now=services.clock.now())


async def keep(
    services: Services, job: Row[Any], name: str, title: str, heading: Sequence[Cell], chunks: AsyncIterator[Rows]
) -> int | None:
    """Write all of it into the file `name`, and how far it has come into the job. How many rows; None: it was cancelled."""
    folder = folder_of(services)
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    unfinished, written, state = folder / f"{name}.part", 0, "running"
    async with opened_sheet(unfinished, job.choice["suffix"], title) as sheet:
        sheet.write(heading)
        async for rows in chunks:
            await asyncio.to_thread(sheet.write_all, rows)
            written += len(rows)
            state = await services.db.write(_note, job.id, written)
            if state != "running":
                break
            await services.worker.give_way()
    if (await services.db.read(bulk_store.get_job, job.id)).state != "running":
        with suppress(FileNotFoundError):
            await asyncio.to_thread(unfinished.unlink)
        return None
    await asyncio.to_thread(unfinished.replace, folder / name)
    return written


def _note(conn: Any, job_id: int, written: int) -> str:
    bulk_store.change(conn, job_id, done=written)
    return str(bulk_store.get_job(conn, job_id).state)


def _heading(chosen: Sequence[Column]) -> list[Cell]:
    return ["客户", "备注", *(each.title for each in chosen), "客户 ID", "编号"]


def _rows(people: Sequence[Customer], chosen: Sequence[Column], shown: Shown) -> list[list[Cell]]:
    return [
        [
            one.name,
            one.remark,
            *(each.cell(one, shown) for each in chosen),
            one.contact.external_userid if one.contact is not None else "",
            one.person.id,
        ]
        for one in people
    ]


class Sheet:
    """A file that grows row by row; the first row is the heading."""

    def write(self, row: Sequence[Cell]) -> None:
        raise NotImplementedError

    def write_all(self, rows: Rows) -> None:
        """One row after the other."""
        for row in rows:
            self.write(row)


class _Csv(Sheet):
    """With a byte order mark, so that Excel reads it."""

    def __init__(self, out: Any) -> None:
        self._writer = csv.writer(out)

    def write(self, row: Sequence[Cell]) -> None:
        self._writer.writerow([_harmless(cell) for cell in row])


def _harmless(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


class _Xlsx(Sheet):
    """Rows go to the disk as they come: memory does not grow with them."""

    def __init__(self, book: Any, title: str) -> None:
        self._page, self._bold, self._number = book.add_worksheet(title), book.add_format({"bold": True}), 0
        self._page.set_column(0, 20, 16)
        self._page.freeze_panes(1, 0)

    def write(self, row: Sequence[Cell]) -> None:
        for place, cell in enumerate(row):
            if isinstance(cell, str):
                self._page.write_string(self._number, place, cell, None if self._number else self._bold)
            elif cell is not None:
                self._page.write_number(self._number, place, cell)
        self._number += 1


@contextmanager
def open_sheet(path: Path, suffix: str, title: str) -> Iterator[Sheet]:
    """A file of one of SUFFIXES; memory does not grow with it."""
    if suffix == "csv":
        with path.open("w", encoding="utf-8-sig", newline="") as out:
            yield _Csv(out)
        return
    with xlsxwriter.Workbook(str(path), {"constant_memory": True}) as book:
        yield _Xlsx(book, title)


@asynccontextmanager
async def opened_sheet(path: Path, suffix: str, title: str) -> AsyncIterator[Sheet]:
    """`open_sheet` beside the event loop: at its end a large workbook is packed for seconds."""
    with ExitStack() as stack:
        yield stack.enter_context(open_sheet(path, suffix, title))
        await asyncio.to_thread(stack.close)


async def tick(services: Services) -> None:
    """Files of a week ago go, and jobs of a quarter ago with what became of each."""
    now = services.clock.now()
    files = await services.db.write(bulk_store.forget_files, before=now - _KEPT)
    files += await services.db.write(bulk_store.forget_old, now=now)
    for name in files:
        with suppress(FileNotFoundError):
            await asyncio.to_thread((folder_of(services) / name).unlink)
