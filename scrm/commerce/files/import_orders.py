"""Order files into orders: looked through once, then read order by order; each order whole or not at all."""

import asyncio
import csv
import gc
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from scrm.clock import Clock
from scrm.commerce import status_words
from scrm.commerce.connectors import KNOWN_HEADINGS, Connector, Parser, find_connector, recognise
from scrm.commerce.connectors.reader import Line, Scratch, Sheet, clean, open_sheet
from scrm.commerce.connectors.status_words import Seen, join
from scrm.commerce.files import log as import_log
from scrm.commerce.files.fresh import Outcome, save_prepared
from scrm.commerce.files.prepared import Prepared
from scrm.commerce.files.process import chunks_of
from scrm.commerce.files.reading import Bad, Chunk, Reading
from scrm.commerce.own_fields import Fillable, fillable
from scrm.db import Database, Priority
from scrm.db.serving import Turn, in_turns
from scrm.db.vault import Vault

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
    # The first few fields of the shop's own that could not be filled.
    notes: list[str] = field(default_factory=list)
    # The first few order numbers that were read, for people to recognise.
    examples: list[str] = field(default_factory=list)
    # Words for states that nobody knows.
    strange: dict[str, Seen] = field(default_factory=dict)
    format: str = ""
    # How many orders an earlier run of the same file, broken off, had kept already.
    resumed: int = 0

    def as_dict(self) -> dict[str, int]:
        """The figures alone."""
        return {name: getattr(self, name) for name in _FIGURES}


