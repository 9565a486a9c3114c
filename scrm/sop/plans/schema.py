"""A plan as it is carried out: parsed, checked, immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta

from scrm.sop.schema import Content

GROUP, MOMENT = "group", "moment"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that goes out: on the `day`th day from the start, every week on `weekdays`, or once on `on_date`.

    `at` is a time of the shop's zone; who has not confirmed it `ttl` later cannot any more. With `dedupe` a group is
    left out when nearly all of its customers get the same item in other groups.
    """

    id: str
    title: str
    at: time
    ttl: timedelta
    content: Content
    day: int | None = None
    weekdays: tuple[int, ...] = ()
    on_date: date | None = None
    dedupe: bool = False
    line: int = 0

    @property
    def is_weekly(self) -> bool:
        return bool(self.weekdays)


@dataclass(frozen=True, slots=True)
class To:
    """Groups with any of the tags, owned by any of the owners, with any of the words in their names; all must fit.

    Of moments: the members who publish, and the corp tags of the customers who see them. Nothing chosen is nobody.
    """

    tags: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    everybody: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """`start` None: each group's own first day (of a group's plan), else the day that D+0 is for all."""

    key: str
    title: str
    kind: str
    to: To
    items: tuple[Item, ...]
    start: date | None = None
    description: str = ""
    skips_restdays: bool = False
    skips: frozenset[date] = field(default_factory=frozenset)
    # Who steps in for an owner, or publishes for a member, who has left or does not act; by folded userid.
    deputies: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    digest: str = ""
    version: int = 0

    def deputy_of(self, userid: str) -> str:
        return self.deputies.get(userid.casefold(), "")

    def item(self, item_id: str) -> Item | None:
        return next((item for item in self.items if item.id == item_id), None)
