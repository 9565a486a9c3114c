"""The one catalogue of texts: what a page says, in the reader's language; the Chinese text is its own key.

`_()` where a text is made, `N_()` around a text of a table that is given to `_()` when it is shown. The English is in
`en.po`, which `python -m web.texts.extract` keeps in step with the sources.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from web.texts.catalogue import find

CHINESE = "zh-CN"
NAMES = {CHINESE: "中文", "en": "English"}
LANGUAGES = tuple(NAMES)
LANGUAGE: ContextVar[str] = ContextVar("language", default=CHINESE)


def _(text: str, /, **values: object) -> str:
    """`text` in the reader's language, with its {names} filled in."""
    language = LANGUAGE.get()
    if language != CHINESE:
        text = find(language, text, values)
    return text.format(**values) if values else text


def N_(text: str) -> str:  # noqa: N802 - gettext's own name
    """Mark a text for the catalogue where it is written down; `_()` says it later."""
    return text


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Every `_()` inside answers in `language`."""
    token = LANGUAGE.set(language)
    try:
        yield
    finally:
        LANGUAGE.reset(token)
