"""The one catalogue of texts: what a page says, in the reader's language; the Chinese text is its own key."""

from contextvars import ContextVar

LANGUAGE: ContextVar[str] = ContextVar("language", default="zh-CN")


def _(text: str, **values: object) -> str:
    """`text` in the reader's language, with its {names} filled in."""
    return text.format(**values) if values else text
