"""Which answer of the library a text gets: pure; what nobody prepared is not answered."""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_CHARS = 60


@dataclass(frozen=True, slots=True)
class Reply:
    """A row of the library; `keyword` is folded already."""

    id: int
    keyword: str
    match: str
    answer: str
    attachment: Mapping[str, Any] = field(default_factory=dict)


def fold(text: str) -> str:
    """Full width, case and blanks make no difference to a customer who types on a phone."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def find_reply(replies: Iterable[Reply], text: str) -> Reply | None:
    """An exact keyword before one that is contained, the longest of those first; None for an empty text."""
    said = fold(text)
    if not said:
        return None
    found = [reply for reply in replies if reply.keyword and reply.answer.strip() and _fits(reply, said)]
    return min(found, key=lambda reply: (reply.match != "exact", -len(reply.keyword), reply.id), default=None)


def _fits(reply: Reply, said: str) -> bool:
    return said == reply.keyword if reply.match == "exact" else reply.keyword in said