_FIGURES = ("orders", "lines", "created", "updated", "unchanged", "rejected")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: `share` from 0 to 1 by bytes, orders done so far."""

    share: float
    orders: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Into:
    """Where orders go, and under whose name; `only_new` leaves orders alone that are there already."""

    db: Database
    vault: Vault
    clock: Clock
    zone: ZoneInfo
    shop_key: str = ""
    dry_run: bool = False
    only_new: bool = False


async def import_orders(
    into: Into,
    paths: Sequence[Path],
    *,
    format_key: str | None = None,
    connector: Connector | None = None,
    report: Report | None = None,
) -> Counts:
    """Import files of one format; what cannot be used goes to NAME.errors.csv, ready to be mended and imported.

    `connector` may be a saved mapping. A run that was broken off is taken up where it stopped, and ends as one that
    was not. Raises Invalid when a file is no order table at all.
    """
    counts = Counts()
    if connector is None and format_key:
        connector = find_connector(format_key)
    own = await into.db.read(fillable)
    known = KNOWN_HEADINGS | own.headings() | (connector.headings if connector is not None else frozenset())
    with Scratch() as scratch:
        sheets = [await asyncio.to_thread(open_sheet, path, known, scratch) for path in paths]
        connector = connector or recognise(sheets)
        counts.format = connector.key
        whole = [list(range(len(sheets)))] if connector.joins else [[place] for place in range(len(sheets))]
        for number, places in enumerate(whole):
            files = [paths[place] for place in places]
            one = _Import(into, connector, files, [sheets[place] for place in places], counts, own)
            await one.run(scratch.path, str(number), _telling(report, number, len(whole), counts))
    return counts


def _telling(report: Report | None, number: int, files: int, counts: Counts) -> Callable[[float], None]:
    def tell(share: float) -> None:
        if report is not None:
            report(Progress(min((number + share) / files, 1.0), counts.orders))

    return tell


class _Import:
    """One file, or a pair that belongs together."""

    def __init__(
        self,
        into: Into,
        connector: Connector,
        files: list[Path],
        sheets: list[Sheet],
        counts: Counts,
        own: Fillable,
    ) -> None:
        self.into, self.connector, self.files, self.sheets, self.counts = into, connector, files, sheets, counts
        self.parser, self.own = connector.fit(sheets), own
        self._id = 0
        # Orders of this file that are done, and how many of them an earlier run has left us.
        self._done = self._skip = 0
        self._strange: dict[str, Seen] = {}

    async def run(self, folder: Path, name: str, tell: Callable[[float], None]) -> None:
        """Read ahead in a thread or another process while the chunk before is written."""
        into = self.into
        errors = _ErrorFiles(self.files, self.sheets, dry_run=into.dry_run)
        words = await into.db.read(status_words.own_words, status_words.of_file(self.connector.key))
        reading = Reading(into.shop_key, into.zone, into.vault, into.clock.now(), words, self.own)
        try:
            await self._start()
            chunks = chunks_of(reading, self.connector, self.files, self.sheets, folder, name)
            # Closed here and now: who breaks off leaves no process that goes on reading.
            async with aclosing(chunks):
                async for chunk in chunks:
                    await asyncio.to_thread(errors.add, self.parser, chunk.bad)
                    self._count(chunk)
                    await self._save(chunk)
                    tell(chunk.share)
            await self._finish()
            self.counts.error_files += errors.finish()
            tell(1.0)
        finally:
            errors.discard()

    def _count(self, chunk: Chunk) -> None:
        counts = self.counts
        counts.rejected += len(chunk.bad)
        counts.orders += len(chunk.bad)
        counts.reasons += [item.reason for item in chunk.bad[: _SHOWN - len(counts.reasons)]]
        counts.examples += chunk.good.order_no[: 3 - len(counts.examples)]
        join(self._strange, chunk.strange)

    async def _save(self, chunk: Chunk) -> None:
        """What an earlier run has kept is passed over; its figures are ours already."""
        start = min(max(self._skip - self._done, 0), len(chunk.good))
        self._done += start
        async for turn in in_turns(self.into.db.url, self.into.clock, range(start, len(chunk.good))):
            await self._save_at_once(turn, chunk.good.part(turn.rows))

    async def _save_at_once(self, turn: Turn[int], batch: Prepared) -> None:
        into = self.into
        how = {"now": into.clock.now(), "vault": into.vault, "only_new": into.only_new}
        done = self._done + len(turn.rows)
        try:
            outcome = await into.db.write_as(Priority.IMPORT, turn.timed(self._keep), batch, done=done, **how)
        except _Undo as undo:
            outcome = undo.outcome
        self._done = done
        self._add(outcome)

    def _keep(self, conn: Connection, /, batch: Prepared, *, done: int, **how: Any) -> Outcome:
        """The chunk, and in the same transaction how far we are."""
        outcome = save_prepared(conn, batch, **how)
        if self.into.dry_run:
            raise _Undo(outcome)
        figures = self.counts.as_dict()
        for name, more in (("created", outcome.created), ("updated", outcome.updated), ("lines", outcome.lines)):
            figures[name] += more
        figures["unchanged"] += outcome.unchanged
        import_log.note(conn, self._id, counts=figures | {"done": done})
        return outcome

    def _add(self, outcome: Outcome) -> None:
        counts = self.counts
        counts.created += outcome.created
        counts.updated += outcome.updated
        counts.unchanged += outcome.unchanged
        counts.lines += outcome.lines
        counts.notes += outcome.notes[: _SHOWN - len(counts.notes)]
        counts.orders += outcome.created + outcome.updated + outcome.unchanged

    async def _start(self) -> None:
        if self.into.dry_run:
            return
        sha256 = await asyncio.to_thread(_hash, self.files)
        self._id, left = await self.into.db.write(
            import_log.start,
            file_name=" + ".join(path.name for path in self.files),
            sha256=sha256,
            format=self.connector.key,
            shop_key=self.into.shop_key,
            now=self.into.clock.now(),
        )
        self._skip = left.get("done", 0)
        self.counts.resumed += self._skip
        kept: dict[str, Any] = {name: left.get(name, 0) for name in ("created", "updated", "unchanged", "lines")}
        self._add(Outcome(**kept))

    async def _finish(self) -> None:
        join(self.counts.strange, self._strange)
        if not self.into.dry_run:
            await self.into.db.write(self._note_end, now=self.into.clock.now())

    def _note_end(self, conn: Connection, /, *, now: datetime) -> None:
        import_log.finish(conn, self._id, counts=self.counts.as_dict(), now=now)
        status_words.note(conn, status_words.of_file(self.connector.key), self._strange, now=now)


class _Undo(Exception):
    """Carries the results of a dry run out of the transaction that it undoes."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("a dry run")
        self.outcome = outcome


class _ErrorFiles:
    """NAME.errors.csv beside each file, there when the whole import is done; NAME.errors.csv may itself be imported."""

    def __init__(self, originals: list[Path], sheets: list[Sheet], *, dry_run: bool) -> None:
        self._targets = {id(sheet): errors_path(path) for path, sheet in zip(originals, sheets, strict=True)}
        self._keeps = not dry_run
        self._open: dict[int, tuple[Path, IO[str], Any]] = {}

    def add(self, parser: Parser, items: list[Bad]) -> None:
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


def errors_path(path: Path) -> Path:
    """Where the rows that cannot be used go: beside the file, or here when that folder is not ours."""
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
    """For a process that does nothing but import: orders make many short-lived objects and no cycles.

    asyncpg makes a few thousand cycles a second, with the rows they sent: they must not wait for a hundred thousand.
    """
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)
