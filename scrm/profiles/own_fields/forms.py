"""Pure: what a form of the shop's own fields posts, as values to set."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from scrm.profiles.own_fields.values import CustomField, Type

PREFIX = "own."
CLEARS = "own-clear."


class Posted(Protocol):
    """The fields of a form, as aiohttp gives them."""

    def get(self, key: str, default: str = "", /) -> object: ...

    def getall(self, key: str, default: Sequence[str] = (), /) -> Sequence[object]: ...


def read_form(fields: Iterable[CustomField], form: Posted) -> dict[str, Any]:
    """By key what the form says of each field; a phone that nobody typed stays as it is."""
    given: dict[str, Any] = {}
    for field in fields:
        name = PREFIX + field.key
        if field.type is Type.FORMULA:
            continue
        if field.type is Type.MULTI_SELECT:
            given[field.key] = [str(each) for each in form.getall(name, ())]
        elif field.type is Type.PHONE:
            text = str(form.get(name, "")).strip()
            if text or form.get(CLEARS + field.key, ""):
                given[field.key] = text
        else:
            given[field.key] = str(form.get(name, ""))
    return given
