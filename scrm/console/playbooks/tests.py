"""What came of a draft's tests: played beside its text, and remembered for that text."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from scrm.console.playbooks.board_view import digest_of, find_text
from scrm.errors import Invalid
from scrm.services import Services
from scrm.sop.board import trials
from scrm.sop.life import drafts
from scrm.sop.rehearsal import rehearse
from scrm.sop.rehearsal.tests import Result
from scrm.sop.schema import Playbook
from scrm.sop.shelf import playbooks_of, terms_of

# One after the other: a month that passes in a test keeps a core busy.
_TESTING = asyncio.Semaphore(1)
_MOST = 200


@dataclass(slots=True)
class Played:
    """Results by the digest of the text that was tested; the newest of this process."""

    by_digest: OrderedDict[str, Sequence[Result]] = field(default_factory=OrderedDict)

    def keep(self, digest: str, results: Sequence[Result]) -> None:
        self.by_digest[digest] = results
        while len(self.by_digest) > _MOST:
            self.by_digest.popitem(last=False)


def find(services: Services, text: str) -> Sequence[Result]:
    """What came of the tests of exactly this text; nothing when they have not been played."""
    return _played(services).by_digest.get(digest_of(text), ())


async def play(services: Services, key: str, *, anew: bool = False) -> Sequence[Result]:
    """Play the tests of a draft, unless that was done already; raises Invalid for a text that is not sound."""

    def look(conn: Connection) -> tuple[str, drafts.Checked]:
        text = find_text(conn, key)[0]
        return text, drafts.check(conn, text, key, terms_of(services))

    text, checked = await services.db.read(look)
    playbook = checked.playbook
    if playbook is None:
        raise Invalid("剧本还有要改的地方，改好才能跑测试")
    source, others = playbook.source, playbooks_of(services).current.values()
    named = [other for other in others if other.key in source or other.title in source]
    async with _TESTING:
        results = () if anew else find(services, text)
        results = results or await asyncio.to_thread(_play, playbook, named)
    _played(services).keep(digest_of(text), results)
    return results


def _play(playbook: Playbook, beside: Sequence[Playbook]) -> list[Result]:
    """In a loop of its own: pages go on while weeks pass in the tests."""
    return asyncio.run(rehearse.run_tests(playbook, beside))


def _played(services: Services) -> Played:
    played: Played = services.memory.setdefault(Played, Played())
    return played


def failing_steps(results: Sequence[Result], steps: Sequence[str]) -> Mapping[str, list[str]]:
    """By step: the tests that failed because of it."""
    found: dict[str, list[str]] = {}
    for result in results:
        for step_id in trials.about(result.problems, steps):
            found.setdefault(step_id, []).append(result.name)
    return found
