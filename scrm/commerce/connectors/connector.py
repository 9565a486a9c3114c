"""What every order-file format provides; a new one is one file and one line in the list."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo

from scrm.commerce.canonical import Order
from scrm.commerce.connectors.reader import Line, Sheet, normalise_heading
from scrm.commerce.connectors.status_words import StatusWords
from scrm.errors import Invalid


@dataclass(frozen=True, slots=True)
class Context:
    """What the file itself does not say."""

    shop_key: str
    zone: ZoneInfo
    # The newest time seen anywhere in the file: how fresh its whole content is.
    exported_at: datetime | None
    words: StatusWords = field(default_factory=StatusWords)


class Reader:
    """Cells by normalised heading, for one sheet; '' where the sheet has no such column."""

    __slots__ = ("_places",)

    def __init__(self, sheet: Sheet, names: Mapping[str, Sequence[str]]) -> None:
        """`names` lists, for each field, the headings it may have."""
        columns = sheet.columns
        self._places: dict[str, int | None] = {
            field: next((columns[h] for h in map(normalise_heading, headings) if h in columns), None)
            for field, headings in names.items()
        }

    def place(self, field: str) -> int | None:
        """Where the field's column stands; None when the sheet has none."""
        return self._places.get(field)

    def get(self, line: Line, field: str) -> str:
        """The raw cell."""
        place = self._places[field]
        return "" if place is None else line.cells[place]

    def has(self, field: str) -> bool:
        """Whether the sheet has such a column."""
        return self._places[field] is not None


def lacking(sheet: Sheet, kind: str, missing: Sequence[str], known: Iterable[str]) -> Invalid:
    """One line for a table without columns that it needs, which names what looks like one under a new name."""
    text = f"{sheet.name}：{kind}缺少列“{'”“'.join(missing)}”"
    plain = {normalise_heading(title): title for title in sheet.titles}
    strange = [name for name in plain if name and name not in set(known)]
    for title in missing:
        if likely := get_close_matches(normalise_heading(title), strange, n=1, cutoff=0.4):
            return Invalid(
                f"{text}。文件里的“{plain[likely[0]].strip()}”像是改了名的“{title}”："
                "请在后台「导入」页为这种表头保存列映射，再导入"
            )
    return Invalid(f"{text}，请在后台勾选后重新导出")


# One order of one file: the rows that make it up, in the file's order, and the detail rows that belong to it.
Build = Callable[[Sequence[Line], Sequence[Line], Context], Order]


@dataclass(frozen=True, slots=True)
class Parser:
    """A format fitted to the sheets at hand."""

    sheet: Sheet
    # Joined by order number; None when one sheet says everything.
    details: Sheet | None
    id_place: int
    detail_id_place: int | None
    # Where times of what has happened stand: the newest of them is the age of the file.
    time_places: tuple[int, ...]
    # Raises ValueError with the reader's words when the rows make no order.
    build: Build


@dataclass(frozen=True, slots=True)
class Connector:
    """An order-file format: how it is recognised, and how its rows become canonical orders."""

    key: str
    title: str
    headings: frozenset[str]
    # Headings that no other format has: two or more of them settle it.
    marks: frozenset[str]
    # Fits the format to sheets; raises Invalid when they are not its own or not complete.
    fit: Callable[[list[Sheet]], Parser]
    # Several files given at once belong together; otherwise each is read on its own.
    joins: bool = False
    # Whoever made the format says what these words for states mean; before ours.
    words: Mapping[str, str] = field(default_factory=dict)
    # Headings that fill the shop's own fields of orders, by key; None: those that are called like a field.
    own: Mapping[str, str] | None = None

    def score(self, sheet: Sheet) -> int:
        """How much a sheet looks like this format."""
        names = sheet.columns.keys()
        return len(names & self.headings) + 10 * len(names & self.marks)
