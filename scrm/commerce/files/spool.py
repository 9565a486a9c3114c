"""A scratch file that finds rows by order number, so that memory does not grow with an imported file."""

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

import msgspec

from scrm.commerce.connectors.reader import Line

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[str, ...]).decode
_BATCH = 2000


class Spool:
    """Rows of one sheet by order number; closed and gone with its folder."""

    def __init__(self, path: Path) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._conn.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384;"
            "CREATE TABLE seen (order_no TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE line (number INTEGER PRIMARY KEY, order_no TEXT NOT NULL, cells BLOB NOT NULL);"
        )

    def see(self, numbers: Iterable[str]) -> int:
        """Remember order numbers; returns how many were new."""
        before = self._conn.total_changes
        self._conn.execute("BEGIN")
        self._conn.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((number,) for number in numbers))
        self._conn.execute("COMMIT")
        return self._conn.total_changes - before

    def keep(self, lines: Iterable[tuple[str, Line]]) -> None:
        """Take in the rows of a sheet, each with its order number."""
        iterator = iter(lines)
        while batch := list(islice(iterator, _BATCH)):
            self._conn.execute("BEGIN")
            self._conn.executemany(
                "INSERT INTO line VALUES (?, ?, ?)", ((line.number, no, _pack(line.cells)) for no, line in batch)
            )
            self._conn.execute("COMMIT")
        self._conn.execute("CREATE INDEX IF NOT EXISTS line_order ON line (order_no, number)")

    def of_order(self, order_no: str) -> list[Line]:
        """The rows of one order, in the file's order; at most 1,001."""
        rows = self._conn.execute(
            "SELECT number, cells FROM line WHERE order_no = ? ORDER BY number LIMIT 1001", (order_no,)
        )
        return [Line(number, _unpack(cells)) for number, cells in rows]

    def groups(self) -> Iterator[tuple[str, list[Line]]]:
        """Every order number with its rows, at most 1,001; rows without a number one by one."""
        rows = self._conn.execute("SELECT order_no, number, cells FROM line ORDER BY order_no, number")
        for order_no, group in groupby(rows, key=itemgetter(0)):
            lines = (Line(number, _unpack(cells)) for _, number, cells in group)
            if order_no:
                yield order_no, list(islice(lines, 1001))
            else:
                for line in lines:
                    yield order_no, [line]

    def orphans(self, orders: "Spool") -> Iterator[tuple[str, list[Line]]]:
        """Order numbers with their rows that `orders` has never seen."""
        for order_no, lines in self.groups():
            if orders._conn.execute("SELECT 1 FROM seen WHERE order_no = ?", (order_no,)).fetchone() is None:
                yield order_no, lines

    def close(self) -> None:
        self._conn.close()
