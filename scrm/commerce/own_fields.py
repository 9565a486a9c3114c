"""Columns of a file that fill the shop's own fields of orders: checked with the row, kept beside the order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from scrm.commerce.connectors import Connector
from scrm.commerce.connectors.mapped import OWN
from scrm.commerce.connectors.reader import Line, Sheet, clean, normalise_heading
from scrm.errors import Invalid
from scrm.profiles.own_fields import fields as custom_fields
from scrm.profiles.own_fields import values
from scrm.profiles.own_fields.values import CustomField, Type


@dataclass(frozen=True, slots=True)
class Fillable:
    """What a file may fill, as another process takes it."""

    fields: tuple[CustomField, ...] = ()
    # userid by itself and by the name that only one member has, folded; empty when no field names a member.
    members: Mapping[str, str] = field(default_factory=dict)

    def headings(self) -> frozenset[str]:
        """Under which a field may stand, normalised."""
        return frozenset(normalise_heading(text) for one in self.fields for text in (one.title, one.key))


def fillable(conn: Connection) -> Fillable:
    """The order's fields that are not reckoned."""
    fields = tuple(one for one in custom_fields.list_fields(conn, "order") if one.type is not Type.FORMULA)
    names_members = any(one.type is Type.MEMBER for one in fields)
    return Fillable(fields, custom_fields.members_by_name(conn) if names_members else {})


class OwnColumns:
    """The columns of one sheet that fill fields: those a mapping names, else those called like a field."""

    def __init__(self, may: Fillable, connector: Connector, sheet: Sheet) -> None:
        self._members = may.members
        self._columns: list[tuple[CustomField, int]] = []
        if connector.own is not None:
            known = {one.key: one for one in may.fields}
            for key, heading in connector.own.items():
                if key not in known:
                    raise Invalid(
                        f"映射“{connector.title}”用到的自定义字段“{key}”已归档，请恢复这个字段，或在「导入」页重新对应各列"
                    )
                self._columns.append((known[key], sheet.columns[normalise_heading(heading)]))
            return
        free = {name: place for name, place in sheet.columns.items() if name not in connector.headings}
        for one in may.fields:
            place = next((free[name] for name in map(normalise_heading, (one.title, one.key)) if name in free), None)
            if place is not None:
                self._columns.append((one, place))

    def read(self, rows: Sequence[Line]) -> dict[str, str]:
        """Text by key, from the first row that fills the column. Raises ValueError in the reader's words."""
        told: dict[str, str] = {}
        for one, place in self._columns:
            text = next((cell for row in rows if (cell := clean(row.cells[place]))), "")
            if text:
                values.read(one, text)
                told[one.key] = self._member(one, text) if one.type is Type.MEMBER else text
        return told

    def _member(self, one: CustomField, text: str) -> str:
        userid = self._members.get(text.casefold())
        if userid is None:
            raise ValueError(f"“{one.title}”找不到员工“{text[:40]}”（或有多位同名），请填员工账号（userid）")
        return userid


def columns_for(fields: Sequence[CustomField]) -> dict[str, str]:
    """What a form of a mapping asks for besides the order's own columns: name of the column -> title."""
    return {f"{OWN}{one.key}": one.title for one in fields}
