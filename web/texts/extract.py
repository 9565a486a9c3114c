"""`python -m web.texts.extract`: brings en.po in step with the sources; new texts wait there for their English."""

import re
import sys
from collections.abc import Iterator
from io import BytesIO

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import write_po

from web.texts.catalogue import FOLDER, forms_of, key_of, read

ROOT = FOLDER.parent.parent
KEYWORDS: dict[str, None] = {"_": None, "N_": None}
# Where texts of the sidebar are written; the console speaks Chinese alone.
SOURCES = (
    ("jinja2.ext:babel_extract", "web/templates", "*.html"),
    ("javascript", "web/islands", "*.js"),
    ("python", "scrm", "*.py"),
    ("python", "web", "*.py"),
)
_CHINESE = re.compile(r"[\u3400-\u9fff]")


def collect() -> Catalog:
    """Every text that the sources mark, with where it stands."""
    catalogue = Catalog(locale="en")
    for method, folder, pattern in SOURCES:
        for path in sorted((ROOT / folder).rglob(pattern)):
            source = path.read_bytes()
            if b"_(" not in source:
                continue
            for text in _texts(method, source):
                catalogue.add(text, locations=[(path.relative_to(ROOT).as_posix(), 0)])
    return catalogue


def _texts(method: str, source: bytes) -> Iterator[str]:
    options = {"parse_template_string": "true", "trim_blocks": "true", "lstrip_blocks": "true"}
    for found in extract(method, BytesIO(source), KEYWORDS, options=options):
        text = found[1][0] if isinstance(found[1], tuple) else found[1]
        # Only our own texts are Chinese: what else is named `_` is none.
        if text and _CHINESE.search(text):
            yield text


def bring_up_to_date(wanted: Catalog, known: Catalog) -> Catalog:
    """The wanted texts with the translations that are known, in the order of the sources."""
    by_key = {key_of(message.id): message for message in known if message.id}
    fresh = Catalog(locale="en")
    for message in wanted:
        if not message.id:
            continue
        old: Message | None = by_key.get(key_of(message.id))
        fresh.add(
            old.id if old else message.id,
            old.string if old else "",
            locations=sorted({(path, 0) for path, _ in message.locations}),
        )
    return fresh


def main() -> int:
    path = FOLDER / "en.po"
    fresh = bring_up_to_date(collect(), read("en") if path.is_file() else Catalog(locale="en"))
    with path.open("wb") as file:
        write_po(file, fresh, width=120, omit_header=True, include_lineno=False, sort_by_file=True)
    waiting = [key_of(message.id) for message in fresh if message.id and not forms_of(message)]
    for text in waiting:
        print(f"没有译文：{text}")
    return 1 if waiting else 0


if __name__ == "__main__":
    sys.exit(main())
