"""What a rehearsal is asked for: whose events, how long, and how the members are taken to behave."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from scrm.errors import Invalid
from scrm.sop import chance

MOST_DAYS = 92
MOST_CROWD = 200_000


@dataclass(frozen=True, slots=True)
class Member:
    """How one member deals with what he is asked to send: the part of 1 he sends, and after how many minutes."""

    confirms: float = 0.8
    minutes: int = 30

    @property
    def delay(self) -> timedelta:
        return timedelta(minutes=self.minutes)


USUAL = Member()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The members' behaviour: a usual one, and that of those whose history tells more."""

    usual: Member = USUAL
    members: Mapping[str, Member] = field(default_factory=dict)

    def of(self, userid: str) -> Member:
        return self.members.get(userid.casefold(), self.usual)

    def sends_after(self, userid: str, key: str) -> timedelta | None:
        """How long this member takes with this one, the same as often as it is asked; None when it is never sent."""
        member = self.of(userid)
        return member.delay if chance.part_of_one(f"confirm/{key}") < member.confirms else None


@dataclass(frozen=True, slots=True)
class Crowd:
    """Customers made up: how many come in the time, to how many members, and what parts of 1 buy or leave."""

    size: int
    members: int = 20
    buys: float = 0.1
    leaves: float = 0.02


@dataclass(frozen=True, slots=True)
class Terms:
    """`crowd` None: the events that this database kept of the last `days`."""

    days: int = 30
    crowd: Crowd | None = None
    behaviour: Behaviour | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.days <= MOST_DAYS:
            raise Invalid(f"天数 {self.days} 不在 1 到 {MOST_DAYS} 之间")
        if self.crowd is None:
            return
        if not 1 <= self.crowd.size <= MOST_CROWD:
            raise Invalid(f"人数 {self.crowd.size} 不在 1 到 {MOST_CROWD:,} 之间")
        if not 1 <= self.crowd.members <= 5000:
            raise Invalid(f"员工数 {self.crowd.members} 不在 1 到 5000 之间")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def terms_from(values: Mapping[str, Any]) -> Terms:
    """Back from what `as_json` made."""
    crowd, behaviour = values.get("crowd"), values.get("behaviour")
    members = (behaviour or {}).get("members", {})
    return Terms(
        days=int(values["days"]),
        crowd=Crowd(**crowd) if crowd else None,
        behaviour=Behaviour(Member(**behaviour["usual"]), {userid: Member(**each) for userid, each in members.items()})
        if behaviour
        else None,
    )
