"""Words for an order's state: what a manager says they mean, what the platform's table says, and the strange ones. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from scrm.commerce.canonical import Order
from scrm.commerce.connectors.aftersale import AFTERSALE, NO_CASE, read_case
from scrm.commerce.connectors.reader import normalise_heading

# Of one source; a column that holds no states at all must not fill the table.
MOST_WORDS = 200
_LONGEST = 80
# The same few come with every order.
_plain = lru_cache(maxsize=1024)(normalise_heading)


class Seen(NamedTuple):
    """How often a word came, the first order that had it, and what that was taken for."""

    times: int
    order_no: str
    taken_as: str


@dataclass(slots=True)
class StatusWords:
    """The words of one file or batch: a manager's come first, then the platform's own, and what is left is noted."""

    own: Mapping[str, str] = field(default_factory=dict)
    _strange: list[str] = field(default_factory=list)

    def find(self, text: str, known: Mapping[str, str]) -> str | None:
        """The status of a word as people write it; None when nobody knows it. `known` is by normalised words."""
        plain = _plain(text[:_LONGEST])
        return self.own.get(plain) or known.get(plain)

    def refund(self, text: str) -> str:
        """The state of an after-sale case in words; '' when there is none, noted and unknown when nobody knows."""
        said = self.own.get(_plain(of_case(text))) or read_case(text) or self.note(of_case(text))
        return "" if said == NO_CASE else said

    def note(self, text: str) -> str:
        """Nobody knows it: remembered for `take`; the status of such an order."""
        self._strange.append(text)
        return "unknown"

    def take(self) -> list[str]:
        """What was noted since the last time."""
        taken, self._strange = self._strange, []
        return taken


def of_case(text: str) -> str:
    """A word for an after-sale case, as it stands among those for orders."""
    return f"{AFTERSALE}{text}"[:_LONGEST]


def add(words: dict[str, Seen], strange: Iterable[str], order: Order) -> None:
    """Count the words of one order, each once."""
    for text in dict.fromkeys(text[:_LONGEST] for text in strange):
        before = words.get(text)
        if before is not None:
            words[text] = before._replace(times=before.times + 1)
        elif len(words) < MOST_WORDS:
            words[text] = Seen(1, order.order_no[:80], "unknown" if text.startswith(AFTERSALE) else order.status)


def join(words: dict[str, Seen], more: Mapping[str, Seen]) -> None:
    """Add what another part of the same file had."""
    for text, seen in more.items():
        before = words.get(text)
        if before is not None:
            words[text] = before._replace(times=before.times + seen.times)
        elif len(words) < MOST_WORDS:
            words[text] = seen


def ended(status: str, is_paid: bool) -> str:
    """What ended without being paid for was cancelled, what was paid for is closed."""
    if status in ("closed", "cancelled"):
        return "closed" if is_paid else "cancelled"
    return status
