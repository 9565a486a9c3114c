"""One call of the server API, and how its parameters are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .config import SandboxConfig
from .errors import Refusal
from .faults import Faults
from .identity import Identity
from .world import Json, Member, Pair, PairState, World


@dataclass(frozen=True)
class Upload:
    """The file part of a multipart call."""

    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True)
class Call:
    """What an endpoint needs to answer: the request and the state of the world."""

    world: World
    identity: Identity
    faults: Faults
    config: SandboxConfig
    now: datetime
    query: Mapping[str, str]
    body: Json
    raw: bytes = b""
    upload: Upload | None = None
    # The header of the same name.
    range: str = ""

    def text(self, name: str, *, chars: int = 0, size: int = 0, missing: int = 0, default: str = "") -> str:
        """A text of the body; at most `chars` characters or `size` bytes, else 40058."""
        return read_text(self.body, name, chars=chars, size=size, missing=missing, default=default)

    def texts(self, name: str, *, most: int = 0) -> list[str]:
        """A list of texts of the body; absent means empty."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise Refusal(40058, f"invalid Request Parameter, {name} must be a list of strings")
        if most and len(value) > most:
            raise Refusal(40058, f"invalid Request Parameter, {name} has {len(value)} items, at most {most}")
        return list(value)

    def number(self, name: str, default: int) -> int:
        """A whole number of the body."""
        value = self.body.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refusal(40058, f"invalid Request Parameter, {name} must be a number")
        return value

    def flag(self, name: str, default: bool) -> bool:
        """A boolean of the body."""
        value = self.body.get(name, default)
        if not isinstance(value, bool):
            raise Refusal(40058, f"invalid Request Parameter, {name} must be true or false")
        return value

    def member(self, userid: str) -> Member:
        """The member of a call, else 60111; 60011 for one out of the app's visible range."""
        found = self.world.find_member(userid) if userid else None
        if found is None:
            raise Refusal(60111)
        if found.userid in self.world.out_of_range:
            raise Refusal(60011)
        return found

    def pair(self) -> Pair:
        """The relation that `userid` and `external_userid` of the body name, if calls may use it."""
        member = self.member(self.text("userid", missing=40058))
        external_userid = self.text("external_userid", missing=41035)
        if self.world.find_customer(external_userid) is None:
            raise Refusal(40096)
        pair = self.world.pairs.get((member.userid, external_userid))
        if pair is None or not self.can_use(pair):
            raise Refusal(84061)
        return pair

    def can_use(self, pair: Pair) -> bool:
        """Whether calls about this relation work (doc 90313, help of 84061), and whether the app sees its member."""
        if pair.userid in self.world.out_of_range:
            return False
        if pair.state == PairState.HALF:
            return not self.faults.unconfirmed_contacts_unreadable
        return pair.state in (PairState.FRIEND, PairState.LEFT)


def read_text(
    source: Mapping[str, Any], name: str, *, chars: int = 0, size: int = 0, missing: int = 0, default: str = ""
) -> str:
    """A text of a JSON object; `missing` is the errcode when it is absent or empty."""
    value = source.get(name, default)
    if value is None:
        value = ""
    if not isinstance(value, str):
        raise Refusal(40058, f"invalid Request Parameter, {name} must be a string")
    if not value and missing:
        raise Refusal(missing)
    if (chars and len(value) > chars) or (size and len(value.encode()) > size):
        limit = f"{chars} characters" if chars else f"{size} bytes"
        raise Refusal(40058, f"invalid Request Parameter, {name} longer than {limit}")
    return value
