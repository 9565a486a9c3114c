"""Translations by their Chinese text, read once from the .po file of a language."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

FOLDER = Path(__file__).parent
_ISLANDS = "web/islands/"


@dataclass(frozen=True, slots=True)
class Script:
    """What the islands say, as a script of its own: only readers of another language fetch it."""

    name: str
    body: str


def find(language: str, text: str, values: Mapping[str, object]) -> str:
    """The translation of `text`, in the form that its first number asks for; `text` itself when there is none."""
    forms = _forms(language).get(text)
    if not forms:
        return text
    return forms[0] if len(forms) == 1 else forms[_plural(text, values)]


def _plural(text: str, values: Mapping[str, object]) -> int:
    numbers = (values.get(name) for _, name, _, _ in Formatter().parse(text) if name)
    first = next((number for number in numbers if isinstance(number, int)), None)
    return 0 if first == 1 else 1


@cache
def _forms(language: str) -> dict[str, tuple[str, ...]]:
    return dict(_entries(language))


def _entries(language: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(key_of(message.id), forms_of(message)) for message in read(language) if message.id]


@cache
def script(language: str) -> Script:
    """The islands' texts as `window.texts`; the name changes with the content."""
    wanted = {
        key_of(message.id)
        for message in read(language)
        if any(path.startswith(_ISLANDS) for path, _ in message.locations)
    }
    texts = {
        key: forms[0] if len(forms) == 1 else forms for key, forms in _entries(language) if key in wanted and forms
    }
    body = f"window.texts={json.dumps(texts, ensure_ascii=False, separators=(',', ':'))};\n"
    return Script(f"{language}-{hashlib.sha256(body.encode()).hexdigest()[:8]}.js", body)


@cache
def read(language: str) -> Catalog:
    """The catalogue of a language that has one."""
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def key_of(message_id: str | tuple[str, ...] | list[str]) -> str:
    """The Chinese text; it is the same for one and for many."""
    return message_id if isinstance(message_id, str) else message_id[0]


def forms_of(message: Message) -> tuple[str, ...]:
    """The translation, as one form or as one and many; nothing while a form is missing."""
    string = message.string or ""
    forms = (string,) if isinstance(string, str) else tuple(string)
    return forms if all(forms) else ()
