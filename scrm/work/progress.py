"""What a long piece of work tells whoever watches it."""

from dataclasses import dataclass, field

MOST_NOTES = 50


@dataclass(slots=True)
class Progress:
    """How much there is (0: not known yet), how much of it is done, what came of it, and what a person should know.

    `done` counts what was looked at; `added`, `changed` and `ended` what was written because of it.
    """

    total: int = 0
    done: int = 0
    added: int = 0
    changed: int = 0
    ended: int = 0
    notes: list[str] = field(default_factory=list)

    def expect(self, total: int) -> None:
        """So many are to be looked at, as far as is known now."""
        self.total = total

    def advance(self, done: int = 1, *, added: int = 0, changed: int = 0, ended: int = 0) -> None:
        """So many more were looked at."""
        self.done += done
        self.added += added
        self.changed += changed
        self.ended += ended

    def note(self, text: str) -> None:
        """A Chinese sentence about what was skipped and why; the same one is kept once, at most fifty in all."""
        if text not in self.notes and len(self.notes) < MOST_NOTES:
            self.notes.append(text)

    @property
    def share(self) -> float:
        """0 to 1; 0 while the total is not known."""
        return min(self.done / self.total, 1.0) if self.total else 0.0
