"""A table of anybody's headings, read by a mapping that a person has saved: our field -> their heading."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from scrm.commerce.canonical import Order
from scrm.commerce.connectors import generic
from scrm.commerce.connectors.connector import Build, Connector, Context, Parser
from scrm.commerce.connectors.reader import Line, Sheet, normalise_heading
from scrm.errors import Invalid

REQUIRED = ("order_no", "ordered_at")
PREFIX = "mapped:"
# Before the key of a field of the shop's own.
OWN = "own."
# Chinese titles of our fields, in the order in which a form asks for them.
FIELDS: Mapping[str, str] = {
    name: next((heading for heading in headings if not heading.isascii()), headings[0])
    for name, headings in generic.ORDER_NAMES.items()
} | {"unionid": "UnionID", "external_userid": "企业微信客户 ID"}


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """`columns` by our field; `channel` where the file has no such column; `statuses`, their word -> ours."""

    name: str
    columns: Mapping[str, str]
    channel: str = ""
    statuses: Mapping[str, str] | None = None

    def connector(self) -> Connector:
        """Raises Invalid for a field that we do not know, or when a required one has no heading."""
        if unknown := [name for name in self.columns if name not in FIELDS and not name.startswith(OWN)]:
            raise Invalid(f"没有字段“{unknown[0][:40]}”，可用：{'、'.join(FIELDS)}")
        if missing := [FIELDS[name] for name in REQUIRED if not self.columns.get(name)]:
            raise Invalid(f"还没有为“{'”“'.join(missing)}”选列")
        headings = frozenset(normalise_heading(heading) for heading in self.columns.values() if heading)
        return Connector(
            key=f"{PREFIX}{self.name}",
            title=self.name,
            headings=headings,
            marks=headings,
            fit=partial(fit, self),
            own={
                name.removeprefix(OWN): heading
                for name, heading in self.columns.items()
                if heading and name.startswith(OWN)
            },
            words={normalise_heading(word): status for word, status in (self.statuses or {}).items()},
        )


def signature(headings: Iterable[str]) -> str:
    """The same for the same headings, in whatever order; 64 hex characters."""
    names = sorted({normalise_heading(heading) for heading in headings} - {""})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def fit(mapping: ColumnMapping, sheets: list[Sheet]) -> Parser:
    """One sheet with the mapping's columns; raises Invalid that names those it lacks."""
    sheet = sheets[0]
    absent = [
        heading for heading in mapping.columns.values() if heading and normalise_heading(heading) not in sheet.columns
    ]
    if absent:
        raise Invalid(f"{sheet.name}：没有列“{'”“'.join(absent[:5])}”，与映射“{mapping.name}”不符")
    names = {name: (heading,) for name, heading in mapping.columns.items() if heading}
    parser = generic.fit_names(sheet, {name: names.get(name, ()) for name in generic.ORDER_NAMES})
    build = parser.build
    if mapping.channel and "channel" not in names:
        build = partial(_build, parser.build, mapping.channel)
    return Parser(
        sheet=sheet,
        details=None,
        id_place=parser.id_place,
        detail_id_place=None,
        time_places=parser.time_places,
        build=build,
    )


def _build(build: Build, channel: str, rows: Sequence[Line], details: Sequence[Line], context: Context) -> Order:
    order = build(rows, details, context)
    order.channel = channel
    return order
