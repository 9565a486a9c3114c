"""What a trigger is: an event's name, what authors may ask of its facts, and the run keys it can give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scrm.events import Event
from scrm.sop.schema import Trigger as Wanted
from scrm.sop.triggers.facts import fits

Also = Callable[[Wanted, Event], bool]


@dataclass(frozen=True, slots=True)
class Trigger:
    """One event that may start a playbook. `where`: fact -> its Chinese title; `run_keys` beside person.

    `also` is what must hold besides `where`; `asks` are keys of the trigger itself that authors must or may write.
    """

    name: str
    title: str
    where: Mapping[str, str] = field(default_factory=dict)
    run_keys: tuple[str, ...] = ()
    also: Also | None = None
    asks: tuple[str, ...] = ()
    # Its facts are the author's own: `where` may ask for any of them.
    is_open: bool = False

    def matches(self, wanted: Wanted, event: Event) -> bool:
        """Whether this event starts a playbook that wants that; what happened long before we heard of it does not."""
        if event.name != self.name and not self.is_open:
            return False
        if event.facts.get("historic"):
            return False
        if wanted.where:
            facts = {"userid": event.userid, **event.facts} if "userid" in wanted.where else event.facts
            if not fits(wanted.where, facts):
                return False
        return self.also is None or self.also(wanted, event)
