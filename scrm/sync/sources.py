"""The sources of a sync, in the order they run: one function in its own room, and one line here."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from scrm.contact_ways import acquisition, ways
from scrm.errors import WrongUse
from scrm.services import Services
from scrm.sync import contacts, follow_users, groups, members, tags
from scrm.work.progress import Progress

# (services, progress, full): compares what WeCom says with what we keep and writes only the difference. It must be
# safe to run again from the start, bounded in memory, and end nothing of ours because a call failed: it says so with
# `progress.note` and goes on. `full` asks to trust nothing that was left from a run before.
Run = Callable[[Services, Progress, bool], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Source:
    """A family of WeCom's state: `key` is what `scrm sync --only` takes, `title` what people read."""

    key: str
    title: str
    run: Run


# What customers carry comes before the customers: tags are named, and members known, when customers are kept.
SOURCES: tuple[Source, ...] = (
    Source("members", "部门与员工", members.run),
    Source("follow_users", "客户联系成员", follow_users.run),
    Source("tags", "企业标签", tags.run),
    Source("ways", "渠道活码", ways.sync_ways),
    Source("links", "获客链接", acquisition.sync_links),
    Source("contacts", "客户", contacts.run),
    Source("groups", "客户群", groups.run),
)


def choose(keys: Iterable[str]) -> Sequence[Source]:
    """The sources of these keys in the order they run, all of them when there are none; raises WrongUse."""
    wanted = list(keys)
    known = [source.key for source in SOURCES]
    if unknown := [key for key in wanted if key not in known]:
        raise WrongUse(f"--only：没有 {'、'.join(unknown)}，可用的有 {'、'.join(known)}")
    return [source for source in SOURCES if not wanted or source.key in wanted]
